"""The runs of an order study: every image, arm and seed, in processes, each saved as it ends."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter

import joblib
import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.record.metrics import accuracy, confusion, miou
from lowpix.record.order_tables import ARMS, OrderRun, OrderStudy
from lowpix.reveal.order import Batches, Revealed, phases, train_phases, train_to_plateau
from lowpix.reveal.seeds import seed_for
from lowpix.reveal.session import ImageSession
from lowpix.reveal.study import one_thread


@dataclass(frozen=True)
class Training:
    """What all runs of an order study share."""

    setting: str
    """Of the image study, whose pixels these are."""
    network: str
    members: int
    batch: int
    """Pixels drawn in each step."""
    plateau_cap: int
    """`full_plateau` takes at most so many times the steps of the other arms."""


@dataclass(frozen=True)
class ImageWork:
    """An image, and for each seed the study's seed whose pixels it trains on, with these pixels."""

    image: str
    revealed: Mapping[int, tuple[int, Revealed]]


def run_order(
    dataset: Dataset, training: Training, works: Iterable[ImageWork], study: OrderStudy, jobs: int
) -> Iterator[OrderRun]:
    """Do what is unfinished, an image at a time, and yield each run after it is saved.

    `jobs` processes of one thread each; 1 works in this one. No number of them changes a table.
    """
    finished = study.finished()
    if jobs == 1:
        for work in works:
            yield from run_image(dataset, training, work, study, finished)
        return
    parallel = joblib.Parallel(jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        arrivals: Iterable[list[OrderRun]] = parallel(
            joblib.delayed(_run_list)(dataset, training, work, study, finished) for work in works
        )
        for runs in arrivals:
            yield from runs


def run_image(
    dataset: Dataset,
    training: Training,
    work: ImageWork,
    study: OrderStudy,
    finished: set[tuple[str, str, int]],
) -> Iterator[OrderRun]:
    """The unfinished runs of an image: all arms, seed after seed, sharing what the network reads of the image."""
    inputs: torch.Tensor | None = None
    with one_thread():
        for seed, (study_seed, revealed) in work.revealed.items():
            todo = [arm for arm in ARMS if (work.image, arm, seed) not in finished]
            if not todo:
                continue
            session = _session(dataset, training, work.image, seed, inputs)
            inputs, fresh = session.inputs, session.learner.copy()
            truth = dataset.labels(work.image)
            assert truth is not None, "checked before the study"
            for arm in todo:
                start = perf_counter()
                session.learner = fresh.copy()
                pixels = _train(session, training, arm, revealed, truth)
                steps, (right, mean_iou) = session.learner.step, score(session, revealed, truth)
                seconds = perf_counter() - start
                named = (training.setting, work.image, seed, study_seed, arm)
                run = OrderRun(*named, steps, pixels, right, mean_iou, seconds)
                study.save(run)
                yield run


def _run_list(*arguments: object) -> list[OrderRun]:
    return list(run_image(*arguments))  # type: ignore[arg-type]  # a generator cannot leave its process


def _session(
    dataset: Dataset, training: Training, image: str, seed: int, inputs: torch.Tensor | None
) -> ImageSession:
    """A session with fresh initial weights: those of the study had their say in the choice of pixels."""
    pixels = dataset.image(image)
    return ImageSession(
        pixels,
        np.ones(pixels.shape[:2], np.bool_),
        len(dataset.classes),
        network=training.network,
        members=training.members,
        seed=seed_for(seed, dataset.name, image, "order"),
        inputs=inputs,
    )


def _train(
    session: ImageSession, training: Training, arm: str, revealed: Revealed, truth: NDArray[np.uint8]
) -> int:
    """Train the session's network in an arm, from the weights that it has; gives the pixels known at the end."""
    network, learner, batches = session.network, session.learner, Batches(training.batch, session.seed)
    arms = phases(revealed, truth, network.first_steps, network.steps, session.seed)
    course = arms["full" if arm == "full_plateau" else arm]
    train_phases(network, session.inputs, learner, course, batches)
    if arm == "full_plateau":
        most = training.plateau_cap * learner.step
        train_to_plateau(network, session.inputs, learner, course[-1], batches, most, session.seed)
    return len(course[-1].pixels)


def score(session: ImageSession, revealed: Revealed, truth: NDArray[np.uint8]) -> tuple[float, float]:
    """Accuracy and mIoU, 0 to 1, of what a session predicts on the pixels that are neither revealed nor void.

    mIoU is over the classes that these pixels hold.
    """
    unseen = truth != IGNORE
    unseen[tuple(revealed.pixels.T)] = False
    counts = confusion(truth[unseen], session.predict().labels[unseen], session.classes)
    return accuracy(counts), miou(counts)
