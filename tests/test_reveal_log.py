"""The log of one image: asked and told, taken back, saved, and learned from by whoever likes."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from refusals import refused
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from session_samples import ASKABLE, CLASSES, SHAPE, TRUTH, assert_same_log, right

from lowpix.reveal.log import UNSURE, VOID, Log

WITHOUT_CLASS = (VOID, UNSURE)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Of any size, any answers and any fits."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    classes = draw(st.integers(1, UNSURE))
    log = Log(classes, np.ones((height, width), bool), draw(st.integers(0, 2**63 - 1)))
    pixels = draw(st.lists(st.integers(0, height * width - 1), unique=True, max_size=20))
    answer = st.one_of(st.integers(0, classes - 1), st.sampled_from(WITHOUT_CLASS))
    answers = draw(st.lists(answer, min_size=len(pixels), max_size=len(pixels)))
    log.tell(np.array([divmod(pixel, width) for pixel in pixels]), np.array(answers, np.uint8))
    log.fits = sorted(draw(st.lists(st.integers(1, len(pixels)), max_size=9))) if pixels else []
    return log


def told(pixels: list[list[int]], answers: list[int], fits: tuple[int, ...] = (), classes: int = CLASSES) -> Log:
    log = Log(classes, ASKABLE, seed=3)
    log.tell(np.array(pixels), np.array(answers))
    log.fits = list(fits)
    return log


# Telling


def test_an_empty_log() -> None:
    log = Log(CLASSES, ASKABLE)
    assert (log.asked, log.revealed, log.fits) == (0, 0, [])
    assert (log.pixels.shape, log.pixels.dtype) == ((0, 2), np.int64)
    assert (log.answers.shape, log.answers.dtype) == ((0,), np.uint8)
    np.testing.assert_array_equal(log.candidates(), ASKABLE)


@given(logs())
def test_what_carries_a_class_is_labelled_and_overwrites(log: Log) -> None:
    answers = dict(zip(map(tuple, log.pixels.tolist()), log.answers.tolist(), strict=True))
    with_class = {pixel: answer for pixel, answer in answers.items() if answer not in WITHOUT_CLASS}
    pixels, classes = log.labelled()
    assert list(zip(map(tuple, pixels.tolist()), classes.tolist(), strict=True)) == list(with_class.items())
    assert (log.asked, log.revealed) == (len(answers), len(with_class))
    assert log.askable is not None
    predicted = np.full(log.askable.shape, 77, np.uint8)
    whole = log.overwrite(predicted)
    for pixel in np.ndindex(predicted.shape):
        expected = 77 if answers.get(pixel, UNSURE) == UNSURE else answers[pixel]
        assert whole[pixel] == expected
        assert log.candidates()[pixel] == (pixel not in answers)
    assert (predicted == 77).all()


def test_part_of_a_question_may_be_told() -> None:
    log = Log(CLASSES, ASKABLE)
    question = log.ask(6, None)
    log.tell(question[[4, 1]], right(question[[4, 1]]))
    np.testing.assert_array_equal(log.pixels, question[[4, 1]])
    log.tell(np.empty((0, 2), np.int64), np.empty(0, np.uint8))
    assert log.asked == 2


@pytest.mark.parametrize(
    ("question", "answers", "parts"),
    [
        ([[24, 0]], [1], ["(24, 0)", "(24, 32)"]),
        ([[0, 32]], [1], ["(0, 32)", "(24, 32)"]),
        ([[-1, 4]], [1], ["(-1, 4)", "(24, 32)"]),
        ([[9, 9]], [3], ["answer 3", "(9, 9)", "under 3"]),
        ([[9, 9]], [-1], ["answer -1", "(9, 9)", "under 3"]),
        ([[9, 9]], [253], ["answer 253", "(9, 9)", "under 3"]),
        ([[9, 9], [8, 8]], [1], ["1 answers", "2 pixels"]),
        ([[5, 5]], [1], ["(5, 5)", "before", "undo"]),
        ([[9, 9], [9, 9]], [1, 1], ["(9, 9)", "before", "undo"]),
        ([[8, 8], [9, 9], [30, 9]], [0, 1, 1], ["(30, 9)", "(24, 32)"]),
    ],
)
def test_tell_refuses_and_takes_nothing(question: list[list[int]], answers: list[int], parts: list[str]) -> None:
    log = told([[5, 5]], [1])
    with refused(*parts):
        log.tell(np.array(question), np.array(answers))
    assert (log.pixels.tolist(), log.answers.tolist()) == ([[5, 5]], [1])
    assert len(log.ask(10_000, None)) == ASKABLE.sum() - 1


# Asking


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rounds=st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=5),
    levels=st.sampled_from([1, 3, 1000]),
    radius=st.one_of(st.integers(0, 6), st.none()),
    percent=st.one_of(st.none(), st.floats(0.5, 100)),
)
def test_ask_keeps_to_candidate_pixels_and_never_repeats(
    seed: int, rounds: list[tuple[int, bool]], levels: int, radius: int | None, percent: float | None
) -> None:
    """With scores or none, spacing that is one or a map, and as many as are asked for while there are any."""
    random = np.random.default_rng(seed)
    askable = random.random(random.integers(1, 12, 2)) < random.choice([0.1, 0.6, 1])
    log, left = Log(4, askable, seed), {tuple(pixel) for pixel in np.argwhere(askable).tolist()}
    for count, with_scores in rounds:
        scores = (random.integers(-levels, levels, askable.shape) / 7).astype(np.float32)
        spacing = random.uniform(0, 5, askable.shape).astype(np.float32) if radius is None else radius
        given_scores = scores if with_scores else None
        picks = log.ask(count, given_scores, spacing, percent)
        np.testing.assert_array_equal(log.ask(count, given_scores, spacing, percent), picks)  # nothing has changed
        assert picks.dtype == np.int64
        assert picks.shape == (min(count, len(left)), 2)
        asked = {tuple(pixel) for pixel in picks.tolist()}
        assert len(asked) == len(picks)
        assert asked <= left
        left -= asked
        log.tell(picks, random.choice([0, 3, *WITHOUT_CLASS], len(picks)).astype(np.uint8))
        assert {tuple(pixel) for pixel in np.argwhere(log.candidates()).tolist()} == left


def test_without_scores_pixels_are_drawn_uniformly() -> None:
    hits = np.zeros(SHAPE)
    for seed in range(300):
        hits[tuple(Log(CLASSES, ASKABLE, seed).ask(8, None).T)] += 1
    assert not hits[~ASKABLE].any()
    quarters = hits[:12, :16].sum(), hits[:12, 16:].sum(), hits[12:, :16].sum(), hits[12:, 16:].sum()
    areas = np.array([192 - 15, 192, 192, 192]) / ASKABLE.sum()
    np.testing.assert_allclose(np.array(quarters) / 2400, areas, atol=0.04)


def test_what_may_be_asked_is_the_logs_own() -> None:
    askable = ASKABLE.copy()
    log = Log(CLASSES, askable)
    askable[:] = False
    log.candidates()[:] = False
    assert log.candidates().sum() == ASKABLE.sum()


# Taking back


def go_on(log: Log, answers: list[int]) -> None:
    """Ask, by scores that depend on what was asked, answer so, and note a fit."""
    scores = np.random.default_rng(log.asked).random(SHAPE, np.float32)
    log.tell(log.ask(len(answers), scores, 2), np.array(answers, np.uint8))
    if log.asked:
        log.fits.append(log.asked)


rounds_of_answers = st.lists(st.lists(st.sampled_from([0, 1, 2, *WITHOUT_CLASS]), max_size=5), max_size=6)


@settings(max_examples=60)
@given(before=rounds_of_answers, after=rounds_of_answers)
def test_until_is_a_log_that_was_stopped_there(before: list[list[int]], after: list[list[int]]) -> None:
    whole, stopped = Log(CLASSES, ASKABLE, seed=5), Log(CLASSES, ASKABLE, seed=5)
    for answers in before:
        for log in (whole, stopped):
            go_on(log, answers)
    for answers in filter(None, after):
        go_on(whole, answers)
    count, earlier = whole.asked, whole.until(stopped.asked)
    assert_same_log(earlier, stopped)
    for answers in filter(None, after):  # it asks on like that one, and leaves the whole as it is
        go_on(earlier, answers)
        go_on(stopped, answers)
    assert_same_log(earlier, stopped)
    assert_same_log(earlier, whole)
    go_on(earlier, [0])
    assert (whole.asked, whole.until(10_000).asked) == (count, count)


@given(log=logs(), count=st.integers(0, 25))
def test_undo_takes_back_answers_and_the_fits_that_saw_them(log: Log, count: int) -> None:
    pixels, answers, fits = log.pixels.tolist(), log.answers.tolist(), log.fits.copy()
    keep = max(0, len(pixels) - count)
    expected = log.until(keep)
    log.undo(count)
    assert_same_log(log, expected)
    assert (log.pixels.tolist(), log.answers.tolist()) == (pixels[:keep], answers[:keep])
    assert log.fits == [fit for fit in fits if fit <= keep]
    for pixel in pixels[keep:]:  # and may be told anew
        log.tell(np.array([pixel]), np.array([VOID]))
    assert log.pixels.tolist() == pixels


# Files


@given(log=logs())
def test_a_saved_log_is_loaded_as_it_was(tmp_path_factory: pytest.TempPathFactory, log: Log) -> None:
    path = tmp_path_factory.mktemp("logs") / "made" / "log.parquet"
    log.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["log.parquet"]
    assert_same_log(Log.load(path), log)
    loaded = Log.load(path, log.askable)
    np.testing.assert_array_equal(loaded.ask(9, None), log.ask(9, None))
    table = pd.read_parquet(path)  # by another reader
    assert table[["row", "column"]].to_numpy().tolist() == log.pixels.tolist()
    assert table["answer"].tolist() == log.answers.tolist()
    assert [index + 1 for index, fits in enumerate(table["fits"]) for _ in range(fits)] == log.fits


def test_a_log_that_is_only_read_cannot_ask(tmp_path: Path) -> None:
    log = told([[5, 5], [20, 30]], [1, VOID])
    log.save(tmp_path / "log.parquet")
    read = Log.load(tmp_path / "log.parquet")
    assert read.until(1).overwrite(np.zeros(SHAPE, np.uint8)).sum() == 1
    with refused("only read"):
        read.ask(1, None)


def table(**columns: Any) -> pa.Table:
    """The file of two answers and a fit, with changes."""
    plain: dict[str, Any] = {"row": [5, 6], "column": [5, 6], "answer": [1, 2], "fits": [0, 1]} | columns
    kinds = {"row": pa.int32(), "column": pa.int32(), "answer": pa.uint8(), "fits": pa.int32()}
    arrays = {name: pa.array(values, kinds.get(name)) for name, values in plain.items() if values is not None}
    return sealed(pa.table(arrays), classes="3", seed="4")


def sealed(table: pa.Table, **facts: str) -> pa.Table:
    """With facts and the digest that belongs to them: the fault is then in what the table says."""
    digest = hashlib.sha256(" ".join(facts.values()).encode())
    for column in table.columns:
        digest.update(column.to_numpy().tobytes())
    return table.replace_schema_metadata(facts | {"sha256": digest.hexdigest()})


def with_facts(**facts: str) -> pa.Table:
    return sealed(table(), **facts)


def test_the_tables_of_the_next_test_are_logs_but_for_their_fault(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "log.parquet")
    log = Log.load(tmp_path / "log.parquet", ASKABLE)
    assert (log.pixels.tolist(), log.answers.tolist(), log.fits) == ([[5, 5], [6, 6]], [1, 2], [2])
    assert (log.classes, log.seed) == (3, 4)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, []),
        (b"", []),
        (b"row,column,answer\n5,5,1\n", []),
        (table(answer=None), ["columns"]),
        (table(more=[1, 2]), ["columns"]),
        (table(row=[5, None]), []),
        (table(answer=[1, None]), []),
        (table(fits=[0, None]), []),
        (table(row=[5, 24], column=[5, 1]), ["(24, 1)"]),
        (table(row=[5, 5], column=[5, 5]), ["(5, 5)"]),
        (table(answer=[1, 3]), ["answer 3", "(6, 6)"]),
        (table(fits=[0, -1]), []),
        (with_facts(), ["classes", "seed"]),
        (with_facts(classes="3"), ["classes", "seed"]),
        (with_facts(classes="many", seed="4"), ["many"]),
    ],
)
def test_a_broken_or_foreign_file_is_refused(tmp_path: Path, content: bytes | pa.Table, parts: list[str]) -> None:
    path = tmp_path / "log.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        pq.write_table(content, path)
    with refused(path, *parts):
        Log.load(path, ASKABLE)


@pytest.mark.parametrize(
    ("question", "answers", "said"),
    [
        ([(0.5, 1)], [1], "pixels of type float64"),
        ([(0, 1)], [1.7], "answers of type float64"),
        ([(0, 1)], [np.nan], "answers of type float64"),
        ([("0", "1")], [1], "pixels of type <U1"),
        ([(0, 1)], [None], "answers of type object"),
    ],
)
def test_what_is_no_whole_number_is_refused_and_not_rounded(question: Any, answers: Any, said: str) -> None:
    log = Log(3, np.ones((4, 5), bool))
    with refused(said, "whole numbers"):
        log.tell(question, answers)
    assert log.asked == 0
    log.tell([(0, 1), (2, 3)], [True, 2])
    log.tell([], [])
    assert log.answers.tolist() == [1, 2]


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    told([[5, 5]], [1], fits=(1,)).save(path)
    whole = path.read_bytes()
    for length in (4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with refused(path):
            Log.load(path)


# A learner that is no session


def nearest(log: Log) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels by the nearest labelled pixel, and how far from any that was asked each pixel lies."""
    pixels, classes = log.labelled()
    labels = classes[KDTree(pixels).query(np.argwhere(np.ones(SHAPE)))[1]].reshape(SHAPE)
    unasked = np.ones(SHAPE, bool)
    unasked[tuple(log.pixels.T)] = False
    return labels, distance_transform_edt(unasked).astype(np.float32)


def reveal(log: Log, rounds: int, learner: Callable[[Log], tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> None:
    for _ in range(rounds):
        question = log.ask(4, learner(log)[1] if log.revealed else None, radius=3)
        answers = right(question)
        answers[0] = UNSURE if log.asked % 3 else answers[0]
        log.tell(question, answers)


def test_a_learner_that_is_no_session_can_ask_from_a_log(tmp_path: Path) -> None:
    log = Log(CLASSES, ASKABLE, seed=1)
    accuracies = []
    for _ in range(3):
        reveal(log, 5, nearest)
        accuracies.append(float((log.overwrite(nearest(log)[0]) == TRUTH).mean()))
        log.save(tmp_path / f"{log.asked}.parquet")
    assert accuracies[0] < accuracies[1] < accuracies[2]
    assert accuracies[2] > 0.8  # a constant answer gets 0.35
    resumed = Log.load(tmp_path / "20.parquet", ASKABLE)
    reveal(resumed, 10, nearest)
    assert_same_log(resumed, log)
    assert_same_log(Log.load(tmp_path / "40.parquet"), log.until(40))
