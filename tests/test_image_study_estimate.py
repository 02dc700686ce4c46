"""The estimate of a run's time, with a clock that only training and prediction move."""

from collections.abc import Sequence

import pytest
from session_samples import TRUTH, right, start

from lowpix.image_study import estimate
from lowpix.image_study.loop import Case
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import ImageSession


@pytest.mark.parametrize("network", ["mlp", "gp"])
def test_it_is_the_time_of_all_rounds(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = start(network=network, members=1)
    clock = [0.0]

    def fit(sessions: Sequence[ImageSession], steps: int) -> None:
        clock[0] += steps * (1 + 0.1 * sessions[0].log.asked)

    def predict(step: int) -> None:
        clock[0] += 5 + 0.3 * session.log.asked

    monkeypatch.setattr(estimate, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(estimate, "fit", fit)
    monkeypatch.setattr(session, "predict", predict)
    schedule = Schedule(4, "50%", 40)
    case = Case("one", ("a", 0), session, right, TRUTH, preparation=7)
    expected = 7.0
    for number, asked in enumerate(schedule.asked()):
        steps = session.network.steps if number else session.network.first_steps
        expected += steps * (1 + 0.1 * asked) + 5 + 0.3 * asked
    assert estimate.seconds_a_run(case, schedule) == pytest.approx(expected)


@pytest.mark.parametrize("network", ["mlp", "gp"])
def test_it_takes_real_rounds(network: str) -> None:
    session = start(network=network, members=1, smoothing="edges")
    assert estimate.seconds_a_run(Case("one", ("a", 0), session, right, TRUTH), Schedule(5, "1", 10_000)) > 0
    assert not session.log.candidates().any()  # the budget is larger than the image
