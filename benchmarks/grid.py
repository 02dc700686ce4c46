"""python -m benchmarks.grid: what --grid saves in a round of a large image."""

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import torch
from threadpoolctl import threadpool_limits

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.data import IGNORE, open_dataset
from lowpix.image_study.loop import Case
from lowpix.reveal.oracle import LabelMapOracle
from lowpix.reveal.session import ImageSession, fit


@dataclass(frozen=True)
class Options:
    """How long is a round of the default settings, of every pixel and of every n-th row and column?

    A round is: ask, train, predict and compare with the label map. `baseline` is the same round of every pixel.
    """

    size: tuple[int, int] = (1024, 2048)
    """Height and width of a generated scene."""
    classes: int = 19
    """Number of classes."""
    asked: tuple[int, ...] = (50, 200, 1000)
    """Numbers of pixels asked at which rounds are timed."""
    grids: tuple[int, ...] = (1, 2, 4, 8)
    """Values of --grid; the first must be 1."""
    smoke: bool = False
    """Use small numbers, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/grid.csv")
    """File of the table."""


def measure(options: Options) -> Iterator[Row]:
    """All rows."""
    scenes = open_dataset("scenes", scene_size=options.size, scene_count=1, scene_classes=options.classes)
    image, truth = scenes.image("scene_000"), scenes.labels("scene_000")
    assert truth is not None
    start = process_time()
    session = ImageSession(image, truth != IGNORE, options.classes, seed=0)
    height, width = options.size
    name = f"{height}x{width}"
    yield Row(f"preparing {name}", process_time() - start, "s CPU")
    case = Case("grid", ("scene_000", 0), session, LabelMapOracle(truth, options.classes), truth)
    case.ask(5)
    case.measure()
    for asked in options.asked:
        case.ask(asked - session.log.asked - len(options.grids))
        fit([session])
        case.measure()
        whole = None
        for grid in options.grids:  # each round asks one pixel more
            case.measure(grid)
            start = process_time()
            case.ask(1)
            fit([session])
            case.measure(grid)
            spent = process_time() - start
            whole = whole or spent
            yield Row(f"round of {name} at {asked} pixels, grid {grid}", spent, "s CPU", whole)
            sampled = case.rounds[-1]["accuracy"]
            case.measure()
            off = 100 * abs(case.rounds[-1]["accuracy"] - sampled)
            yield Row(f"accuracy of {name} at {asked} pixels, grid {grid}: off by", off, "points")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    yield Row(f"memory of {name}", peak / 1e6, "MB")


def command(options: Options) -> None:
    """Measure, and write the table."""
    if options.smoke:
        options = replace(options, size=(120, 160), classes=4, asked=(20, 40), grids=(1, 2))
    torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = list(measure(options))
    write_table(options.out, rows, "one generated scene")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.grid", command)
