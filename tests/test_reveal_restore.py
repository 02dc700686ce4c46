"""Sessions that were stopped and restored, and sessions that nobody has a label map for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from data_samples import write
from numpy.typing import NDArray
from refusals import refused
from session_samples import (
    CLASSES,
    SHAPE,
    TRUTH,
    assert_same_bits,
    assert_same_log,
    assert_same_weights,
    image,
    right,
    same_weights,
    start,
)

from lowpix.image_study import Options, image_study
from lowpix.image_study.loop import Case, reveal
from lowpix.networks.learner import FORMAT
from lowpix.reveal.log import UNSURE, VOID, Log
from lowpix.reveal.oracle import LabelMapOracle
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.selection import Selection
from lowpix.reveal.session import ImageSession, fit
from lowpix.weights import read_weights, weights_file

WITH_VOID = TRUTH.copy()
WITH_VOID[:, 20:26] = VOID
SETTINGS: dict[str, dict[str, Any]] = {
    "margin": {"selection": Selection(spacing=2)},
    "percent": {"acquisition": "bald", "selection": Selection(percent=10)},
    "noisy": {"acquisition": "power_bald", "members": 3},
    "spread": {"acquisition": "stratified"},
    "mixed": {"network": "mlp+gp"},
    "solved": {"network": "gp", "members": 1, "smoothing": "edges"},
    "dropout": {"acquisition": "bald", "dropout": 0.4, "samples": 6},
}
every_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
every_way = pytest.mark.parametrize("way", ["networks", "fits"])


def answers(question: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Some wrong, some refused, some void."""
    return LabelMapOracle(WITH_VOID, CLASSES, noise=0.1, refusal=0.2, seed=2)(question)


def tell(session: ImageSession, count: int) -> None:
    question = session.ask(count)
    session.tell(question, answers(question))


def play(session: ImageSession, counts: list[int]) -> None:
    for count in counts:
        tell(session, count)
        fit([session])
        session.predict()


def begun(setting: dict[str, Any], **options: Any) -> ImageSession:
    """A first round without any class, so without a fit, then several with all kinds of answers."""
    session = start(**setting | options)
    question = session.ask(2)
    session.tell(question, np.array([VOID, UNSURE], np.uint8))
    fit([session])
    session.predict()
    play(session, [7, 4, 1, 6])
    assert len(session.log.fits) == 4
    assert {VOID, UNSURE} < set(session.log.answers[2:].tolist())
    return session


def stop(session: ImageSession, folder: Path) -> None:
    session.log.save(folder / "log.parquet")
    session.save_networks(folder / "networks.safetensors")


def restore(session: ImageSession, folder: Path, way: str) -> None:
    networks = folder / "networks.safetensors" if way == "networks" else None
    session.restore(Log.load(folder / "log.parquet"), networks)


def restored(folder: Path, way: str, setting: dict[str, Any], **options: Any) -> ImageSession:
    session = start(**setting | options)
    restore(session, folder, way)
    return session


# Stopped and restored


@every_way
@every_setting
def test_a_restored_session_is_one_that_was_never_stopped(
    tmp_path: Path, setting: dict[str, Any], way: str
) -> None:
    never = begun(setting)
    stop(never, tmp_path)
    session = restored(tmp_path, way, setting)
    assert session.learner.step > 0
    assert_same_bits(session, never)  # parameters, prediction, next question
    for each in (session, never):  # and so it goes on
        play(each, [3, 1])
    assert_same_bits(session, never)
    stop(session, tmp_path)  # stopped again
    again = restored(tmp_path, way, setting)
    for each in (again, never):
        each.predict()
        play(each, [2])
    assert_same_bits(again, never)


@every_way
def test_answers_that_no_fit_has_seen_are_restored_too(tmp_path: Path, way: str) -> None:
    setting = SETTINGS["margin"]
    never = begun(setting)
    tell(never, 3)
    stop(never, tmp_path)
    session = restored(tmp_path, way, setting)
    assert session.log.fits[-1] == session.log.asked - 3
    assert_same_bits(session, never)
    for each in (session, never):
        fit([each])
    assert_same_bits(session, never)


@every_way
def test_so_is_a_session_that_was_never_fitted(tmp_path: Path, way: str) -> None:
    never = start()
    tell(never, 4)
    stop(never, tmp_path)
    session = restored(tmp_path, way, {})
    assert session.log.fits == []
    assert session.learner.step == 0
    np.testing.assert_array_equal(session.ask(5), never.ask(5))
    for each in (session, never):
        fit([each])
    assert_same_bits(session, never)


@every_way
def test_a_session_that_has_been_used_may_take_another_log_over(tmp_path: Path, way: str) -> None:
    setting = SETTINGS["margin"]
    never = begun(setting)
    stop(never, tmp_path)
    session = start(**setting, history=3)
    play(session, [9, 9])
    restore(session, tmp_path, way)
    assert session.scores is None  # those of what it did before
    assert_same_bits(session, never)
    session.undo(1)  # what was there before is no history of this log
    assert session.log.fits == ([] if way == "networks" else never.log.fits[:-1])


def test_after_undo_a_session_is_restored_as_it_is_then(tmp_path: Path) -> None:
    """With and without the networks that undo went back to."""
    for history in (0, 5):
        never = begun(SETTINGS["margin"], history=history)
        never.undo(7)
        play(never, [2])
        stop(never, tmp_path)
        for way in ("networks", "fits"):
            assert_same_bits(restored(tmp_path, way, SETTINGS["margin"]), never)


def test_fits_that_were_replayed_can_be_undone_one_by_one(tmp_path: Path) -> None:
    setting = SETTINGS["margin"]
    never = begun(setting, history=9)
    stop(never, tmp_path)
    session = restored(tmp_path, "fits", setting, history=9)
    for count in (3, 4, 3):
        for each in (session, never):
            each.undo(count)
        assert_same_bits(session, never)


def test_beyond_loaded_networks_undo_begins_anew(tmp_path: Path) -> None:
    never = begun(SETTINGS["margin"])
    stop(never, tmp_path)
    session = restored(tmp_path, "networks", SETTINGS["margin"], history=9)
    session.undo(1)
    never.undo(1)
    assert (session.learner.step, session.log.fits) == (0, [])
    fit([session, never])
    assert_same_bits(session, never)


def test_an_earlier_log_gives_the_session_of_then() -> None:
    setting = SETTINGS["margin"]
    never = begun(setting)
    log = never.log.until(never.log.fits[1])
    then = start(**setting)
    then.tell(log.pixels[:2], log.answers[:2])
    for start_at, end in ((2, log.fits[0]), (log.fits[0], log.fits[1])):
        then.tell(log.pixels[start_at:end], log.answers[start_at:end])
        fit([then])
    session = start(**setting)
    session.restore(log)
    assert_same_bits(session, then)
    assert not same_weights(session, never)


# What cannot be restored


def check_refused(session: ImageSession, log: Log, networks: Path | None, *parts: object) -> None:
    """And the session is what it was."""
    before, same = session.log.until(session.log.asked), start(members=session.members)
    play(same, [5, 2])
    assert_same_bits(session, same)
    with refused(*parts):
        session.restore(log, networks)
    assert_same_log(session.log, before)
    assert_same_bits(session, same)


@pytest.mark.parametrize(
    "other",
    [{"members": 3}, {"network": "unet"}, {"network": "gp", "members": 1}, {"dropout": 0.5}],
    ids=["members", "network", "solved", "dropout"],
)
def test_networks_of_another_shape_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "networks.safetensors"
    start(**other).save_networks(path)
    session = start()
    play(session, [5, 2])
    check_refused(session, session.log.until(5), path, path, "shapes")


def test_networks_for_other_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "networks.safetensors"
    ImageSession(image(), np.ones(SHAPE, bool), CLASSES + 1, members=2).save_networks(path)
    with refused(path, "shapes"):
        start().restore(Log(CLASSES), path)


@pytest.mark.parametrize("content", [None, b"", b"no networks at all", "log", "cut off", "no step", "no moments"])
def test_a_file_that_holds_no_networks_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    path, session = tmp_path / "networks.safetensors", start()
    play(session, [5, 2])
    if content == "log":
        session.log.save(path)
    elif content == "cut off":
        session.save_networks(path)
        path.write_bytes(path.read_bytes()[:-100])
    elif content == "no step":
        path.write_bytes(weights_file(session.learner.tensors, FORMAT, {}))
    elif content == "no moments":
        path.write_bytes(weights_file({"flat": session.learner.flat}, FORMAT, {"step": 3}))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    check_refused(session, session.log.until(5), path, path)


def test_a_log_that_does_not_fit_the_image_is_refused() -> None:
    session, larger, richer = start(), Log(CLASSES), Log(CLASSES + 1)
    play(session, [5, 2])
    larger.tell(np.array([[3, 3], [SHAPE[0], 0]]), np.array([1, 1]))
    check_refused(session, larger, None, f"({SHAPE[0]}, 0)", SHAPE)
    richer.tell(np.array([[3, 3], [4, 4]]), np.array([1, CLASSES]))
    check_refused(session, richer, None, f"answer {CLASSES}", "(4, 4)")


def test_saved_networks_are_whole(tmp_path: Path) -> None:
    """Moments and step count included, and nothing else is left in the folder."""
    session, other = begun(SETTINGS["margin"]), start(**SETTINGS["margin"])
    session.save_networks(tmp_path / "a" / "networks.safetensors")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["networks.safetensors"]
    other.learner.load(tmp_path / "a" / "networks.safetensors")
    assert_same_weights(session, other)


# Without a label map


def person(question: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Knows the image, but cannot tell every fourth column."""
    told = right(question)
    told[question[:, 1] % 4 == 0] = UNSURE
    return told


def test_a_session_without_a_label_map_is_revealed_to_its_budget() -> None:
    session = ImageSession(image(), np.ones(SHAPE, bool), CLASSES, members=2, selection=Selection(spacing=2))

    def cases() -> Iterator[Case]:
        yield Case("mlp-margin", ("a", 0), session, person, None)

    (case,) = reveal(cases(), Schedule(6, "50%", 60), target=0.5, stop="budget")
    log = session.log
    assert log.asked == 60
    assert log.revealed == (log.pixels[:, 1] % 4 != 0).sum() < 60
    assert len(log.fits) == len(case.rounds)
    assert all(np.isnan([row["accuracy"], row["accuracy_unrevealed"], row["miou"]]).all() for row in case.rounds)
    assert case.prediction is not None
    assert (log.overwrite(case.prediction.labels) == TRUTH).mean() > 0.6


def test_a_study_of_photographs_leaves_empty_what_only_a_label_map_can_tell(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "images" / "a.png", image())
    (tmp_path / "photos" / "classes.json").write_text('{"classes": ["one", "two", "three"]}')
    options = Options(
        dataset="folder", data_root=tmp_path / "photos", stop="budget", max_pixels=20, pixels_per_round="50%",
        first_pixels=6, out=tmp_path / "study",
    )  # fmt: skip
    study = image_study(options, oracles=lambda name: person)
    tables = study.tables()
    (row,) = tables.summary.to_dict("records")
    assert row["image"] == "a"
    assert np.isnan([row["accuracy"], row["miou"], row["target"]]).all()
    assert pd.isna(row["pixels_to_target"])
    assert tables.curves["accuracy"].isna().all()
    assert tables.curves["asked"].iloc[-1] == 20
    told = tables.revealed
    assert len(told) == tables.curves["revealed"].iloc[-1] < 20
    assert (told["label"] == TRUTH[told["row"], told["column"]]).all()
    assert (tmp_path / "study" / "overview.png").is_file()


def test_loaded_networks_lie_in_memory_as_trained_ones_do(tmp_path: Path) -> None:
    """Some processors round otherwise where they are not aligned, and in a file they are not."""
    odd = {name: torch.zeros(size) for name, size in (("a", 3), ("b", 5), ("c", 7))}
    (tmp_path / "x.safetensors").write_bytes(weights_file(odd, "form", {}))
    tensors, _ = read_weights(tmp_path / "x.safetensors", "form")
    assert [tensor.data_ptr() % 64 for tensor in tensors.values()] == [0, 0, 0]
