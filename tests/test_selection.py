"""From scores to pixels: spacing, ties, and what may never be picked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lowpix.reveal.selection import top, top_percent


def maps(seed: int, levels: int = 1000) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores with ties where `levels` is small, and what may be asked: from nothing to everything."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 25, 2))
    scores = random.integers(-levels, levels, shape) / 7
    return scores.astype(np.float32), random.random(shape) < random.choice([0, 0.05, 0.5, 1])


def chessboard(picks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distances of all pairs `(k, k)`."""
    return np.abs(picks[:, None] - picks[None]).max(-1)


anything = given(
    seed=st.integers(0, 2**32),
    levels=st.sampled_from([1, 3, 1000]),
    count=st.integers(0, 40),
    radius=st.integers(0, 6),
)


@settings(max_examples=60, deadline=None)
@anything
def test_top_picks_the_highest_left_each_time(seed: int, levels: int, count: int, radius: int) -> None:
    scores, askable = maps(seed, levels)
    picks = top(scores, askable, count, radius, np.random.default_rng(seed))
    assert picks.shape == (len(picks), 2)
    assert picks.dtype == np.int64
    assert len(picks) <= count
    # replayed pixel by pixel: each pick is a highest one of those that may be asked and lie clear of all before
    left = [tuple(pixel) for pixel in np.argwhere(askable)]
    for row, column in picks.tolist():
        assert (row, column) in left
        assert scores[row, column] == max(scores[pixel] for pixel in left)
        left = [(r, c) for r, c in left if max(abs(r - row), abs(c - column)) > radius]
    if len(picks) < count:
        assert not left  # fewer only where askable pixels run out


@settings(max_examples=30, deadline=None)
@anything
def test_spacing_is_kept(seed: int, levels: int, count: int, radius: int) -> None:
    scores, askable = maps(seed, levels)
    picks = top(scores, askable, count, radius, np.random.default_rng(seed))
    apart = chessboard(picks)[~np.eye(len(picks), dtype=bool)]
    assert (apart > radius).all()


@settings(max_examples=30, deadline=None)
@anything
def test_radius_map_gives_each_pick_its_own(seed: int, levels: int, count: int, radius: int) -> None:
    scores, askable = maps(seed, levels)
    radii = np.random.default_rng(seed).uniform(0, radius + 0.9, scores.shape).astype(np.float32)
    picks = top(scores, askable, count, radii, np.random.default_rng(seed))
    kept_clear = np.floor(radii[tuple(picks.T)])[:, None]
    later = np.triu(np.ones((len(picks),) * 2, bool), 1)
    assert (chessboard(picks) > kept_clear)[later].all()
    same = top(scores, askable, count, np.full_like(radii, radius), np.random.default_rng(seed))
    np.testing.assert_array_equal(same, top(scores, askable, count, radius, np.random.default_rng(seed)))


def test_by_hand() -> None:
    scores = np.array([[9, 8, 1, 7, 6]], np.float32)
    askable = np.array([[True, True, True, True, False]])

    def columns(count: int, radius: float) -> list[int]:
        return top(scores, askable, count, radius, np.random.default_rng(0))[:, 1].tolist()

    assert columns(3, 0) == [0, 1, 3]
    assert columns(3, 1) == [0, 3]  # 1 lies by 0, 2 by 3, and 4 may not be asked
    assert columns(1, 9) == [0]
    assert columns(9, 0) == [0, 1, 3, 2]
    assert columns(0, 0) == []


def test_ties_are_drawn_but_the_same_for_the_same_seed() -> None:
    scores, askable = np.zeros((20, 20), np.float32), np.ones((20, 20), bool)

    def picks(seed: int) -> list[list[int]]:
        return top(scores, askable, 5, 2, np.random.default_rng(seed)).tolist()

    assert picks(1) == picks(1)
    firsts = np.array([picks(seed)[0] for seed in range(400)])
    assert len(np.unique(firsts, axis=0)) > 200  # of 400 pixels, hit by 400 draws: about 253
    np.testing.assert_allclose(firsts.mean(0), 9.5, atol=1.5)


@pytest.mark.parametrize("percent", [1, 5, 37.5, 100])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 40))
def test_top_percent_draws_among_the_highest(percent: float, seed: int, count: int) -> None:
    scores, askable = maps(seed)
    picks = top_percent(scores, askable, count, percent, np.random.default_rng(seed))
    there = int(askable.sum())
    assert picks.shape == (min(count, there), 2)
    assert picks.dtype == np.int64
    assert len(np.unique(picks, axis=0)) == len(picks)
    assert askable[tuple(picks.T)].all()
    among = min(there, max(count, round(there * percent / 100)))
    if len(picks):
        lowest = np.sort(scores[askable])[::-1][among - 1]
        assert (scores[tuple(picks.T)] >= lowest).all()
    again = top_percent(scores, askable, count, percent, np.random.default_rng(seed))
    np.testing.assert_array_equal(picks, again)


def test_top_percent_draws_uniformly() -> None:
    scores = np.random.default_rng(0).permutation(400).reshape(20, 20).astype(np.float32)
    askable = np.ones((20, 20), bool)
    hits = np.zeros((20, 20), int)
    for seed in range(2000):
        hits[tuple(top_percent(scores, askable, 2, 5, np.random.default_rng(seed)).T)] += 1
    np.testing.assert_array_equal(hits > 0, scores >= 380)  # the 5 % highest, each of them and no other
    assert 140 < hits[hits > 0].min() <= hits.max() < 260  # 4,000 draws of 20: 200 each, ± 14
