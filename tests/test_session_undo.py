"""Undo: a session after it is one that was never told."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from session_samples import ASKABLE, SHAPE, TRUTH, assert_same_bits, every_network, play, right, start, weights

from lowpix.reveal.oracle import VOID
from lowpix.reveal.session import fit


@every_network
def test_undo_with_history_is_never_having_told(network: str) -> None:
    session, never = start(network=network, history=2), start(network=network)
    play(session, [5, 2, 3])
    play(never, [5, 2])
    session.undo(3)
    assert_same_bits(session, never)
    for each in (session, never):  # and so it stays
        play(each, [1, 4])
    assert_same_bits(session, never)


def test_undo_beyond_its_history_trains_afresh() -> None:
    session, never = start(history=1), start()
    play(session, [5, 2, 3])
    session.undo(3)  # the one fit that was kept had seen what is undone
    assert (session.asked, session.learner.step) == (7, 0)
    for pixel in session.pixels:
        question = np.array([divmod(pixel, SHAPE[1])])
        never.tell(question, right(question))
    fit([session, never])
    assert_same_bits(session, never)


def test_undo_over_several_fits_and_back_again() -> None:
    session, never = start(history=8), start(history=8)
    play(never, [5, 1])
    play(session, [5, 1, 1, 1, 2])
    session.undo(1)  # splits a round: the fit that saw all of it is gone, the one before stays
    assert session.asked == 9
    session.undo(3)
    assert_same_bits(session, never)


def test_undo_without_history_trains_afresh() -> None:
    session, never = start(), start()
    play(session, [5, 2])
    session.undo(2)
    assert session.learner.step == 0
    question = never.ask(5)
    never.tell(question, right(question))
    fit([never])
    fit([session])
    assert_same_bits(session, never)


@pytest.mark.parametrize("history", [0, 3])
def test_undo_of_what_no_fit_has_seen_leaves_the_networks(history: int) -> None:
    session, never = start(history=history), start(history=history)
    play(session, [5, 2])
    play(never, [5, 2])
    question = session.ask(3)
    session.tell(question, right(question))
    session.undo(2)
    session.undo()
    session.undo(0)
    assert_same_bits(session, never)


def test_undo_of_everything_is_the_beginning() -> None:
    session = start(history=3)
    play(session, [5, 2])
    session.undo(100)
    assert session.asked == session.revealed == 0
    fresh = start()
    assert all(torch.equal(a, b) for a, b in zip(weights(session), weights(fresh), strict=True))
    session.undo()
    assert session.asked == 0


def test_an_undone_pixel_may_be_asked_and_told_again() -> None:
    session = start()
    question = session.ask(5)
    session.tell(question, right(question))
    session.undo()
    assert session.asked == 4
    assert len(session.ask(10_000)) == ASKABLE.sum() - 4
    session.tell(question[4:], np.array([VOID], np.uint8))
    assert session.answers[-1] == VOID


@settings(max_examples=25)
@given(st.lists(st.one_of(st.integers(1, 6), st.integers(-4, -1)), max_size=12))
def test_the_log_is_what_was_told_less_what_was_undone(moves: list[int]) -> None:
    session, log = start(), []
    for move in moves:
        if move > 0:
            question = session.ask(move)
            session.tell(question, right(question))
            log += (question[:, 0] * SHAPE[1] + question[:, 1]).tolist()
        else:
            session.undo(-move)
            log = log[:move]
    assert session.pixels == log
    assert session.answers == TRUTH.ravel()[log].tolist()
    left = set(map(tuple, session.ask(10_000).tolist()))
    assert left == {tuple(pixel) for pixel in np.argwhere(ASKABLE)} - {divmod(pixel, SHAPE[1]) for pixel in log}
