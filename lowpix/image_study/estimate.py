"""Estimate the time of a run before a study begins."""

import math
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch

from lowpix.image_study.loop import Case
from lowpix.networks.learner import train
from lowpix.reveal.schedule import Schedule
from lowpix.study.work import one_thread

STEPS = 2
"""Number of training steps that are timed."""


def seconds_a_run(case: Case, schedule: Schedule) -> float:
    """Estimated seconds of a run that goes to its budget, from a few timed steps on one thread.

    A round is one prediction, which always takes the same time, and some training steps. The time of a step grows
    linearly with the revealed pixels, so it is measured at the smallest and the largest number and interpolated.
    """
    session, network = case.session, case.session.network
    room = min(schedule.budget, int(session.log.candidates().sum()))  # an image has no more pixels to ask
    schedule = replace(schedule, first=min(schedule.first, room), budget=room)
    with one_thread():
        session.predict()  # not timed: the first prediction is slower
        start = perf_counter()
        session.predict()
        predict = perf_counter() - start
        fewest, most = (_seconds_a_step(case, count) for count in (schedule.first, schedule.budget))
    asked = np.array(schedule.asked())
    step = np.interp(asked, [schedule.first, max(schedule.budget, schedule.first + 1)], [fewest, most])
    steps = np.where(np.arange(len(asked)) == 0, network.first_steps, network.steps)
    return float(case.preparation + (predict + step * steps).sum())


def _seconds_a_step(case: Case, count: int) -> float:
    session = case.session
    pixels = torch.randint(math.prod(case.session.shape), (count,), generator=torch.Generator().manual_seed(0))
    rows = [session.network.rows(session.inputs, pixels.to(session.device))]
    answers = [torch.zeros(count, dtype=torch.int64, device=session.device)]
    train(session.network, [session.learner.copy()], rows, answers, 1)
    start = perf_counter()
    train(session.network, [session.learner.copy()], rows, answers, STEPS)
    return (perf_counter() - start) / STEPS
