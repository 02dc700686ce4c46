"""That the simulated person asks and clicks as it says, and that seconds are counted rightly."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from benchmarks import asking
from benchmarks.asking import ANSWERS, KEYS, SCHEDULE, WAYS, Options, clicks_to_miou, costs, until_right
from benchmarks.person import Progress, Way, label
from lowpix.data import Dataset, open_dataset
from lowpix.image_study import Options as StudyOptions
from lowpix.image_study import image_study
from lowpix.reveal.judging import Prediction
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.session import ImageSession

SIZE = (40, 56)


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return open_dataset("scenes", scene_size=SIZE, scene_count=1)


@pytest.mark.parametrize("acquisition", ["facility", "margin"])
def test_keys_alone_are_an_image_study(
    scenes: Dataset, acquisition: str, tmp_path: Path, undrawn_images: None
) -> None:
    given = StudyOptions(
        dataset="scenes",
        scene_size=SIZE,
        scene_count=1,
        acquisition=(acquisition,),
        stop="budget",
        max_pixels=24,
        pixels_per_round="10%",
        first_pixels=5,
        out=tmp_path / "study",
    )
    curves = image_study(given).tables().curves
    found = pd.DataFrame(label(scenes, scenes.images[0], Way(range(0), acquisition), Schedule(5, "10%", 24)))
    assert list(found["keys"]) == list(curves["revealed"])
    assert not found["clicks"].any()
    np.testing.assert_allclose(found["accuracy"], curves["accuracy"], rtol=1e-12)
    np.testing.assert_allclose(found["miou"], curves["miou"], rtol=1e-12)


def test_clicks_go_to_mistakes_that_are_seen(scenes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has clicked before, none of the others are clicks, and each click was wrong on the page."""
    seen: list[NDArray[np.uint8]] = []
    wrong: list[bool] = []
    predict, tell = ImageSession.predict, ImageSession.tell

    def watched_predict(session: ImageSession) -> Prediction:
        found = predict(session)
        seen.append(session.log.overwrite(found.labels))
        return found

    def watched_tell(session: ImageSession, question: NDArray[np.int64], answers: NDArray[np.uint8]) -> None:
        wrong.extend((seen[-1][tuple(question.T)] != answers).tolist() if seen else [False] * len(question))
        tell(session, question, answers)

    monkeypatch.setattr(ImageSession, "predict", watched_predict)
    monkeypatch.setattr(ImageSession, "tell", watched_tell)
    way = Way(range(8, 20))
    *_, last = label(scenes, scenes.images[0], way, Schedule(5, "1", 26))
    assert (last.keys, last.clicks) == (14, 12)
    assert all(wrong[8:20])
    assert not all(wrong[5:8] + wrong[20:])


def test_ways_begin_with_keys_and_fit_the_schedule() -> None:
    for way in WAYS.values():
        assert all(number >= SCHEDULE.first for number in way.clicks)
        assert all(number < ANSWERS for number in way.clicks)


def test_a_person_stops_when_all_targets_were_reached() -> None:
    rounds = [Progress(5, 0, 0.5, 0.95), Progress(6, 0, 0.99, 0.5), Progress(7, 0, 1.0, 1.0)]
    assert list(until_right(rounds)) == rounds[:2]


def rounds_of(needed: dict[str, tuple[int, int]], image: str) -> list[dict[str, Any]]:
    """For each way the round before an accuracy and mIoU of 0.96, and that round; none of those not named."""
    rows = []
    for way in WAYS:
        keys, clicks = needed.get(way, (ANSWERS, 0))
        rows.append({"image": image, "way": way, "keys": keys - 1, "clicks": clicks, "accuracy": 0.8, "miou": 0.8})
        reached = 0.96 if way in needed else 0.8
        rows.append(
            {"image": image, "way": way, "keys": keys, "clicks": clicks, "accuracy": reached, "miou": reached}
        )
    return rows


def test_seconds_and_ratios_by_hand() -> None:
    needed = [{KEYS: (20, 0), "clicks": (5, 5)}, {KEYS: (30, 0), "clicks": (5, 25)}, {KEYS: (40, 0)}]
    rounds = pd.DataFrame([row for index, one in enumerate(needed) for row in rounds_of(one, f"image {index}")])
    given = Options(seconds_per_key=1, seconds_per_click=3)
    table = pd.DataFrame(costs(rounds, 0.95, given)).set_index("way")
    assert table.loc[KEYS, ["seconds", "low", "high", "reached"]].tolist() == [30, 20, 40, 1]
    # 20, 80 and never; against 20, 30 and 40
    assert table.loc["clicks", ["seconds", "reached", "ratio"]].tolist() == [80, pytest.approx(2 / 3), 80 / 30]
    assert np.isinf(table.loc["keys by margin", "seconds"])
    assert np.isinf(table.loc["clicks", "ratio_high"])
    noc = pd.DataFrame(clicks_to_miou(rounds)).set_index(["way", "miou", "cap"])
    assert noc.loc[(KEYS, 0.9, 300), ["noc", "failed"]].tolist() == [30, 0]
    assert noc.loc[(KEYS, 0.9, 20), ["noc", "failed"]].tolist() == [20, pytest.approx(2 / 3)]
    assert noc.loc[("clicks", 0.9, 300), ["noc", "failed"]].tolist() == [(10 + 30 + 300) / 3, pytest.approx(1 / 3)]


def test_a_run_goes_on_where_it_stopped(
    scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs that are in the file are not run again; images that lack a way are left out of the tables."""
    monkeypatch.setattr(asking, "_in_turn", lambda root, limit: iter([("scenes", scenes, scenes.images[0])]))
    monkeypatch.setattr(asking, "SCHEDULE", Schedule(5, "1", 7))
    monkeypatch.setattr(asking, "STUDIES", {"scenes": None})
    given = Options(out=tmp_path)
    asking.command(given)
    whole = pd.read_parquet(tmp_path / "rounds.parquet")
    assert len(whole.groupby(["study", "image", "way"])) == len(WAYS)
    first = [(tmp_path / f"{name}.csv").read_bytes() for name in ("seconds", "noc")]
    whole[whole["way"] != "clicks"].to_parquet(tmp_path / "rounds.parquet")
    capsys.readouterr()
    asking.command(given)
    assert capsys.readouterr().out.count("keys,") == 1
    assert [(tmp_path / f"{name}.csv").read_bytes() for name in ("seconds", "noc")] == first
    assert len(list(product(asking.TARGETS, WAYS))) == len(pd.read_csv(tmp_path / "seconds.csv"))
