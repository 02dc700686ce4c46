"""Real processes of a data-set study: killed, interrupted, in parallel; and a command that is told nonsense."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from command_lines import run_command
from dataset_runs import without_pictures
from stopped_runs import content, stop

from lowpix.command import parse
from lowpix.dataset_study import Options, dataset_study

PROGRAM = "lowpix.dataset_study"
OPTIONS = (
    "--scene-size 32 48 --scene-count 3 --scene-classes 4 --budgets 8 --width 4 --epochs 10 --settings full sparse"
)


def stop_in_the_middle(out: Path, how: signal.Signals, *options: str) -> tuple[int, str]:
    """Send a signal to a study, with all its workers, as soon as a run keeps a state."""
    command = [sys.executable, "-m", PROGRAM, *OPTIONS.split(), "--out", str(out), *options]
    return stop(command, how, out, "state/*/*.safetensors")


def finish(out: Path, *options: str) -> None:
    """Run the study in this process, or go on with it."""
    with without_pictures():
        dataset_study(parse(Options, [*OPTIONS.split(), "--out", str(out), *options], PROGRAM))


def lasting(out: Path) -> dict[str, bytes]:
    """All that must be the same."""
    tables = ("summary.csv", "ratios.csv", "history.csv", "confusion.parquet")
    return content(out, tables, ("models/*/*.safetensors", "predictions/**/*.png"))


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("never_stopped")
    finish(out)
    return out


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(tmp_path: Path, never_stopped: Path) -> None:
    code, _ = stop_in_the_middle(tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "summary.csv").exists()  # it had no time to write tables
    finish(tmp_path)
    assert lasting(tmp_path) == lasting(never_stopped)


@pytest.mark.slow
def test_ctrl_c_leaves_tables_and_goes_on(tmp_path: Path, never_stopped: Path) -> None:
    """With two processes before and after: their number changes no table."""
    shutil.copytree(never_stopped / "image_study", tmp_path / "image_study")
    code, complaint = stop_in_the_middle(tmp_path, signal.SIGINT, "--jobs", "2")
    assert code == 130
    assert "Traceback" not in complaint
    assert "the same command goes on from here" in complaint.splitlines()[-1]
    assert (tmp_path / "summary.csv").exists()
    finish(tmp_path, "--jobs", "2")
    assert lasting(tmp_path) == lasting(never_stopped)


def test_a_bad_option_ends_in_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(PROGRAM, ["--out", str(tmp_path / "out"), "--scale", "2"]) == 2
    printed, complaint = capsys.readouterr()
    assert printed == ""
    (line,) = complaint.splitlines()
    assert line.startswith("error: --scale 2.0: ")
    assert not (tmp_path / "out").exists()
