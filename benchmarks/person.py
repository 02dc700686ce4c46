"""A simulated person labels an image: some answers are keys to the machine's questions, others clicks on mistakes.

The label map answers, so nobody errs, hesitates or is asked for void. Rounds are those of an image study: after
each, the networks learn, and the person looks at the new labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.metrics import accuracy, confusion, miou
from lowpix.reveal.acquisition import error_depth
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import ImageSession, fit
from lowpix.seeds import seed_for


@dataclass(frozen=True)
class Way:
    """A way to label an image: which answers are clicks, and how the machine chooses the others."""

    clicks: range
    """The numbers of the answers that are clicks, from 0. A click goes to the centre of the largest mistake."""
    acquisition: str = "facility"
    """How the machine chooses the pixels of its questions."""


@dataclass(frozen=True)
class Progress:
    """What an image has cost after a round, and how it is labelled."""

    keys: int
    clicks: int
    accuracy: float
    """Share of the non-void pixels that have the right label, answered ones included."""
    miou: float


def label(dataset: Dataset, name: str, way: Way, schedule: Schedule, seed: int = 0) -> Iterator[Progress]:
    """Label an image from nothing; gives its progress after each round, until the schedule ends."""
    truth = dataset.labels(name)
    assert truth is not None, "the label map answers"
    classes = len(dataset.classes)
    # the seeds of an image study: all ways share initial weights
    session_seed = seed_for(seed, dataset.name, name, "session")
    session = ImageSession(
        dataset.image(name), truth != IGNORE, classes, acquisition=way.acquisition, seed=session_seed
    )
    log, labels, clicks = session.log, np.zeros_like(truth), 0
    while count := schedule.next(log.asked):
        shown = sum(number in way.clicks for number in range(log.asked, log.asked + count))
        depth = _mistakes(labels, truth, session)
        for question in (log.ask(shown, depth, depth), session.ask(count - shown)):
            session.tell(question, truth[tuple(question.T)])
        clicks += shown
        fit([session])
        labels = log.overwrite(session.predict().labels)
        found = confusion(truth, labels, classes)
        yield Progress(log.asked - clicks, clicks, accuracy(found), miou(found))


def _mistakes(labels: NDArray[np.uint8], truth: NDArray[np.uint8], session: ImageSession) -> NDArray[np.float32]:
    """How deep each pixel lies inside a mistake, `(H, W)`; void and answered pixels are none."""
    return error_depth(labels, np.where(session.log.candidates(), truth, labels))
