# ruff: noqa: N803 (Triton's convention: compile-time constants are in upper case)
"""The kernel of `lowpix.networks.fused_mlp`. Importing this module needs Triton."""

import triton
import triton.language as tl


@triton.jit
def judge(
    inputs,
    weight1,
    bias1,
    weight2,
    bias2,
    weight3,
    bias3,
    labels,
    confidence,
    scores,
    pixels,
    features,
    SCORE: tl.constexpr,
    MEMBERS: tl.constexpr,
    BLOCK: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    CLASSES: tl.constexpr,
):
    """Compute labels, confidence and scores for BLOCK pixels from the mean of the members' probabilities.

    Reads inputs `(pixels, features)`, weights `(MEMBERS, WIDTH, FEATURES)`, `(MEMBERS, WIDTH, WIDTH)` and
    `(MEMBERS, CLASSES, WIDTH)` in the dtype of the inputs, and biases `(MEMBERS, …)` float32. Weights are padded
    with zeros. Padding classes have bias −inf, so their probability is 0. Writes labels (uint8), confidence
    (float32) and, if SCORE names one, scores (float32), each `(pixels,)`.
    """
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    feature, unit, label = tl.arange(0, FEATURES), tl.arange(0, WIDTH), tl.arange(0, CLASSES)
    inside = pixel < pixels
    x = tl.load(
        inputs + pixel[:, None] * features + feature[None, :],
        mask=inside[:, None] & (feature[None, :] < features),
        other=0.0,
    )
    mean = tl.zeros((BLOCK, CLASSES), tl.float32)
    for member in range(MEMBERS):
        # weights are read transposed: (in, out)
        weight = tl.load(weight1 + (member * WIDTH + unit[None, :]) * FEATURES + feature[:, None])
        hidden = tl.dot(x, weight, input_precision="ieee") + tl.load(bias1 + member * WIDTH + unit)[None, :]
        hidden = tl.maximum(hidden, 0.0).to(x.dtype)
        weight = tl.load(weight2 + (member * WIDTH + unit[None, :]) * WIDTH + unit[:, None])
        hidden = tl.dot(hidden, weight, input_precision="ieee") + tl.load(bias2 + member * WIDTH + unit)[None, :]
        hidden = tl.maximum(hidden, 0.0).to(x.dtype)
        weight = tl.load(weight3 + (member * CLASSES + label[None, :]) * WIDTH + unit[:, None])
        logits = (
            tl.dot(hidden, weight, input_precision="ieee") + tl.load(bias3 + member * CLASSES + label)[None, :]
        )
        odds = tl.exp(logits - tl.max(logits, 1)[:, None])
        mean += odds / tl.sum(odds, 1)[:, None]
    mean /= MEMBERS

    largest, best = tl.max(mean, 1, return_indices=True)
    tl.store(labels + pixel, best.to(tl.uint8), mask=inside)
    tl.store(confidence + pixel, tl.minimum(largest, 1.0), mask=inside)
    if SCORE == "margin":
        second = tl.max(tl.where(label[None, :] == best[:, None], -1.0, mean), 1)
        tl.store(scores + pixel, second - largest, mask=inside)
    if SCORE == "least_confidence":
        tl.store(scores + pixel, 1.0 - largest, mask=inside)
    if SCORE == "entropy":
        surprise = -tl.log(tl.where(mean > 0.0, mean, 1.0))
        tl.store(scores + pixel, tl.sum(mean * surprise, 1), mask=inside)
