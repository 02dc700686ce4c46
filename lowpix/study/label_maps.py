"""Label maps and confidences as PNG files: small, exact and coloured in any image viewer."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowpix.data import IGNORE
from lowpix.errors import InputError
from lowpix.storage import write_bytes

VOID_COLOUR = (255, 255, 255)  # white: black is a class of its own in many customary palettes


def write_label_map(path: Path, labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write `label_map_png` to a file. Raises InputError on a label that is neither a class nor IGNORE."""
    try:
        write_bytes(path, label_map_png(labels, palette))
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from None


def label_map_png(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """`labels`, (H, W) uint8 of class ids and IGNORE, as an indexed 8-bit PNG; void is shown in white.

    `palette` is (C, 3) uint8 RGB. Raises InputError on a label that is neither a class nor IGNORE.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"a label map is (H, W) uint8, not {labels.shape} {labels.dtype}")
    classes = len(palette)
    faulty = np.argwhere((labels >= classes) & (labels != IGNORE))
    if len(faulty):
        row, column = (int(i) for i in faulty[0])
        raise InputError(f"label {labels[row, column]} with {classes} classes at ({row}, {column})")
    colours = np.zeros((256, 3), np.uint8)  # all 256, lest pillow packs several pixels into a byte
    colours[:classes] = palette
    colours[IGNORE] = VOID_COLOUR
    picture = Image.fromarray(labels)
    picture.putpalette(colours.tobytes())
    return _png(picture)


def read_label_map(path: Path) -> NDArray[np.uint8]:
    """Read the ids of a label map that `write_label_map` wrote, (H, W) uint8.

    Raises InputError if the file is missing, unreadable or no 8-bit map of ids.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L"):
                raise InputError(f"{path}: a label map holds ids of one byte, not {picture.mode} colours")
            return np.array(picture, dtype=np.uint8)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as fault:  # pillow: missing, truncated or no PNG
        raise InputError(f"{path}: cannot be read as a label map ({fault})") from None


def confidence_png(confidence: NDArray[np.float32]) -> bytes:
    """`confidence`, (H, W) float in 0..1, as a grey 8-bit PNG in steps of 1/255 (white = sure).

    Raises InputError on a value that is not in 0..1.
    """
    if confidence.ndim != 2 or not np.all((confidence >= 0) & (confidence <= 1)):  # also false for nan
        raise InputError(f"a confidence is (H, W) of values in 0..1, not {_range_of(confidence)}")
    return _png(Image.fromarray(np.rint(confidence * 255).astype(np.uint8)))


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()


def _range_of(values: NDArray[np.float32]) -> str:
    return f"{values.shape} with {values.min()}..{values.max()}" if values.size else str(values.shape)
