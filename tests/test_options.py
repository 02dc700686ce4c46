"""The options of all commands: whatever is given is accepted or refused by name, and help lists the choices."""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from command_lines import run_command
from hypothesis import given, settings
from hypothesis import strategies as st

import lowpix
from lowpix.errors import InputError
from lowpix.options import NOT_EMPTY, above, at_least, between, check_options

PACKAGE = Path(lowpix.__path__[0])
GIVEN = {"photos": Path("photos"), "model": Path("model"), "studies": (Path("study"),)}
"""Options that have no default."""
POSITIONAL = ("photos", "studies")


def commands() -> list[str]:
    """What `python -m lowpix.…` runs, as found by looking at the files."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__main__.py")}
    runs = re.compile(r'^if __name__ == "__main__":', re.MULTILINE)
    return sorted(packages | {path.stem for path in PACKAGE.glob("[!_]*.py") if runs.search(path.read_text())})


COMMANDS = commands()
OPTIONS = {name: import_module(f"lowpix.{name}").Options for name in COMMANDS}


def default(command: str) -> Any:
    kind = OPTIONS[command]
    return kind(**{name: value for name, value in GIVEN.items() if name in {field.name for field in fields(kind)}})


def choices(hint: Any) -> list[str]:
    """The choices that a type lists, those in tuples and unions included."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in choices(part)]


WORDS = st.text("abz019:.%- é", min_size=1, max_size=8)
NAMES = ["", "margin", "os:nothing", "json:loads", "nowhere:at_all", "a b:c", "5%", "unet"]
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.sampled_from([math.nan, math.inf, -math.inf]) | st.integers(-(10**20), 10**20) | st.integers(-3, 100),
    float: st.floats() | st.floats(-1, 2),
    bool: st.booleans(),
    str: WORDS | st.sampled_from(NAMES),
    Path: WORDS.map(Path),
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type, in range, out of range, and not even numbers or choices."""
    if get_origin(hint) is Annotated:
        return values(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([values(part) for part in get_args(hint)])
    if get_origin(hint) is tuple:
        parts = [values(part) for part in get_args(hint) if part is not ...]
        return st.lists(parts[0], max_size=3).map(tuple) if ... in get_args(hint) else st.tuples(*parts)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint)) | WORDS
    return VALUES[hint]


def refusal(options: Any) -> str | None:
    """What `.check()` says of them; any other exception is a fault."""
    try:
        options.check()
    except InputError as fault:
        return str(fault)
    return None


def one_changed() -> Iterator[tuple[str, str]]:
    for command, kind in OPTIONS.items():
        for field in fields(kind):
            yield command, field.name


@pytest.mark.parametrize(("command", "option"), list(one_changed()))
def test_any_value_is_accepted_or_refused_by_name(command: str, option: str) -> None:
    kind, others = OPTIONS[command], default(command)

    @settings(max_examples=25)
    @given(values(get_type_hints(kind, include_extras=True)[option]))
    def check(value: Any) -> None:
        message = refusal(replace(others, **{option: value}))
        if message is not None:
            assert message.startswith(f"--{option.replace('_', '-')} ")
            assert "\n" not in message
            parts = value if isinstance(value, tuple) else (value,)
            assert any(str(part) in message for part in parts) or value == (), message

    check()


@given(st.data())
def test_any_values_together_are_accepted_or_refused_in_one_line(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(COMMANDS))
    hints = get_type_hints(OPTIONS[command], include_extras=True)
    changed = data.draw(st.lists(st.sampled_from(sorted(hints)), min_size=2, max_size=5, unique=True))
    message = refusal(replace(default(command), **{name: data.draw(values(hints[name])) for name in changed}))
    if message is not None:
        assert re.match(r"--[a-z-]+ ", message)
        assert "\n" not in message


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_choice_is_refused_with_the_choices(command: str) -> None:
    for name, hint in get_type_hints(OPTIONS[command], include_extras=True).items():
        if known := choices(hint):
            value = ("zebra",) if isinstance(getattr(default(command), name), tuple) else "zebra"
            with pytest.raises(InputError) as fault:
                replace(default(command), **{name: value}).check()
            assert all(part in str(fault.value) for part in (f"--{name.replace('_', '-')} zebra", *known))


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        (at_least(1), [1, 2, 1.5, math.inf], [0, -1, 0.99, math.nan, "2"]),
        (above(0), [1e-9, 7, math.inf], [0, -1, math.nan, "1"]),
        (above(0, 1), [0.5, 1], [0, 1.01, math.nan]),
        (between(0, 1), [0, 0.5, 1], [-0.01, 1.01, math.nan]),
    ],
    ids=["at_least", "above", "above, at most", "between"],
)
def test_rules(rule: Any, kept: list[Any], broken: list[Any]) -> None:
    class Given:
        one: Annotated[Any, rule]
        some: Annotated[tuple[Any, ...] | None, rule, NOT_EMPTY]

        def __init__(self, one: Any, some: Any) -> None:
            self.one, self.some = one, some

    for value in kept:
        check_options(Given(value, (value, *kept)))
        check_options(Given(value, None))
    for value in broken:
        with pytest.raises(InputError, match=rf"^--one {value}: must be {re.escape(rule.words)}"):
            check_options(Given(value, None))
        with pytest.raises(InputError, match=rf"^--some {kept[0]} {value}: must be {re.escape(rule.words)}"):
            check_options(Given(kept[0], (kept[0], value)))
    with pytest.raises(InputError, match=r"^--some \(\): "):
        check_options(Given(kept[0], ()))


# The command line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option_and_its_choices(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(f"lowpix.{command}", ["--help"]) == 0
    shown = re.sub(r"[\s│]", "", capsys.readouterr().out)
    for name, hint in get_type_hints(OPTIONS[command], include_extras=True).items():
        assert name in POSITIONAL or f"--{name.replace('_', '-')}" in shown
        if known := choices(hint):
            assert f"{{{','.join(known)}}}" in shown
    assert "--config" in shown


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"image_study", "predict"} <= set(COMMANDS)
    assert run_command("lowpix", []) == 0
    shown = capsys.readouterr().out
    listed = re.findall(r"^  (\w+) +\S.*$", shown, re.MULTILINE)
    assert sorted(listed) == COMMANDS
    assert run_command("lowpix", ["--help"]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", ["segment", "--zebra", "lowpix.image_study", ""])
def test_an_unknown_command_is_refused_with_the_list(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command("lowpix", [name])
    out, err = capsys.readouterr()
    if name:
        assert code == 2
        assert out == ""
        assert err.startswith(f"error: {name}: ")
        assert all(command in err for command in COMMANDS)
    else:
        assert code == 0


def test_a_command_is_run_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    for spelled in ("image_study", "image-study"):
        assert run_command("lowpix", [spelled, "--target", "7"]) == 2
        assert capsys.readouterr().err.startswith("error: --target 7.0: ")


def test_help_does_not_wait_for_torch() -> None:
    """Which takes seconds to import."""
    script = f"""
import sys
from lowpix.__main__ import main
for command in {COMMANDS}:
    sys.argv = ["lowpix", command, "--help"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
    assert "torch" not in sys.modules, command
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"python -m lowpix.{command}" in done.stdout for command in COMMANDS)
