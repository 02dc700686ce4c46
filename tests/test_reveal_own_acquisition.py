"""An acquisition function of the user's own, given as module:function."""

import linecache
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_lines import run_command
from refusals import refused

from lowpix.image_study import Options, image_study
from lowpix.reveal.acquisition import ACQUISITIONS, find_acquisition

SOURCE = """
import torch

number = 3

def least_likely(p):
    '''Reads each member.'''
    return 1 - p.amin(0).amax(-1)

def transposed(p): return p.mean(0)
def whole(p): return p.mean(0).argmax(-1)
def infinite(p): return p.mean(0)[:, 0].log()
def listed(p): return [0.5] * p.shape[1]
def faulty(p): return p.no_such_thing
def wordy(p): raise ValueError("two\\nlines")
def leaving(p): raise SystemExit(3)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with modules in it: not on the path, and no test leaves them imported."""
    (tmp_path / "own_scores.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "deep.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "own_broken.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / "own_syntax.py").write_text("def f(p:\n", encoding="utf-8")
    (tmp_path / "own_needy.py").write_text("import no_such_library", encoding="utf-8")
    (tmp_path / "own_leaver.py").write_text("raise SystemExit('usage:\\n  own_leaver FILE')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place and Path(place) != tmp_path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def scores_of(name: str, p: torch.Tensor) -> torch.Tensor:
    score = find_acquisition(name).score
    assert score is not None
    return score(p)


@pytest.mark.parametrize("module", ["own_scores", "own_package.deep"])
def test_is_found_in_the_current_directory(here: Path, module: str) -> None:
    before = list(sys.path)
    acquisition = find_acquisition(f"{module}:least_likely")
    assert sys.path == before
    assert acquisition.name == f"{module}.least_likely"
    assert acquisition.members
    assert acquisition.least_members == 1
    assert not acquisition.noisy
    assert not acquisition.privileged
    assert acquisition.spread is None
    for members in (1, 3):
        p = torch.rand(members, 7, 4).softmax(-1)
        assert torch.equal(scores_of(f"{module}:least_likely", p), 1 - p.amin(0).amax(-1))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("own_missing:f", ["no module own_missing in {here}"]),
        ("own_missing.deep:f", ["no module own_missing in {here}"]),
        ("own_package.missing:f", ["no module own_package.missing in {here}"]),
        ("own_scores:missing", ["own_scores", "no function missing"]),
        ("own_scores:number", ["number", "int"]),
        ("own_scores.py:least_likely", ["no module own_scores.py in {here}"]),
        ("own_broken:f", ["own_broken", "ZeroDivisionError: division by zero"]),
        ("own_needy:f", ["own_needy", "ModuleNotFoundError: No module named 'no_such_library'"]),
        ("own_leaver:f", ["own_leaver", "SystemExit: usage: own_leaver FILE"]),
        ("own_syntax:f", ["own_syntax", "SyntaxError: "]),
        ("own_scores:", ["module:function"]),
        (":least_likely", ["module:function"]),
        ("../own_scores:least_likely", ["module:function"]),
        ("own_scores:least:likely", ["module:function"]),
    ],
)
def test_what_cannot_be_found_is_told_in_one_line(here: Path, name: str, parts: list[str]) -> None:
    with refused(f"--acquisition {name}: ", *(part.format(here=here) for part in parts)):
        find_acquisition(name)


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("transposed", ["(6, 3)", "(6,)"]),
        ("whole", ["torch.int64", "floating"]),
        ("infinite", ["1 of 6", "finite"]),
        ("listed", ["list", "tensor"]),
    ],
)
def test_what_it_returns_is_checked(here: Path, function: str, parts: list[str]) -> None:
    p = torch.full((2, 6, 3), 1 / 3)
    p[:, 4] = torch.tensor([0, 0.5, 0.5])
    with refused(f"--acquisition own_scores:{function}: ", *parts):
        scores_of(f"own_scores:{function}", p)


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("faulty", ["AttributeError: ", "no_such_thing"]),
        ("wordy", ["ValueError: two lines"]),
        ("leaving", ["SystemExit: 3"]),
    ],
)
def test_its_own_fault_is_told_with_its_line(here: Path, function: str, parts: list[str]) -> None:
    name = f"--acquisition own_scores:{function}: "
    line = 1 + next(k for k, text in enumerate(SOURCE.splitlines()) if text.startswith(f"def {function}("))
    with refused(name, *parts, here / "own_scores.py", f"line {line}") as found:
        scores_of(f"own_scores:{function}", torch.rand(2, 6, 3))
    assert found.value.__cause__ is not None  # with its traceback, for who calls it from Python


@pytest.mark.usefixtures("undrawn_images")
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_study_of_one_that_fails_ends_in_one_line(
    here: Path, tmp_path: Path, jobs: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(here))  # for the workers
    given = [
        "--scene-size",
        "16",
        "16",
        "--scene-count",
        "1",
        "--max-pixels",
        "6",
        "--acquisition",
        "own_scores:faulty",
        "--out",
        "out",
    ]
    assert run_command("lowpix.image_study", [*given, "--jobs", jobs]) == 2
    complaint = [line for line in capfd.readouterr().err.splitlines() if "run/s" not in line]
    assert len(complaint) == 1
    assert complaint[0].startswith("error: --acquisition own_scores:faulty: raised AttributeError: ")


@pytest.mark.usefixtures("undrawn_images")
def test_a_function_that_was_edited_is_another_one(here: Path) -> None:
    """Its runs are not taken for those of the function as it was. Others may be added to its file."""
    options = Options(
        scene_size=(16, 16),
        scene_count=1,
        max_pixels=6,
        acquisition=("own_scores:least_likely",),
        out=here / "out",
    )
    image_study(options)
    record = (here / "out/study.toml").read_text()
    edited_source = SOURCE.replace("1 - p.amin(0)", "2 - p.amin(0)")
    for source, fits in ((SOURCE + "\ndef other(p): return p.mean(0)[:, 0]\n", True), (edited_source, False)):
        (here / "own_scores.py").write_text(source)
        del sys.modules["own_scores"]  # as in a new process
        linecache.clearcache()
        if fits:
            assert len(image_study(replace(options, repeats=2)).tables().summary) == 2
            record = (here / "out/study.toml").read_text()
            continue
        with refused(here / "out/study.toml", "own_scores.least_likely was", "--fresh"):
            image_study(replace(options, repeats=3))
        assert (here / "out/study.toml").read_text() == record
        image_study(replace(options, fresh=True))


def test_unknown_acquisition_lists_those_there_are() -> None:
    assert {"random", "stratified", "spaced", "entropy", "margin", "bald", "error_depth"} < ACQUISITIONS.keys()
    with refused("--acquisition margn: ", *ACQUISITIONS, "module:function"):
        find_acquisition("margn")
