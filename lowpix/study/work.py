"""The worker pool of all studies: units of work go in, saved runs come out, and a bar shows the time left.

A *task* turns a unit of work (for example an image with all settings) into results, one by one. `save` writes a
result to the study's folder and returns what the caller needs of it. Each worker saves its own results at once, so
a kill loses only unfinished results.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from itertools import islice
from threading import Event, Thread
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from lowpix.errors import WorkError
from lowpix.study.cluster import Cluster, on_cluster
from lowpix.study.parent import end_with
from lowpix.study.threads import one_thread

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Saved = TypeVar("Saved")

SECONDS = 2  # between two updates of the bar from `done`
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
    within: Callable[[], str] | None = None,
    cluster: Cluster[Unit, Result] | None = None,
) -> Iterator[Saved]:
    """Do all units of work, and yield what `save` returned for each result, in the order in which they finish.

    Args:
        task: makes the results of a unit. It and `save` are pickled if there are several processes.
        units: the units of work, in the order in which they are started.
        save: writes a result.
        jobs: number of processes, each with one thread; 1 works in this process. It does not change the results.
        total: length of the bar.
        unit: the name of what the bar counts: results, or what `done` counts.
        done: the part of `total` that is done, read every two seconds; for results that take long.
        tell: text about what has been saved, shown next to the bar.
        within: text about the results in progress, read every two seconds and shown before the bar.
        cluster: works on the units on other machines instead, and saves their results here.
    """
    bar: tqdm[Any]
    with tqdm(total=total, unit=unit, smoothing=0) as bar, _watched(bar, done, within):
        if cluster is not None:
            found: Iterator[Saved] = map(save, on_cluster(cluster, units, bar.set_description_str))
        else:
            engine = _here if jobs == 1 else _processes
            found = engine(task, units, save, max(1, min(jobs, len(units))))  # a pool starts all its workers
        for saved in found:
            if tell:
                bar.set_postfix_str(tell(saved), refresh=False)
            bar.update(0 if done else 1)
            yield saved


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
    """Work in processes, not threads, because pretrained networks draw weights from torch's global generator.

    If a worker dies, the pool ends all workers, and it is unknown which unit killed it. So all units that were
    being worked on are tried once more, one at a time.
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
            f"{lost[0]}{others}: its worker process died twice, perhaps because memory ran out; the rest is done"
        )


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        jobs, env=dict.fromkeys(THREADS, "1"), initializer=end_with, initargs=(os.getpid(),)
    )


def _submit(
    pool: ProcessPoolExecutor,
    task: Callable[[Unit], Iterable[Result]],
    unit: Unit,
    save: Callable[[Result], Saved],
) -> "Future[list[Saved]]":
    """The future of a unit. If a worker has just died, the future raises TerminatedWorkerError."""
    try:
        future: Future[list[Saved]] = pool.submit(_unit, task, unit, save)
    except TerminatedWorkerError as fault:
        future = Future()
        future.set_exception(fault)
    return future


def _unit(task: Callable[[Unit], Iterable[Result]], unit: Unit, save: Callable[[Result], Saved]) -> list[Saved]:
    """Do a unit in a worker process."""
    return list(_here(task, [unit], save, 1))


@contextmanager
def _watched(
    bar: "tqdm[Any]", done: Callable[[], float] | None, within: Callable[[], str] | None
) -> Iterator[None]:
    """Update the bar from `done`, and the text before it from `within`."""
    if done is None and within is None:
        yield
        return
    if done is not None:
        bar.update(done())
        bar.initial = bar.n  # tqdm's speed must not count what earlier processes did
    ended = Event()

    def watch() -> None:
        while not ended.wait(SECONDS):
            if done is not None:
                bar.update(done() - bar.n)
            if within is not None and (text := within()):
                bar.set_description_str(text)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        if within is not None:
            bar.set_description_str("")
        if done is not None:
            bar.update(done() - bar.n)
