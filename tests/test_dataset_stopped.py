"""Real processes of a data-set study: killed, interrupted, in parallel, told nonsense."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stopped_runs
from stopped_runs import ROOT, finish

OPTIONS = (
    "--scene-size 32 48 --scene-count 4 --scene-classes 4 --budgets 8 --width 4 --epochs 6 --settings full sparse"
)


def command(out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "lowpix.dataset_study", *OPTIONS.split(), "--out", str(out), *options]


def stop_in_the_middle(out: Path, how: signal.Signals, *options: str) -> tuple[int, str]:
    """Send a signal to a study, with all its workers, as soon as a run keeps a state."""
    with subprocess.Popen(
        command(out, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while not list(out.glob("state/*/*.safetensors")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < until, "no state after two minutes"
            time.sleep(0.002)
        os.killpg(process.pid, how)
        complaint = process.communicate(timeout=60)[1]
        return process.returncode, complaint


def content(out: Path) -> dict[str, bytes]:
    """All that must be the same."""
    return stopped_runs.content(
        out,
        ("summary.csv", "ratios.csv", "history.csv", "confusion.parquet"),
        ("models/*/*.safetensors", "predictions/**/*.png"),
    )


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("never_stopped")
    finish(command(out))
    return content(out)


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(tmp_path: Path, never_stopped: dict[str, bytes]) -> None:
    code, _ = stop_in_the_middle(tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "summary.csv").exists()  # it had no time to write tables
    finish(command(tmp_path))
    assert content(tmp_path) == never_stopped


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_leaves_tables_and_goes_on(jobs: str, tmp_path: Path, never_stopped: dict[str, bytes]) -> None:
    code, complaint = stop_in_the_middle(tmp_path, signal.SIGINT, "--jobs", jobs)
    assert code == 130
    assert "Traceback" not in complaint
    assert "stopped; the same command goes on from here" in complaint.splitlines()
    assert (tmp_path / "summary.csv").exists()
    finish(command(tmp_path))
    assert content(tmp_path) == never_stopped


@pytest.mark.slow
def test_processes_change_no_table(tmp_path: Path, never_stopped: dict[str, bytes]) -> None:
    finish(command(tmp_path, "--jobs", "2"))
    assert content(tmp_path) == never_stopped


@pytest.mark.slow
def test_a_bad_option_to_a_real_process(tmp_path: Path) -> None:
    process = subprocess.run(
        command(tmp_path / "out", "--scale", "2"), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "error: --scale 2.0: must be above 0, at most 1\n"
    assert not (tmp_path / "out").exists()
