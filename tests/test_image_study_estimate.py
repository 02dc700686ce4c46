"""The estimate of a run's time, with a clock that only training and prediction move."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from session_samples import TRUTH, right, start

from lowpix.image_study import Options, estimate, image_study, runs, study
from lowpix.image_study.loop import Case
from lowpix.networks.pixel_mlp import PixelMLP
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


def test_the_image_that_it_prepares_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn_images: None
) -> None:
    """Its features are computed once, and the tables are those of a study without an estimate."""
    made = []
    plain = PixelMLP.inputs

    def inputs(network: PixelMLP, *arguments: Any) -> torch.Tensor:
        made.append(network)
        return plain(network, *arguments)

    monkeypatch.setattr(PixelMLP, "inputs", inputs)
    given: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 2, "max_pixels": 7, "stop": "budget"}
    here = image_study(Options(**given, out=tmp_path / "here")).tables()
    assert len(made) == 2
    monkeypatch.setattr(study, "run_study", lambda *given: runs.run_study(*given[:-1]))
    others = image_study(Options(**given, out=tmp_path / "there")).tables()
    assert len(made) == 2 + 3
    for one, other in zip(here, others, strict=True):
        columns = {"columns": "seconds", "errors": "ignore"}
        pd.testing.assert_frame_equal(one.drop(**columns), other.drop(**columns), check_exact=True)
