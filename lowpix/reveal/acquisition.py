"""Which pixel to ask for: functions from probabilities to a score per pixel, larger = ask sooner.

Every function takes probabilities `p` `(…, M, N, C)` of M networks at N pixels over C classes and returns scores
`(…, N)`, finite for every valid input. A pixel's score depends on no other pixel, so tiles change nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lowpix.errors import choose


def entropy(p: torch.Tensor) -> torch.Tensor:
    """H(m) = −Σ_c m_c ln m_c of the members' mean m (Shannon 1948), in nats: 0 (certain) to ln C."""
    terms: torch.Tensor = torch.special.entr(p.mean(-3))
    return terms.sum(-1)


def least_confidence(p: torch.Tensor) -> torch.Tensor:
    """1 − max_c m_c (Lewis and Gale 1994): the chance that the predicted class is wrong, 0 to 1 − 1/C."""
    return 1 - p.mean(-3).amax(-1)


def margin(p: torch.Tensor) -> torch.Tensor:
    """−(m₁ − m₂), the two largest mean probabilities (Scheffer et al. 2001): −1 (certain) to 0 (a tie)."""
    largest, second = p.mean(-3).topk(2, -1).values.unbind(-1)
    return second - largest


def random(p: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The noise itself, `(…, N)` uniform in [0, 1) and drawn once a round: every pixel is as likely."""
    return noise


def error_depth(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How deep inside a wrongly labelled region each pixel lies; privileged, since it reads the truth.

    The chessboard distance to the nearest pixel that is right, of another true class, or outside the image,
    so the centre of the largest mistake comes first; the taxicab distance, scaled under 1, breaks ties.

    Args:
        prediction: `(H, W)` class ids.
        truth: `(H, W)` class ids. To leave a pixel out (void, revealed), give it its predicted class.

    Returns:
        `(H, W)` float32, in pixels; 0 where the prediction is right.
    """
    depth = np.zeros(truth.shape, np.float32)
    wrong = prediction != truth
    # one class at a time and only where it errs: slices of the boxes that hold each class's mistakes
    boxes = ndimage.find_objects(np.where(wrong, truth.astype(np.int32) + 1, 0))
    for label, box in enumerate(boxes):
        if box is None:
            continue
        errors = np.pad(wrong[box] & (truth[box] == label), 1)
        chessboard = ndimage.distance_transform_cdt(errors, "chessboard")
        taxicab = ndimage.distance_transform_cdt(errors, "taxicab")
        inside = (chessboard + taxicab / (taxicab.max() + 1))[1:-1, 1:-1]
        np.maximum(depth[box], inside.astype(np.float32), out=depth[box])
    return depth


@dataclass(frozen=True)
class Acquisition:
    """An acquisition function and what it must be given."""

    name: str
    score: Callable[..., torch.Tensor] | None
    """Of probabilities, and of noise where `noisy`; None where the choice is made from the truth."""
    noisy: bool = False

    @property
    def privileged(self) -> bool:
        """Whether it reads the true label map, so that no person could choose so."""
        return self.score is None


ACQUISITIONS = {
    acquisition.name: acquisition
    for acquisition in (
        Acquisition("random", random, noisy=True),
        Acquisition("entropy", entropy),
        Acquisition("least_confidence", least_confidence),
        Acquisition("margin", margin),
        Acquisition("error_depth", None),
    )
}


def find_acquisition(name: str) -> Acquisition:
    """The registered acquisition of this name. Raises InputError, listing those there are, if there is none."""
    return choose("--acquisition", name, ACQUISITIONS)
