"""Real processes of a study: killed, interrupted, told nonsense, and going on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import stopped_runs
from stopped_runs import ROOT, finish

OPTIONS = "--scene-size 40 56 --scene-count 4 --max-pixels 45 --pixels-per-round 1 --stop budget"
SETTINGS = ["--acquisition", "margin", "random"]
RUNS = 8


def command(out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "lowpix.image_study", *OPTIONS.split(), *SETTINGS, "--out", str(out), *options]


@contextmanager
def at_work(out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A study in a process group of its own, so that a signal reaches its workers as Ctrl-C does in a terminal."""
    with subprocess.Popen(
        command(out, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_runs(process: subprocess.Popen[str], out: Path, count: int) -> list[Path]:
    until = time.monotonic() + 120
    while len(files := sorted(out.glob("runs/*/*/*.parquet"))) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, f"{len(files)} of {count} runs after two minutes"
        time.sleep(0.002)
    return files


def identity(files: list[Path]) -> dict[Path, tuple[int, int]]:
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def content(out: Path) -> dict[str, bytes]:
    """All that must be the same."""
    return stopped_runs.content(
        out,
        ("curves.parquet", "summary.csv", "revealed.parquet"),
        ("pseudo_labels/**/*.png", "confidence/**/*.png"),
    )


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("never_stopped")
    finish(command(out))
    return content(out)


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(tmp_path: Path, never_stopped: dict[str, bytes]) -> None:
    written: dict[Path, tuple[int, int]] = {}
    for count in (1, 4):  # killed twice, each time at once after a run's file appeared
        with at_work(tmp_path) as process:
            files = wait_for_runs(process, tmp_path, count)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert len(files) < RUNS
        assert written.items() <= identity(files).items()
        written = identity(files)
    assert not (tmp_path / "summary.csv").exists()  # it had no time to write tables
    left = RUNS - len(list(tmp_path.glob("runs/*/*/*.parquet")))
    assert f"{RUNS} runs, {left} of them to do" in finish(command(tmp_path))
    assert content(tmp_path) == never_stopped
    assert identity(list(written)) == written  # not written again
    assert not list(tmp_path.glob("runs/**/*.tmp"))


@pytest.mark.slow
def test_killed_with_jobs_and_resumed_with_others(tmp_path: Path, never_stopped: dict[str, bytes]) -> None:
    with at_work(tmp_path, "--jobs", "2") as process:
        written = identity(wait_for_runs(process, tmp_path, 1))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finish(command(tmp_path, "--jobs", "2"))
    assert content(tmp_path) == never_stopped
    assert identity(list(written)) == written


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_leaves_tables_of_what_is_finished(
    tmp_path: Path, jobs: str, never_stopped: dict[str, bytes]
) -> None:
    with at_work(tmp_path, "--jobs", jobs) as process:
        wait_for_runs(process, tmp_path, 2)
        os.killpg(process.pid, signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert "stopped; the same command goes on from here" in complaint.splitlines()
    finished = sorted(tmp_path.glob("runs/*/*/*.parquet"))
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert 2 <= len(summary) == len(finished) < RUNS
    assert (tmp_path / "curves.png").exists()
    assert len(pd.read_parquet(tmp_path / "curves.parquet")) == 41 * len(finished)
    written = identity(finished)
    finish(command(tmp_path))
    assert content(tmp_path) == never_stopped
    assert identity(finished) == written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "98"], "error: --target 98.0: must be above 0, at most 1\n"),
        (["--network", "cnn"], "error: --network cnn: unknown; choose from mlp, mlp_float32, unet\n"),
    ],
)
def test_a_bad_option_to_a_real_process(tmp_path: Path, options: list[str], message: str) -> None:
    process = subprocess.run(
        command(tmp_path / "out", *options), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (2, "", message)
    assert not (tmp_path / "out").exists()
