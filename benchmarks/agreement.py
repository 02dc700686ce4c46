"""python -m benchmarks.agreement: do two independent draws of the members choose the same pixels?

If they do not, the choice depends more on the draw than on the image.
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
    """Which share of the 1 % of pixels that a function asks first does it also ask first with a second draw?

    `ensemble-M`: a draw is M networks with other initial weights, trained on the same revealed pixels.
    `dropout-K`: a draw is K samples of one trained network. The revealed pixels are drawn uniformly, and are the
    same for both draws and for all functions.
    """

    dataset: str = "camvid"
    """As for `python -m lowpix.image_study`."""
    data_root: Path | None = None
    """Folder of the data set or its parent."""
    limit: int = 8
    """Number of images, spread evenly over the train split."""
    revealed: int = 100
    """Number of labelled pixels that the networks are trained on."""
    members: tuple[int, ...] = (4, 16)
    """Numbers of networks in a draw of an ensemble."""
    samples: tuple[int, ...] = (32, 128)
    """Numbers of samples in a draw of dropout."""
    dropout: float = 0.5
    """Dropout probability of the last layer's input."""
    percent: float = 1
    """Percentage of the pixels that are compared."""
    smoke: bool = False
    """Use two small scenes, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/agreement.csv")
    """File of the table."""


def measure(options: Options) -> Iterator[Row]:
    """The common share for each function and kind of members; `baseline` is the share expected by chance."""
    dataset = open_dataset(options.dataset, options.data_root, scene_size=(24, 32))
    for name in tqdm(spread(dataset.images, options.limit), unit="image"):
        for members, one, other in _draws(dataset, name, options):
            for function in one:
                common = shared(one[function], other[function], options.percent)
                unit = f"share of the top {options.percent:g} %"
                yield Row(f"{function}_{members}", common, unit, options.percent / 100)


Scores = dict[str, NDArray[np.float64]]


def _draws(dataset: Dataset, name: str, options: Options) -> Iterator[tuple[str, Scores, Scores]]:
    """For each kind of members, its name and the scores of all functions for two draws."""
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
        session.seed += 1  # changes only the dropout samples, because training is finished
        yield f"dropout-{samples}", first, scores(session)


@torch.no_grad()
def scores(session: ImageSession) -> Scores:
    """The scores `(N,)`, by name, of all functions that read probabilities, for the session's members."""
    chosen = {name: one for name, one in ACQUISITIONS.items() if one.score is not None and not one.noisy}
    tiles: dict[str, list[torch.Tensor]] = {name: [] for name in chosen}
    for _, p in session.probabilities():
        for name, acquisition in chosen.items():
            assert acquisition.score is not None
            tiles[name].append(acquisition.score(p.transpose(1, 2)).double())
    return {name: torch.cat(parts).numpy() for name, parts in tiles.items()}


def shared(one: NDArray[np.float64], other: NDArray[np.float64], percent: float) -> float:
    """The common share of the pixels with the `percent` % highest scores in each; ties are drawn at random."""
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
