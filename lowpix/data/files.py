"""Read image files as upright RGB and label files as class ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lowpix.data.dataset import IGNORE, MOST_CLASSES, Dataset
from lowpix.errors import InputError

Colour = tuple[int, int, int]
UNKNOWN = -1
"""In a table of ids: an id that no label file may hold."""
DARKEST_AND_LIGHTEST = (0.1, 99.9)
"""Percentiles of a grey image of more than 8 bits that become 0 and 255."""


@dataclass(frozen=True, eq=False)
class Coding:
    """What the values in label files mean."""

    table: NDArray[np.int16]
    """(256,) from stored to internal ids: a class id, IGNORE for void, or UNKNOWN."""
    colours: Mapping[Colour, int] = field(default_factory=dict)
    """Class ids, or IGNORE, by colour; empty if label files hold ids alone."""

    @classmethod
    def of(cls, ids: Mapping[int, int], colours: Mapping[Colour, int] | None = None) -> "Coding":
        """From the internal id of each stored id; all others are UNKNOWN."""
        table = np.full(256, UNKNOWN, np.int16)
        table[list(ids)] = list(ids.values())
        return cls(table, colours or {})

    @classmethod
    def plain(cls, classes: int, void: int | None = None) -> "Coding":
        """Stored ids are class ids, and perhaps `void`, which is stronger than a class of the same id."""
        return cls.of({label: label for label in range(classes)} | ({} if void is None else {void: IGNORE}))

    def rule(self) -> str:
        """The ids that a label file may hold, in words."""
        labels, void = ((self.table >= 0) & (self.table != IGNORE), self.table == IGNORE)
        classes = len(set(self.table[labels].tolist()))
        words = f"with {classes} classes labels are {_ranges(np.flatnonzero(labels).tolist())}"
        return words + (f", or {_ranges(np.flatnonzero(void).tolist())} for void" if void.any() else "")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read any image that pillow supports as (H, W, 3) uint8.

    The image is turned upright as its EXIF tag says. Grey becomes three equal channels. Transparent pixels are
    laid on white. Grey of more than 8 bits is stretched so that the image's darkest and lightest thousandth become
    0 and 255: one hot pixel of a camera does not darken all others. Raises InputError if the file is missing,
    truncated or no image.
    """
    image = open_picture(path, upright=True)
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return _stretch(np.asarray(image).astype(np.float64))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB")).copy()


def read_labels(path: Path, coding: Coding) -> NDArray[np.uint8]:
    """Read a label map as (H, W) uint8 of class ids, void as `IGNORE`.

    Grey and indexed files hold ids. RGB files hold colours. An indexed file is read by colour, too, if it uses
    only the colours of the coding. In a file of one bit a pixel, 1 also stands for 255. Raises InputError with
    the file, the first wrong (row, column), the value and the rule.
    """
    image, label_of = open_picture(path), coding.colours
    in_rgb = image.mode in ("RGB", "RGBA")
    if label_of and (in_rgb or (image.mode == "P" and _used_colours(image) <= label_of.keys())):
        return _labels_of_colours(np.asarray(image.convert("RGB")), label_of, path)
    ids = np.asarray(image)
    if ids.ndim != 2:
        raise InputError(
            f"{path}: {image.mode} label map: expected one class id per pixel, as in an 8-bit grey or "
            'indexed PNG, or "colors" in classes.json'
        )
    if ids.dtype == bool:
        ids = ids.astype(np.uint8) * (255 if coding.table[1] == UNKNOWN else 1)
    small = np.clip(ids, 0, 255).astype(np.uint8, copy=False)
    wrong = (coding.table == UNKNOWN)[small] | (small != ids)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(f"{path}: label {ids[row, column]} at ({row}, {column}) (row, column): {coding.rule()}")
    labels: NDArray[np.uint8] = coding.table.astype(np.uint8)[small]
    return labels


def _ranges(values: Iterable[int]) -> str:
    """Rising numbers as text, such as `0 to 3, 7`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], value]
        else:
            runs.append([value])
    return ", ".join(" to ".join(map(str, run)) for run in runs) or "none"


def open_picture(path: Path, upright: bool = False) -> Image.Image:
    """A picture, fully decoded. Raises InputError if the file is missing, truncated or no image."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with Image.open(path) as unread:  # checks the checksums in a PNG, which decoding does not check
            unread.verify()
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image) if upright else image
    except Exception as error:  # pillow raises exceptions of many kinds for broken files
        raise InputError(f"{path}: cannot be read as an image: {' '.join(str(error).split())}") from error


def pages_of(path: Path) -> int:
    """Number of pages of a TIFF or frames of a GIF, from its header; 1 for all else."""
    if path.suffix.lower() not in (".tif", ".tiff", ".gif"):
        return 1
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1)
    except Exception:  # a broken file is reported when it is read
        return 1


def _stretch(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, DARKEST_AND_LIGHTEST) if finite.size else (0.0, 0.0)
    if low == high and finite.size:  # all but a few pixels are equal
        low, high = finite.min(), finite.max()
    clipped = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    grey = (clipped - low) * (255 / ((high - low) or 1.0))
    return np.repeat(np.round(grey).astype(np.uint8)[:, :, None], 3, axis=2)


def _used_colours(image: Image.Image) -> set[Colour]:
    palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(np.asarray(image))
    return {_colour(palette[index]) if index < len(palette) else (0, 0, 0) for index in used}


def _colour(values: NDArray[np.uint8]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _labels_of_colours(rgb: NDArray[np.uint8], label_of: Mapping[Colour, int], path: Path) -> NDArray[np.uint8]:
    codes = rgb.astype(np.int64) @ [65536, 256, 1]
    known = np.array([red * 65536 + green * 256 + blue for red, green, blue in label_of])
    order = known.argsort()
    place = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
    wrong = known[order][place] != codes
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}: colour {_colour(rgb[row, column])} at ({row}, {column}) (row, column): "
            f"not among the {len(label_of)} colours in classes.json"
        )
    return np.array(list(label_of.values()), dtype=np.uint8)[order][place]


class Files(Dataset):
    """A data set of image files and label files. Each call reads its file."""

    def __init__(
        self,
        name: str,
        split: str,
        classes: Sequence[str],
        palette: NDArray[np.uint8],
        pairs: Mapping[str, tuple[Path, Path | None]],
        coding: Coding,
        *,
        settings: Mapping[str, object] | None = None,
        title: str | None = None,
        folders: Sequence[Path] = (),
        faults: Sequence[str] = (),
        warnings: Sequence[str] = (),
    ) -> None:
        """`pairs`: image file and label file by image name, in order. `coding`: as in `read_labels`.

        `settings` are options beside name and split that determine the data set.
        `folders` are searched for files, in addition to the folders of these.
        """
        if len(classes) > MOST_CLASSES:
            raise InputError(f"{name}: {len(classes)} classes: at most {MOST_CLASSES}, because labels are 8-bit")
        self.name, self.split, self.classes, self.palette = name, split, tuple(classes), palette
        self.images = tuple(pairs)
        self._title, self._folders, self._settings = title or name, tuple(folders), dict(settings or {})
        self._pairs, self._faults, self._warnings = dict(pairs), tuple(faults), tuple(warnings)
        self._coding = coding

    def image(self, name: str) -> NDArray[np.uint8]:
        return read_image(self._pair(name)[0])

    def labels(self, name: str) -> NDArray[np.uint8] | None:
        path = self._pair(name)[1]
        return None if path is None else read_labels(path, self._coding)

    def note(self, name: str) -> str | None:
        path = self._pair(name)[0]
        pages = pages_of(path)
        return f"{path}: holds {pages} pages, and only the first is used" if pages > 1 else None

    def image_file(self, name: str) -> Path | None:
        return self._pair(name)[0]

    def label_file(self, name: str) -> Path | None:
        return self._pair(name)[1]

    @property
    def settings(self) -> dict[str, object]:
        return super().settings | self._settings

    @property
    def title(self) -> str:
        return self._title

    @property
    def folders(self) -> tuple[Path, ...]:
        files = (file for pair in self._pairs.values() for file in pair if file is not None)
        return tuple(dict.fromkeys([*self._folders, *(file.parent for file in files)]))

    @property
    def void_class(self) -> str | None:
        table = self._coding.table.tolist()
        held = {*table, *self._coding.colours.values()}
        void = (label for label in range(len(self.classes)) if table[label] == IGNORE and label not in held)
        return next((self.classes[label] for label in void), None)

    def faults(self) -> tuple[str, ...]:
        return self._faults

    def warnings(self) -> tuple[str, ...]:
        return self._warnings

    def _pair(self, name: str) -> tuple[Path, Path | None]:
        try:
            return self._pairs[name]
        except KeyError:
            raise InputError(
                f"--images {name}: no such image in {self.name}, split {self.split}; "
                f"its {len(self.images)} names begin with {', '.join(self.images[:3])}"
            ) from None
