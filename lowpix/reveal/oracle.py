"""Oracles: from pixels to labels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lowpix.reveal.log import UNSURE, VOID

NEAR = 2
"""Pixels from a border between classes, along the chessboard, that count as near it."""

Oracle = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""From pixels `(k, 2)`, rows and columns, to answers `(k,)`: class ids, VOID or UNSURE."""


class LabelMapOracle:
    """Answers from a label map. It may err and may refuse.

    The answer for a pixel depends only on the seed and the pixel, not on when it is asked.

    Args:
        labels: `(H, W)` uint8 class ids or VOID.
        classes: C.
        noise: share of wrong answers, uniform over the other classes.
        refusal: share of UNSURE answers.
        seed: seed of the mistakes and refusals.
        border_noise: share of wrong answers near a border, on top of `noise`; they name the class beyond it.
    """

    def __init__(
        self,
        labels: NDArray[np.uint8],
        classes: int,
        noise: float = 0,
        refusal: float = 0,
        seed: int = 0,
        border_noise: float = 0,
    ) -> None:
        draw = np.random.default_rng(seed)
        answers = labels.copy()
        if noise:
            wrong = (draw.random(labels.shape) < noise) & (labels != VOID)
            # adding 1 to C − 1 modulo C makes all other classes equally likely
            shift = draw.integers(1, max(classes, 2), labels.shape)
            answers[wrong] = ((labels + shift) % classes)[wrong]
        if border_noise:
            beyond = across(labels)
            wrong = (draw.random(labels.shape) < border_noise) & (beyond != labels)
            answers[wrong] = beyond[wrong]
        if refusal:
            answers[draw.random(labels.shape) < refusal] = UNSURE
        self._answers = answers

    def __call__(self, question: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Answers `(k,)` uint8 to a question of k pixels, `(k, 2)` rows and columns."""
        return self._answers[question[:, 0], question[:, 1]]


def across(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label map `(H, W)` in which each pixel near a border has the class of the nearest pixel beyond it.

    Void is no class: it keeps its label, and there is no border between it and a class.
    """
    beyond = labels.copy()
    present = np.setdiff1d(labels, [VOID])
    for label in present if len(present) > 1 else ():
        own = labels == label
        distance, (rows, columns) = ndimage.distance_transform_cdt(
            own | (labels == VOID), "chessboard", return_indices=True
        )
        near = own & (distance <= NEAR)
        beyond[near] = labels[rows[near], columns[near]]
    return beyond


def could_tell(truth: NDArray[np.uint8], pixels: NDArray[np.int64], labels: NDArray[np.uint8], errs: bool) -> bool:
    """Whether an oracle with label map `truth` (H, W) could give the answers `labels` (n,) for `pixels` (n, 2).

    The pixels must lie inside the image. An oracle that `errs` could give any answer.
    """
    return bool((pixels < truth.shape).all() and (errs or (truth[tuple(pixels.T)] == labels).all()))
