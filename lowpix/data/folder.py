"""The user's own folder: images with label maps, or just photographs.

    <root>/<split>/images/NAME.*      any format that pillow reads; sub-folders too (<root>/images without splits)
    <root>/<split>/labels/NAME.png    ids, or colours
    <root>/classes.json               {"classes": ["sky", "road"], "ignore_index": null or the id of void}

Label maps in colours need `"colors": [[r, g, b], …]` in classes.json, one per class. If void has a colour, they
also need `"ignore_color"`. A folder without `images/` holds photographs directly and has no label maps. Without
classes.json, `--classes sky,road` names the classes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowpix.data.dataset import data_roots, default_palette
from lowpix.data.files import Colour, Files
from lowpix.errors import InputError, is_plain
from lowpix.options import shown

# Formats that pillow registers but that hold no photographs: drawings, documents, stubs without a decoder.
NOT_PHOTOGRAPHS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}


@dataclass(frozen=True)
class Declared:
    """What classes.json declares."""

    classes: tuple[str, ...] = ()
    ignore_index: int | None = None
    colours: tuple[Colour, ...] | None = None
    ignore_colour: Colour | None = None


def open_folder(data_root: Path | None = None, split: str | None = None, classes: str | None = None) -> Files:
    """Open the folder `data_root`, or else the first of LOWPIX_DATA and ./data that exists.

    A folder without splits has the split `all`. `classes` names the classes, separated by commas, if there is no
    classes.json. Raises InputError if the folder or the split is missing or holds no image, or if the classes
    break a rule. Label maps are checked only when they are read.
    """
    root = next((root for root in data_roots(data_root) if root.is_dir()), None)
    if root is None:
        raise InputError(f"--data-root {data_root or '(not given)'}: must be an existing folder of images")
    folder, split = _split_folder(root, split)
    images, labels = folder / "images", folder / "labels"
    paired = images.is_dir()
    files = _image_files(images if paired else folder, deep=paired)
    label_files = {_name(path, labels): path for path in sorted(labels.rglob("*.png"))} if paired else {}

    places = [folder / "classes.json", folder.parent / "classes.json"]
    classes_file = next((path for path in places if path.is_file()), None)
    if classes_file is None and label_files and classes is None:
        raise InputError(f"{root / 'classes.json'}: no such file: it must name the classes of the label maps")
    if classes_file is not None and classes is not None:
        raise InputError(f"--classes {classes}: must be left out, because {classes_file} names the classes")
    declared = _read_classes(classes_file) if classes_file else Declared(class_names(classes or ""))
    return Files(
        "folder",
        split,
        declared.classes,
        _palette(declared, label_files),
        {name: (path, label_files.get(name)) for name, path in files.items()},
        ignore_index=declared.ignore_index,
        colours=declared.colours,
        ignore_colour=declared.ignore_colour,
        settings={} if classes is None else {"classes": ",".join(declared.classes)},
        title=root.resolve().name,
        folders=[images, labels, *root.glob("*/images"), *root.glob("*/labels")] if paired else [folder],
        faults=[f"{path}: no image of that name" for name, path in label_files.items() if name not in files],
    )


def class_names(text: str) -> tuple[str, ...]:
    """The names in a text such as `sky,road:r,car`; the key that may follow a name is for `lowpix.annotate`.

    Raises InputError for an empty name, a name that is given twice and control characters.
    """
    names = tuple(name for name, _ in classes_and_keys(text))
    for name in names:
        if not name or not is_plain(name):
            raise InputError(f"--classes {text}: must be names with commas between them, such as sky,road,car")
        if names.count(name) > 1:
            raise InputError(f"--classes {text}: holds {name} twice: names must differ")
    return names


def classes_and_keys(text: str) -> list[tuple[str, str]]:
    """Pairs of name and key from a text such as `sky,road:r,car`; the key is empty where none is given."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    return [(part[:-2].strip(), part[-1]) if part[-2:-1] == ":" else (part, "") for part in parts]


def _split_folder(root: Path, split: str | None) -> tuple[Path, str]:
    splits = sorted(path.parent.name for path in root.glob("*/images") if path.is_dir())
    wanted = split or "train"
    if wanted in splits:
        return root / wanted, wanted
    if split in (None, "all") and ((root / "images").is_dir() or not splits):
        return root, "all"
    raise InputError(f"--split {wanted}: {root} has {', '.join(splits) or 'no splits'}")


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _image_files(folder: Path, deep: bool) -> dict[str, Path]:
    readable = {
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if kind in Image.OPEN and kind not in NOT_PHOTOGRAPHS
    }
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in readable or not path.is_file():
            continue
        name = _name(path, folder)
        if not is_plain(name):
            raise InputError(f"{path}: an image's name must be UTF-8 without control characters")
        if name in files:
            raise InputError(f"{path}: {files[name].name} is there too: names without suffix must differ")
        files[name] = path
    if not files:
        raise InputError(f"{folder}: holds no image (png, jpg, tif, …)")
    return files


def _read_classes(path: Path) -> Declared:
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: is no valid JSON: {error}") from error
    if not isinstance(declared, dict):
        raise InputError(f'{path}: must be an object such as {{"classes": ["sky", "road"]}}')

    classes = declared.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
        raise InputError(f'{path}: "classes" is {shown(classes)}: must be a list of names')
    if odd := [name for name in classes if not is_plain(name)]:
        raise InputError(f'{path}: "classes" holds {odd[0]!r}: names must be without control characters')
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise InputError(f'{path}: "classes" holds {twice!r} twice: names must differ')

    void = declared.get("ignore_index")
    if void is not None and (not isinstance(void, int) or isinstance(void, bool) or not 0 <= void <= 255):
        raise InputError(f'{path}: "ignore_index" is {shown(void)}: must be null or an id from 0 to 255')

    colours, ignore_colour = declared.get("colors"), declared.get("ignore_color")
    if colours is not None:
        if not isinstance(colours, list) or len(colours) != len(classes):
            raise InputError(f'{path}: "colors" must be a list of {len(classes)} colours, one for each class')
        colours = tuple(_colour(colour, path) for colour in colours)
    if ignore_colour is not None:
        ignore_colour = _colour(ignore_colour, path)
    all_colours = [*(colours or ()), *([ignore_colour] if ignore_colour else [])]
    if len(set(all_colours)) < len(all_colours):
        twice = next(colour for colour in all_colours if all_colours.count(colour) > 1)
        raise InputError(f"{path}: colour {list(twice)} is given twice: colours must differ")
    return Declared(tuple(classes), void, colours, ignore_colour)


def _colour(colour: Any, path: Path) -> Colour:
    match colour:
        case [int(red), int(green), int(blue)] if all(0 <= channel <= 255 for channel in colour):
            return red, green, blue
    raise InputError(f"{path}: colour {shown(colour)}: must be [red, green, blue], each 0 to 255")


def _palette(declared: Declared, label_files: dict[str, Path]) -> NDArray[np.uint8]:
    classes = len(declared.classes)
    if declared.colours:
        return np.array(declared.colours, np.uint8)
    for path in [path for path in label_files.values() if path.is_file()][:1]:  # opening a pipe would wait
        try:
            with Image.open(path) as image:  # reads only the header
                stored = image.getpalette("RGB") if image.mode == "P" else None
        except Exception:  # a broken file is reported when its labels are read
            stored = None
        if stored is not None and len(stored) >= 3 * classes:
            return np.array(stored[: 3 * classes], np.uint8).reshape(classes, 3)
    return default_palette(classes)
