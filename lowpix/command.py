"""What all commands share: options from a dataclass, a TOML file and the command line; faults as one line."""

import sys
import tomllib
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from lowpix.errors import InputError

Options = TypeVar("Options")


def parse(kind: type[Options], arguments: Sequence[str], program: str) -> Options:
    """Options of dataclass `kind` from the command line, which wins over `--config file.toml`, over defaults.

    Raises:
        InputError: the TOML file cannot be read or names an option that does not exist.
        SystemExit: help was asked for (0), or an option is unknown or of the wrong type (2).
    """
    config = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    config.add_argument("--config", type=Path)
    try:
        known, rest = config.parse_known_args(list(arguments))
    except ArgumentError:
        raise InputError("--config: must be followed by a TOML file") from None
    from_file = _arguments(kind, known.config) if known.config else []
    # the file's options come as arguments of their own: the same checks, and the later one wins; after what stands
    # by itself at the front, which a list in the file would take for its own
    front = next((index for index, argument in enumerate(rest) if argument.startswith("-")), len(rest))
    about = f"{kind.__doc__}\n\n--config FILE.toml reads options of the same names from a file first."
    return tyro.cli(kind, prog=program, args=[*rest[:front], *from_file, *rest[front:]], description=about)


def main(run: Callable[[Sequence[str]], None]) -> NoReturn:
    """Run a command: exit 0; 2 with one line on a fault of the user's; 130 on Ctrl-C."""
    try:
        run(sys.argv[1:])
    except InputError as fault:
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def clock(seconds: float) -> str:
    """A duration as a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _arguments(kind: type[Any], path: Path) -> list[str]:
    """The options in a TOML file as command-line arguments."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise InputError(f"--config {path}: cannot be read ({fault})") from None
    valid = {field.name.replace("_", "-") for field in fields(kind)}
    arguments: list[str] = []
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in valid:
            raise InputError(f"--config {path}: no option {key!r}; there are {', '.join(sorted(valid))}")
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        else:
            values = value if isinstance(value, list) else [value]
            arguments += [f"--{name}", *(str(item) for item in values)]
    return arguments
