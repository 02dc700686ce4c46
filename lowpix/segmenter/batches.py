"""The minibatches on which the data-set network is trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import Dataset
from lowpix.seeds import seed_for
from lowpix.segmenter.augment import Augmentation, Sample

KEEP = 1 << 30  # bytes of images and labels kept in memory; the rest is read again each time

Item = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32] | None]


class Annotated(Protocol):
    """Images with labels to learn from."""

    @property
    def images(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def read(self) -> Callable[[str], tuple[NDArray[np.uint8], NDArray[np.float32] | None]]:
        """Labels (H, W) of an image, and how much each pixel weighs (H, W); None for all alike."""

    @property
    def sparse(self) -> bool:
        """Whether few pixels are labelled, one by one."""


@dataclass
class Batches:
    """The minibatch of each step: shuffled passes over the images, with each sample augmented.

    A minibatch depends only on its step. Runs with the same seed and images see the same windows in the same
    order, whatever their labels.
    """

    dataset: Dataset
    annotation: Annotated
    augmentation: Augmentation
    size: int
    """Samples in a minibatch."""
    seed: int
    _kept: dict[str, Item] = field(default_factory=dict)
    _bytes: int = 0

    def __call__(self, step: int) -> Sample:
        """The minibatch of a step, counted from 0: images (B, 3, h, w), labels and weights (B, h, w)."""
        samples = [self._sample(step * self.size + index) for index in range(self.size)]
        return Sample(*(torch.stack(parts) for parts in zip(*samples, strict=True)))

    def _sample(self, number: int) -> Sample:
        images = self.annotation.images
        passes, place = divmod(number, len(images))
        order = np.random.default_rng(seed_for(self.seed, "order", passes)).permutation(len(images))
        image, labels, weights = self._item(images[order[place]])
        draw = np.random.default_rng(seed_for(self.seed, "augmentation", number))
        return self.augmentation(image, labels, weights, self.annotation.sparse, draw)

    def _item(self, name: str) -> Item:
        if name in self._kept:
            return self._kept[name]
        item = (self.dataset.image(name), *self.annotation.read(name))
        size = sum(part.nbytes for part in item if part is not None)
        if self._bytes + size <= KEEP:
            self._bytes += size
            self._kept[name] = item
        return item
