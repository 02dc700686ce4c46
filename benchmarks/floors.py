"""python -m benchmarks.floors: the least time that an image-round can take on one core, and the actual time.

The floor is the number of operations and bytes, divided by the measured speed of a large matrix product and a
large copy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.data import IGNORE, open_dataset
from lowpix.networks import PixelMLP
from lowpix.reveal.session import ImageSession, fit

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Options:
    """How far is a round of `mlp` from its floor? Measured on a generated scene."""

    size: tuple[int, int] = (360, 480)
    """Height and width in pixels."""
    classes: int = 11
    """Number of classes."""
    revealed: int = 100
    """Number of labelled pixels that the network is trained on."""
    ask: int = 5
    """Number of pixels asked in a round."""
    matrix: int = 2048
    """Side of the matrices whose product is timed. 32 of these matrices are copied."""
    repeats: int = 5
    """Number of repeats; the shortest time is taken."""
    smoke: bool = False
    """Use a small scene, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/floors.csv")
    """File of the table."""


@dataclass(frozen=True)
class Work:
    """Floating-point operations, and bytes read and written."""

    operations: float
    bytes: float


def round_of_mlp(
    pixels: int, features: int, classes: int, revealed: int, ask: int, element: int = FLOAT
) -> dict[str, Work]:
    """The least work of each part of a round with `margin`; each input is read once.

    `element` is the size of a feature in bytes.
    """
    width, members, steps = PixelMLP.width, PixelMLP.members, PixelMLP.steps
    weights = members * (features * width + width * width + width * classes)
    # forward pass, and gradients of weights and activations; the features need no gradient
    step = 2 * revealed * (3 * weights - members * features * width)
    probabilities = pixels * members * classes
    return {
        # Adam reads a parameter, its gradient and two moments, and writes three of these: about 12 operations per
        # weight
        "train": Work(steps * (step + 12 * weights), steps * 7 * FLOAT * weights),
        "evaluate": Work(2 * pixels * weights, element * pixels * features),
        # exponential (about 10 operations), sum, division and mean; label and confidence are written
        "softmax": Work(13 * probabilities, pixels * (1 + FLOAT)),
        "score": Work(3 * pixels * classes, FLOAT * pixels),
        "choose": Work(pixels * ask, FLOAT * pixels * ask),
    }


def measure(options: Options) -> Iterator[Row]:
    """The speed limits, and the time of each part of a round; `ratio` is the floor divided by the time."""
    rates = {dtype: _products(options, dtype) for dtype in (torch.float32, torch.bfloat16)}
    bandwidth = _copies(options)
    for dtype, rate in rates.items():
        yield Row(f"ceiling_of_{str(dtype).removeprefix('torch.')}_products", rate / 1e9, "Gop/s")
    yield Row("ceiling_of_copies", bandwidth / 1e9, "GB/s")

    scenes = open_dataset("scenes", scene_size=options.size, scene_count=1, scene_classes=options.classes)
    name = scenes.images[0]
    image, truth = scenes.image(name), scenes.labels(name)
    assert truth is not None
    session = ImageSession(image, truth != IGNORE, options.classes, acquisition="margin", smoothing="none")
    question = session.ask(options.revealed)
    session.tell(question, truth[tuple(question.T)])
    fit([session])
    pixels, features = session.inputs.shape
    dtype = session.inputs.dtype
    work = round_of_mlp(pixels, features, options.classes, options.revealed, options.ask, dtype.itemsize)
    rate_of = {part: rates[dtype if part == "evaluate" else torch.float32] for part in work}
    floor = {part: max(w.operations / rate_of[part], w.bytes / bandwidth) for part, w in work.items()}
    for part, w in work.items():
        yield Row(f"{part}_operations", w.operations / 1e6, "Mop")
        yield Row(f"{part}_bytes", w.bytes / 1e6, "Mbyte")
        yield Row(f"{part}_floor", 1e3 * floor[part], "ms")

    def evaluate() -> None:
        for _ in session.network.tiles(session.learner.parameters, session.inputs):
            pass

    with torch.no_grad():
        evaluating = _seconds(evaluate, options.repeats)
    predicting = _seconds(session.predict, options.repeats)
    for part, measured, least in (
        ("train", _seconds(lambda: fit([session]), options.repeats), floor["train"]),
        ("evaluate", evaluating, floor["evaluate"]),
        ("softmax_and_score", predicting - evaluating, floor["softmax"] + floor["score"]),
        ("choose", _seconds(lambda: session.ask(options.ask), options.repeats), floor["choose"]),
    ):
        yield Row(part, measured, "s CPU", least)


def _products(options: Options, dtype: torch.dtype) -> float:
    """Operations per second in a large matrix product."""
    matrix = torch.randn(options.matrix, options.matrix).to(dtype)
    return 2 * options.matrix**3 / _seconds(lambda: torch.mm(matrix, matrix), options.repeats)


def _copies(options: Options) -> float:
    """Bytes per second, read and written, in a large copy."""
    many = torch.zeros(32, options.matrix, options.matrix)
    copy = torch.empty_like(many)
    return 2 * FLOAT * many.numel() / _seconds(lambda: copy.copy_(many), options.repeats)


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """The shortest CPU time of a call, in seconds."""
    work()
    taken = []
    for _ in range(repeats):
        start = process_time()
        work()
        taken.append(process_time() - start)
    return float(np.min(taken))


def command(options: Options) -> None:
    """Measure, and write the table."""
    if options.smoke:
        options = replace(options, size=(24, 32), revealed=8, matrix=64, repeats=1)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = list(measure(options))
    write_table(options.out, rows, f"a scene of {options.size[0]}×{options.size[1]}")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.floors", command)
