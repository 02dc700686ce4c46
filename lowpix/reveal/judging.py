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


def judge(
    tiles: Iterable[tuple[slice, torch.Tensor]],
    shape: tuple[int, int],
    device: torch.device,
    *,
    score: Callable[..., torch.Tensor] | None,
    members: bool,
    noise: torch.Tensor | None,
    smoother: Callable[[torch.Tensor], torch.Tensor] | None,
) -> Judged:
    """Label uint8, largest mean probability and score float32 of N pixels, each `(N,)`.

    Args:
        tiles: the slice of n pixels at a time, and each member's probabilities `(M, C, n)` float32.
        shape: C and N.
        device: where the probabilities are.
        score: a function of `(M, n, C)` probabilities, and of the pixels' `noise` if there is some. It is never
            given smoothed ones. Without it the scores are undefined.
        members: whether `score` is given each member's probabilities, or their mean as a single member.
        noise: `(N,)` uniform noise.
        smoother: smooths the mean probabilities `(C, N)` that labels and confidence come from, in place. Without
            it they are never held all at once.
    """
    classes, pixels = shape
    labels = torch.empty(pixels, dtype=torch.uint8, device=device)
    confidence = torch.empty(pixels, device=device)
    scores = torch.empty(pixels, device=device)
    whole = None if smoother is None else torch.empty(classes, pixels, device=device)
    for where, each in tiles:
        mean = each.mean(0, keepdim=True)
        if whole is not None:
            whole[:, where] = mean[0]
        else:
            largest, label = mean[0].max(0)
            labels[where], confidence[where] = label, largest.clamp(max=1)
        if score is not None:
            given = (each if members else mean).transpose(1, 2)  # (M, n, C) in shape, but class-major in memory
            scores[where] = score(given, *(() if noise is None else (noise[where],)))
    if smoother is not None and whole is not None:
        confidence, label = smoother(whole).max(0)
        labels, confidence = label.to(torch.uint8), confidence.clamp_(max=1)
    return labels, confidence, scores
