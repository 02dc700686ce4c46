"""How long a run will take, measured before a study begins."""

import math
from time import perf_counter

import numpy as np
import torch

from lowpix.image_study.loop import Case
from lowpix.networks.learner import train
from lowpix.reveal.schedule import Schedule
from lowpix.study.work import one_thread

STEPS = 2
"""Training steps that are timed."""


def seconds_a_run(case: Case, schedule: Schedule) -> float:
    """Seconds that one run takes if it goes to its budget, from a few timed steps of it on one thread.

    A round costs one prediction, whatever is revealed, and training steps whose time grows linearly with the
    revealed pixels: timed at the fewest and at the most.
    """
    session, network = case.session, case.session.network
    with one_thread():
        session.predict()  # the first is slower: memory is taken, kernels are chosen
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
