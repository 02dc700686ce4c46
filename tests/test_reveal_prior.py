"""Sessions that know what a network of other images makes of their image: features, virtual clicks, the brake."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from refusals import refused
from session_samples import (
    CLASSES,
    SHAPE,
    TRUTH,
    assert_same_bits,
    assert_same_weights,
    play,
    right,
    same_weights,
    shared_inputs,
    start,
)

from lowpix.networks.learner import padded
from lowpix.reveal.log import UNSURE, VOID, Log
from lowpix.reveal.prior import CLICKS, SURE, UNTIL, WEIGHT, Prior
from lowpix.reveal.session import ImageSession, fit

Map = NDArray[np.float32]


def prior_of(labels: NDArray[np.uint8], sure: float = 0.9) -> Map:
    """Probabilities of a network that is so sure of these labels."""
    rest = (1 - sure) / (CLASSES - 1)
    return np.where(labels[..., None] == np.arange(CLASSES), sure, rest).astype(np.float32)


TRUE = prior_of(TRUTH)
WRONG = prior_of((TRUTH + 1) % CLASSES)  # sure, and nowhere right
VAGUE = prior_of(TRUTH, 0.5)  # right, and nowhere sure


def told(pixels: NDArray[np.int64], answers: NDArray[np.uint8]) -> Log:
    log = Log(CLASSES, np.ones(SHAPE, bool))
    log.tell(pixels, answers)
    return log


def some_pixels(count: int, seed: int = 0) -> NDArray[np.int64]:
    flat = np.random.default_rng(seed).permutation(TRUTH.size)[:count]
    return np.stack(np.divmod(flat, SHAPE[1]), 1)


def accuracy(session: ImageSession) -> float:
    return float((session.predict().labels == TRUTH).mean())


# Virtual clicks


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 70), st.floats(0, 1))
def test_virtual_clicks_by_their_definition(seed: int, asked: int, wrong: float) -> None:
    draw = np.random.default_rng(seed)
    given_map = draw.dirichlet([0.2] * CLASSES, SHAPE).astype(np.float32)
    pixels = some_pixels(asked, seed)
    guessed = given_map.argmax(2)[tuple(pixels.T)]
    answers = np.where(draw.random(asked) < wrong, (guessed + 1) % CLASSES, guessed).astype(np.uint8)
    answers[draw.random(asked) < 0.1] = UNSURE
    log, prior = told(pixels, answers), Prior(given_map, seed)
    right_guesses = [
        answer == given_map[row, column].argmax()
        for (row, column), answer in zip(pixels, answers, strict=True)
        if answer < CLASSES and given_map[row, column].max() > SURE
    ]
    trust = max(0.0, 2 * (sum(right_guesses) + 2) / (len(right_guesses) + 2) - 1)
    places, classes = (part.numpy() for part in prior.clicks(log))
    rows, columns = np.divmod(places, SHAPE[1])
    most = round(CLICKS * max(0.0, 1 - asked / UNTIL) * trust)
    before_any = Prior(given_map, seed).clicks(Log(CLASSES))[0].numpy()
    assert prior.trust(log) == pytest.approx(trust)
    assert most - asked <= len(places) <= most or len(before_any) < CLICKS
    assert set(places) <= set(before_any)
    assert len(np.unique(places)) == len(places)
    assert (given_map.max(2)[rows, columns] > SURE).all()
    np.testing.assert_array_equal(classes, given_map.argmax(2)[rows, columns])
    assert not {*map(tuple, pixels.tolist())} & {*zip(rows.tolist(), columns.tolist(), strict=True)}


def test_virtual_clicks_are_spread_evenly_where_the_prior_is_sure() -> None:
    half = prior_of(TRUTH)
    half[:, : SHAPE[1] // 2] = 1 / CLASSES
    (places, _) = Prior(half, 0).clicks(Log(CLASSES))
    rows, columns = np.divmod(places.numpy(), SHAPE[1])
    assert len(places) == CLICKS
    assert columns.min() == SHAPE[1] // 2
    blocks = np.histogram2d(rows, columns, (4, 4), ((0, SHAPE[0]), (SHAPE[1] // 2, SHAPE[1])))[0]
    assert blocks.min() >= 5  # of 6.25; random places leave emptier ones


def test_they_get_fewer_with_every_answer_and_none_are_left_at_the_end() -> None:
    prior, pixels = Prior(TRUE, 0), some_pixels(UNTIL)
    counts = [len(prior.clicks(told(pixels[:asked], right(pixels[:asked])))[0]) for asked in range(UNTIL + 1)]
    assert counts[0] == CLICKS
    assert counts[-1] == 0
    assert all(later <= earlier for earlier, later in pairwise(counts))


def test_a_prior_that_answers_contradict_is_not_learned() -> None:
    pixels = some_pixels(4)
    assert Prior(TRUE, 0).trust(told(pixels, right(pixels))) == 1
    assert Prior(WRONG, 0).trust(told(pixels[:2], right(pixels[:2]))) == 0
    assert 0 < Prior(WRONG, 0).trust(told(pixels[:1], right(pixels[:1]))) < 0.5
    assert len(Prior(WRONG, 0).clicks(told(pixels, right(pixels)))[0]) == 0
    nothing = np.full(4, VOID, np.uint8)
    assert Prior(WRONG, 0).trust(told(pixels, nothing)) == 1  # nobody has contradicted it
    assert Prior(VAGUE, 0).trust(told(pixels, right(pixels))) == 1  # it was never sure


# In a session


def test_probabilities_are_features_beside_those_of_the_image() -> None:
    session = start(prior=VAGUE)
    plain = shared_inputs("mlp")
    assert session.inputs.shape == (plain.shape[0], plain.shape[1] + CLASSES)
    torch.testing.assert_close(session.inputs[:, : plain.shape[1]], plain, rtol=0, atol=0)
    expected = torch.from_numpy(WEIGHT * VAGUE.reshape(-1, CLASSES)).to(plain.dtype)
    torch.testing.assert_close(session.inputs[:, plain.shape[1] :], expected, rtol=0, atol=0)


@pytest.mark.parametrize("network", ["mlp", "gp", "mlp+gp"])
@pytest.mark.parametrize("acquisition", ["facility", "margin"])
def test_a_prior_of_the_truth_saves_answers(network: str, acquisition: str) -> None:
    options: dict[str, Any] = {"network": network, "members": None if network == "gp" else 2}
    without, helped = (start(acquisition, prior=prior, **options) for prior in (None, TRUE))
    for session in (without, helped):
        play(session, [2])
    assert accuracy(without) < 0.8
    assert accuracy(helped) > 0.97


def test_virtual_clicks_alone_help_a_network_that_reads_no_features() -> None:
    session = start(network="unet", members=1, prior=TRUE)
    plain = shared_inputs("unet")
    assert session.inputs is plain
    assert len(session.training_rows()[0]) == CLICKS


def test_a_wrong_prior_is_overcome() -> None:
    """Its features are still there, but the answers tell how to read them."""
    without, misled = start(), start(prior=WRONG)
    for session in (without, misled):
        play(session, [5, 5, 10, 20])
    assert accuracy(misled) > accuracy(without) - 0.03


def test_nothing_virtual_is_counted_or_measured() -> None:
    session = start(prior=TRUE)
    play(session, [4])
    assert (session.log.asked, session.log.revealed, session.log.fits) == (4, 4, [4])
    pixels, classes = session.training_rows()
    assert len(pixels) == len(classes) > 80
    np.testing.assert_array_equal(session.labelled_rows()[0], pixels[:4])
    overwritten = session.log.overwrite(np.full(SHAPE, UNSURE, np.uint8))
    assert np.count_nonzero(overwritten != UNSURE) == 4


def test_smoothing_keeps_classes_that_only_virtual_clicks_have_taught() -> None:
    session = start(prior=TRUE, smoothing="edges")
    one = np.argwhere(TRUTH == 1)[:3]
    session.tell(one, right(one))
    fit([session])
    assert len(np.unique(session.predict().labels)) == CLASSES
    assert accuracy(session) > 0.9


@pytest.mark.parametrize("network", ["mlp", "mlp+gp"])
def test_stacked_or_alone_the_bits_are_the_same(network: str) -> None:
    """Of sessions with and without a prior, whose numbers of rows differ."""
    priors = [None, TRUE, WRONG, VAGUE, TRUE]
    stacked, alone = (
        [start(network=network, prior=prior, seed=seed) for seed, prior in enumerate(priors)] for _ in range(2)
    )
    for count in (2, 1, 5):
        for session in (*stacked, *alone):
            question = session.ask(count)
            session.tell(question, right(question))
        fit(stacked)
        for session in alone:
            fit([session])
        for session in (*stacked, *alone):
            session.predict()
    for one, other in zip(stacked, alone, strict=True):
        assert_same_bits(one, other)
    rows = {len(session.training_rows()[0]) for session in stacked}
    assert len({padded(count) for count in rows}) > 1  # answers alone would all be in one group


def test_with_dropout_too() -> None:
    one, other = (start(prior=TRUE, dropout=0.3, acquisition="bald") for _ in range(2))
    play(one, [3, 2])
    play(other, [3, 2])
    assert_same_bits(one, other)
    assert accuracy(one) > 0.9


def test_a_prior_changes_what_is_learned_and_no_prior_does_not(tmp_path: Path) -> None:
    plain, none, helped = start(), start(prior=None), start(prior=VAGUE)
    for session in (plain, none, helped):
        play(session, [4, 2])
        session.save_networks(tmp_path / f"{id(session)}.safetensors")
    assert_same_bits(plain, none)
    files = [(tmp_path / f"{id(session)}.safetensors").read_bytes() for session in (plain, none, helped)]
    assert files[0] == files[1] != files[2]


# Stopped and restored


@pytest.mark.parametrize("network", ["mlp", "gp"])
@pytest.mark.parametrize("way", ["networks", "fits"])
def test_a_restored_session_is_one_that_was_never_stopped(tmp_path: Path, network: str, way: str) -> None:
    options: dict[str, Any] = {"network": network, "members": 1, "prior": TRUE}
    never, session = start(**options), start(**options)
    play(never, [3, 2, 4])
    never.log.save(tmp_path / "log.parquet")
    never.save_networks(tmp_path / "networks.safetensors")
    networks = tmp_path / "networks.safetensors" if way == "networks" else None
    session.restore(Log.load(tmp_path / "log.parquet"), networks)
    assert_same_bits(session, never)
    for each in (session, never):
        play(each, [2])
    assert_same_bits(session, never)


@pytest.mark.parametrize(("saved", "now"), [(TRUE, WRONG), (TRUE, None), (None, TRUE)])
@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_networks_that_knew_another_prior_are_refused(
    tmp_path: Path, saved: Map | None, now: Map | None, network: str
) -> None:
    path = tmp_path / "networks.safetensors"
    before = start(network=network, members=1, prior=saved)
    before.save_networks(path)
    session, same = (start(network=network, members=1, prior=now) for _ in range(2))
    with refused(path):
        session.restore(before.log, path)
    assert_same_weights(session, same)


def test_answers_without_a_class_are_smoothed_too() -> None:
    """The virtual clicks hold classes, and no answer votes for one."""
    session = start(prior=TRUE, smoothing="edges")
    session.tell(some_pixels(5), np.full(5, VOID, np.uint8))
    assert len(session.training_rows()[0])
    assert np.isfinite(session.predict().confidence).all()


def test_undo_takes_back_what_its_answers_said_of_the_prior() -> None:
    session, never = start(prior=WRONG, history=9), start(prior=WRONG)
    for each in (session, never):
        play(each, [1])
    play(session, [6])
    assert not same_weights(session, never)
    session.undo(6)
    assert_same_weights(session, never)
    np.testing.assert_array_equal(session.training_rows()[0], never.training_rows()[0])


@pytest.mark.parametrize("shape", [(*SHAPE, CLASSES + 1), (CLASSES, *SHAPE), SHAPE, (SHAPE[1], SHAPE[0], CLASSES)])
def test_a_prior_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with refused("prior", shape, (*SHAPE, CLASSES)):
        start(prior=np.zeros(shape, np.float32))
