"""Image studies that judge every n-th row and column between rounds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refused

from lowpix.data import IGNORE, open_dataset
from lowpix.image_study import Options, image_study
from lowpix.reveal import lattice
from lowpix.reveal.judging import Prediction
from lowpix.reveal.session import ImageSession
from lowpix.study.label_maps import read_label_map
from lowpix.study.source import Source

SCENES: dict[str, Any] = {"scene_size": (48, 64), "scene_count": 2, "scene_classes": 4}
NAME = "mlp-facility-edges-grid3"

pytestmark = pytest.mark.usefixtures("undrawn_images")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Prediction, np.ndarray[Any, Any] | None]]:
    """Pixels asked, prediction, and truth at its points, of each prediction of a study on small images."""
    monkeypatch.setattr(lattice, "LEAST", 100)
    found = []
    plain = ImageSession.predict

    def predict(session: ImageSession, step: int = 1) -> Prediction:
        prediction = plain(session, step)
        found.append((session.log.asked, prediction, session.lattice))
        return prediction

    monkeypatch.setattr(ImageSession, "predict", predict)
    return found


def test_the_last_round_is_that_of_the_whole_image_and_others_of_a_sample(
    tmp_path: Path, judged: list[Any]
) -> None:
    options = Options(**SCENES, grid=(3,), stop="budget", max_pixels=20, keep_at=(12,), out=tmp_path)
    judged.clear()
    study = image_study(options)
    tables = study.tables()
    scenes = open_dataset("scenes", **SCENES)
    assert set(tables.summary["setting"]) == {NAME}
    assert set(tables.summary["selection"]) == {
        "facility location until 80 pixels, then top, 10 px apart, on a grid of 3"
    }
    for row in tables.summary.itertuples():
        truth = scenes.labels(row.image)
        assert truth is not None
        labels = read_label_map(tmp_path / f"pseudo_labels/{NAME}/0/{row.image}.png")
        assert row.accuracy == pytest.approx(np.mean((labels == truth)[truth != IGNORE]))
        assert (tmp_path / f"pseudo_labels_at/12/{NAME}/0/{row.image}.png").exists()
    of_study = judged[-2 * len(tables.curves[tables.curves["image"] == "scene_000"]) :]
    whole = [asked for asked, _, points in of_study if points is None]
    assert set(whole) == {12, 20}
    # the first sampled round of the last image, counted by hand
    asked, prediction, points = next(entry for entry in of_study[len(of_study) // 2 :] if entry[2] is not None)
    last = of_study and tables.curves["image"].iloc[-1]
    truth = scenes.labels(last)
    assert truth is not None
    told = tables.revealed[(tables.revealed["image"] == last) & (tables.revealed["order"] < asked)]
    unasked = truth != IGNORE
    unasked[told["row"], told["column"]] = False
    there = unasked[points.where]
    right = np.mean((prediction.labels == truth[points.where])[there])
    expected = (right * unasked.sum() + asked) / (unasked.sum() + asked)
    found = tables.curves[(tables.curves["image"] == last) & (tables.curves["asked"] == asked)].iloc[0]
    assert found["accuracy"] == pytest.approx(expected, abs=1e-3)
    assert found["accuracy_unrevealed"] == pytest.approx(right)
    assert Source(tmp_path).setting("facility") == NAME


def test_a_target_is_reached_by_the_whole_image(tmp_path: Path, judged: list[Any]) -> None:
    options = Options(**SCENES, grid=(3,), target=0.8, max_pixels=300, out=tmp_path)
    summary = image_study(options).tables().summary
    scenes = open_dataset("scenes", **SCENES)
    for row in summary.itertuples():
        truth = scenes.labels(row.image)
        labels = read_label_map(tmp_path / f"pseudo_labels/{NAME}/0/{row.image}.png")
        assert np.mean((labels == truth)[truth != IGNORE]) >= 0.8
        assert not row.censored


def test_a_study_to_a_budget_finds_the_target_by_the_whole_image(tmp_path: Path, judged: list[Any]) -> None:
    """Though it does not stop there: a sample that comes near is judged anew."""
    options = Options(**SCENES, grid=(3,), stop="budget", target=0.8, max_pixels=120, out=tmp_path)
    judged.clear()
    tables = image_study(options).tables()
    assert (tables.summary["accuracy"] >= 0.8).all()
    first = tables.curves[tables.curves["accuracy"] >= 0.8].groupby("image")["asked"].min()
    assert (first < 120).all()
    whole = [asked for asked, _, points in judged if points is None]
    assert set(first) <= set(whole)


def test_only_what_is_chosen_on_a_grid_is_said_to_be(tmp_path: Path, judged: list[Any]) -> None:
    acquisitions = ("margin", "stratified", "error_depth")
    options = Options(**SCENES, grid=(3,), stop="budget", max_pixels=8, acquisition=acquisitions, out=tmp_path)
    summary = image_study(options).tables().summary
    told = summary.groupby("acquisition")["selection"].first().str.contains("on a grid of 3")
    assert told.to_dict() == {"margin": True, "stratified": False, "error_depth": False}


def test_small_images_are_as_without_a_grid(tmp_path: Path) -> None:
    options = Options(**SCENES, stop="budget", max_pixels=12, out=tmp_path)
    image_study(options)
    tables = image_study(replace(options, grid=(4,))).tables()
    with_grid, without = (
        tables.curves[tables.curves["setting"].str.contains("grid") == one] for one in (True, False)
    )
    columns = ["image", "round", "asked", "accuracy", "miou"]
    assert with_grid[columns].to_numpy().tolist() == without[columns].to_numpy().tolist()


def test_a_network_of_whole_images_has_no_grid() -> None:
    with refused("--grid 2", "unet reads whole images"):
        Options(network=("unet",), grid=(2,)).check()
