"""A real process of an order study, killed with its workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from order_runs import lasting, ordered, studied
from stopped_runs import ROOT


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lowpix.order_study.study.order_picture", lambda *_: None)
    study = studied(tmp_path / "x", repeats=1)
    ordered(study, tmp_path / "whole", seeds=1)
    killed = tmp_path / "killed"
    given = f"--image-study {study} --seeds 1 --batch 8 --plateau-cap 2 --jobs 2 --out {killed}"
    with subprocess.Popen(
        [sys.executable, "-m", "lowpix.order_study", *given.split()],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while len(files := list(killed.glob("runs/*/*/*.parquet"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    assert len(files) < 14
    assert not (killed / "order.csv").exists()
    written = {file: file.stat().st_mtime_ns for file in files}
    capsys.readouterr()
    ordered(study, killed, seeds=1)
    assert "14 runs, " in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in files} == written
    assert lasting(killed) == lasting(tmp_path / "whole")
