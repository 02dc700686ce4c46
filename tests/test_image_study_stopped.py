"""Real processes of an image study: killed, interrupted, told nonsense. What they began is ended here."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import stopped_runs
from stopped_runs import ROOT, identity, stop

from lowpix.image_study import Options, image_study

OPTIONS: dict[str, Any] = {
    "scene_size": (24, 32),
    "scene_count": 4,
    "max_pixels": 25,
    "pixels_per_round": "1",
    "stop": "budget",
    "acquisition": ("margin", "random"),
}
RUNS = 8
FILES = "runs/*/*/*.parquet"


def command(out: Path, *options: str) -> list[str]:
    given = []
    for name, value in OPTIONS.items():
        values = value if isinstance(value, tuple) else (value,)
        given += [f"--{name.replace('_', '-')}", *map(str, values)]
    return [sys.executable, "-m", "lowpix.image_study", *given, "--out", str(out), *options]


def go_on(out: Path) -> None:
    """To the end, in this process."""
    image_study(Options(**OPTIONS, out=out))


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
    go_on(out)
    return content(out)


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(
    tmp_path: Path, never_stopped: dict[str, bytes], undrawn_images: None, capsys: pytest.CaptureFixture[str]
) -> None:
    written: dict[Path, tuple[int, int]] = {}
    # killed twice, each time at once after a run's file appeared; first with two workers
    for count, jobs in ((1, "2"), (4, "1")):
        code, _ = stop(command(tmp_path, "--jobs", jobs), signal.SIGKILL, tmp_path, FILES, count)
        assert code == -signal.SIGKILL
        files = list(tmp_path.glob(FILES))
        assert len(files) < RUNS
        assert written.items() <= identity(files).items()
        written = identity(files)
    assert not (tmp_path / "summary.csv").exists()  # it had no time to write tables
    go_on(tmp_path)
    assert f"{RUNS} runs, {RUNS - len(written)} of them to do" in capsys.readouterr().out
    assert content(tmp_path) == never_stopped
    assert identity(list(written)) == written  # not written again


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_leaves_tables_of_what_is_finished(
    tmp_path: Path, jobs: str, never_stopped: dict[str, bytes], undrawn_images: None
) -> None:
    code, complaint = stop(command(tmp_path, "--jobs", jobs), signal.SIGINT, tmp_path, FILES, 2)
    assert code == 130
    assert "Traceback" not in complaint
    assert "stopped; the same command goes on from here" in complaint.splitlines()
    finished = sorted(tmp_path.glob(FILES))
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert 2 <= len(summary) == len(finished) < RUNS
    assert (tmp_path / "curves.png").exists()
    assert len(pd.read_parquet(tmp_path / "curves.parquet")) == 21 * len(finished)  # 5, 6, … 25 pixels
    assert not list(tmp_path.rglob("*.tmp"))
    written = identity(finished)
    go_on(tmp_path)
    assert content(tmp_path) == never_stopped
    assert identity(finished) == written


@pytest.mark.slow
def test_a_bad_option_to_a_real_process(tmp_path: Path) -> None:
    bad = command(tmp_path / "out", "--target", "98")
    process = subprocess.run(bad, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith("error: --target 98.0: ")
    assert not (tmp_path / "out").exists()
