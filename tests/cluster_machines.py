"""A real scheduler and its workers, started by their command lines on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from stopped_runs import ROOT

from lowpix.study.cluster import Cluster, on_cluster

TESTS = Path(__file__).parent


class Machines:
    """A scheduler, and workers that join it and leave."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.settings = {f"DASK_DISTRIBUTED__{name}": str(value) for name, value in settings.items()}
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._start_scheduler()

    def _start_scheduler(self) -> None:
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_for(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.address = str(json.loads(self.file.read_text())["address"])

    def join(self, count: int = 1, *options: str, package: Path = ROOT) -> None:
        for _ in range(count):
            given = ["--nthreads", "1", "--local-directory", str(self.file.parent), *options]
            self.workers.append(self._start("worker", *given, package=package))

    def require(self, count: int) -> "Machines":
        """The same with a scheduler and at least so many workers that live: tests kill some."""
        if self.scheduler.poll() is not None:
            for worker in self.workers:
                self.kill(worker)
            self._start_scheduler()
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        self.join(count - len(self.workers), "--no-nanny")
        return self

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()

    def _start(self, what: str, *options: str, package: Path = ROOT) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file), "--no-dashboard"]
        paths = os.environ | {"PYTHONPATH": f"{package}:{TESTS}", "OMP_NUM_THREADS": "1"} | self.settings
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*command, *options], env=paths, stdout=quiet, stderr=quiet, cwd=self.file.parent)


@contextmanager
def machines(folder: Path, **settings: object) -> Iterator[Machines]:
    """A scheduler with these settings of dask's, such as SCHEDULER__ALLOWED_FAILURES."""
    made = Machines(folder, **settings)
    try:
        yield made
    finally:
        for process in (*made.workers, made.scheduler):
            process.terminate()
        for process in (*made.workers, made.scheduler):
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
            process.kill()  # a worker whose scheduler is gone would look for it for half a minute
            process.wait()


def cluster_of(address: str, task: Callable[[int], Iterable[int]], patience: float = 120) -> Cluster[int, int]:
    return Cluster(address, lambda unit: partial(task, unit), patience)


def done(machines: Machines, task: Callable[[int], Iterable[int]], units: int, patience: float = 120) -> list[int]:
    """The results of units 0, 1, 2, …, sorted."""
    return sorted(on_cluster(cluster_of(machines.address, task, patience), range(units), lambda text: None))


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    until = monotonic() + seconds
    while not condition():
        assert monotonic() < until
        sleep(0.05)
