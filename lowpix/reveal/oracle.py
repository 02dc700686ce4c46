"""From pixels to labels."""

import numpy as np
from numpy.typing import NDArray

from lowpix.data import IGNORE

VOID = IGNORE
"""The answer "this pixel has no class": it costs a click and teaches nothing."""
UNSURE = 254
"""The answer "I cannot tell": likewise."""


class LabelMapOracle:
    """Answers from a label map; may err and may refuse.

    What it says of a pixel depends on the seed and the pixel alone, not on when it is asked.

    Args:
        labels: `(H, W)` uint8 class ids, VOID where there is none.
        classes: C.
        noise: share of wrong answers, uniform over the other classes.
        refusal: share of answers UNSURE.
        seed: of the mistakes and refusals.
    """

    def __init__(
        self, labels: NDArray[np.uint8], classes: int, noise: float = 0, refusal: float = 0, seed: int = 0
    ) -> None:
        draw = np.random.default_rng(seed)
        answers = labels.copy()
        if noise:
            wrong = (draw.random(labels.shape) < noise) & (labels != VOID)
            # adding 1 to C − 1 modulo C gives each other class alike
            shift = draw.integers(1, max(classes, 2), labels.shape)
            answers[wrong] = ((labels + shift) % classes)[wrong]
        if refusal:
            answers[draw.random(labels.shape) < refusal] = UNSURE
        self._answers = answers

    def __call__(self, question: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Answers `(k,)` uint8 to a question of k pixels, `(k, 2)` rows and columns."""
        return self._answers[question[:, 0], question[:, 1]]


def could_tell(truth: NDArray[np.uint8], pixels: NDArray[np.int64], labels: NDArray[np.uint8], errs: bool) -> bool:
    """Whether an oracle of `truth` (H, W) that `errs`, or not, could tell `labels` (n,) of `pixels` (n, 2)."""
    return bool((pixels < truth.shape).all() and (errs or (truth[tuple(pixels.T)] == labels).all()))
