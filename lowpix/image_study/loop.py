"""The reveal loop: ask, tell, fit, predict and measure, until the target or the budget is reached."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.metrics import accuracy, confusion, miou, off_border
from lowpix.reveal.judging import Prediction
from lowpix.reveal.lattice import Lattice
from lowpix.reveal.log import UNSURE
from lowpix.reveal.oracle import Oracle
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import ImageSession, fit

NEAR = 0.005
"""A smoothed sample is labelled somewhat worse than the whole image: one that comes so near is judged anew."""
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
    grid: int = 1
    """Of a large image only every `grid`-th row and column is judged, unless a round needs the whole image."""
    preparation: float = 0
    """Seconds that making the session took."""
    seconds: float = field(init=False)
    """Seconds so far, including preparation; in a stack, the wall time divided by the number of sessions."""
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """A row per round, with the columns of `lowpix.study.image_runs.Run.rounds` except the pixels: see `told`."""
    prediction: Prediction | None = None
    """The prediction of the last round."""
    reached: bool = False
    """Whether a round of the whole image has reached the target."""
    kept: dict[int, Prediction] = field(default_factory=dict)
    """For each budget of `keep_at`, the pseudo-labels and confidence of the last round within it."""

    def __post_init__(self) -> None:
        self.seconds = self.preparation
        self._off_border = None if self.truth is None else off_border(self.truth)
        self._held = None if self.truth is None else np.setdiff1d(self.truth, [IGNORE])

    def ask(self, count: int) -> None:
        """Start a round: ask the oracle, and tell the session its answers."""
        asked = self.session.log.asked
        question = self.session.ask(count) if self.given is None else self.given[asked : asked + count]
        self.session.tell(question, self.oracle(question))
        self.rounds.append({"round": len(self.rounds)})

    def measure(self, step: int = 1) -> None:
        """Finish a round: predict, and compare with the truth if it is known.

        With a `step` above 1, only every `step`-th row and column of a large image is predicted and compared.
        """
        session, log = self.session, self.session.log
        prediction = session.predict(step)
        pseudo_labels = prediction.labels
        if session.lattice is None:
            self.prediction, pseudo_labels = prediction, log.overwrite(prediction.labels)
            kept = Prediction(pseudo_labels, prediction.confidence)
            self.kept |= {budget: kept for budget in self.keep_at if log.asked <= budget}
        self.rounds[-1] |= {
            "asked": log.asked,
            "revealed": log.revealed,
            "fraction": log.revealed / math.prod(session.shape),
            **self._scores(prediction.labels, pseudo_labels),
        }

    def _scores(self, predicted: NDArray[np.uint8], pseudo_labels: NDArray[np.uint8]) -> dict[str, float]:
        if self.truth is None or self._off_border is None or self._held is None:
            return dict.fromkeys(MEASURES, math.nan)
        log, lattice = self.session.log, self.session.lattice
        if lattice is None:
            all_but_asked, whole = self._cells(self.truth, predicted)
            truth, inside = self.truth, self._off_border
        else:
            all_but_asked, whole = self._sampled_cells(self.truth, predicted, lattice)
            truth, inside = self.truth[lattice.where], self._off_border[lattice.where]
        right = np.count_nonzero(pseudo_labels[inside] == truth[inside])
        missed = np.setdiff1d(self._held, np.unique(log.labelled()[1]))
        values = (
            accuracy(whole),
            accuracy(all_but_asked),
            right / count if (count := np.count_nonzero(inside)) else math.nan,
            miou(whole),
            len(missed),
        )
        return dict(zip(MEASURES, values, strict=True))

    def _cells(
        self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Confusion matrices of the pixels that were not asked, and of all with their answers."""
        # one pass over the image; the few pixels asked are then subtracted, and added with their answers
        log, classes = self.session.log, self.session.classes
        asked = tuple(log.pixels.T)
        told = np.where(log.answers == UNSURE, predicted[asked], log.answers)
        unasked = confusion(truth, predicted, classes) - confusion(truth[asked], predicted[asked], classes)
        return unasked, unasked + confusion(truth[asked], told, classes)

    def _sampled_cells(
        self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8], lattice: Lattice
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same from the points of a lattice, which stand for all pixels that were not asked."""
        log, classes = self.session.log, self.session.classes
        unasked = np.ones(truth.shape, np.bool_)
        unasked[tuple(log.pixels.T)] = False
        points = unasked[lattice.where]
        cells = confusion(truth[lattice.where][points], predicted[points], classes)
        sure = log.answers != UNSURE
        told = confusion(truth[tuple(log.pixels[sure].T)], log.answers[sure], classes)
        times = np.count_nonzero(unasked & (truth != IGNORE)) / max(int(cells.sum()), 1)
        return cells, np.rint(cells * times).astype(np.int64) + told

    def told(self) -> list[dict[str, NDArray[Any]]]:
        """For each round, the `rows` and `columns` of the pixels asked, and their answers as `labels`."""
        log, ends = self.session.log, [row["asked"] for row in self.rounds]
        starts = [0, *ends[:-1]]
        return [
            {"rows": rows, "columns": columns, "labels": log.answers[start:end]}
            for start, end in zip(starts, ends, strict=True)
            for rows, columns in [log.pixels[start:end].T]
        ]


def reveal(
    cases: Iterator[Case],
    schedule: Schedule,
    target: float,
    stop: str,
    stack: int = 1,
    show: Callable[[Case], None] = lambda case: None,
) -> Iterator[Case]:
    """Run cases to their end, `stack` of them at a time. A case is yielded when it ends, and the next one starts.

    Args:
        cases: each is read when it can start, so a lazy iterator holds at most `stack` cases in memory.
        schedule: pixels per round, and the budget.
        target: accuracy, 0 to 1.
        stop: `"target"` ends a case when it reaches the target; `"budget"` always goes on to the budget.
        stack: number of sessions trained together.
        show: is told of each case after each of its rounds.
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
            case.measure(1 if _spent(case, schedule) or case.session.log.asked in schedule.keep_at else case.grid)
            if case.session.lattice is not None and not case.reached and _near(case, target):
                case.measure()  # a sample of its pixels seems to reach the target
            case.reached |= case.session.lattice is None and case.rounds[-1]["accuracy"] >= target
        share = (perf_counter() - start) / len(active)
        for case in active:
            case.seconds += share
            case.rounds[-1]["seconds"] = case.seconds
            show(case)
        ended = [case for case in active if _ends(case, schedule, target, stop)]
        active = [case for case in active if case not in ended]
        yield from ended


def _near(case: Case, target: float) -> bool:
    """Whether a round that judged a sample of the pixels may have reached the target."""
    return bool(case.rounds[-1]["accuracy"] >= target - NEAR)


def _ends(case: Case, schedule: Schedule, target: float, stop: str) -> bool:
    if stop == "target" and case.rounds[-1]["accuracy"] >= target:
        return True
    return _spent(case, schedule)


def _spent(case: Case, schedule: Schedule) -> bool:
    """Whether the budget is spent, or no pixel is left to ask."""
    log = case.session.log
    left = log.candidates().any() if case.given is None else len(case.given) > log.asked
    return not schedule.next(log.asked) or not left
