"""The interface of a data set, the choice of some of its images, and the folders that may hold it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowpix.errors import InputError

IGNORE = 255
"""The label of void (a pixel without a class) inside the program. Files may use another value."""

SAMPLED = 15
"""Number of images that the median size is taken of."""

MOST_CLASSES = IGNORE - 1
"""Labels are uint8. 255 is void and 254 is the answer "unsure", so a data set has at most 254 classes."""


class Dataset(ABC):
    """Images and label maps by name. Each call reads or generates its result anew; nothing is kept in memory.

    Attributes:
        name: name of the data set, as in `DATASETS`.
        split: part of the data set, such as `train`.
        classes: names of the C classes, by id; empty if a folder of photographs declares none.
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
        """The image as (H, W, 3) uint8, upright. Raises InputError if it cannot be read."""

    @abstractmethod
    def labels(self, name: str) -> NDArray[np.uint8] | None:
        """The label map as (H, W) uint8, `IGNORE` for void; None if the image has no label map.

        Raises InputError if it cannot be read or holds a value that is neither a class nor void.
        """

    @property
    def parts(self) -> frozenset[str]:
        """Names of the splits that it holds: its own, or those that are joined in it."""
        return frozenset([self.split])

    @property
    def settings(self) -> dict[str, object]:
        """The options that determine this data set, by name."""
        return {"dataset": self.name, "split": self.split}

    def image_file(self, name: str) -> Path | None:
        """File of the image, for messages; None if the image is generated."""
        return None

    def label_file(self, name: str) -> Path | None:
        """File of the label map, for messages; None if there is none."""
        return None

    @property
    def title(self) -> str:
        """What tells it from other data sets of its kind, for the name of a folder."""
        return self.name

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that hold its files; none for generated images."""
        return ()

    @property
    def void_class(self) -> str | None:
        """The class that shares its id with void, so no pixel can have this class; usually None."""
        return None

    def note(self, name: str) -> str | None:
        """What the user should know of one image, such as pages that are not used; usually None."""
        return None

    def faults(self) -> tuple[str, ...]:
        """Faults of the data set that belong to no single image, one line each."""
        return ()

    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the data set, such as files that were left out, one line each."""
        return ()


def spread(names: Sequence[str], limit: int | None) -> tuple[str, ...]:
    """The first `limit` names in bit-reversed order of their indices. None returns all names, in that order.

    The chosen names are spread evenly over the list. A smaller limit gives the first names of a larger one, so a
    study of a few images can be extended. Raises InputError for a limit under 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: must be at least 1")
    bits = max(len(names) - 1, 0).bit_length()
    reversed_bits = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(1 << bits)) if bits else iter((0,))
    order = [index for index in reversed_bits if index < len(names)]
    return tuple(names[index] for index in order[:limit])


def median_size(dataset: Dataset, names: Sequence[str], scale: float = 1) -> tuple[int, int]:
    """Median height and width of the first SAMPLED of these images, resized by `scale`; each at least 16."""
    sizes = [dataset.image(name).shape[:2] for name in names[:SAMPLED]]
    height, width = (max(16, round(float(np.median(side)) * scale)) for side in zip(*sizes, strict=True))
    return height, width


COLOURS = """
    0080BF FF9F40 602000 9FFFFF 606060 9F9F9F 40009F 9F6020 FFDFBF 9F9FFF
    206080 2020FF DF6060 004040 DFFF00 808080 20DF80 9F809F BFBFDF 600060
"""
"""The first colours of the default palette, in hexadecimal RGB, which stay apart for colour-blind eyes: any two
differ by a CIEDE2000 of at least 9.6, any two of the first 11 by 12.8, in normal, protan and deutan vision
(Machado 2009)."""


@cache
def _distinct_colours() -> NDArray[np.uint8]:
    # After COLOURS, farthest-point order over a lattice of colours: each colour is the farthest from all earlier
    # ones. Nearly black and nearly white are left out, because void and marks use them. The "redmean" distance
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

    chosen = [np.array(list(bytes.fromhex(colour)), np.float64) for colour in COLOURS.split()]
    nearest = np.min([distance(colour) for colour in chosen], axis=0)
    while len(chosen) < MOST_CLASSES:
        chosen.append(colours[nearest.argmax()])
        nearest = np.minimum(nearest, distance(chosen[-1]))
    return np.round(chosen).astype(np.uint8)


def default_palette(classes: int) -> NDArray[np.uint8]:
    """Distinct colours for up to 254 classes, (classes, 3) uint8. A longer palette begins with the shorter one."""
    return _distinct_colours()[:classes].copy()


def cache_folder() -> Path:
    """The user's cache folder, into which data sets are downloaded."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lowpix"


def data_roots(data_root: Path | None) -> list[Path]:
    """The user's folders to search: only `data_root` if given, else LOWPIX_DATA, then ./data."""
    if data_root is not None:
        return [Path(data_root)]
    from_environment = os.environ.get("LOWPIX_DATA")
    return [*([Path(from_environment)] if from_environment else []), Path("data")]


def find_root(name: str, marker: str, data_root: Path | None, places: Sequence[str] = ()) -> Path | None:
    """The folder of data set `name`, recognised by `marker`, a file or folder in it; None if there is none.

    Each root is searched for `<root>/<marker>`, `<root>/<name>/<marker>` and `<root>/<place>/<marker>` for each of
    `places`. Without a `data_root` the user's cache is the last root.
    """
    for root in [*data_roots(data_root), *([] if data_root else [cache_folder()])]:
        for folder in (root, *(root / place for place in (name, *places))):
            if (folder / marker).exists():
                return folder
    return None


def not_here(name: str, data_root: Path | None, holds: str, source: str) -> InputError:
    """The error for a data set that cannot be fetched and is not here: what to get from where, in one line."""
    where = "LOWPIX_DATA and ./data" if data_root is None else f"--data-root {data_root}"
    return InputError(
        f"--dataset {name}: {where}: no folder with {holds}: get {source} yourself, as its licence demands, and "
        "name its folder by --data-root; your own images need none of this: --dataset folder"
    )
