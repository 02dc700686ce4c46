"""What all commands share: options from a dataclass, a TOML file and the command line; faults as one line."""

import signal
import sys
import tomllib
import traceback
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from inspect import cleandoc, get_annotations
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, NoReturn, TypeVar

import tyro

from lowpix.errors import InputError, WorkError

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
    # Options of the file become arguments of their own: they get the same checks, and the later one wins. They go
    # behind positional arguments, which a list at the end of the file would swallow.
    front = next((index for index, argument in enumerate(rest) if argument.startswith("-")), len(rest))
    about = (
        f"{cleandoc(kind.__doc__ or '')}\n\n--config FILE.toml reads options of the same names from a file first."
    )
    grouped = tyro.cli(
        _grouped(kind), prog=program, args=[*rest[:front], *from_file, *rest[front:]], description=about
    )
    if isinstance(grouped, kind):
        return grouped
    groups = [getattr(grouped, field.name) for field in fields(grouped)]
    return kind(**{field.name: getattr(group, field.name) for group in groups for field in fields(group)})


def run(kind: type[Options], program: str, command: Callable[[Options], int | None]) -> NoReturn:
    """Run a command on the options of the command line, and exit.

    With what the command returns; with 2 and one line on a fault of the user's, with 1 and one line on one of the
    machine's or the program's; with 130 on Ctrl-C and 143 on SIGTERM, after the tables of what is finished.
    """
    signal.signal(signal.SIGTERM, _terminate)
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
        _say(f"error: {where}{fault.strerror or fault}; what is finished is kept, the same command goes on")
    except Exception as fault:
        what = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        _say(f"error: a fault of lowpix itself: {what}; please report it with {_keep_traceback()}")
    sys.exit(1)


class _Terminated(BaseException):
    """SIGTERM has come; like KeyboardInterrupt it is no Exception."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _keep_traceback() -> str:
    """Write down where an unexpected fault arose; gives the file's name."""
    with NamedTemporaryFile("w", prefix="lowpix-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}")
    return file.name


def _grouped(kind: type[Any]) -> Any:
    """A dataclass of those that `kind` inherits all its options from: each is a group in `--help`.

    The last base comes first. `kind` itself where it has options of its own: then they are one group.
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


def _arguments(kind: type[Any], path: Path) -> list[str]:
    """The options in a TOML file as command-line arguments."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(f"--config {path}: cannot be read ({fault})") from None
    valid = {field.name.replace("_", "-") for field in fields(kind)}
    arguments: list[str] = []
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in valid:
            close = [f"; did you mean {other.replace('-', '_')}?" for other in get_close_matches(name, valid, 1)]
            known = f"; there are {', '.join(sorted(valid))}"
            raise InputError(f"--config {path}: no option {key!r}{''.join(close) or known}")
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
            continue
        values = [str(item) for item in (value if isinstance(value, list) else [value])]
        for item in values:
            if item.startswith("-") and not _is_number(item):
                raise InputError(f"--config {path}: {key} = {item!r}: a value must not begin with a dash")
        arguments += [f"--{name}", *values]
    return arguments


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
