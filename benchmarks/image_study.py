"""python -m benchmarks.image_study: the speed of an image study, compared with what a user would do instead.

Ours and theirs take turns on the same images, pixels and initial weights, in one process with one thread. So other
programs on the machine slow both equally. benchmarks/README.md explains the rows.
"""

import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.plain_mlp import PlainMLP
from benchmarks.report import Row, Spent, seconds, write_table
from benchmarks.rivals import Forest, Walker
from lowpix.command import run
from lowpix.data import Dataset, open_dataset, spread
from lowpix.image_study import Options as StudyOptions
from lowpix.image_study.loop import Case
from lowpix.image_study.setting import Setting
from lowpix.metrics import accuracy, confusion
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import ImageSession, fit

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Options:
    """How much faster is an image study than what a user would do instead? Measured in one run, on one thread."""

    dataset: str = "camvid"
    """camvid or scenes (generated)."""
    data_root: Path | None = None
    """Folder of the data set or its parent; if not given, LOWPIX_DATA, ./data and your cache are searched."""
    images: int = 2
    """Number of images, spread evenly over the list."""
    target: float = 0.95
    """Accuracy at which the study of an image ends."""
    max_pixels: int = 1000
    """Budget of an image that does not reach the target."""
    counts: tuple[int, ...] = (20, 100, 300, 1000)
    """Numbers of revealed pixels at which a round is timed."""
    checkpoints: tuple[int, ...] = (50, 100, 173)
    """Numbers of revealed pixels at which accuracies are compared; 173 are 0.1 % of 360×480."""
    rounds: int = 10
    """Number of rounds that are compared with the U-Net."""
    repeats: int = 3
    """Number of timed rounds at each of --counts, after one round that is not timed."""
    scene_size: tuple[int, int] = (120, 160)
    """Height and width of generated scenes, pixels."""
    seed: int = 0
    """Seed of first pixels and initial weights."""
    smoke: bool = False
    """Use one small scene and few pixels, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/image_study.csv")
    """File of the table."""


SMALL: dict[str, Any] = {
    "dataset": "scenes",
    "images": 1,
    "target": 0.6,
    "max_pixels": 20,
    "counts": (8, 16),
    "checkpoints": (6, 8, 12),
    "rounds": 4,
    "repeats": 1,
    "scene_size": (32, 48),
}


def measure(options: Options) -> Iterator[Row]:
    """All rows, image by image."""
    dataset = open_dataset(options.dataset, options.data_root, scene_size=options.scene_size)
    for name in spread(dataset.images, options.images):
        print(f"{dataset.name} {name}", file=sys.stderr, flush=True)
        case = yield from _study(dataset, name, options)
        for acquisition in ("error_depth", "margin"):
            for count in options.counts:
                yield from _round(dataset, name, acquisition, count, options)
        yield from _rivals(dataset, name, case, options)
        yield from _parts(dataset, name, options)


def _study(dataset: Dataset, name: str, options: Options) -> Generator[Row, None, Case]:
    """Time the study of an image from file to target. Ours then goes on to the last checkpoint, untimed."""
    spent = {"ours": Spent(), "theirs": Spent()}
    setting = _setting(options)
    with spent["ours"].timed():
        case = setting.start(dataset, (name, options.seed), CPU)
    question, initial = case.session.ask(setting.schedule.first), case.session.learner.parameters
    assert case.truth is not None
    with spent["theirs"].timed():
        plain = PlainMLP(dataset.image(name), case.truth, case.session.classes, "error_depth", initial)

    rounds = {
        "ours": _our_rounds(case, setting.schedule),
        "theirs": _plain_rounds(plain, setting.schedule, question),
    }
    end: dict[str, tuple[int, float]] = {}
    while len(end) < len(rounds):
        for side in [side for side in rounds if side not in end]:
            with spent[side].timed():
                pixels, reached = next(rounds[side])
            if reached >= options.target or pixels == options.max_pixels:
                end[side] = pixels, reached
    what = f"study_to_{100 * options.target:g}_vs_plain_mlp"
    yield from seconds(what, spent["ours"], spent["theirs"])
    yield Row(what, end["ours"][0], "pixels", end["theirs"][0])
    yield Row(what, end["ours"][1], "accuracy", end["theirs"][1])
    while case.session.log.revealed < options.checkpoints[-1]:
        next(rounds["ours"])
    return case


def _our_rounds(case: Case, schedule: Schedule) -> Iterator[tuple[int, float]]:
    """Run our study of an image, and yield pixels and accuracy after each round."""
    while more := schedule.next(case.session.log.asked):
        case.ask(more)
        fit([case.session])
        case.measure()
        yield case.session.log.revealed, case.rounds[-1]["accuracy"]


def _plain_rounds(plain: PlainMLP, schedule: Schedule, question: NDArray[np.int64]) -> Iterator[tuple[int, float]]:
    while True:
        plain.tell(question)
        plain.fit()
        plain.predict()
        yield len(plain.question), plain.accuracy()
        question = plain.ask(schedule.next(len(plain.question)))


def _round(dataset: Dataset, name: str, acquisition: str, count: int, options: Options) -> Iterator[Row]:
    """Time warm rounds (fit, predict, ask) at `count` revealed pixels, which are drawn uniformly."""
    setting = _setting(options, acquisition=acquisition)
    case = setting.start(dataset, (name, options.seed), CPU)
    session, truth = case.session, case.truth
    assert truth is not None
    plain = PlainMLP(dataset.image(name), truth, session.classes, acquisition, session.learner.parameters)
    askable = np.argwhere(session.log.candidates())
    question = np.random.default_rng(options.seed).choice(askable, count, replace=False)
    session.tell(question, truth[tuple(question.T)])
    plain.tell(question)
    more = replace(setting.schedule, budget=2 * count).next(count)
    for repeat in range(1 + options.repeats):
        ours, theirs = Spent(), Spent()
        with ours.timed():
            fit([session])
            session.predict()
            session.ask(more)
        with theirs.timed():
            plain.fit()
            plain.predict()
            plain.ask(more)
        if repeat:  # the first round starts from fresh weights and has more steps
            yield from seconds(f"round_mlp_{acquisition}_{count}", ours, theirs)


def _parts(dataset: Dataset, name: str, options: Options) -> Iterator[Row]:
    """Time the default, from file to the last checkpoint, against margin alone, round by round in turns."""
    default = StudyOptions(max_pixels=options.checkpoints[-1]).settings()[0]
    settings = {"ours": default, "margin": _setting(options, acquisition="margin")}
    spent = {side: Spent() for side in settings}
    cases = {}
    for side, setting in settings.items():
        with spent[side].timed():
            cases[side] = setting.start(dataset, (name, options.seed), CPU)
    for _ in default.schedule.asked():
        for side, case in cases.items():
            with spent[side].timed():
                next(_our_rounds(case, default.schedule))
    yield from seconds(f"study_of_{options.checkpoints[-1]}_pixels_vs_margin", spent["ours"], spent["margin"])


def _rivals(dataset: Dataset, name: str, case: Case, options: Options) -> Iterator[Row]:
    """Time other methods on the pixels that `case` revealed, and compare accuracies at the checkpoints."""
    image, truth = dataset.image(name), case.truth
    assert truth is not None
    question = case.session.log.pixels
    answers = truth[tuple(question.T)]
    mlp = _setting(options).start(dataset, case.unit, CPU).session
    unet = _setting(options, network="unet").start(dataset, case.unit, CPU).session
    rivals: dict[str, Forest | Walker] = {"forest": Forest(image), "walker": Walker(image)}
    ours_at = {row["revealed"]: row["accuracy"] for row in case.rounds}

    def accuracy_row(rival: str, count: int, labels: NDArray[np.uint8]) -> Row:
        labels[tuple(question[:count].T)] = answers[:count]
        theirs = accuracy(confusion(truth, labels, mlp.classes))
        return Row(f"round_vs_{rival}", ours_at[count], f"accuracy at {count} pixels", theirs)

    for before, count in pairwise((0, *_counts(ours_at, options))):
        new = slice(before, count)
        for session in (mlp, unet):
            session.tell(question[new], answers[new])
        ours, theirs = Spent(), Spent()
        with ours.timed():
            _network_round(mlp)
        with theirs.timed():
            labels = _network_round(unet)
        yield from seconds("round_vs_unet", ours, theirs)
        if count not in options.checkpoints:
            continue
        yield accuracy_row("unet", count, labels)
        for rival, labeller in rivals.items():
            theirs = Spent()
            with theirs.timed():
                labels = labeller.labels(question[:count], answers[:count])
            yield from seconds(f"round_vs_{rival}", ours, theirs)
            yield accuracy_row(rival, count, labels)


def _network_round(session: ImageSession) -> NDArray[np.uint8]:
    fit([session])
    labels = session.predict().labels
    session.ask(1)
    return labels


def _counts(revealed: Iterable[int], options: Options) -> list[int]:
    """Numbers of revealed pixels after each round of `_rivals`: the checkpoints, and evenly spaced numbers."""
    evenly = np.linspace(min(revealed), options.checkpoints[-1], options.rounds - len(options.checkpoints) + 1)
    return sorted({*evenly.astype(int).tolist(), *options.checkpoints})


def _setting(
    options: Options, *, acquisition: str = "error_depth", network: Literal["mlp", "unet"] = "mlp"
) -> Setting:
    """The setting that the command would use without smoothing."""
    study = StudyOptions(
        network=(network,),
        smoothing=("none",),
        acquisition=(acquisition,),
        target=options.target,
        max_pixels=options.max_pixels,
    )
    return study.settings()[0]


def command(options: Options) -> None:
    """Measure, and write the table."""
    small = replace(options, **SMALL)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = list(measure(small))  # so that first calls, which are slower, are not timed
        if options.smoke:
            options = small
        else:
            rows = list(measure(options))
    write_table(options.out, rows, f"{options.images} of {options.dataset}")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.image_study", command)
