"""Judge pixels by the probabilities of the members: label, confidence and score of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.networks.fused_mlp import Judged


@dataclass(frozen=True)
class Prediction:
    """The labels that a session's networks predict for its image."""

    labels: NDArray[np.uint8]
    """`(H, W)` class ids. They are not overwritten by revealed labels."""
    confidence: NDArray[np.float32]
    """`(H, W)` the largest mean probability, 0 to 1."""


@dataclass(frozen=True)
class Smoother:
    """Smooths the mean probabilities of all pixels. All other classes than the learned ones get probability 0."""

    learned: torch.Tensor
    """`(k,)` int64, ascending: the classes that the networks have learned."""
    smooth: Callable[[torch.Tensor], torch.Tensor]
    """Smooths the probabilities of these classes, `(k, N)` float32, in place."""


def judge(
    tiles: Iterable[tuple[slice, torch.Tensor]],
    pixels: int,
    device: torch.device,
    *,
    score: Callable[..., torch.Tensor] | None,
    members: bool,
    noise: torch.Tensor | None,
    smoother: Smoother | None,
) -> Judged:
    """Label uint8, largest mean probability and score float32 of N pixels, each `(N,)`.

    Args:
        tiles: the slice of n pixels at a time, and each member's probabilities `(M, C, n)` float32.
        pixels: N.
        device: where the probabilities are.
        score: a function of `(M, n, C)` probabilities, and of the pixels' `noise` if there is some. It is never
            given smoothed ones. Without it the scores are undefined.
        members: whether `score` is given each member's probabilities, or their mean as a single member.
        noise: `(N,)` uniform noise.
        smoother: smooths the mean probabilities that labels and confidence come from. It holds those of all
            pixels and learned classes at once.
    """
    labels = torch.empty(pixels, dtype=torch.uint8, device=device)
    confidence = torch.empty(pixels, device=device)
    scores = torch.empty(pixels, device=device)
    whole = None if smoother is None else torch.empty(len(smoother.learned), pixels, device=device)
    for where, each in tiles:
        mean = each.mean(0, keepdim=True)
        if smoother is not None and whole is not None:
            whole[:, where] = mean[0, smoother.learned]
        else:
            largest, label = mean[0].max(0)
            labels[where], confidence[where] = label, largest.clamp(max=1)
        if score is not None:
            given = (each if members else mean).transpose(1, 2)  # (M, n, C) in shape, but class-major in memory
            scores[where] = score(given, *(() if noise is None else (noise[where],)))
    if smoother is not None and whole is not None:
        confidence, label = smoother.smooth(whole).max(0)
        labels, confidence = smoother.learned.to(torch.uint8)[label], confidence.clamp_(max=1)
    return labels, confidence, scores
