"""python -m benchmarks.cluster: what the scheduler and the writer of a study on a cluster cost a unit."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.data import Dataset, open_dataset
from lowpix.data.sent import Sent
from lowpix.study.cluster import Cluster, on_cluster
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES, Run, confidence_name, label_map_name
from lowpix.study.label_maps import confidence_png, label_map_png


@dataclass(frozen=True)
class Options:
    """How many workers can one study feed, and where does it give out?

    Units that sleep are sent with an image each to one real scheduler. Workers are real processes, or simulated
    ones, all in one process. CPU time is that of the scheduler's process and of the study's.
    """

    workers: tuple[int, ...] = (2,)
    """Numbers of real workers."""
    simulated: tuple[int, ...] = (20, 200)
    """Numbers of simulated workers."""
    units: int = 600
    """Number of units for each number of workers."""
    sleep: float = 0.5
    """Seconds that a unit sleeps."""
    size: tuple[int, int] = (360, 480)
    """Height and width of the images."""
    rounds: int = 150
    """Rounds of a run."""
    saves: int = 200
    """Number of runs that are written."""
    listed: int = 100_000
    """Number of finished runs that are listed."""
    smoke: bool = False
    """Use small numbers, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/cluster.csv")
    """File of the table."""


SMALL: dict[str, Any] = {"workers": (), "simulated": (3,), "units": 9, "sleep": 0.05, "size": (24, 32)}
SMALL |= {"rounds": 5, "saves": 3, "listed": 50}


def measure(options: Options) -> Iterator[Row]:
    """All rows."""
    scenes = open_dataset("scenes", scene_size=options.size, scene_count=1)
    for real, counts in ((True, options.workers), (False, options.simulated)):
        for count in counts:
            yield from _feeding(options, scenes, count, real)
    yield from _writing(options, scenes)
    yield from _listing(options)


def _feeding(options: Options, scenes: Dataset, count: int, real: bool) -> Iterator[Row]:
    """The time of a unit beyond its own, by number of workers; `baseline` is the unit's own share of the time."""
    name = f"{count} {'real' if real else 'simulated'} workers"

    images = Sent(scenes, scenes.images)  # generated once: a study reads a file

    def send(unit: int) -> partial[Any]:
        return partial(_sleep, images, options.sleep)

    with tempfile.TemporaryDirectory() as folder, _machines(Path(folder), count, real) as (address, scheduler):
        cluster = Cluster(address, send)
        list(on_cluster(cluster, range(count), lambda text: None))  # all workers have loaded the package
        before, start, own = sum(scheduler.cpu_times()[:2]), perf_counter(), process_time()
        done = sum(1 for _ in on_cluster(cluster, range(options.units), lambda text: None))
        wall = perf_counter() - start
        assert done == options.units
        yield Row(f"a unit, {name}: scheduler", (sum(scheduler.cpu_times()[:2]) - before) / done, "s CPU")
        yield Row(f"a unit, {name}: study", (process_time() - own) / done, "s CPU")
        yield Row(f"all units, {name}", wall, "s wall", options.units * options.sleep / count)


def _sleep(dataset: Dataset, seconds: float) -> Iterator[int]:
    """Instead of training; the image travels as if it were needed."""
    time.sleep(seconds)
    yield len(dataset.images)


SIMULATED = """
import asyncio, contextlib, sys, dask
from distributed import Worker
import lowpix.study.cluster

lowpix.study.cluster.ONE_UNIT = contextlib.nullcontext()  # units that sleep do not mind each other
lowpix.study.cluster.one_thread = contextlib.nullcontext

# each would look at the process a hundred times a second, which real workers do on a machine each
dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.system-monitor.interval": "60s"})

async def main():
    made = [Worker(sys.argv[1], nthreads=1, dashboard=False, memory_limit=0) for _ in range(int(sys.argv[2]))]
    await asyncio.gather(*made)
    await asyncio.gather(*(worker.finished() for worker in made))

asyncio.run(main())
"""


@contextmanager
def _machines(folder: Path, count: int, real: bool) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler with workers: its address and its process."""
    dask, file = [sys.executable, "-m", "dask"], folder / "scheduler.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    given = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    started = [subprocess.Popen([*dask, "scheduler", *given], **quiet)]
    try:
        while not file.exists() or not file.read_text().endswith("}"):
            time.sleep(0.1)
        address = str(pd.read_json(file, typ="series")["address"])
        if real:
            joined = [
                "--nthreads",
                "1",
                "--nworkers",
                str(count),
                "--no-dashboard",
                "--local-directory",
                str(folder),
            ]
            started.append(subprocess.Popen([*dask, "worker", address, *joined], **quiet))
        else:
            started.append(subprocess.Popen([sys.executable, "-c", SIMULATED, address, str(count)], **quiet))
        yield address, psutil.Process(started[0].pid)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)


def _writing(options: Options, scenes: Dataset) -> Iterator[Row]:
    """The time that the study's process takes to write a run with its two pictures, which wait for the disk."""
    labels = scenes.labels(scenes.images[0])
    assert labels is not None
    pictures = label_map_png(labels, scenes.palette), confidence_png(np.full(options.size, 0.5, np.float32))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        study, start, own = Study(Path(folder), IMAGES), perf_counter(), process_time()
        for number in range(options.saves):
            run = _run(f"image_{number}", options)
            key = IMAGES.key_of(run)
            study.save(run, dict(zip((label_map_name(*key), confidence_name(*key)), pictures, strict=True)))
        yield Row("a run: writer", (process_time() - own) / options.saves, "s CPU")
        yield Row("a run: writer", (perf_counter() - start) / options.saves, "s wall")
        start = process_time()
        study.write_tables()
        yield Row("a run: tables at the end", (process_time() - start) / options.saves, "s CPU")


def _run(image: str, options: Options) -> Run:
    """A run to 1,000 pixels or so, of which nothing was trained."""
    draw, pixels = np.random.default_rng(0), options.size[0] * options.size[1]
    told = [draw.integers(0, options.size[0], 7).astype(np.int32) for _ in range(options.rounds)]
    rounds = pd.DataFrame(
        {
            "round": range(options.rounds),
            "asked": 7 * np.arange(1, options.rounds + 1),
            "revealed": 7 * np.arange(1, options.rounds + 1),
            "accuracy": draw.random(options.rounds),
            "accuracy_unrevealed": draw.random(options.rounds),
            "miou": draw.random(options.rounds),
            "seconds": draw.random(options.rounds),
            "rows": told,
            "columns": told,
            "labels": [np.zeros(7, np.uint8)] * options.rounds,
        }
    )
    facts: dict[str, Any] = {
        "network": "mlp",
        "acquisition": "margin",
        "selection": "top",
        "oracle": "label map",
        "stop": "budget",
        "dataset": "scenes",
        "setting": "mlp-margin",
        "void": "never asked",
    }
    rounds["fraction"] = rounds["revealed"] / pixels
    facts |= {"privileged": False, "target": 0.98, "classes": 6}
    return Run(**facts, image=image, seed=0, pixels=pixels, rounds=rounds)


def _listing(options: Options) -> Iterator[Row]:
    """The time to find out which runs are finished."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs/mlp-margin/0")
        runs.mkdir(parents=True)
        for number in range(options.listed):
            (runs / f"image_{number}.parquet").touch()
        start = process_time()
        found = len(Study(Path(folder), IMAGES).finished())
        assert found == options.listed
        yield Row(f"{options.listed} finished runs: listing", process_time() - start, "s CPU")


def command(options: Options) -> None:
    """Measure, print and write the table."""
    options = replace(options, **SMALL) if options.smoke else options
    height, width = options.size
    write_table(options.out, measure(options), f"generated scenes of {height}×{width}")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.cluster", command)
