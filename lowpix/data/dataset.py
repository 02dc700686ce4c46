"""What a data set is, how a part of it is chosen, and where its files are looked for."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowpix.errors import InputError

IGNORE = 255
"""The label of void inside the program, whatever the files use: a pixel without a class."""

MOST_CLASSES = IGNORE - 1
"""Labels are uint8, 255 is void and 254 the answer "unsure", so a data set has at most 254 classes."""


class Dataset(ABC):
    """Images and label maps by name. Nothing is read before it is asked for, and nothing is kept.

    Attributes:
        name: name of the data set, as in `DATASETS`.
        split: part of the data set, such as `train`.
        classes: names of the C classes, by id; empty where a folder of photographs declares none.
        palette: (C, 3) uint8, a colour per class.
        images: names of the images, in the order of the data set.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    images: tuple[str, ...]

    @abstractmethod
    def image(self, name: str) -> NDArray[np.uint8]:
        """The image as (H, W, 3) uint8, upright. Raises InputError where it cannot be read."""

    @abstractmethod
    def labels(self, name: str) -> NDArray[np.uint8] | None:
        """The label map as (H, W) uint8, `IGNORE` for void; None where the image has none.

        Raises InputError where it cannot be read, or holds a value that is no class.
        """

    def image_file(self, name: str) -> Path | None:
        """File of the image, to name it in a message; None for a generated one."""
        return None

    def label_file(self, name: str) -> Path | None:
        """File of the label map, to name it in a message; None where there is none."""
        return None

    def faults(self) -> tuple[str, ...]:
        """What is wrong with the data set apart from any one image, a line each."""
        return ()


def spread(names: Sequence[str], limit: int | None) -> tuple[str, ...]:
    """The first `limit` names in bit-reversed order of their indices; all of them, in that order, for None.

    Any limit is spread evenly over the list, and of one list a smaller limit is the beginning of a larger one,
    so that a study of a few images can be extended. Raises InputError for a limit under 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: must be at least 1")
    bits = max(len(names) - 1, 0).bit_length()
    reversed_bits = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(1 << bits)) if bits else iter((0,))
    order = [index for index in reversed_bits if index < len(names)]
    return tuple(names[index] for index in order[:limit])


@cache
def _distinct_colours() -> NDArray[np.uint8]:
    # Farthest-point order over a lattice of colours that are neither nearly black nor nearly white (void and
    # marks use those): each colour is as unlike all before it as can be, by the "redmean" distance, which
    # weighs the channels roughly as the eye does.
    levels = np.linspace(20, 250, 9)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    luma = colours @ [0.299, 0.587, 0.114]
    colours = colours[(luma > 45) & (luma < 215)]

    def distance(colour: NDArray[np.float64]) -> NDArray[np.float64]:
        red = (colours[:, 0] + colour[0]) / 2 / 256
        weights = np.stack([2 + red, np.full_like(red, 4), 3 - red], axis=1)
        squares: NDArray[np.float64] = (weights * (colours - colour) ** 2).sum(1)
        return np.sqrt(squares)

    chosen = [np.array([48.75, 106.25, 192.5])]
    nearest = distance(chosen[0])
    while len(chosen) < MOST_CLASSES:
        chosen.append(colours[nearest.argmax()])
        nearest = np.minimum(nearest, distance(chosen[-1]))
    return np.round(chosen).astype(np.uint8)


def default_palette(classes: int) -> NDArray[np.uint8]:
    """Distinct colours for up to 254 classes, (classes, 3) uint8; a longer palette begins with a shorter."""
    return _distinct_colours()[:classes].copy()


def cache_folder() -> Path:
    """The user's cache folder, in which data sets are fetched."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lowpix"


def data_roots(data_root: Path | None) -> list[Path]:
    """Folders of the user's to look in: `data_root` alone if given, else LOWPIX_DATA, then ./data."""
    if data_root is not None:
        return [Path(data_root)]
    from_environment = os.environ.get("LOWPIX_DATA")
    return [*([Path(from_environment)] if from_environment else []), Path("data")]


def find_root(name: str, marker: str, data_root: Path | None) -> Path | None:
    """The folder of data set `name`, known by the file `marker`; None where no root holds it.

    A root may be the folder itself or its parent: `<root>/<marker>` or `<root>/<name>/<marker>`. Without a
    `data_root` the user's cache is the last root.
    """
    for root in [*data_roots(data_root), *([] if data_root else [cache_folder()])]:
        for folder in (root, root / name):
            if (folder / marker).is_file():
                return folder
    return None
