"""The options of all commands: whatever is given is accepted or refused by name, and help lists the choices."""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import tomli_w
from command_lines import run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

import lowpix
from lowpix.command import parse
from lowpix.errors import InputError
from lowpix.options import NOT_EMPTY, above, at_least, between, check_options

PACKAGE = Path(lowpix.__path__[0])
GIVEN = {"photos": Path("photos"), "model": Path("model"), "studies": (Path("study"),)}
"""Options that have no default."""
POSITIONAL = ("photos", "studies", "folder")


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
NAMES = ["", "margin", "os:nothing", "json:loads", "nowhere:at_all", "a b:c", "5%", "unet", "1" * 5000]
HOSTILE = ["\0", "a\nb", "a\u2028b", "\udcff", "$\\frac$", "x" * 5000, "--fresh", "\x1b[2J"]
TEXTS = WORDS | st.text(max_size=8) | st.sampled_from([*NAMES, *HOSTILE])
OF_ANOTHER_TYPE = st.none() | st.booleans() | TEXTS | st.lists(st.integers(), max_size=2) | st.just(b"bytes")
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.sampled_from([math.nan, math.inf, -math.inf, 10**5000])
    | st.integers(-(10**20), 10**20)
    | st.integers(-3, 100),
    float: st.floats() | st.floats(-1, 2) | st.integers(-(10**400), 10**400),
    bool: st.booleans(),
    str: TEXTS,
    Path: TEXTS.map(Path),
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type, in range, out of range, not even numbers or choices, and of another type."""
    return of_type(hint) | OF_ANOTHER_TYPE


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is Annotated:
        return of_type(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([of_type(part) for part in get_args(hint)])
    if get_origin(hint) is tuple:
        parts = [of_type(part) for part in get_args(hint) if part is not ...]
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


def tells(message: str, value: Any) -> bool:
    """Whether a message holds a value: what can be printed of it, and its beginning if it is long."""
    if isinstance(value, int) and abs(value) > 10**4000:  # more digits than Python writes
        return "digits" in message
    return all(part in message for part in re.split(r"[^ -~éü]", str(value)[:200]))


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
            assert message.isprintable()
            assert len(message) < 700
            parts = value if isinstance(value, tuple) else (value,)
            assert any(tells(message, part) for part in parts) or value == (), message

    check()


@given(st.data())
def test_any_values_together_are_accepted_or_refused_in_one_line(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(COMMANDS))
    hints = get_type_hints(OPTIONS[command], include_extras=True)
    changed = data.draw(st.lists(st.sampled_from(sorted(hints)), min_size=2, max_size=5, unique=True))
    message = refusal(replace(default(command), **{name: data.draw(values(hints[name])) for name in changed}))
    if message is not None:
        assert re.match(r"--[a-z-]+ ", message)
        assert message.isprintable()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_choice_is_refused_with_the_choices(command: str) -> None:
    for name, hint in get_type_hints(OPTIONS[command], include_extras=True).items():
        if known := choices(hint):
            value = ("zebra",) if isinstance(getattr(default(command), name), tuple) else "zebra"
            with pytest.raises(InputError) as fault:
                replace(default(command), **{name: value}).check()
            assert all(part in str(fault.value) for part in (f"--{name.replace('_', '-')} zebra", *known))


@pytest.mark.parametrize(
    ("rule", "words", "kept", "broken"),
    [
        (at_least(1), "at least 1", [1, 2, 1.5, 1e300], [0, -1, 0.99]),
        (above(0), "above 0", [1e-9, 7, 1e300], [0, -1]),
        (above(0, 1), "above 0, at most 1", [0.5, 1], [0, 1.01]),
        (between(0, 1_000_000), "0 to 1000000", [0, 0.5, 1_000_000], [-0.01, 1_000_001]),
    ],
    ids=["at_least", "above", "above, at most", "between"],
)
def test_rules(rule: Any, words: str, kept: list[Any], broken: list[Any]) -> None:
    class Given:
        one: Annotated[float, rule]
        some: Annotated[tuple[float, ...] | None, rule, NOT_EMPTY]

        def __init__(self, one: Any, some: Any) -> None:
            self.one, self.some = one, some

    for value in kept:
        check_options(Given(value, (value, *kept)))
        check_options(Given(value, None))
    for value in broken:
        with pytest.raises(InputError, match=rf"^--one {value}: must be {words}$"):
            check_options(Given(value, None))
        with pytest.raises(InputError, match=rf"^--some {kept[0]} {value}: must be {words}$"):
            check_options(Given(kept[0], (kept[0], value)))
    for value in (math.nan, math.inf, -math.inf, "2", True, None, [1.0]):
        with pytest.raises(InputError, match=rf"^--one {re.escape(str(value))}: must be a finite number$"):
            check_options(Given(value, None))
        with pytest.raises(InputError, match=r"^--some .*: must be several, each a finite number$"):
            check_options(Given(kept[0], (kept[0], value)))
    with pytest.raises(InputError, match=r"^--some \(\): "):
        check_options(Given(kept[0], ()))


NO_HARM = {"limit", "test_limit", "max_pixels", "budgets", "keep_at", "first_pixels", "spacing", "block_frames"}
NO_HARM.add("milestones")
"""Options that may be as large as one likes: no more is done than there are images or pixels."""


def test_no_number_may_be_so_large_or_small_that_a_study_never_ends_or_runs_out_of_numbers() -> None:
    """Such as a billion repeats, a scale of 1e-300, or a learning rate that float32 cannot hold."""
    tried = 0
    for command, kind in OPTIONS.items():
        for name, hint in get_type_hints(kind, include_extras=True).items():
            before = getattr(default(command), name)
            for number, value in ((int, 10**15), (float, 1e300), (float, 5e-324)):
                if number not in numbers(hint) or name in NO_HARM or (name, value) in SMALL_IS_FINE:
                    continue
                tried += 1
                several = len(before) if isinstance(before, tuple) else 2
                given = (value,) * several if tuple in numbers(hint) else value
                message = refusal(replace(default(command), **{name: given}))
                assert message is not None, (command, name, value)
                assert message.startswith(f"--{name.replace('_', '-')} {value}")
    assert tried > 40


SHARES = (
    "oracle_noise",
    "oracle_border_noise",
    "oracle_refusal",
    "target",
    "targets",
    "dropout",
    "percent",
    "min_confidence",
    "grey",
    "blur",
)
SMALL_IS_FINE = {(name, 5e-324) for name in (*SHARES, "learning_rate", "weight_decay", "colour")}


def numbers(hint: Any) -> set[Any]:
    """The types in a type, `tuple` among them."""
    if get_origin(hint) is Annotated:
        return numbers(get_args(hint)[0])
    parts = {kind for part in get_args(hint) if part is not ... for kind in numbers(part)}
    return parts | {tuple} if get_origin(hint) is tuple else parts or {hint}


# The command line


NEEDED = {"predict": ["photos", "--model", "model"], "compare": ["study"]}
"""What a command line must hold."""


def parsed(command: str, arguments: list[str]) -> Any:
    """The options, or None if they are refused: in one line by the program, or in a box by tyro."""
    said, message, code = StringIO(), "", 2
    try:
        with redirect_stdout(said), redirect_stderr(said):
            return parse(OPTIONS[command], [*NEEDED.get(command, []), *arguments], f"lowpix.{command}")
    except InputError as fault:
        message = str(fault)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message.isprintable()
    assert not (message and said.getvalue())
    assert "Traceback" not in said.getvalue()
    return None


named = st.sampled_from([(name, field.name) for name in COMMANDS for field in fields(OPTIONS[name])])


@settings(max_examples=60)
@given(named, st.lists(TEXTS.filter(lambda text: "\0" not in text), max_size=3))
def test_any_words_on_the_command_line_are_read_or_refused(option: tuple[str, str], words: list[str]) -> None:
    command, name = option
    options = parsed(command, [f"--{name.replace('_', '-')}", *words])
    if options is not None:
        refusal(options)


scalars = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["--fresh", "-h", "--out", "--config", "-1e5", "--"])
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.booleans()
    | st.dates()
)
nested = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2)
)


@settings(max_examples=80)
@given(named, nested)
def test_a_value_in_a_toml_file_is_of_its_key_alone_or_refused(option: tuple[str, str], value: Any) -> None:
    """Never an option of its own: `["margin", "--fresh"]` removes no study."""
    command, name = option
    with TemporaryDirectory() as folder:
        file = Path(folder, "study.toml")
        file.write_bytes(tomli_w.dumps({name: value}).encode())
        options = parsed(command, ["--config", str(file)])
    if options is not None:
        plain = parsed(command, [])
        others = [field.name for field in fields(options) if field.name != name]
        assert [getattr(options, other) for other in others] == [getattr(plain, other) for other in others]
        refusal(options)


def test_an_option_in_a_value_of_a_toml_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    for text in ('acquisition = ["margin", "--fresh"]', 'out = "--fresh"', 'images = ["-h"]', 'images = ["--"]'):
        file.write_text(text, encoding="utf-8")
        with refused(file, text.split()[0], "dash"):
            parse(OPTIONS["image_study"], ["--config", str(file)], "lowpix.image_study")
    file.write_text("spacing = -1.5", encoding="utf-8")  # a number is a value
    options = parse(OPTIONS["image_study"], ["--config", str(file)], "lowpix.image_study")
    assert options.spacing == -1.5


@pytest.mark.parametrize(
    ("key", "meant"), [("acquisitions", "acquisition"), ("max_pixel", "max_pixels"), ("scene-sise", "scene_size")]
)
def test_a_misspelt_key_in_a_toml_file_gets_the_right_one(tmp_path: Path, key: str, meant: str) -> None:
    (tmp_path / "study.toml").write_text(f"{key} = 3", encoding="utf-8")
    with refused(tmp_path / "study.toml", key, f"did you mean {meant}?"):
        parse(OPTIONS["image_study"], ["--config", str(tmp_path / "study.toml")], "lowpix.image_study")


@pytest.mark.parametrize(
    "text",
    [
        "target = " + "[" * 10_000 + "]" * 10_000,
        "target" + ".a" * 10_000 + " = 1",
        "target = " + "{a = " * 10_000 + "1" + "}" * 10_000,
        "target = " + "9" * 10_000,
        'target = "\\ud800"',
    ],
    ids=["lists", "keys", "tables", "digits", "surrogate"],
)
def test_a_toml_file_nested_deep_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    with refused(tmp_path / "study.toml"):
        parse(OPTIONS["image_study"], ["--config", str(tmp_path / "study.toml")], "lowpix.image_study")


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
