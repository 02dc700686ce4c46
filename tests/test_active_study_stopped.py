"""A real process of an active study, killed in the middle of a round."""

import signal
import sys
from pathlib import Path

import pytest
from active_runs import study
from stopped_runs import content, stop

TABLES = ("rounds.csv", "summary.csv", "pairs.csv", "history.csv")
TABLES += ("curves.parquet", "revealed.parquet", "confusion.parquet")


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(tmp_path: Path) -> None:
    options = (
        "--scene-size 24 32 --scene-count 3 --scene-classes 4 --acquisition margin --no-full --first-pixels 6"
    )
    options += " --pixels-per-round 6 --max-pixels 18 --epochs 6 --batch 2 --width 4 --start warm"
    killed, never = tmp_path / "killed", tmp_path / "never"
    command = [sys.executable, "-m", "lowpix.active_study", *options.split(), "--out", str(killed)]
    code, _ = stop(command, signal.SIGKILL, killed, "state/unet-margin/0.2.safetensors")
    assert code == -signal.SIGKILL
    assert not (killed / "summary.csv").exists()
    for folder in (killed, never):
        study(folder, acquisition=("margin",), full=False, epochs=6, start="warm")
    files = ("models/*/*.safetensors", "predictions/**/*.png")
    assert content(killed, TABLES, files) == content(never, TABLES, files)
