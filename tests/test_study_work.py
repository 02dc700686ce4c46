"""The pool of all studies: the same results whatever the number of processes, each on one thread."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from lowpix.study.progress import Progress
from lowpix.study.threads import one_thread
from lowpix.study.work import work


def powers(unit: int) -> Iterator[tuple[str, list[float]]]:
    """Two results a unit, of numbers whose last bits a sum in another order would change."""
    for power in (1, 2):
        drawn = torch.rand(1000, generator=torch.Generator().manual_seed(unit)) ** power
        yield f"{unit}_{power}", [float(drawn.sum()), float(np.linalg.norm(drawn.numpy()))]


@dataclass(frozen=True)
class Save:
    folder: Path

    def __call__(self, result: tuple[str, list[float]]) -> str:
        name, numbers = result
        (self.folder / name).write_text(repr(numbers))
        return name


def threads() -> list[int]:
    """Of torch, and of every BLAS and OpenMP that is loaded."""
    return [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]


def tell_threads(unit: int) -> Iterator[tuple[int, list[int]]]:
    torch.rand(64, 64) @ torch.rand(64, 64)  # whatever is loaded late
    yield os.getpid(), threads()


def kept(result: Any) -> Any:
    return result


@pytest.fixture
def several() -> Iterator[list[int]]:
    """Two threads each, as far as they can be had, at the beginning of a test and at its end."""
    with threadpool_limits(2):
        torch.set_num_threads(2)
        before = threads()
        assert before[0] == 2
        assert max(before[1:]) == 2
        yield before
        assert threads() == before


@pytest.mark.slow
def test_processes_change_no_result(tmp_path: Path) -> None:
    found = {}
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        out.mkdir()
        named = list(work(powers, range(5), Save(out), jobs, total=10))
        assert sorted(named) == [f"{unit}_{power}" for unit in range(5) for power in (1, 2)]
        found[jobs] = {file.name: file.read_text() for file in out.iterdir()}
    assert len(found[1]) == 10
    assert found[1] == found[2]


@pytest.mark.slow
def test_every_process_has_one_thread(several: list[int]) -> None:
    arrivals = list(work(tell_threads, range(4), kept, 2, total=4))
    assert os.getpid() not in {process for process, _ in arrivals}
    for _, pools in arrivals:
        assert len(pools) > 1
        assert set(pools) == {1}


def test_this_process_has_one_thread_while_it_works(several: list[int]) -> None:
    ((process, pools),) = work(tell_threads, [0], kept, 1, total=1)
    assert process == os.getpid()
    assert len(pools) == len(several)
    assert set(pools) == {1}


def test_threads_are_as_before_after_an_error_and_after_an_end_before_the_end(several: list[int]) -> None:
    def fails(unit: int) -> Iterator[int]:
        assert set(threads()) == {1}
        raise RuntimeError("what a unit may raise")
        yield unit

    with pytest.raises(RuntimeError, match="what a unit may raise"):
        list(work(fails, [0], kept, 1, total=1))
    assert threads() == several
    results = work(tell_threads, range(3), kept, 1, total=3)
    next(results)
    results.close()
    assert threads() == several
    with one_thread():
        assert set(threads()) == {1}


def test_the_bar_counts_results(capsys: pytest.CaptureFixture[str]) -> None:
    names = work(
        powers, [7, 8], lambda result: result[0], 1, total=4, unit="power", tell=lambda name: f"at {name}"
    )
    assert list(names) == ["7_1", "7_2", "8_1", "8_2"]
    bar = capsys.readouterr().err
    assert "0/4 [" in bar
    last = bar.rstrip().rpartition("\r")[2]
    assert "4/4 [" in last
    assert "power/s" in last
    assert "at 8_2" in last


def test_done_drives_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """What was done before counts, and it moves while a result is under way."""
    stages = iter([4, 6])  # before the work, and when the clock has it looked at
    under_way, ended = Event(), Event()

    def done() -> int:
        if ended.is_set():
            return 10
        looked = next(stages, 6)
        if looked == 6:
            under_way.set()
        return looked

    def long(unit: int) -> Iterator[int]:
        assert under_way.wait(30)  # nothing but the clock sets it
        yield unit
        ended.set()

    assert list(work(long, [1], kept, 1, total=10, done=done)) == [1]
    bar = capsys.readouterr().err
    assert bar.index("6/10 [") < bar.index("10/10 [")
    assert " 1/10 [" not in bar


def test_what_runs_in_progress_say_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """By every process, while it works; and no longer when it has said nothing."""
    monkeypatch.setattr("lowpix.study.work.SECONDS", 0.01)
    progress, shown = Progress(tmp_path), Event()

    def slow(unit: int) -> Iterator[int]:
        progress.say(f"image_{unit}: round 7")
        shown.wait(0.3)
        yield unit

    assert list(work(slow, [1], kept, 1, total=1, within=progress.said)) == [1]
    assert "image_1: round 7" in capsys.readouterr().err
    (tmp_path / "another").write_text("image_2: round 3")
    assert progress.said() == "image_1: round 7 (and 1 more)"
    progress.say("")
    assert progress.said() == "image_2: round 3"
