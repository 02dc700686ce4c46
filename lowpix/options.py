"""What an option may be: rules in its type, checked in one place, for every command and for library users alike.

    members: Annotated[int | None, at_least(1)] = None

A type such as `Literal["last", "validation"]` is a rule, too, and a float must be finite. None keeps every rule,
and a tuple is looked through.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lowpix.errors import InputError


@dataclass(frozen=True)
class Rule:
    """What must hold of an option, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]
    each: bool = True
    """Of every member of a tuple; else of the tuple as a whole."""


def at_least(least: float) -> Rule:
    """A number from `least` on."""
    return Rule(f"at least {least:g}", lambda value: value >= least)


def above(least: float, most: float = math.inf) -> Rule:
    """A number above `least`, and at most `most`."""
    words = f"above {least:g}" + (f", at most {most:g}" if most < math.inf else "")
    return Rule(words, lambda value: least < value <= most)


def between(least: float, most: float) -> Rule:
    """A number from `least` to `most`."""
    return Rule(f"{least:g} to {most:g}", lambda value: least <= value <= most)


NOT_EMPTY = Rule("at least one", bool, each=False)


def check_options(options: object) -> None:
    """Raise InputError for the first option that breaks a rule of its type, with name, value and rule."""
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        for rule in _rules(hint):
            parts = value if isinstance(value, tuple) and rule.each else (value,)
            require(name, value, all(part is None or _holds(rule, part) for part in parts), rule.words)


def require(name: str, value: object, kept: bool, rule: str) -> None:
    """Raise InputError for option `name` unless its rule is kept."""
    if not kept:
        raise InputError(f"--{name.replace('_', '-')} {shown(value)}: must be {rule}")


def shown(value: object) -> str:
    """The value of an option as it is given."""
    return " ".join(map(str, value)) or "()" if isinstance(value, tuple) else str(value)


def _holds(rule: Rule, value: Any) -> bool:
    try:
        return rule.holds(value)
    except TypeError:  # such as a text where a number was expected
        return False


def _rules(hint: Any) -> list[Rule]:
    """All rules in a type, those of tuples and unions included."""
    found = [rule for rule in getattr(hint, "__metadata__", ()) if isinstance(rule, Rule)]
    if hasattr(hint, "__metadata__"):
        return [*_rules(hint.__origin__), *found]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return [Rule(f"one of {', '.join(choices)}", lambda value: value in choices)]
    if get_origin(hint) in (Union, UnionType, tuple):
        return [rule for part in dict.fromkeys(get_args(hint)) for rule in _rules(part)]
    if hint is float:
        return [Rule("a finite number", math.isfinite)]
    return found
