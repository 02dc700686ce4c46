"""How many pixels a round asks for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from lowpix.reveal.schedule import Schedule


def test_default_is_one_by_one_to_100_then_5_percent() -> None:
    asked = Schedule(5, "default", 1000).asked()
    assert asked[:96] == list(range(5, 101))
    assert asked[96:100] == [105, 110, 115, 120]
    assert asked[-1] == 1000
    assert 135 <= len(asked) <= 165  # "about 150 rounds to 1,000"
    growth = [(b - a) / a for a, b in pairwise(asked[96:-1])]
    assert all(0.04 < share <= 0.05 for share in growth)


def test_numbers() -> None:
    assert Schedule(5, "10", 40).asked() == [5, 15, 25, 35, 40]
    assert Schedule(1, "1", 4).asked() == [1, 2, 3, 4]
    assert Schedule(7, "1000", 7).asked() == [7]


def test_growth() -> None:
    assert Schedule(40, "5%", 60).asked() == [40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60]
    assert Schedule(2, "5%", 5).asked() == [2, 3, 4, 5]  # at least one
    assert Schedule(1, "100%", 20).asked() == [1, 2, 4, 8, 16, 20]
    assert Schedule(100, "2.5%", 110).asked() == [100, 102, 104, 106, 108, 110]
    assert Schedule(100, ".5%", 102).asked() == [100, 101, 102]


@given(st.integers(1, 50), st.lists(st.integers(1, 400), max_size=4), st.sampled_from(["default", "10%", "7"]))
def test_a_round_ends_at_every_budget_that_is_kept(first: int, more: list[int], per_round: str) -> None:
    kept = tuple(first + pixels for pixels in more)
    asked = Schedule(first, per_round, first + 400, kept).asked()
    assert set(asked) >= {first, *kept, first + 400}
    assert asked == sorted(set(asked))


@given(
    first=st.integers(1, 300),
    more=st.integers(0, 2000),
    per_round=st.one_of(
        st.just("default"), st.integers(1, 500).map(str), st.floats(0.1, 300).map(lambda share: f"{share:.1f}%")
    ),
)
def test_every_schedule_ends_at_its_budget(first: int, more: int, per_round: str) -> None:
    schedule = Schedule(first, per_round, first + more)
    asked = schedule.asked()
    assert asked[0] == first == schedule.next(0)
    assert asked[-1] == first + more
    assert schedule.next(asked[-1]) == 0
    steps = [b - a for a, b in pairwise(asked)]
    assert all(step >= 1 for step in steps)
    if not per_round.isdigit():
        assert steps[:-1] == sorted(steps[:-1])  # the last may be cut off


@pytest.mark.parametrize("per_round", ["0", "-1", "1.5", "five", "", "5 %", "%", "05", "1e3", "default ", "-5%"])
def test_bad_pixels_per_round(per_round: str) -> None:
    with refused(f"--pixels-per-round {per_round}:", "number", "growth", "default"):
        Schedule(5, per_round, 1000)


@pytest.mark.parametrize(("first", "budget"), [(0, 10), (-1, 10), (11, 10)])
def test_bad_first_pixels(first: int, budget: int) -> None:
    with refused(f"--first-pixels {first}:", "1", "--max-pixels", budget):
        Schedule(first, "1", budget)
