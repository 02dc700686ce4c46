"""The exceptions that commands print in one line: what the user must mend, and what this machine could not do."""

from collections.abc import Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


class InputError(ValueError):
    """A fault in what the user gave: a file, an option, an answer.

    Its message is one line that names the file or option, the value and the rule; commands print it and exit
    with code 2.
    """


class WorkError(RuntimeError):
    """Work that this machine could not do, such as a unit that runs out of memory: exit code 1."""


def choose(option: str, name: str, choices: Mapping[str, Choice]) -> Choice:
    """What `choices` registers under `name`.

    Raises:
        InputError: nothing; the message names the option and lists the valid names.
    """
    if name not in choices:
        raise InputError(f"{option} {name}: unknown; choose from {', '.join(choices)}")
    return choices[name]
