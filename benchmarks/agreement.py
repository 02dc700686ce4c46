"""python -m benchmarks.agreement: how far do two independent draws of the members choose the same pixels?

A choice that another draw of the same members would not make says more about the draw than about the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.data import IGNORE, Dataset, open_dataset, spread
from lowpix.networks import find_network
from lowpix.reveal.acquisition import ACQUISITIONS
from lowpix.reveal.session import ImageSession, fit
from lowpix.seeds import seed_for


@dataclass(frozen=True)
class Options:
    """Of the 1 % of an image's pixels that a function would ask first, the share that a second draw would, too.

    `ensemble-M`: M networks from other initial weights, on the same revealed pixels. `dropout-K`: K samples of one
    trained network. The pixels, drawn uniformly, are the same for both draws and for all functions.
    """

    dataset: str = "camvid"
    """As for `python -m lowpix.image_study`."""
    data_root: Path | None = None
    """Folder of the data set or its parent."""
    limit: int = 8
    """So many images, spread over the train split."""
    revealed: int = 100
    """Pixels that the networks are trained on."""
    members: tuple[int, ...] = (4, 16)
    """Networks in each draw of an ensemble."""
    samples: tuple[int, ...] = (32, 128)
    """Samples in each draw of dropout."""
    dropout: float = 0.5
    """Share of what the last layer reads that is dropped."""
    percent: float = 1
    """So much of the image is chosen."""
    smoke: bool = False
    """Two small scenes: does it run? Overrides the above."""
    out: Path = Path("results/benchmarks/agreement.csv")
    """The table."""


def measure(options: Options) -> Iterator[Row]:
    """For every function and kind of members, the share in common; `baseline` is what chance would give."""
    dataset = open_dataset(options.dataset, options.data_root, scene_size=(24, 32))
    for name in tqdm(spread(dataset.images, options.limit), unit="image"):
        for members, one, other in _draws(dataset, name, options):
            for function in one:
                common = shared(one[function], other[function], options.percent)
                unit = f"share of the top {options.percent:g} %"
                yield Row(f"{function}_{members}", common, unit, options.percent / 100)


Scores = dict[str, NDArray[np.float64]]


def _draws(dataset: Dataset, name: str, options: Options) -> Iterator[tuple[str, Scores, Scores]]:
    """Kinds of members, and what the functions say of two draws of each."""
    image, truth = dataset.image(name), dataset.labels(name)
    assert truth is not None
    askable = truth != IGNORE
    inputs = find_network("mlp").inputs(image, torch.device("cpu"))
    draw = np.random.default_rng(seed_for(0, name))
    question = draw.permutation(np.argwhere(askable))[: options.revealed]

    def trained(seed: int, members: int | None = None, dropout: float = 0, samples: int = 0) -> ImageSession:
        session = ImageSession(
            image,
            askable,
            len(dataset.classes),
            members=members,
            dropout=dropout,
            samples=samples,
            seed=seed_for(seed, name),
            inputs=inputs,
        )
        session.tell(question, truth[tuple(question.T)])
        fit([session])
        return session

    for members in options.members:
        yield f"ensemble-{members}", scores(trained(1, members)), scores(trained(2, members))
    for samples in options.samples:
        session = trained(1, None, options.dropout, samples)
        first = scores(session)
        session.seed += 1  # from here on nothing but samples is drawn
        yield f"dropout-{samples}", first, scores(session)


@torch.no_grad()
def scores(session: ImageSession) -> Scores:
    """What every function that reads probabilities says of the session's members, `(N,)` by name."""
    chosen = {name: one for name, one in ACQUISITIONS.items() if one.score is not None and not one.noisy}
    tiles: dict[str, list[torch.Tensor]] = {name: [] for name in chosen}
    for _, p in session.probabilities():
        for name, acquisition in chosen.items():
            assert acquisition.score is not None
            tiles[name].append(acquisition.score(p.transpose(1, 2)).double())
    return {name: torch.cat(parts).numpy() for name, parts in tiles.items()}


def shared(one: NDArray[np.float64], other: NDArray[np.float64], percent: float) -> float:
    """The share in common of the `percent` % highest scores of each, ties drawn at random for each."""
    count = max(1, round(one.size * percent / 100))
    draw = np.random.default_rng(0)
    chosen = []
    for scores in (one, other):
        order = draw.permutation(scores.size)
        chosen.append(order[np.argpartition(-scores[order], count - 1)[:count]])
    return len(np.intersect1d(chosen[0], chosen[1])) / count


def command(options: Options) -> None:
    """Measure, and write the table."""
    if options.smoke:
        options = replace(
            options, dataset="scenes", data_root=None, limit=2, revealed=12, members=(2,), samples=(4,)
        )
    torch.set_num_threads(1)
    rows = list(measure(options))
    write_table(options.out, rows, f"{options.limit} of {options.dataset}, {options.revealed} revealed pixels")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.agreement", command)
