"""python -m benchmarks.scaling: the time of a round as pixels, classes, members and revealed pixels grow."""

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.data import open_dataset
from lowpix.reveal.session import ImageSession, fit


@dataclass(frozen=True)
class Options:
    """How does the time of a round of `mlp` with `margin` grow? One quantity grows at a time.

    All rounds are on one enlarged generated scene.

    `baseline` is the time if it were proportional to the quantity, starting from the first value. A ratio of at
    least 1 means that growth is at most proportional.
    """

    sizes: tuple[tuple[int, int], ...] = ((360, 480), (1024, 2048), (2448, 3264), (5792, 8688))
    """Heights and widths; the first is used while other quantities grow."""
    classes: tuple[int, ...] = (11, 50, 150)
    """Numbers of classes; the first is used while other quantities grow."""
    members: tuple[int, ...] = (4, 8, 16)
    """Numbers of networks; the first is used while other quantities grow."""
    revealed: tuple[int, ...] = (100, 1000, 5000)
    """Numbers of revealed pixels; the first is used while other quantities grow."""
    repeats: int = 3
    """Number of timed rounds; the shortest time is taken."""
    smoke: bool = False
    """Use small sizes, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/scaling.csv")
    """File of the table."""


SMALL: dict[str, Any] = {
    "sizes": ((24, 32), (48, 64)),
    "classes": (3, 6),
    "members": (2, 4),
    "revealed": (20, 40),
    "repeats": 1,
}


def measure(options: Options) -> Iterator[Row]:
    """All rows; sizes come last, because the peak memory of a process never falls."""
    size, classes, members, revealed = (
        options.sizes[0],
        options.classes[0],
        options.members[0],
        options.revealed[0],
    )
    for what, values in (
        ("classes", options.classes),
        ("members", options.members),
        ("revealed", options.revealed),
    ):
        first: float | None = None
        for value in values:
            point = {"classes": classes, "members": members, "revealed": revealed} | {what: value}
            _, spent = _round(size, **point, repeats=options.repeats)
            first = first or spent
            yield Row(f"round_with_{value}_{what}", spent, "s CPU", first * value / values[0])
    start: tuple[float, float] | None = None
    for height, width in options.sizes:
        inputs, spent = _round((height, width), classes, members, revealed, options.repeats)
        start = start or (inputs, spent)
        growth = height * width / (size[0] * size[1])
        yield Row(f"features_of_{height}x{width}", inputs, "s CPU", start[0] * growth)
        yield Row(f"round_of_{height}x{width}", spent, "s CPU", start[1] * growth)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        yield Row(f"memory_of_{height}x{width}", peak / 1e6, "MB")


def _round(size: tuple[int, int], classes: int, members: int, revealed: int, repeats: int) -> tuple[float, float]:
    """Seconds to make a session, and seconds of a warm round: fit, predict, and ask one pixel."""
    print(f"{size[0]}×{size[1]}, {classes} classes, {members} members, {revealed} revealed", file=sys.stderr)
    image, truth = _enlarged_scene(size, classes)
    start = process_time()
    session = ImageSession(
        image, np.ones(size, np.bool_), classes, members=members, acquisition="margin", smoothing="none"
    )
    begun = process_time() - start
    question = session.ask(revealed)
    session.tell(question, truth[tuple(question.T)])
    fit([session])
    spent = []
    for _ in range(1 + repeats):
        start = process_time()
        fit([session])
        session.predict()
        session.ask(1)
        spent.append(process_time() - start)
    return begun, min(spent[1:])


def _enlarged_scene(size: tuple[int, int], classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An enlarged scene, and a label map of blocks with any number of classes; the time does not depend on it."""
    scenes = open_dataset("scenes", scene_count=1)
    image = Image.fromarray(scenes.image(scenes.images[0])).resize(size[::-1])
    rows, columns = (np.arange(length) * 16 // length for length in size)
    blocks: NDArray[np.uint8] = ((16 * rows[:, None] + columns) % classes).astype(np.uint8)
    return np.asarray(image), blocks


def command(options: Options) -> None:
    """Measure, and write the table."""
    if options.smoke:
        options = replace(options, **SMALL)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = list(measure(options))
    write_table(options.out, rows, "one enlarged scene")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.scaling", command)
