"""A few images of a data set that travel with the work on them, to a machine that has none of its files."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lowpix.data.dataset import Dataset


class Sent(Dataset):
    """Images `names` of a data set with their label maps, in memory."""

    def __init__(self, dataset: Dataset, names: Sequence[str]) -> None:
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.palette = dataset.classes, dataset.palette
        self.images = tuple(dict.fromkeys(names))
        self._pixels = {name: (dataset.image(name), dataset.labels(name)) for name in self.images}

    def image(self, name: str) -> NDArray[np.uint8]:
        return self._pixels[name][0]

    def labels(self, name: str) -> NDArray[np.uint8] | None:
        return self._pixels[name][1]
