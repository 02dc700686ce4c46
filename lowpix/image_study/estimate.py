"""Estimate the time of a run before a study begins."""

from dataclasses import replace
from time import perf_counter

import numpy as np

from lowpix.image_study.loop import Case
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import fit
from lowpix.study.threads import one_thread

STEPS = 2
"""Largest number of training steps that are timed."""


def seconds_a_run(case: Case, schedule: Schedule) -> float:
    """Estimated seconds of a run that goes to its budget, from a few timed steps on one thread.

    A round is some training steps and one prediction. The time of both grows about linearly with the revealed
    pixels, so it is measured at the smallest and the largest number and interpolated. The case cannot be used
    afterwards, because its session was told invented answers.
    """
    session, network = case.session, case.session.network
    room = min(schedule.budget, int(session.log.candidates().sum()))  # an image has no more pixels to ask
    room = room if case.given is None else min(room, len(case.given))
    schedule = replace(schedule, first=min(schedule.first, room), budget=room)
    with one_thread():
        _seconds(case, schedule.first)  # not counted: the first round is slower
        counts = [schedule.first, max(schedule.budget, schedule.first + 1)]
        ends = np.array([_seconds(case, count) for count in (schedule.first, schedule.budget)])
    asked = np.array(schedule.asked())
    step, predict = (np.interp(asked, counts, seconds) for seconds in ends.T)
    steps = np.where(np.arange(len(asked)) == 0, network.first_steps, network.steps)
    return float(case.preparation + (step * steps + predict).sum())


def _seconds(case: Case, count: int) -> tuple[float, float]:
    """Seconds of a training step and of a prediction with `count` revealed pixels, whose classes are invented."""
    session = case.session
    question = session.log.ask(count - session.log.asked, None)
    session.tell(question, (np.arange(len(question)) % session.classes).astype(np.uint8))
    steps = min(STEPS, session.network.steps)
    start = perf_counter()
    fit([session], steps)
    middle = perf_counter()
    session.predict(case.grid)
    return (middle - start) / steps, perf_counter() - middle
