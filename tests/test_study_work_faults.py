"""What becomes of a study when a worker dies, its main process is killed, or SIGTERM comes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from stopped_runs import ROOT, finish, stop

from lowpix.errors import WorkError
from lowpix.study.work import work

SMALL = ["--scene-size", "24", "32", "--scene-count", "4", "--max-pixels", "40", "--pixels-per-round", "1"]
STUDY = [sys.executable, "-m", "lowpix.image_study", *SMALL, "--stop", "budget"]


class Mortal:
    """A task that kills its worker: always at one unit, the first time at another."""

    def __init__(self, folder: Path, always: int, once: int) -> None:
        self.folder, self.always, self.once = folder, always, once

    def __call__(self, unit: int) -> Iterator[int]:
        mark = self.folder / "struck"
        if unit == self.always or (unit == self.once and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield 10 * unit


class Save:
    """Writes each result to a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, result: int) -> int:
        (self.folder / f"{result}.result").touch()
        return result


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_unit_one_more_try(tmp_path: Path) -> None:
    found = list(work(Mortal(tmp_path, always=-1, once=1), range(4), Save(tmp_path), 2, total=4))
    assert sorted(found) == [0, 10, 20, 30]


@pytest.mark.slow
def test_one_that_dies_twice_is_named_and_all_else_is_done(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"^2: .*twice"):
        list(work(Mortal(tmp_path, always=2, once=-1), range(4), Save(tmp_path), 2, total=4))
    assert {file.stem for file in tmp_path.glob("*.result")} == {"0", "10", "30"}


@pytest.mark.slow
def test_sigterm_leaves_tables_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = stop([*STUDY, "--out", str(out)], signal.SIGTERM, out, "runs/*/*/*.parquet", 1)
    assert code == 143
    assert "terminated; the same command goes on from here" in said
    assert "Traceback" not in said
    assert (out / "summary.csv").exists()
    finish([*STUDY, "--out", str(out)])
    assert len((out / "summary.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_workers_end_with_their_main_process(tmp_path: Path) -> None:
    command = [*STUDY, "--repeats", "5", "--jobs", "2", "--out", str(tmp_path / "out")]
    main = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = monotonic() + 240
    while not list((tmp_path / "out").glob("runs/*/*/*.parquet")) and monotonic() < end:
        sleep(0.2)
    workers = psutil.Process(main.pid).children(recursive=True)
    assert len(workers) >= 2
    main.kill()
    main.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
