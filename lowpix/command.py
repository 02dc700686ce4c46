"""What all commands share: options come from a TOML file and the command line; an error is one line."""

import signal
import sys
import tomllib
import traceback
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from inspect import cleandoc, get_annotations
from io import TextIOWrapper
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

import tyro

from lowpix.errors import InputError, WorkError, printable

Options = TypeVar("Options")


def parse(kind: type[Options], arguments: Sequence[str], program: str) -> Options:
    """Read the options of dataclass `kind` from the command line and from `--config FILE.toml`.

    The command line overrides the file, and the file overrides the defaults.

    Raises:
        InputError: the TOML file cannot be read or names an option that does not exist.
        SystemExit: the user asked for help (0), or an option is unknown or of the wrong type (2).
    """
    config = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    config.add_argument("--config", type=Path)
    try:
        known, rest = config.parse_known_args(list(arguments))
    except ArgumentError:
        raise InputError("--config: must be followed by a TOML file") from None
    places, from_file = _arguments(kind, known.config) if known.config else ([], [])
    # The file's options become command-line arguments: they get the same checks, and a later argument overrides
    # an earlier one. They follow the positional arguments, which a list at the end of the file would swallow.
    first = next((index for index, argument in enumerate(rest) if argument.startswith("-")), len(rest))
    about = f"{cleandoc(kind.__doc__ or '')}\n\nOptions can also be read from a file: --config FILE.toml"
    grouped = tyro.cli(
        _grouped(kind),
        prog=program,
        args=[*(rest[:first] or places), *from_file, *rest[first:]],
        description=about,
    )
    if isinstance(grouped, kind):
        return grouped
    groups = [getattr(grouped, field.name) for field in fields(grouped)]
    return kind(**{field.name: getattr(group, field.name) for group in groups for field in fields(group)})


def run(kind: type[Options], program: str, command: Callable[[Options], int | None]) -> NoReturn:
    """Parse the command line, run the command and exit.

    The exit code is what the command returns, 2 for wrong input, and 1 if the machine or the program fails. These
    errors are one line each. It is 130 after Ctrl-C and 143 after SIGTERM; the tables of finished runs are written
    first.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file need not be UTF-8
    try:
        sys.exit(command(parse(kind, sys.argv[1:], program)) or 0)
    except InputError as fault:
        _say(f"error: {fault}")
        sys.exit(2)
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        sys.exit(130)
    except _Terminated:
        _say("terminated; the same command goes on from here")
        sys.exit(143)
    except WorkError as fault:
        _say(f"error: {fault}; the same command tries again")
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        _say(f"error: {where}{fault.strerror or fault}; finished work is kept; the same command goes on from here")
    except Exception as fault:
        what = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        if _memory_ran_out(fault):
            _say(f"error: memory ran out ({what}); finished work is kept; the same command goes on from here")
        else:
            _say(f"error: a bug in lowpix: {what}; please report it with {_keep_traceback()}")
    sys.exit(1)


class _Terminated(BaseException):
    """The process received SIGTERM. Like KeyboardInterrupt, this is not an Exception."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _memory_ran_out(fault: Exception) -> bool:
    """Whether Python, numpy or torch could not allocate memory; torch has no exception of its own on a CPU."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(fault, MemoryError) or any(part in str(fault) for part in words)


def _keep_traceback() -> str:
    """Write the command line and the traceback of a bug to a file; return the file's name."""
    kept = f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}"
    try:
        with NamedTemporaryFile("wb", prefix="lowpix-", suffix=".txt", delete=False) as file:
            file.write(kept.encode(errors="backslashreplace"))
    except OSError as fault:
        return f"its traceback, which cannot be written to a file ({fault.strerror})"
    return file.name


def _grouped(kind: type[Any]) -> Any:
    """A dataclass with a field for each base of `kind`, the last base first; `--help` shows each as a group.

    If `kind` itself defines options, it is returned unchanged, and `--help` shows one group.
    """
    inherited = [part for part in reversed(kind.__mro__[1:]) if is_dataclass(part) and get_annotations(part)]
    defaults = {field.name: field.default for field in fields(kind)}
    if defaults.keys() - {field.name for part in inherited for field in fields(part)}:
        return kind
    groups = []
    for part in inherited:
        own = part(**{field.name: defaults[field.name] for field in fields(part)})
        title = part.__name__.removesuffix("Options").lower()
        groups.append((title, Annotated[part, tyro.conf.OmitArgPrefixes], own))
    return make_dataclass(f"{kind.__name__}Groups", groups)


def _arguments(kind: type[Any], path: Path) -> tuple[list[str], list[str]]:
    """Turn the options in a TOML file into command-line arguments: positional ones, and the others."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(f"--config {path}: cannot be read ({fault})") from None
    valid = {field.name.replace("_", "-") for field in fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    positional: list[str] = []
    arguments: list[str] = []
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in valid:
            close = [f"; did you mean {other.replace('-', '_')}?" for other in get_close_matches(name, valid, 1)]
            known = f"; the options are {', '.join(sorted(valid))}"
            raise InputError(f"--config {path}: no option {key!r}{''.join(close) or known}")
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
            continue
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in items):
            raise InputError(f"--config {path}: {key}: must be a text, a number, true, false or a list of these")
        values = [str(item) for item in items]
        for item in values:
            if item.startswith("-") and not _is_number(item):
                raise InputError(f"--config {path}: {key} = {item!r}: must not begin with a dash")
        if tyro.conf.Positional in getattr(hints[name.replace("-", "_")], "__metadata__", ()):
            positional += values
        else:
            arguments += [f"--{name}", *values]
    return positional, arguments


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
