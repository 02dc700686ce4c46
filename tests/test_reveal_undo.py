"""Undo: a session after it is one that was never told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_samples import ASKABLE, TRUTH, assert_same_bits, every_network, play, right, same_weights, start

from lowpix.reveal.log import VOID
from lowpix.reveal.session import fit


@every_network
def test_undo_with_history_is_never_having_told(network: str) -> None:
    session, never = start(network=network, members=1, history=2), start(network=network, members=1)
    play(session, [5, 2, 3])
    play(never, [5, 2])
    session.undo(3)
    assert_same_bits(session, never)
    for each in (session, never):  # and so it stays
        play(each, [4])
    assert_same_bits(session, never)


def test_undo_beyond_its_history_trains_afresh() -> None:
    session, never = start(history=1), start()
    play(session, [5, 2, 3])
    session.undo(3)  # the one fit that was kept had seen what is undone
    assert (session.log.asked, session.learner.step) == (7, 0)
    never.tell(session.log.pixels, right(session.log.pixels))
    fit([session, never])
    assert_same_bits(session, never)


def test_undo_over_several_fits_and_back_again() -> None:
    session, never = start(history=8), start(history=8)
    play(never, [5, 1])
    play(session, [5, 1, 1, 1, 2])
    session.undo(1)  # splits a round: the fit that saw all of it is gone, the one before stays
    assert session.log.asked == 9
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
    assert session.log.asked == session.log.revealed == 0
    assert same_weights(session, start())
    session.undo()
    assert session.log.asked == 0


def test_an_undone_pixel_may_be_asked_and_told_again() -> None:
    session = start()
    question = session.ask(5)
    session.tell(question, right(question))
    session.undo()
    assert session.log.asked == 4
    assert len(session.ask(10_000)) == ASKABLE.sum() - 4
    session.tell(question[4:], np.array([VOID], np.uint8))
    assert session.log.answers[-1] == VOID


@settings(max_examples=25)
@given(st.lists(st.one_of(st.integers(1, 6), st.integers(-4, -1)), max_size=12))
def test_the_log_is_what_was_told_less_what_was_undone(moves: list[int]) -> None:
    session, log = start(), []
    for move in moves:
        if move > 0:
            question = session.ask(move)
            session.tell(question, right(question))
            log += question.tolist()
        else:
            session.undo(-move)
            log = log[:move]
    assert session.log.pixels.tolist() == log
    assert session.log.answers.tolist() == [TRUTH[row, column] for row, column in log]
    left = session.ask(10_000).tolist()
    assert sorted(left + log) == np.argwhere(ASKABLE).tolist()
