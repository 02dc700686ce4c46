"""The user's own folder: images with label maps, or just photographs.

    <root>/<split>/images/NAME.*      any format that pillow reads; sub-folders too (<root>/images without splits)
    <root>/<split>/labels/NAME.png    ids, or colours; or another place and format, as classes.json says
    <root>/classes.json               see lowpix/data/declared.py

A folder without `images/` holds photographs directly. It has label maps only if classes.json says where. An image
without a label map is one of those that nobody has labelled yet. Without classes.json, `--classes sky,road` names
the classes.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowpix.data.dataset import data_roots, default_palette
from lowpix.data.declared import Declared, read_classes
from lowpix.data.files import Files
from lowpix.errors import InputError, is_plain, printable

# Formats that pillow registers but that hold no photographs: drawings, documents, stubs without a decoder.
NOT_PHOTOGRAPHS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
UNREAD = (
    ".heic",
    ".heif",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".raf",
    ".orf",
    ".rw2",
    ".pef",
    ".jxl",
    ".avif",
)
"""Suffixes of photographs that pillow may not read. They are named; other files are no photographs."""
LABELS = "labels/{name}"
NO_SPLITS = "no splits: put images/ and labels/ into folders such as train/ and test/"
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Suffixes of label maps whose place has none; the first one that exists is taken."""


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
    places = [folder / "classes.json", folder.parent / "classes.json"]
    classes_file = next((path for path in places if path.is_file()), None)
    if classes_file is not None and classes is not None:
        raise InputError(f"--classes {classes}: must be left out, because {classes_file} names the classes")
    declared = read_classes(classes_file) if classes_file else Declared.plain(class_names(classes or ""))

    images, paired = folder / "images", (folder / "images").is_dir()
    label_files = find_labels(folder, declared.labels or LABELS) if paired or declared.labels else {}
    if classes_file is None and classes is None and label_files:
        raise InputError(
            f"{root / 'classes.json'}: no such file: it must name the classes of the label maps "
            f"(python -m lowpix.doctor {root} proposes one)"
        )
    files, skipped = _image_files(images if paired else folder, paired, label_files.values())
    pairs = {name: (path, _label_file(name, label_files)) for name, path in files.items()}
    used = {labels for _, labels in pairs.values()}
    own = [images, folder / "labels", *root.glob("*/images"), *root.glob("*/labels")] if paired else [folder]
    return Files(
        "folder",
        split,
        declared.classes,
        _palette(declared, label_files),
        pairs,
        declared.coding,
        settings={} if classes is None else {"classes": ",".join(declared.classes)},
        title=root.resolve().name,
        folders=own,
        faults=[f"{path}: no image of that name" for path in label_files.values() if path not in used],
        warnings=[f"{images if paired else folder}: {warning}" for warning in skipped],
    )


def find_labels(folder: Path, place: str) -> dict[str, Path]:
    """The label files in a folder, by image name, which stands for `{name}` in a place such as `masks/{name}.png`.

    A place without a suffix takes any of LABEL_SUFFIXES. Capital letters of a suffix do not matter.
    """
    pattern = PurePosixPath(place)
    base, (before, after) = folder / pattern.parent, pattern.name.split("{name}")
    suffix = PurePosixPath(f"x{after}").suffix.lower()
    after = after[: len(after) - len(suffix)]
    there = sorted(visible(base, base != folder))
    found: dict[str, Path] = {}
    for wanted in (suffix,) if suffix else LABEL_SUFFIXES:
        for path in there:
            if path.suffix.lower() == wanted and path.stem.startswith(before) and path.stem.endswith(after):
                name = path.stem[len(before) : len(path.stem) - len(after)]
                if name:
                    found.setdefault(path.relative_to(base).with_name(name).as_posix(), path)
    return found


def visible(folder: Path, deep: bool) -> Iterator[Path]:
    """What is in a folder; with `deep`, also in its sub-folders. Hidden files and folders are left out."""
    for path in folder.rglob("*") if deep else folder.glob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _label_file(name: str, label_files: dict[str, Path]) -> Path | None:
    """The label file of an image; macOS writes `é` as two letters, and other systems as one."""
    forms = (name, normalize("NFC", name), normalize("NFD", name))
    return next((label_files[form] for form in forms if form in label_files), None)


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


def splits_of(data_root: Path | None = None) -> list[str]:
    """The splits of the folder that `open_folder` opens; none for a folder without splits."""
    root = next((root for root in data_roots(data_root) if root.is_dir()), None)
    found = [] if root is None or (root / "images").is_dir() else root.glob("*/images")
    return sorted(path.parent.name for path in found if path.is_dir())


def _split_folder(root: Path, split: str | None) -> tuple[Path, str]:
    splits = sorted(path.parent.name for path in root.glob("*/images") if path.is_dir())
    wanted = split or "train"
    if wanted in splits:
        return root / wanted, wanted
    if split in (None, "all") and ((root / "images").is_dir() or not splits):
        return root, "all"
    raise InputError(f"--split {wanted}: {root} has {', '.join(splits) or NO_SPLITS}")


def photograph_suffixes() -> set[str]:
    """The suffixes of the photographs that pillow reads, in small letters."""
    formats = Image.registered_extensions()
    return {suffix for suffix, kind in formats.items() if kind in Image.OPEN and kind not in NOT_PHOTOGRAPHS}


def _image_files(folder: Path, deep: bool, label_files: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """The photographs in a folder by name, and what was skipped, in words."""
    readable, labels = photograph_suffixes(), set(label_files)
    files: dict[str, Path] = {}
    unread, links = [], []
    for path in sorted(visible(folder, deep)):
        if path in labels:
            continue
        if path.is_symlink() and path.is_dir():
            links.append(path)
        elif path.suffix.lower() not in readable and path.suffix.lower() in UNREAD:
            unread.append(path)
        if path.suffix.lower() not in readable or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if not is_plain(name):
            raise InputError(f"{path}: an image's name must be UTF-8 without control characters")
        if name in files:
            raise InputError(f"{path}: {files[name].name} is there too: names without suffix must differ")
        files[name] = path
    skipped = [
        f"{what}: {_some(path.relative_to(folder) for path in paths)} ({len(paths)})"
        for paths, what in (
            (unread, "left out, because pillow cannot read the format (convert to JPEG)"),
            (links if deep else [], "linked folders are not followed"),
        )
        if paths
    ]
    if not files:
        raise InputError("; ".join([f"{folder}: holds no image (png, jpg, tif, …)", *skipped]))
    return files, skipped


def _some(paths: Iterable[Path]) -> str:
    names = [printable(str(path)) for path in paths]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


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
