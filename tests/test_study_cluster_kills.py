"""Workers and schedulers that are killed while units are worked on. The machines are those of the other tests."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from cluster_machines import Machines, cluster_of, done, wait_for
from cluster_tasks import mortal, slow

from lowpix.errors import WorkError
from lowpix.study.cluster import on_cluster

pytestmark = pytest.mark.slow


def test_a_worker_that_is_killed_costs_its_units_time_alone(two: Machines, tmp_path: Path) -> None:
    def strike() -> None:
        wait_for(lambda: bool(begun_by(tmp_path, two.workers[0])))
        two.kill(two.workers[0])

    with beside(strike):
        assert done(two, partial(slow, folder=tmp_path), 6) == [0, 10, 20, 30, 40, 50]
    assert len(list(tmp_path.iterdir())) >= 7  # one was begun twice


def test_a_unit_that_kills_its_workers_is_named_and_the_rest_is_done(farm: Machines) -> None:
    """The scheduler gives up at the second worker."""
    farm.require(3)
    found: list[int] = []
    units = on_cluster(cluster_of(farm.address, mortal), range(5), lambda text: None)
    with pytest.raises(WorkError, match=r"^2: killed each worker that tried it; the rest is done$"):
        keep(units, found)
    assert sorted(found) == [0, 10, 30, 40]
    wait_for(lambda: sum(worker.poll() is None for worker in farm.workers) == 1)


def test_when_all_workers_are_gone_new_ones_go_on(farm: Machines, tmp_path: Path) -> None:
    farm.require(1)

    def strike() -> None:
        wait_for(lambda: any(begun_by(tmp_path, worker) for worker in farm.workers))
        for worker in farm.workers:
            farm.kill(worker)
        farm.require(1)

    with beside(strike):
        assert done(farm, partial(slow, folder=tmp_path), 3) == [0, 10, 20]


def test_a_scheduler_that_goes_is_missed_in_a_line(farm: Machines, tmp_path: Path) -> None:
    farm.require(1)

    def strike() -> None:
        wait_for(lambda: any(begun_by(tmp_path, worker) for worker in farm.workers))
        farm.kill(farm.scheduler)

    with beside(strike), pytest.raises(WorkError, match=r"^--cluster tcp://.*: the scheduler is gone$"):
        done(farm, partial(slow, folder=tmp_path), 60)


def begun_by(folder: Path, worker: subprocess.Popen[bytes]) -> list[Path]:
    """What the units of a worker left when they began."""
    return list(folder.glob(f"*.{worker.pid}.begun"))


@contextmanager
def beside(strike: Callable[[], None]) -> Iterator[None]:
    """While the body runs, something else happens."""
    thread = Thread(target=strike, daemon=True)
    thread.start()
    yield
    thread.join(240)
    assert not thread.is_alive()


def keep(units: Iterator[int], found: list[int]) -> None:
    """Results as they come, also if the end is an error."""
    for result in units:
        found.append(result)
