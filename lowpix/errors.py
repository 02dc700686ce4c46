"""The exceptions that commands print in one line: wrong input, and work that failed on this machine."""

from collections.abc import Mapping
from typing import TypeVar
from unicodedata import category

Choice = TypeVar("Choice")


class InputError(ValueError):
    """The user's input is wrong: a file, an option or an answer.

    The message is one line that names the file or option, the value and the rule. Commands print it and exit with
    code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class WorkError(RuntimeError):
    """Work failed on this machine, for example because memory ran out. Commands exit with code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text with its control characters escaped, so that it is one line on every terminal and in every file."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def is_plain(name: str) -> bool:
    """Whether a name has no control characters, and can be written as UTF-8: so it fits in tables and files."""
    return not any(category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)


def choose(option: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """The entry of `choices` under `name`.

    Raises:
        InputError: there is no such entry; the message names the option and lists the valid names.
    """
    if name not in choices:
        raise InputError(f"{option} {name}: unknown; choose from {', '.join(choices)}")
    return choices[name]
