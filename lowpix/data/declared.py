"""classes.json: the classes of a folder, and how its label maps store them.

    {"classes": ["sky", "road"],                    names, by class id
     "ignore_index": 255,                           id of void, or null
     "ignore": [254, [0, 0, 0]],                    further ids and colours of void
     "values": {"0": "sky", "128": "road"},         class of each stored id, if stored ids are not class ids
     "colors": [[70, 130, 180], [128, 64, 128]],    for label maps in colours: one a class
     "ignore_color": [0, 0, 0],                     colour of void
     "labels": "masks/{name}_mask.png"}             where label maps are, if not in labels/

Only `classes` or `values` must be there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from lowpix.data.dataset import IGNORE, MOST_CLASSES
from lowpix.data.files import Coding, Colour
from lowpix.errors import InputError, is_plain
from lowpix.options import shown

KEYS = ("classes", "ignore_index", "ignore", "values", "colors", "ignore_color", "labels")


@dataclass(frozen=True)
class Declared:
    """What classes.json declares."""

    classes: tuple[str, ...]
    coding: Coding
    colours: tuple[Colour, ...] = ()
    """The colours of the classes; empty if none are given."""
    labels: str | None = None
    """The place of label maps with `{name}` in it; None for labels/."""

    @classmethod
    def plain(cls, classes: tuple[str, ...] = ()) -> "Declared":
        """Classes without anything else: label maps hold class ids."""
        return cls(classes, Coding.plain(len(classes)))


def read_classes(path: Path) -> Declared:
    """Read classes.json. Raises InputError, with the file, the value and the rule, if it breaks a rule."""
    try:
        declared = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a byte-order mark
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: is no valid JSON: {error}") from error
    try:
        return _declared(declared)
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from None


def _declared(given: Any) -> Declared:
    if not isinstance(given, dict):
        raise InputError('must be an object such as {"classes": ["sky", "road"]}')
    for key in given:
        if key not in KEYS:
            close = [f'; did you mean "{other}"?' for other in get_close_matches(key, KEYS, 1)]
            raise InputError(f"unknown key {shown(key)!r}{''.join(close) or '; known are ' + ', '.join(KEYS)}")
    classes = _names(given)
    void = given.get("ignore_index")
    if void is not None and not _is_id(void):
        raise InputError(f'"ignore_index" is {shown(void)}: must be null or an id from 0 to 255')
    ignored = given.get("ignore", [])
    if not isinstance(ignored, list):
        raise InputError(f'"ignore" is {shown(ignored)}: must be a list of ids and colours')
    ids = _ids(given.get("values"), classes) | dict.fromkeys(
        [*([] if void is None else [void]), *(value for value in ignored if _is_id(value))], IGNORE
    )
    colours = _colours(given.get("colors"), len(classes))
    of_void = [_colour(value) for value in ignored if not _is_id(value)]
    if given.get("ignore_color") is not None:
        of_void.append(_colour(given["ignore_color"]))
    if twice := next((colour for colour in colours if [*colours, *of_void].count(colour) > 1), None):
        raise InputError(f"colour {list(twice)} is given twice: colours must differ")
    by_colour = {colour: label for label, colour in enumerate(colours)} | dict.fromkeys(of_void, IGNORE)
    return Declared(classes, Coding.of(ids, by_colour), colours, _place(given.get("labels")))


def _names(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes, by id."""
    classes, values = given.get("classes"), given.get("values")
    if classes is None and isinstance(values, dict) and all(map(_is_stored, values)):
        classes = list(
            dict.fromkeys(values[stored] for stored in sorted(values, key=int) if _is_name(values[stored]))
        )
    if not isinstance(classes, list) or not all(map(_is_name, classes)):
        raise InputError(f'"classes" is {shown(classes)}: must be a list of names')
    if odd := [name for name in classes if not is_plain(name)]:
        raise InputError(f'"classes" holds {odd[0]!r}: names must be without control characters')
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise InputError(f'"classes" holds {twice!r} twice: names must differ')
    if len(classes) > MOST_CLASSES:
        raise InputError(f"{len(classes)} classes: at most {MOST_CLASSES}, because labels are 8-bit")
    return tuple(classes)


def _ids(values: Any, classes: tuple[str, ...]) -> dict[int, int]:
    """The class id of each stored id."""
    if values is None:
        return {label: label for label in range(len(classes))}
    if not isinstance(values, dict) or not all(map(_is_stored, values)):
        raise InputError(f'"values" is {shown(values)}: must give the class of ids from 0 to 255')
    for stored, name in values.items():
        if name not in classes:
            raise InputError(f'"values" gives {stored} the class {shown(name)!r}: must be one of {shown(classes)}')
    return {int(stored): classes.index(name) for stored, name in values.items()}


def _colours(given: Any, classes: int) -> tuple[Colour, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) != classes:
        raise InputError(f'"colors" must be a list of {classes} colours, one for each class')
    return tuple(map(_colour, given))


def _colour(colour: Any) -> Colour:
    match colour:
        case [int(red), int(green), int(blue)] if all(0 <= channel <= 255 for channel in colour):
            return red, green, blue
    raise InputError(f"colour {shown(colour)}: must be [red, green, blue], each 0 to 255")


def _place(labels: Any) -> str | None:
    if labels is None:
        return None
    rule = 'must be a place within the folder such as "masks/{name}_mask.png"'
    if not isinstance(labels, str) or labels.count("{name}") != 1 or not is_plain(labels):
        raise InputError(f'"labels" is {shown(labels)}: {rule}')
    path = PurePosixPath(labels)
    if path.is_absolute() or ".." in path.parts or "{name}" not in path.name:
        raise InputError(f'"labels" is {shown(labels)}: {rule}')
    return labels


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_stored(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name != ""
