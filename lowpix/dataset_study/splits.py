"""What a network is trained on, chosen by and judged on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lowpix.data import Dataset, spread
from lowpix.data.check import require_sound
from lowpix.errors import InputError

SAMPLED = 15  # images whose size is looked at


@dataclass(frozen=True)
class Splits:
    """Parts of one data set."""

    train: Dataset
    names: tuple[str, ...]
    """Of the training images."""
    pixels: int
    """H×W of all training images together."""
    test: Dataset
    test_names: tuple[str, ...]
    validation: Dataset | None
    validation_pixels: int
    """H×W of its images together; 0 if there are none."""

    def median_size(self, scale: float) -> tuple[int, int]:
        """Height and width of the median training image, of a few, resized by `scale`; at least 16."""
        sizes = [self.train.image(name).shape[:2] for name in self.names[:SAMPLED]]
        height, width = (max(16, round(float(np.median(side)) * scale)) for side in zip(*sizes, strict=True))
        return height, width


def open_splits(
    opener: Callable[[str | None], Dataset],
    split: str | None,
    test_split: str,
    validation_split: str | None,
    limit: int | None = None,
    test_limit: int | None = None,
) -> Splits:
    """Open the splits of a data set by name, and read all of their images and label maps once.

    Limits are numbers of images, spread over the list. Raises InputError for faults in any of them, and where
    their classes differ.
    """
    train, test = opener(split), _named("--test-split", test_split, opener)
    validation = None if validation_split is None else _named("--validation-split", validation_split, opener)
    if test.split == train.split:
        raise InputError(f"--split {train.split}: is judged on itself: name another --test-split")
    if validation is not None and validation.split in (train.split, test.split):
        raise InputError(f"--validation-split {validation.split}: must be a split of its own, since it chooses")
    for other in (test, validation or test):
        if other.classes != train.classes:
            counts = f"{len(train.classes)} and {len(other.classes)}"
            raise InputError(f"splits {train.split} and {other.split} differ in their classes ({counts} of them)")
    names, test_names = spread(train.images, limit), spread(test.images, test_limit)
    pixels, _ = _sound_pixels(train, names), _sound_pixels(test, test_names)
    validation_pixels = _sound_pixels(validation, validation.images) if validation is not None else 0
    return Splits(train, names, pixels, test, test_names, validation, validation_pixels)


def _named(option: str, split: str, opener: Callable[[str | None], Dataset]) -> Dataset:
    """Open a split; a fault names the option that asked for it."""
    try:
        return opener(split)
    except InputError as fault:
        raise InputError(str(fault).replace("--split", option, 1)) from None


def _sound_pixels(dataset: Dataset, names: Sequence[str]) -> int:
    """H×W of these images together; InputError for faults in any of them."""
    report = require_sound(dataset, names)
    return int(report.pixels.sum()) + report.void
