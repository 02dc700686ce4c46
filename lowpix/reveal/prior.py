"""What a network of other images makes of an image, as a help for the image's own networks.

Its probabilities are further features of every pixel. Where it is sure, *virtual clicks* are learned like answers,
the fewer the more pixels are asked. If answers contradict it, there are fewer still. A virtual click is no answer:
it is never counted as asked or revealed, and smoothing does not hold on to it.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.reveal.log import Log
from lowpix.reveal.selection import stratified

WEIGHT = 3.0  # of the probabilities as features, which have about unit scale
SURE = 0.8  # the least probability at a virtual click
CLICKS = 100  # virtual clicks before the first answer
UNTIL = 50  # pixels asked; from here on there are none
CREDIT = 2  # right guesses that the prior has before the first answer


class Prior:
    """The class probabilities of an image by a network of other images, and the virtual clicks that follow.

    Args:
        probabilities: `(H, W, C)` float32; they sum to 1 over the classes.
        seed: seed of the places of the virtual clicks.
    """

    def __init__(self, probabilities: NDArray[np.float32], seed: int) -> None:
        self._shape = probabilities.shape[:2]
        self._probabilities = np.ascontiguousarray(probabilities, np.float32).reshape(-1, probabilities.shape[2])
        self._labels = self._probabilities.argmax(1)
        self._sure = self._probabilities.max(1) > SURE
        nowhere = np.empty((0, 2), np.int64)
        places = stratified(self._sure.reshape(self._shape), nowhere, CLICKS, seed)
        self._places = self._flat(places)

    @property
    def digest(self) -> str:
        """SHA-256 of the probabilities."""
        return hashlib.sha256(self._probabilities.tobytes()).hexdigest()

    def features(self) -> torch.Tensor:
        """`(N, C)` float32: the probabilities, weighted as features."""
        return torch.from_numpy(WEIGHT * self._probabilities)

    def clicks(self, log: Log) -> tuple[torch.Tensor, torch.Tensor]:
        """The virtual clicks beside the answers of a log: flat indices and classes, each `(k,)` int64.

        They are spread evenly over the pixels where the prior is sure, and leave out pixels that were asked.
        Their number is CLICKS · (1 − asked / UNTIL) · `trust`, rounded.
        """
        count = round(CLICKS * max(0.0, 1 - log.asked / UNTIL) * self.trust(log))
        places = np.setdiff1d(self._places[:count], self._flat(log.pixels))
        return torch.from_numpy(places), torch.from_numpy(self._labels[places])

    def trust(self, log: Log) -> float:
        """How far answers bear the prior out, 0 to 1: 2 · share − 1, at least 0.

        The share is that of right guesses at labelled pixels where the prior was sure, and CREDIT right ones. So a
        prior that is wrong at every other pixel does nothing.
        """
        pixels, classes = log.labelled()
        flat = self._flat(pixels)
        right = self._labels[flat][self._sure[flat]] == classes[self._sure[flat]]
        share = (np.count_nonzero(right) + CREDIT) / (len(right) + CREDIT)
        return max(0.0, 2 * share - 1)

    def _flat(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Flat indices of `(k, 2)` rows and columns."""
        flat: NDArray[np.int64] = np.ravel_multi_index(tuple(pixels.T), self._shape)
        return flat
