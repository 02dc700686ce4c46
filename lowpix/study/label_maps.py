"""Label maps as indexed PNG files, which image viewers show in colour, and confidence maps as grey PNG files."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowpix.data import IGNORE
from lowpix.errors import InputError
from lowpix.storage import write_bytes

VOID_COLOUR = (255, 255, 255)  # white, because black is the colour of a class in many palettes


def write_label_map(path: Path, labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write `label_map_png` to a file. Raises InputError for a label that is neither a class nor IGNORE."""
    try:
        write_bytes(path, label_map_png(labels, palette))
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from None


def label_map_png(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """`labels`, (H, W) uint8 of class ids and IGNORE, as an indexed 8-bit PNG; void is shown in white.

    `palette` is (C, 3) uint8 RGB. Raises InputError for a label that is neither a class nor IGNORE.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise InputError(f"a label map is (H, W) uint8, not {labels.shape} {labels.dtype}")
    classes = len(palette)
    faulty = np.argwhere((labels >= classes) & (labels != IGNORE))
    if len(faulty):
        row, column = (int(i) for i in faulty[0])
        raise InputError(f"label {labels[row, column]} with {classes} classes at ({row}, {column})")
    colours = np.zeros((256, 3), np.uint8)  # 256 colours: with fewer, pillow may pack several pixels into a byte
    colours[:classes] = palette
    colours[IGNORE] = VOID_COLOUR
    picture = Image.fromarray(labels)
    picture.putpalette(colours.tobytes())
    return _png(picture)


def read_label_map(path: Path) -> NDArray[np.uint8]:
    """Read a label map that `write_label_map` wrote, (H, W) uint8 of class ids and IGNORE.

    Raises InputError if the file cannot be read, or is not an 8-bit map of ids.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path}: cannot be read as a label map ({fault.strerror})") from None
    return parse_label_map(path, content)


def parse_label_map(path: Path, content: bytes) -> NDArray[np.uint8]:
    """As `read_label_map`, from the content of the file."""
    try:
        with Image.open(BytesIO(content)) as picture:
            if picture.mode not in ("P", "L"):
                raise InputError(f"{path}: must hold ids of one byte, not {picture.mode} colours")
            return np.array(picture, dtype=np.uint8)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as fault:  # pillow: truncated, or another format
        raise InputError(f"{path}: cannot be read as a label map ({fault})") from None


def confidence_png(confidence: NDArray[np.float32]) -> bytes:
    """`confidence`, (H, W) float in 0..1, as a grey 8-bit PNG in steps of 1/255 (white = 1).

    Raises InputError for a value that is not in 0..1.
    """
    if confidence.ndim != 2 or not np.all((confidence >= 0) & (confidence <= 1)):  # also refuses nan
        raise InputError(f"a confidence map is (H, W) of values in 0..1, not {_range_of(confidence)}")
    return _png(Image.fromarray(np.rint(confidence * 255).astype(np.uint8)))


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()


def _range_of(values: NDArray[np.float32]) -> str:
    return f"{values.shape} with {values.min()}..{values.max()}" if values.size else str(values.shape)
