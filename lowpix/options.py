"""Rules for the values of options. They are part of an option's type, and are checked for commands and libraries.

    members: Annotated[int | None, at_least(1)] = None

The type itself is also checked, for example `Literal["last", "validation"]`, and a float must be finite. A rule
applies to each member of a tuple, and does not apply to None.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lowpix.errors import InputError, printable


@dataclass(frozen=True)
class Rule:
    """A rule for the value of an option, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]
    each: bool = True
    """Whether the rule applies to each member of a tuple; otherwise it applies to the whole tuple."""


def at_least(least: float) -> Rule:
    """A number of at least `least`."""
    return Rule(f"at least {least:.12g}", lambda value: value >= least)


def above(least: float, most: float = math.inf) -> Rule:
    """A number above `least`, and at most `most`."""
    words = f"above {least:.12g}" + (f", at most {most:.12g}" if most < math.inf else "")
    return Rule(words, lambda value: least < value <= most)


def between(least: float, most: float) -> Rule:
    """A number from `least` to `most`."""
    return Rule(f"{least:.12g} to {most:.12g}", lambda value: least <= value <= most)


LONGEST = 200  # characters of a value in a message
NOT_EMPTY = Rule("at least one", bool, each=False)


def check_options(options: object) -> None:
    """Raise InputError for the first option that breaks its type or a rule, with name, value and rule."""
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        require(name, value, _is_a(value, hint), _type_words(hint))
        for rule in _rules(hint):
            parts = value if isinstance(value, tuple) and rule.each else (value,)
            require(name, value, all(part is None or _holds(rule, part) for part in parts), rule.words)


def require(name: str, value: object, kept: bool, rule: str) -> None:
    """Raise InputError for option `name`, with its value and rule, unless `kept`."""
    if not kept:
        raise InputError(f"--{name.replace('_', '-')} {shown(value)}: must be {rule}")


def shown(value: object) -> str:
    """The value of an option as text: one line of printable characters, at most LONGEST of them."""
    try:
        text = " ".join(map(str, value)) or "()" if isinstance(value, tuple) else str(value)
    except ValueError:  # Python does not write longer numbers
        text = "with thousands of digits"
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _holds(rule: Rule, value: Any) -> bool:
    try:
        return rule.holds(value)
    except TypeError:  # a text instead of a number, for example
        return False


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value has a type; covers the types that options use."""
    hint = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return value in parts
    if get_origin(hint) in (Union, UnionType):
        return any(_is_a(value, part) for part in parts)
    if get_origin(hint) is tuple:
        parts = parts[:1] * len(value) if isinstance(value, tuple) and parts[-1] is ... else parts
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_is_a, value, parts))
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is int:
        return isinstance(value, int) and abs(value) < 2**63
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    if hint in (str, Path):
        return isinstance(value, hint) and not re.search("[\0\ud800-\udfff]", str(value))
    return hint is Any or isinstance(value, hint)


def _type_words(hint: Any) -> str:
    """The values that a type allows, in words."""
    hint = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(parts)}"
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_type_words(part) for part in parts if part is not type(None))
    if get_origin(hint) is tuple:
        return (
            f"several, each {_type_words(parts[0])}"
            if parts[-1] is ...
            else f"{len(parts)} × {_type_words(parts[0])}"
        )
    words = {
        int: "a whole number",
        float: "a finite number",
        str: "a text in UTF-8 without NUL",
        Path: "a path in UTF-8 without NUL",
    }
    return words.get(hint, "true or false")


def _rules(hint: Any) -> list[Rule]:
    """All rules in a type, including those in unions and tuples."""
    if hasattr(hint, "__metadata__"):
        return [*_rules(hint.__origin__), *(rule for rule in hint.__metadata__ if isinstance(rule, Rule))]
    if get_origin(hint) in (Union, UnionType, tuple):
        return [rule for part in dict.fromkeys(get_args(hint)) for rule in _rules(part)]
    return []
