"""python -m benchmarks.acquisition: the time of each acquisition function, compared with entropy.

As in a session, an image is scored in tiles of pixels. Here a few generated tiles are scored again and again, so
they may be in a cache more often than in real use.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import torch

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.errors import choose
from lowpix.networks import PixelMLP
from lowpix.reveal.acquisition import ACQUISITIONS, Acquisition

TILE = PixelMLP.tile
SPENT = 0.2  # CPU seconds that are spent on each comparison at least


@dataclass(frozen=True)
class Options:
    """Which acquisition functions are slow? Nanoseconds of one thread per pixel and class."""

    sizes: tuple[tuple[int, int], ...] = ((360, 480), (1024, 2048))
    """Heights and widths of images, in pixels."""
    classes: tuple[int, ...] = (11, 19, 150)
    """Numbers of classes."""
    members: tuple[int, ...] = (4, 16)
    """Numbers of members."""
    functions: tuple[str, ...] = ()
    """These acquisition functions; else all that read probabilities."""
    tiles: int = 4
    """Number of different tiles."""
    share: float = 1
    """Share of an image's tiles that are scored; the time is per scored pixel."""
    repeats: int = 3
    """Least number of repeats; the shortest time is taken."""
    smoke: bool = False
    """Use a few small tiles, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/acquisition.csv")
    """File of the table."""


def measure(options: Options) -> Iterator[Row]:
    """The time of each function and of entropy on the same tiles, and their ratio.

    A row's name holds image size, classes and members. The total time is linear in pixels and classes if the time
    per pixel and class does not depend on them.
    """
    scored = {name: one for name, one in ACQUISITIONS.items() if one.score is not None and name != "entropy"}
    functions = [choose("--functions", name, scored) for name in options.functions or scored]
    for members in options.members:
        for classes in options.classes:
            tiles = draw_tiles(options.tiles, members, classes)
            noise = torch.rand(TILE, generator=torch.Generator().manual_seed(0))
            for height, width in options.sizes:
                count = max(1, round(options.share * height * width / TILE))
                of = f"{height}x{width}, {classes} classes, {members} members"
                for one in functions:
                    ours, theirs = _nanoseconds(
                        [_scorer(one, noise), _scorer(ACQUISITIONS["entropy"], noise)],
                        tiles,
                        count,
                        options.repeats,
                    )
                    yield Row(f"{one.name} at {of}", ours, "ns CPU a pixel and class", theirs)
                    yield Row(f"{one.name} at {of}", ours / theirs, "times entropy")


def draw_tiles(count: int, members: int, classes: int) -> list[torch.Tensor]:
    """Probabilities `(M, TILE, C)`, float32, as views of class-major memory, like those in a session."""
    draw = torch.Generator().manual_seed(members * classes)
    return [torch.randn(members, classes, TILE, generator=draw).softmax(1).transpose(1, 2) for _ in range(count)]


def _scorer(acquisition: Acquisition, noise: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    score = acquisition.score
    assert score is not None
    return (lambda p: score(p, noise)) if acquisition.noisy else score


def _nanoseconds(
    scorers: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    tiles: Sequence[torch.Tensor],
    count: int,
    repeats: int,
) -> list[float]:
    """The shortest time of each scorer per pixel and class, on `count` tiles. The scorers take turns.

    A scorer that takes a millisecond is repeated more often: other work on the machine can disturb a few repeats
    in a row, but not the shortest of many.
    """
    least, spent, done = [float("inf")] * len(scorers), 0.0, 0
    while done < repeats or spent < SPENT:
        for index, scorer in enumerate(scorers):
            scorer(tiles[0])
            start = process_time()
            for tile in range(count):
                scorer(tiles[tile % len(tiles)])
            seconds = process_time() - start
            least[index], spent = min(least[index], seconds), spent + seconds
        done += 1
    return [1e9 * seconds / (count * TILE * tiles[0].shape[-1]) for seconds in least]


def command(options: Options) -> None:
    """Measure, and write the table."""
    if options.smoke:
        options = replace(options, sizes=((32, 64), (64, 64)), classes=(2, 11), members=(2, 4), tiles=2, repeats=1)
    torch.set_num_threads(1)
    write_table(
        options.out, measure(options), f"{options.tiles} generated tiles of {TILE} pixels, again and again"
    )


if __name__ == "__main__":
    run(Options, "python -m benchmarks.acquisition", command)
