"""From scores to pixels: spacing, ties, and what may never be picked; and picks that need no scores."""

from collections.abc import Callable
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.stats import qmc

from lowpix.reveal.selection import spaced, stratified, top, top_percent


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


@settings(max_examples=60)
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


@settings(max_examples=30)
@anything
def test_spacing_is_kept(seed: int, levels: int, count: int, radius: int) -> None:
    scores, askable = maps(seed, levels)
    picks = top(scores, askable, count, radius, np.random.default_rng(seed))
    apart = chessboard(picks)[~np.eye(len(picks), dtype=bool)]
    assert (apart > radius).all()


@settings(max_examples=30)
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
@settings(max_examples=20)
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


def test_top_percent_draws_among_equal_scores() -> None:
    """Ten scores of 400 stand out, and the 5 % highest are 20: any of the others may be among these."""
    scores = np.zeros((20, 20), np.float32)
    scores[0, :10] = 1
    askable = np.ones((20, 20), bool)
    hits = np.zeros((20, 20), int)
    for seed in range(2000):
        hits[tuple(top_percent(scores, askable, 20, 5, np.random.default_rng(seed)).T)] += 1
    assert (hits[0, :10] == 2000).all()
    others = np.delete(hits.ravel(), np.s_[:10])  # 20,000 draws of 390: 51 each, ± 7
    assert others.min() > 20
    assert others.max() < 90


Spread = Callable[[NDArray[np.bool_], NDArray[np.int64], int, int], NDArray[np.int64]]
NONE = np.empty((0, 2), np.int64)


def uniform(askable: NDArray[np.bool_], asked: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    draw = np.random.default_rng((seed, len(asked)))
    return top_percent(np.zeros(askable.shape, np.float32), askable, count, 100, draw)


def road(height: int = 180, width: int = 240) -> NDArray[np.bool_]:
    """An odd shape: a trapezium with a disc cut out, void all around."""
    row, column = np.mgrid[:height, :width]
    disc = np.hypot(row - 0.7 * height, column - 0.5 * width) < 0.12 * height
    return np.asarray((row > 0.3 * height) & (abs(column - 0.5 * width) < 0.9 * (row - 0.2 * height)) & ~disc)


SHAPES = {"all": np.ones((180, 240), np.bool_), "road": road()}
every_spread = pytest.mark.parametrize("spread", [stratified, spaced])


@every_spread
@settings(max_examples=80)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 60), rounds=st.integers(1, 3))
def test_spread_picks_distinct_askable_pixels(spread: Spread, seed: int, count: int, rounds: int) -> None:
    _, askable = maps(seed)
    askable, asked = askable.copy(), NONE
    for _ in range(rounds):
        before = askable.copy()
        picks = spread(askable, asked, count, seed)
        np.testing.assert_array_equal(askable, before)
        assert picks.dtype == np.int64
        assert picks.shape == (min(count, int(askable.sum())), 2)
        assert len(np.unique(picks, axis=0)) == len(picks)
        assert askable[tuple(picks.T)].all()
        again = spread(askable, asked, count, seed)
        np.testing.assert_array_equal(picks, again)
        askable[tuple(picks.T)] = False
        asked = np.concatenate([asked, picks])


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), counts=st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_stratified_rounds_continue_one_sequence(seed: int, counts: list[int]) -> None:
    _, askable = maps(seed)
    whole = stratified(askable, NONE, sum(counts), seed)
    left, asked = askable.copy(), NONE
    for count in counts:
        picks = stratified(left, asked, count, seed)
        left[tuple(picks.T)] = False
        asked = np.concatenate([asked, picks])
    np.testing.assert_array_equal(asked, whole)


def test_stratified_sequences_differ_by_seed() -> None:
    askable = np.ones((20, 20), np.bool_)
    firsts = [stratified(askable, NONE, 1, seed)[0] for seed in range(400)]
    assert len(np.unique(firsts, axis=0)) > 200  # of 400 pixels, hit by 400 draws: about 253


def unevenness(picks: NDArray[np.int64], askable: NDArray[np.bool_]) -> float:
    """Variance of counts in 16 parts of equal askable area, over that of uniform picks."""
    parts = [np.argwhere(askable)]
    for axis in (0, 1, 0, 1):
        sorted_parts = [part[part[:, axis].argsort(kind="stable")] for part in parts]
        parts = [half for part in sorted_parts for half in np.array_split(part, 2)]
    of = np.full(askable.shape, -1)
    for index, part in enumerate(parts):
        of[tuple(part.T)] = index
    counts = np.bincount(of[tuple(picks.T)], minlength=16)
    return float(counts.var() / (len(picks) / 16 * 15 / 16))


@every_spread
@pytest.mark.parametrize("shape", SHAPES)
def test_spread_is_far_more_even_than_uniform(spread: Spread, shape: str) -> None:
    """At any prefix; parts of equal area hold counts of variance 1, by chance, and a fraction of it here."""
    askable = SHAPES[shape]
    for count, most in ((10, 0.75), (30, 0.5), (100, 0.35), (300, 0.35)):
        runs = [spread(askable, NONE, count, seed) for seed in range(8)]
        by_chance = [uniform(askable, NONE, count, seed) for seed in range(8)]
        ratio = np.mean([unevenness(run, askable) for run in runs])
        assert ratio < most * np.mean([unevenness(run, askable) for run in by_chance]), count


def test_discrepancy_of_stratified_is_far_below_that_of_uniform() -> None:
    askable = SHAPES["all"]

    def discrepancy(spread: Spread, count: int) -> float:
        runs = [spread(askable, NONE, count, seed) for seed in range(40)]
        return float(np.mean([qmc.discrepancy((run + 0.5) / askable.shape, method="L2-star") for run in runs]))

    for count, most in ((10, 0.8), (30, 0.7), (100, 0.4), (300, 0.4)):
        assert discrepancy(stratified, count) < most * discrepancy(uniform, count), count


@pytest.mark.parametrize("shape", SHAPES)
def test_spaced_keeps_its_distance(shape: str) -> None:
    """Its closest two lie farther apart than those of the others, also when asked for round by round."""
    askable = SHAPES[shape]

    def closest(spread: Spread, count: int, rounds: int) -> float:
        least = []
        for seed in range(5):
            left, asked = askable.copy(), NONE
            for _ in range(rounds):
                picks = spread(left, asked, count // rounds, seed)
                left[tuple(picks.T)] = False
                asked = np.concatenate([asked, picks])
            least.append(np.asarray(KDTree(asked).query(asked, 2)[0])[:, 1].min())
        return float(np.mean(least))

    for count in (30, 100, 300):
        for rounds in (1, 10):
            distance = closest(spaced, count, rounds)
            assert distance > 3 * closest(uniform, count, rounds), (count, rounds)
            assert distance > 1.02 * closest(stratified, count, rounds), (count, rounds)


def test_spaced_draws_another_pool_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[object] = []
    generator = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: seeds.append(seed) or generator(seed))
    for asked in (NONE, np.array([[3, 4]])):
        spaced(SHAPES["all"], asked, 5, 7)
    assert seeds[0] != seeds[1]


def test_spaced_favours_no_border() -> None:
    askable = SHAPES["all"]
    picks = np.concatenate([spaced(askable, NONE, 20, seed) for seed in range(60)])
    inside = ((picks >= 9) & (picks < np.array(askable.shape) - 9)).all(1)
    assert inside.mean() == pytest.approx(162 * 222 / (180 * 240), abs=0.03)


@every_spread
def test_spread_takes_milliseconds(spread: Spread) -> None:
    askable, asked = np.ones((360, 480), np.bool_), NONE
    asked = spread(askable, NONE, 300, 0)
    askable[tuple(asked.T)] = False
    taken = []
    for seed in range(5):
        start = process_time()
        assert len(spread(askable, asked, 15, seed)) == 15
        taken.append(process_time() - start)
    assert min(taken) < 0.05  # 6 ms, on a machine that may be busy
