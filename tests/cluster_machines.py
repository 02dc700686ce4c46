"""A real scheduler and its workers, started by their command lines on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from stopped_runs import ROOT

TESTS = Path(__file__).parent


class Machines:
    """A scheduler, and workers that join it and leave."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.settings = {f"DASK_DISTRIBUTED__{name}": str(value) for name, value in settings.items()}
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_for(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.address = str(json.loads(self.file.read_text())["address"])
        self.workers: list[subprocess.Popen[bytes]] = []

    def join(self, count: int = 1, *options: str, package: Path = ROOT) -> None:
        for _ in range(count):
            given = ["--nthreads", "1", "--local-directory", str(self.file.parent), *options]
            self.workers.append(self._start("worker", *given, package=package))

    def require(self, count: int) -> "Machines":
        """The same with at least so many workers that live: tests kill some."""
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


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    until = monotonic() + seconds
    while not condition():
        assert monotonic() < until
        sleep(0.05)
