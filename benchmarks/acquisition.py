"""python -m benchmarks.acquisition: what each acquisition function costs, beside entropy of the same members.

An image's probabilities are never held at once, here as in a session: it is scored in tiles of pixels. These are a
few generated ones, scored in turn again and again, so more of them may come from a cache than in real use.
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


@dataclass(frozen=True)
class Options:
    """Which acquisition functions are dear? Nanoseconds of one thread for each pixel and class."""

    sizes: tuple[tuple[int, int], ...] = ((360, 480), (1024, 2048))
    """Heights and widths of images, pixels."""
    classes: tuple[int, ...] = (11, 19, 150)
    """Numbers of classes."""
    members: tuple[int, ...] = (4, 16)
    """Numbers of members."""
    functions: tuple[str, ...] = ()
    """These acquisition functions; else all that read probabilities."""
    tiles: int = 4
    """How many different tiles there are."""
    share: float = 1
    """Of the tiles of an image, how many are scored: the time of the others is what these take."""
    repeats: int = 3
    """The least of so many is taken."""
    smoke: bool = False
    """A few tiles: does the benchmark run? Overrides the above."""
    out: Path = Path("results/benchmarks/acquisition.csv")
    """The table."""


def measure(options: Options) -> Iterator[Row]:
    """Each function's time beside entropy's, of the same tiles in turn, and how many times entropy's it is.

    A row's name holds its pixels, classes and members. The cost is linear in the first two if the time of a pixel
    and class does not depend on them.
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
    """Probabilities `(M, TILE, C)`, float32, views of class-major memory: what a session hands to a function."""
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
    """A pixel and class of `count` tiles, by each scorer in turn; the least of some."""
    least = [float("inf")] * len(scorers)
    for _ in range(repeats):
        for index, scorer in enumerate(scorers):
            scorer(tiles[0])
            start = process_time()
            for tile in range(count):
                scorer(tiles[tile % len(tiles)])
            least[index] = min(least[index], process_time() - start)
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
