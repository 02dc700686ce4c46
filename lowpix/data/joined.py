"""Several splits of a data set as one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowpix.data.dataset import Dataset
from lowpix.errors import InputError


class Joined(Dataset):
    """The images of several splits, one split after another. Their names begin with the split: `train/NAME`.

    Raises InputError if the splits differ in their classes.
    """

    def __init__(self, split: str, parts: Sequence[Dataset]) -> None:
        first = parts[0]
        for part in parts:
            if part.classes != first.classes:
                counts = f"{len(first.classes)} and {len(part.classes)}"
                raise InputError(f"splits {first.split} and {part.split} differ in their classes ({counts})")
        self.name, self.split = first.name, split
        self.classes, self.palette = first.classes, first.palette
        self._parts = {part.split: part for part in parts}
        self._places = {f"{part.split}/{name}": (part, name) for part in parts for name in part.images}
        self.images = tuple(self._places)

    @property
    def parts(self) -> frozenset[str]:
        return frozenset(self._parts)

    def image(self, name: str) -> NDArray[np.uint8]:
        part, own = self._place(name)
        return part.image(own)

    def labels(self, name: str) -> NDArray[np.uint8] | None:
        part, own = self._place(name)
        return part.labels(own)

    def note(self, name: str) -> str | None:
        part, own = self._place(name)
        return part.note(own)

    def image_file(self, name: str) -> Path | None:
        part, own = self._place(name)
        return part.image_file(own)

    def label_file(self, name: str) -> Path | None:
        part, own = self._place(name)
        return part.label_file(own)

    @property
    def settings(self) -> dict[str, object]:
        return self._first.settings | {"split": self.split}

    @property
    def title(self) -> str:
        return self._first.title

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(folder for part in self._parts.values() for folder in part.folders))

    @property
    def void_class(self) -> str | None:
        return self._first.void_class

    def faults(self) -> tuple[str, ...]:
        return tuple(fault for part in self._parts.values() for fault in part.faults())

    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(warning for part in self._parts.values() for warning in part.warnings()))

    @property
    def _first(self) -> Dataset:
        return next(iter(self._parts.values()))

    def _place(self, name: str) -> tuple[Dataset, str]:
        try:
            return self._places[name]
        except KeyError:
            known = f"its names begin with {', '.join(self.images[:3])}"
            raise InputError(f"--images {name}: no such image in {self.split}; {known}") from None
