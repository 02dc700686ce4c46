"""A real process of an order study, killed with its workers."""

import signal
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from order_runs import lasting, ordered, studied
from stopped_runs import identity, stop


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lowpix.order_study.study.order_picture", lambda *_: Figure())
    study = studied(tmp_path / "x", repeats=1)
    ordered(study, tmp_path / "whole", seeds=1)
    killed, runs = tmp_path / "killed", "runs/*/*/*.parquet"
    given = f"--image-study {study} --seeds 1 --batch 8 --plateau-cap 2 --jobs 2 --out {killed}"
    stop([sys.executable, "-m", "lowpix.order_study", *given.split()], signal.SIGKILL, killed, runs, 3)
    written = identity(list(killed.glob(runs)))
    assert 3 <= len(written) < 14
    assert not (killed / "order.csv").exists()
    capsys.readouterr()
    ordered(study, killed, seeds=1)
    assert f"14 runs, {14 - len(written)} of them to do" in capsys.readouterr().out
    assert identity(list(killed.glob(runs))).items() >= written.items()
    assert lasting(killed) == lasting(tmp_path / "whole")
