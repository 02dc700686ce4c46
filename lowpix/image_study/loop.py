"""The reveal loop: ask, tell, fit, predict and measure, until the target or the budget is reached."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowpix.metrics import accuracy, confusion, miou, off_border
from lowpix.reveal.oracle import Oracle
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import ImageSession, Prediction, fit

MEASURES = ("accuracy", "accuracy_unrevealed", "accuracy_off_border", "miou", "classes_missed")


@dataclass(eq=False)
class Case:
    """A run in progress: an image's session, oracle and true label map, and the results so far."""

    setting: str
    """Name of the setting."""
    unit: tuple[str, int]
    """Image and seed."""
    session: ImageSession
    oracle: Oracle
    truth: NDArray[np.uint8] | None
    """`(H, W)`; None if unknown: then nothing is measured."""
    keep_at: tuple[int, ...] = ()
    """Budgets, in pixels asked, at which pseudo-labels and confidence are kept."""
    given: NDArray[np.int64] | None = None
    """Pixels to ask, `(n, 2)`, in this order; None lets the session choose."""
    preparation: float = 0
    """Seconds that making the session took."""
    seconds: float = field(init=False)
    """Seconds so far, including preparation; in a stack, the wall time divided by the number of sessions."""
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """A row per round, with the columns of `lowpix.study.image_runs.Run.rounds` except the pixels: see `told`."""
    prediction: Prediction | None = None
    """The prediction of the last round."""
    kept: dict[int, Prediction] = field(default_factory=dict)
    """For each budget of `keep_at`, the pseudo-labels and confidence of the last round within it."""

    def __post_init__(self) -> None:
        self.seconds = self.preparation
        self._off_border = None if self.truth is None else off_border(self.truth)

    def ask(self, count: int) -> None:
        """Start a round: ask the oracle, and tell the session its answers."""
        asked = self.session.log.asked
        question = self.session.ask(count) if self.given is None else self.given[asked : asked + count]
        self.session.tell(question, self.oracle(question))
        self.rounds.append({"round": len(self.rounds)})

    def measure(self) -> None:
        """Finish a round: predict, and compare with the truth if it is known."""
        session, log = self.session, self.session.log
        self.prediction = session.predict()
        pseudo_labels = log.overwrite(self.prediction.labels)
        kept = Prediction(pseudo_labels, self.prediction.confidence)
        self.kept |= {budget: kept for budget in self.keep_at if log.asked <= budget}
        self.rounds[-1] |= {
            "asked": log.asked,
            "revealed": log.revealed,
            "fraction": log.revealed / pseudo_labels.size,
            **self._scores(self.prediction.labels, pseudo_labels),
        }

    def _scores(self, predicted: NDArray[np.uint8], pseudo_labels: NDArray[np.uint8]) -> dict[str, float]:
        if self.truth is None or self._off_border is None:
            return dict.fromkeys(MEASURES, math.nan)
        # one pass over the image; the few pixels asked are then subtracted, and added with their answers
        classes, asked = self.session.classes, tuple(self.session.log.pixels.T)
        all_but_asked = confusion(self.truth, predicted, classes) - confusion(
            self.truth[asked], predicted[asked], classes
        )
        whole = all_but_asked + confusion(self.truth[asked], pseudo_labels[asked], classes)
        inside = self._off_border
        right = np.count_nonzero(pseudo_labels[inside] == self.truth[inside])
        answered = np.unique(self.session.log.labelled()[1])
        missed = np.setdiff1d(np.flatnonzero(whole.sum(1)), answered)
        values = (
            accuracy(whole),
            accuracy(all_but_asked),
            right / count if (count := np.count_nonzero(inside)) else math.nan,
            miou(whole),
            len(missed),
        )
        return dict(zip(MEASURES, values, strict=True))

    def told(self) -> list[dict[str, NDArray[Any]]]:
        """For each round, the `rows` and `columns` of the pixels asked, and their answers as `labels`."""
        log, ends = self.session.log, [row["asked"] for row in self.rounds]
        starts = [0, *ends[:-1]]
        return [
            {"rows": rows, "columns": columns, "labels": log.answers[start:end]}
            for start, end in zip(starts, ends, strict=True)
            for rows, columns in [log.pixels[start:end].T]
        ]


def reveal(cases: Iterator[Case], schedule: Schedule, target: float, stop: str, stack: int = 1) -> Iterator[Case]:
    """Run cases to their end, `stack` of them at a time. A case is yielded when it ends, and the next one starts.

    Args:
        cases: each is read when it can start, so a lazy iterator holds at most `stack` cases in memory.
        schedule: pixels per round, and the budget.
        target: accuracy, 0 to 1.
        stop: `"target"` ends a case when it reaches the target; `"budget"` always goes on to the budget.
        stack: number of sessions trained together.
    """
    active: list[Case] = []
    while True:
        while len(active) < stack and (case := next(cases, None)):
            active.append(case)
        if not active:
            return
        start = perf_counter()
        for case in active:
            case.ask(schedule.next(case.session.log.asked))
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
    log = case.session.log
    left = log.candidates().any() if case.given is None else len(case.given) > log.asked
    return not schedule.next(log.asked) or not left
