"""The one pool of all studies: units of work go in, saved runs come out, and a bar says how long is left.

A *task* turns a unit (an image with its settings, say) into results, one by one; `save` writes a result into the
study's folder and gives back what is worth telling of it. Workers share the disk, so each saves its own results as
they come: a kill costs no more than what was under way.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from functools import cache
from itertools import islice
from threading import Event, Thread
from time import sleep
from typing import Any, TypeVar

import torch
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lowpix.errors import WorkError

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Saved = TypeVar("Saved")

SECONDS = 2  # between two looks at how far the workers are
THREADS = [f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")]


def work(
    task: Callable[[Unit], Iterable[Result]],
    units: Sequence[Unit],
    save: Callable[[Result], Saved],
    jobs: int,
    *,
    total: int,
    unit: str = "run",
    done: Callable[[], float] | None = None,
    tell: Callable[[Saved], str] | None = None,
) -> Iterator[Saved]:
    """Do all units and yield what `save` gave for each result, in the order in which they end.

    Args:
        task: from a unit to its results. With several processes it is sent to them, as is `save`.
        units: in the order in which they are begun.
        save: writes a result.
        jobs: processes of one thread each; 1 works in this one. No number of them changes a result.
        total: length of the bar.
        unit: what the bar counts: results, unless `done` says otherwise.
        done: how much of `total` is done, looked at every two seconds, for results that take long.
        tell: a few words about what has been saved so far, shown beside the bar.
    """
    engine = _here if jobs == 1 else _processes
    bar: tqdm[Any]
    with tqdm(total=total, unit=unit, smoothing=0) as bar, _watched(bar, done):
        for saved in engine(task, units, save, jobs):
            if tell:
                bar.set_postfix_str(tell(saved), refresh=False)
            bar.update(0 if done else 1)
            yield saved


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch, BLAS and OpenMP: more change the last bits, and fight over cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _here(
    task: Callable[[Unit], Iterable[Result]], units: Iterable[Unit], save: Callable[[Result], Saved], jobs: int
) -> Iterator[Saved]:
    with one_thread():
        for unit in units:
            for result in task(unit):
                yield save(result)


def _processes(
    task: Callable[[Unit], Iterable[Result]], units: Iterable[Unit], save: Callable[[Result], Saved], jobs: int
) -> Iterator[Saved]:
    """Processes, never threads: pretrained networks draw their weights from torch's global generator.

    A worker that dies takes all workers down, so nobody knows which unit killed it: the units that were under way
    are tried once more, each alone.
    """
    left, lost = iter(units), []
    pool = _pool(jobs)
    try:
        running: dict[Future[list[Saved]], Unit] = {}
        while True:
            for unit in islice(left, jobs - len(running)):
                running[_submit(pool, task, unit, save)] = unit
            if not running:
                break
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            suspects = []
            for future in ended:
                unit = running.pop(future)
                try:
                    yield from future.result()
                except TerminatedWorkerError:
                    suspects.append(unit)
            if suspects:
                suspects += running.values()
                running.clear()
                for unit in suspects:
                    pool.shutdown(kill_workers=True)
                    pool = _pool(1)
                    try:
                        yield from _submit(pool, task, unit, save).result()
                    except TerminatedWorkerError:
                        lost.append(unit)
                pool.shutdown(kill_workers=True)
                pool = _pool(jobs)
    finally:
        pool.shutdown(kill_workers=True)
    if lost:
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise WorkError(
            f"{lost[0]}{others}: killed its worker process twice, as when memory runs out; all else is done"
        )


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, env=dict.fromkeys(THREADS, "1"))


def _submit(
    pool: ProcessPoolExecutor,
    task: Callable[[Unit], Iterable[Result]],
    unit: Unit,
    save: Callable[[Result], Saved],
) -> "Future[list[Saved]]":
    """The future of a unit; if a worker has died just now, one that says so."""
    try:
        future: Future[list[Saved]] = pool.submit(_unit, task, unit, save)
    except TerminatedWorkerError as fault:
        future = Future()
        future.set_exception(fault)
    return future


def _unit(task: Callable[[Unit], Iterable[Result]], unit: Unit, save: Callable[[Result], Saved]) -> list[Saved]:
    """Do a unit in a worker process."""
    _end_with_parent()
    return list(_here(task, [unit], save, 1))


@cache
def _end_with_parent() -> None:
    """End this process, at once, when the one that started it has ended: nobody waits for its results."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _watched(bar: "tqdm[Any]", done: Callable[[], float] | None) -> Iterator[None]:
    """Keep the bar at what `done` says."""
    if done is None:
        yield
        return
    bar.update(done())
    bar.initial = bar.n  # what an earlier process did says nothing about the speed of this one
    ended = Event()

    def look() -> None:
        while not ended.wait(SECONDS):
            bar.update(done() - bar.n)

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        bar.update(done() - bar.n)
