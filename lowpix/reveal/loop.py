"""The reveal loop: ask, tell, fit, predict, measure, until the target or the budget."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowpix.record.metrics import accuracy, confusion, miou
from lowpix.reveal.oracle import UNSURE
from lowpix.reveal.session import ImageSession, Prediction, fit
from lowpix.reveal.stopping import Schedule

Oracle = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


@dataclass(eq=False)
class Case:
    """One image to be revealed: its session, who answers, what is right, and what came of it."""

    setting: str
    """Name of the setting."""
    unit: tuple[str, int]
    """Image and seed."""
    session: ImageSession
    oracle: Oracle
    truth: NDArray[np.uint8]
    keep_at: tuple[int, ...] = ()
    """Numbers of pixels at which pseudo-labels and confidence are kept."""
    preparation: float = 0
    """Seconds that it took to make the session."""
    seconds: float = field(init=False)
    """Spent so far, preparation included; in a stack, the wall time divided by the sessions in it."""
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """A row per round, with the columns of `lowpix.record.Run.rounds`."""
    prediction: Prediction | None = None
    """Of the last round."""
    kept: dict[int, Prediction] = field(default_factory=dict)
    """Of the last round that had asked no more than each of `keep_at`, revealed pixels as they were told."""

    def __post_init__(self) -> None:
        self.seconds = self.preparation

    def ask(self, count: int) -> None:
        """Open a round: ask the oracle and tell the session."""
        question = self.session.ask(count)
        answers = self.oracle(question)
        self.session.tell(question, answers)
        told = answers != UNSURE
        lists = {"rows": question[told, 0], "columns": question[told, 1], "labels": answers[told]}
        self.rounds.append({"round": len(self.rounds), **lists})

    def measure(self) -> None:
        """Close a round: predict, and compare with the truth."""
        session = self.session
        self.prediction = session.predict()
        classes = session.classes
        pseudo_labels = session.overwrite(self.prediction.labels)
        kept = Prediction(pseudo_labels, self.prediction.confidence)
        self.kept |= {budget: kept for budget in self.keep_at if session.asked <= budget}
        # one pass over the image; what was asked is few pixels, so that it is taken out and put back
        truth, predicted, asked = self.truth.ravel(), self.prediction.labels.ravel(), np.array(session.pixels)
        unrevealed = confusion(truth, predicted, classes) - confusion(truth[asked], predicted[asked], classes)
        whole = unrevealed + confusion(truth[asked], pseudo_labels.ravel()[asked], classes)
        self.rounds[-1] |= {
            "asked": session.asked,
            "revealed": session.revealed,
            "fraction": session.revealed / self.truth.size,
            "accuracy": accuracy(whole),
            "accuracy_unrevealed": accuracy(unrevealed),
            "miou": miou(whole),
        }


def reveal(cases: Iterator[Case], schedule: Schedule, target: float, stop: str, stack: int = 1) -> Iterator[Case]:
    """Run cases to their end, `stack` of them at once; each is given back as it ends, and the next one enters.

    Args:
        cases: read as room comes free, so that a lazy iterator holds no more than `stack` in memory.
        schedule: pixels per round and the budget.
        target: accuracy, 0 to 1.
        stop: `"target"` ends a case that reaches the target; `"budget"` goes on to the budget all the same.
        stack: sessions trained together.
    """
    active: list[Case] = []
    while True:
        while len(active) < stack and (case := next(cases, None)):
            active.append(case)
        if not active:
            return
        start = perf_counter()
        for case in active:
            case.ask(schedule.next(case.session.asked))
        fit([case.session for case in active])
        for case in active:
            case.measure()
        share = (perf_counter() - start) / len(active)
        for case in active:
            case.seconds += share
            case.rounds[-1]["seconds"] = case.seconds
        ended = [case for case in active if _ends(case, schedule, target, stop)]
        active = [case for case in active if case not in ended]
        yield from ended


def _ends(case: Case, schedule: Schedule, target: float, stop: str) -> bool:
    if stop == "target" and case.rounds[-1]["accuracy"] >= target:
        return True
    return not schedule.next(case.session.asked) or not case.session.askable_left
