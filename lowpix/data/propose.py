"""Look at a folder of photographs and masks as people have them, and propose a classes.json for it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowpix.data.dataset import spread
from lowpix.data.files import Colour, open_picture
from lowpix.data.folder import LABEL_SUFFIXES, find_labels, photograph_suffixes, visible
from lowpix.errors import InputError

LOOKED_AT = 30  # photographs that places are derived from, and label maps that are read
MOST_IN_ONE = 64  # a file with more values or colours is no label map, whatever its name


@dataclass(frozen=True)
class Proposal:
    """A classes.json for a folder."""

    file: Path
    """Where it belongs."""
    declared: dict[str, Any]
    """Its content."""
    found: tuple[str, ...]
    """What it was derived from, one line each."""

    def text(self) -> str:
        """Its content as JSON, a key a line."""
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.declared.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def propose(root: Path) -> Proposal:
    """Propose a classes.json for a folder without one.

    Names of classes are made up from their values: nobody but the user knows them.

    Raises InputError, with all places that were looked at, if there are no photographs or no label maps.
    """
    if not root.is_dir():
        raise InputError(f"{root}: is no folder")
    splits = sorted(path.parent for path in root.glob("*/images") if path.is_dir())
    folder, photographs, place, label_files = _labelled(splits or [root])
    images = folder / "images" if (folder / "images").is_dir() else folder
    found = [f"{len(photographs)} photographs in {images}", f"{len(label_files)} label maps in {folder / place}"]
    for other in [split for split in splits if split != folder]:
        label_files += find_labels(other, place).values()
    by_name = {str(path): path for path in label_files}
    values, colours = _held([by_name[name] for name in spread(list(by_name), LOOKED_AT)])
    declared = _of_colours(colours) if colours else _of_values(values)
    what = [f"{value} ({share:.1%})" for value, share in _shares(colours or values)]
    found.append(f"{'colours' if colours else 'values'} in them: {', '.join(what)}")
    if place not in ("labels/{name}", "labels/{name}.png"):
        declared["labels"] = place
    return Proposal(root / "classes.json", declared, tuple(found))


def _labelled(folders: Sequence[Path]) -> tuple[Path, list[Path], str, list[Path]]:
    """The first folder with label maps, its photographs, the place of the label maps, and their files.

    Raises InputError of the first folder if none has any.
    """
    faults = []
    for folder in folders:
        images = folder / "images" if (folder / "images").is_dir() else folder
        pictures = _pictures(images, images != folder)
        stems = {path.stem for path in pictures}
        # x_mask.png beside x.jpg is a mask
        photographs = [path for path in pictures if stems.isdisjoint(_beginnings(path.stem))]
        try:
            if not photographs:
                raise InputError(f"{images}: holds no photograph{_elsewhere(folder)}")
            return folder, photographs, *_place(folder, images, photographs)
        except InputError as fault:
            faults.append(fault)
    raise faults[0]


def _pictures(folder: Path, deep: bool) -> list[Path]:
    """The pictures in a folder; with `deep`, also in its sub-folders."""
    suffixes = photograph_suffixes()
    return sorted(path for path in visible(folder, deep) if path.suffix.lower() in suffixes and path.is_file())


def _elsewhere(folder: Path) -> str:
    """Which sub-folders hold pictures, and what to do about it."""
    counts = {path.name: len(_pictures(path, True)) for path in sorted(folder.iterdir()) if path.is_dir()}
    held = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
    return f", but there are pictures in {held}: name the folder of photographs images" if held else ""


def _beginnings(stem: str) -> list[str]:
    """What stands before each `_`, `-` and `.` of a name."""
    return [stem[:end] for end, letter in enumerate(stem) if letter in "_-." and end]


def _place(folder: Path, images: Path, photographs: Sequence[Path]) -> tuple[str, list[Path]]:
    """Where the label maps are, with `{name}` in it, and the files: the place that fits most photographs."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path != images and path.name[0] != ".")
    names = sorted((path.stem for path in photographs), key=len, reverse=True)
    fits: Counter[tuple[Path, str, str, str]] = Counter()
    for there in [*folders, images]:
        files = [path for path in _pictures(there, there != folder) if path.suffix.lower() in LABEL_SUFFIXES]
        for path in [path for path in files if path not in set(photographs)][: 4 * LOOKED_AT]:
            name = next((name for name in names if name in path.stem), None)
            if name is not None:
                before, _, after = path.stem.partition(name)
                fits[there, before, after, path.suffix.lower()] += 1
    if not fits:
        looked = ", ".join(path.name for path in [*folders, images])
        raise InputError(
            f"{folder}: no label maps for its {len(photographs)} photographs (looked in {looked} for "
            f"{'/'.join(LABEL_SUFFIXES)} files whose names hold those of photographs): --no-labels checks "
            "photographs alone, and python -m lowpix.annotate labels them"
        )
    there, before, after, suffix = max(fits, key=lambda place: (fits[place], place[0].name == "labels"))
    base = "" if there == folder else f"{there.relative_to(folder).as_posix()}/"
    label_files = [
        path
        for path in _pictures(there, there != folder)
        if path.suffix.lower() == suffix and path.stem.startswith(before) and path.stem.endswith(after)
    ]
    return f"{base}{before}{{name}}{after}{suffix}", [path for path in label_files if path not in set(photographs)]


def _held(label_files: Sequence[Path]) -> tuple[Counter[int], Counter[Colour]]:
    """The values, or the colours, in label files, with their numbers of pixels.

    Raises InputError for a file that looks like a photograph, and for ids beside colours.
    """
    values: Counter[int] = Counter()
    colours: Counter[Colour] = Counter()
    for path in label_files:
        picture = open_picture(path)
        in_colours = picture.mode in ("RGB", "RGBA")
        pixels = np.asarray(picture.convert("RGB") if in_colours else picture)
        if pixels.ndim != (3 if in_colours else 2):
            raise InputError(f"{path}: {picture.mode} pixels: a label map is grey, indexed or RGB")
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        codes = pixels.astype(np.int64) @ [65536, 256, 1] if in_colours else pixels
        held, counts = np.unique(codes, return_counts=True)
        odd = held[~np.isin(held, np.arange(256))]
        if odd.size and not in_colours:
            raise InputError(f"{path}: holds the value {odd[0]}: ids must be whole numbers from 0 to 255")
        if len(held) > MOST_IN_ONE:
            what = "colours" if in_colours else "values"
            raise InputError(f"{path}: holds {len(held)} {what}: it looks like a photograph, not like a label map")
        for value, count in zip(held.tolist(), counts.tolist(), strict=True):
            if in_colours:
                colours[value >> 16, value >> 8 & 255, value & 255] += count
            else:
                values[int(value)] += count
    if values and colours:
        raise InputError(f"{label_files[0].parent}: some label maps hold ids and others colours: convert one kind")
    return values, colours


def _of_values(values: Counter[int]) -> dict[str, Any]:
    held = sorted(values)
    small = [value for value in held if value != 255]
    if 255 in values and len(small) >= 2 and small[-1] < max(2 * len(small), 30):
        return {"classes": [_name(value) for value in range(small[-1] + 1)], "ignore_index": 255}
    if held[-1] < max(2 * len(held), 30) and (len(held) > 2 or held[-1] < 2):
        return {"classes": [_name(value) for value in range(held[-1] + 1)], "ignore_index": None}
    return {"values": {str(value): _name(value) for value in held}}


def _of_colours(colours: Counter[Colour]) -> dict[str, Any]:
    held = sorted(colours)
    names = ["background" if colour == (0, 0, 0) else "class_" + "_".join(map(str, colour)) for colour in held]
    return {"classes": names, "colors": [list(colour) for colour in held]}


def _name(value: int) -> str:
    return "background" if value == 0 else f"class_{value}"


def _shares(counts: Counter[Any]) -> Iterator[tuple[Any, float]]:
    """Each value with its share, in order."""
    for value in sorted(counts):
        yield value, counts[value] / counts.total()
