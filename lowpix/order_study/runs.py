"""The runs of an order study: each image, arm and seed. They run in processes, and each is saved when it ends."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.data.sent import Sent
from lowpix.metrics import accuracy, confusion, miou
from lowpix.networks.device import machine
from lowpix.networks.learner import Learner
from lowpix.order_study.arms import Draws, phases, train_phases, train_to_plateau
from lowpix.order_study.tables import ARMS, OrderRun, OrderTables
from lowpix.reveal.log import Log
from lowpix.reveal.session import ImageSession
from lowpix.seeds import seed_for
from lowpix.study.cluster import Cluster
from lowpix.study.folder import Study
from lowpix.study.work import work


@dataclass(frozen=True)
class Training:
    """What all runs of an order study share."""

    setting: str
    """The setting of the image study that revealed the pixels."""
    network: str
    members: int
    batch: int
    """Number of pixels drawn in each step."""
    plateau_cap: int
    """Limit for `full_plateau`: the steps of the other arms times this number."""
    device: torch.device


@dataclass(frozen=True)
class ImageWork:
    """A unit of work: an image with all its seeds."""

    image: str
    logs: Mapping[int, tuple[int, Log]]
    """For each seed, a seed of the image study and its log, which holds the pixels to train on."""


def run_order(
    dataset: Dataset,
    training: Training,
    works: Sequence[ImageWork],
    study: Study[OrderRun, OrderTables],
    jobs: int,
    total: int,
    cluster: str | None = None,
) -> Iterator[OrderRun]:
    """Do the `total` unfinished runs, image by image, and yield each after it is saved.

    `cluster` is the address of a cluster that does them instead; images are sent to it.
    """
    task = _Task(dataset, training, study.finished())
    others = None if cluster is None else Cluster(cluster, partial(_sent, task))
    return work(task, works, study.save, jobs, total=total, cluster=others)


def _sent(task: "_Task", image_work: ImageWork) -> Callable[[], Iterator[OrderRun]]:
    """The work on an image, with the image."""
    finished = {(arm, seed, image_work.image) for arm in ARMS for seed in image_work.logs} & task.finished
    return partial(replace(task, dataset=Sent(task.dataset, [image_work.image]), finished=finished), image_work)


@dataclass(frozen=True)
class _Task:
    """Makes the runs of an image: all arms, seed by seed. They share the network's input features of the image."""

    dataset: Dataset
    training: Training
    finished: set[tuple[str, int, str]]

    def __call__(self, image_work: ImageWork) -> Iterator[OrderRun]:
        inputs: torch.Tensor | None = None
        image, training = image_work.image, self.training
        for seed, (study_seed, log) in image_work.logs.items():
            todo = [arm for arm in ARMS if (arm, seed, image) not in self.finished]
            if not todo:
                continue
            session = _session(self.dataset, training, image, seed, inputs)
            inputs, fresh = session.inputs, session.learner
            assert isinstance(fresh, Learner), "checked before the study"
            truth = self.dataset.labels(image)
            assert truth is not None, "checked before the study"
            for arm in todo:
                start = perf_counter()
                session.learner = fresh.copy()
                pixels = _train(session, session.learner, training, arm, log, truth)
                steps, (right, mean_iou) = session.learner.step, score(session, log, truth)
                seconds = perf_counter() - start
                named = (training.setting, image, seed, study_seed, arm)
                yield OrderRun(*named, steps, pixels, right, mean_iou, seconds, machine(training.device))


def _session(
    dataset: Dataset, training: Training, image: str, seed: int, inputs: torch.Tensor | None
) -> ImageSession:
    """A session with fresh initial weights, because the image study's weights influenced the choice of pixels."""
    pixels = dataset.image(image)
    return ImageSession(
        pixels,
        np.ones(pixels.shape[:2], np.bool_),
        len(dataset.classes),
        network=training.network,
        members=training.members,
        acquisition="random",  # nothing is asked
        smoothing="none",
        seed=seed_for(seed, dataset.name, image, "order"),
        device=training.device,
        inputs=inputs,
    )


def _train(
    session: ImageSession, learner: Learner, training: Training, arm: str, log: Log, truth: NDArray[np.uint8]
) -> int:
    """Train the session's learner in an arm from its current weights; return the pixels known at the end."""
    network, draws = session.network, Draws(training.batch, session.seed)
    arms = phases(log, truth, network.first_steps, network.steps, session.seed)
    arm_phases = arms["full" if arm == "full_plateau" else arm]
    train_phases(network, session.inputs, learner, arm_phases, draws)
    if arm == "full_plateau":
        most = training.plateau_cap * learner.step
        train_to_plateau(network, session.inputs, learner, arm_phases[-1], draws, most, session.seed)
    return len(arm_phases[-1].pixels)


def score(session: ImageSession, log: Log, truth: NDArray[np.uint8]) -> tuple[float, float]:
    """Accuracy and mIoU, 0 to 1, of a session's prediction on the pixels that are neither revealed nor void.

    The mIoU is over the classes of these pixels.
    """
    unrevealed = truth != IGNORE
    unrevealed[tuple(log.pixels.T)] = False
    counts = confusion(truth[unrevealed], session.predict().labels[unrevealed], session.classes)
    return accuracy(counts), miou(counts)
