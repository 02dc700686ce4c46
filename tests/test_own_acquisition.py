"""An acquisition function of the user's own, given as module:function."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lowpix.errors import InputError
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
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with modules in it, which no test leaves imported."""
    (tmp_path / "own_scores.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "deep.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "own_broken.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / "own_syntax.py").write_text("def f(p:\n", encoding="utf-8")
    (tmp_path / "own_needy.py").write_text("import no_such_library", encoding="utf-8")
    (tmp_path / "own_leaver.py").write_text("raise SystemExit('usage:\\n  own_leaver FILE')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
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


def test_in_a_process_of_its_own(here: Path) -> None:
    program = (
        "from lowpix.reveal.acquisition import find_acquisition as f; print(f('own_scores:least_likely').name)"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONSAFEPATH": "1"}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=here, env=environment
    )
    assert run.stdout.strip() == "own_scores.least_likely", run.stderr


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("own_missing:f", "no module own_missing in {here} or installed"),
        ("own_missing.deep:f", "no module own_missing in {here} or installed"),
        ("own_package.missing:f", "no module own_package.missing in {here} or installed"),
        ("own_scores:missing", "own_scores has no function missing"),
        ("own_scores:number", "number is a int, not a function"),
        ("own_scores.py:least_likely", "no module own_scores.py in {here} or installed"),
        ("own_broken:f", "importing own_broken raised ZeroDivisionError: division by zero"),
        ("own_needy:f", "importing own_needy raised ModuleNotFoundError: No module named 'no_such_library'"),
        ("own_leaver:f", "importing own_leaver raised SystemExit: usage: own_leaver FILE"),
        ("own_scores:", "must be module:function, both as in Python, without .py"),
        (":least_likely", "must be module:function, both as in Python, without .py"),
        ("../own_scores:least_likely", "must be module:function, both as in Python, without .py"),
        ("own_scores:least:likely", "must be module:function, both as in Python, without .py"),
    ],
)
def test_what_cannot_be_found_is_told_in_one_line(here: Path, name: str, fault: str) -> None:
    with pytest.raises(InputError) as raised:
        find_acquisition(name)
    assert str(raised.value) == f"--acquisition {name}: {fault.format(here=here)}"


def test_a_syntax_error_is_told_in_one_line(here: Path) -> None:
    with pytest.raises(
        InputError, match=r"^--acquisition own_syntax:f: importing own_syntax raised SyntaxError: .+$"
    ):
        find_acquisition("own_syntax:f")


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("transposed", "returned (6, 3); must be one score a pixel, (6,)"),
        ("whole", "returned torch.int64; must be floating"),
        ("infinite", "1 of 6 scores are not finite; all must be"),
        ("listed", "returned a list; must be a torch tensor"),
    ],
)
def test_what_it_returns_is_checked(here: Path, function: str, fault: str) -> None:
    p = torch.full((2, 6, 3), 1 / 3)
    p[:, 4] = torch.tensor([0, 0.5, 0.5])
    with pytest.raises(InputError) as raised:
        scores_of(f"own_scores:{function}", p)
    assert str(raised.value) == f"--acquisition own_scores:{function}: {fault}"


def test_its_own_fault_keeps_its_traceback(here: Path) -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        scores_of("own_scores:faulty", torch.rand(2, 6, 3))


def test_unknown_acquisition_lists_those_there_are() -> None:
    known = ", ".join(ACQUISITIONS)
    with pytest.raises(InputError) as raised:
        find_acquisition("margn")
    expected = f"--acquisition margn: unknown; choose from {known}, or give your own as module:function"
    assert str(raised.value) == expected
    assert known.startswith("random, stratified, spaced, entropy, least_confidence, margin, bald, mean_std")
