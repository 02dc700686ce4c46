"""What a comparison counts: by hand, by plain loops, and against scipy called directly."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from comparison_runs import budget_run, curves, curves_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lowpix.compare.comparable import comparable
from lowpix.compare.comparison import ENOUGH, TARGETS, Comparison, compare_settings, read_comparison
from lowpix.compare.measures import measures, median_pixels, span, wins
from lowpix.study.intervals import group_images

Units = dict[tuple[str, int], list[float]]


def row(found: Comparison, kind: str, setting: str, quantity: str, **where: float) -> pd.Series:
    table = found.table
    rows = table[(table["kind"] == kind) & (table["setting"] == setting) & (table["quantity"] == quantity)]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_tiny_study_by_hand() -> None:
    found = compare_settings(
        curves(
            {
                "random": {("a", 0): [0.5, 0.6, 0.7, 0.9], ("b", 0): [0.4, 0.5, 0.6, 0.7]},
                "margin": {("a", 0): [0.5, 0.8, 0.9, 0.9], ("b", 0): [0.4, 0.6, 0.8, 0.8]},
            }
        ),
        targets=(0.8, 0.9),
        budgets=(10, 39),
    )
    assert (found.start, found.budget, found.baseline, found.comparisons, found.level) == (
        10,
        40,
        "random",
        1,
        0.95,
    )
    # 0.8 is reached by half of the random runs only, 0.9 by no more
    assert (found.headline, found.reached) == (0.8, 0.5)
    random = row(found, "setting", "random", "pixels", target=0.8)
    assert (random["value"], random["censored"], random["runs"], random["images"]) == (40, 0.5, 2, 2)
    assert row(found, "setting", "margin", "pixels", target=0.8)["value"] == 25
    assert row(found, "setting", "margin", "pixels", target=0.9)["value"] == 35
    median = row(found, "setting", "margin", "median_pixels", target=0.9)
    assert (median["value"], median["bound"]) == (35, True)  # half-way between 30 and more than 40
    assert not row(found, "setting", "margin", "median_pixels", target=0.8)["bound"]
    # from 10 to 40 pixels: three steps of 10, and the last round has no width
    assert row(found, "setting", "random", "area")["value"] == pytest.approx((0.6 + 0.5) / 2)
    assert row(found, "setting", "margin", "area")["value"] == pytest.approx((2.2 + 1.8) / 6)
    assert row(found, "setting", "margin", "accuracy", budget=39)["value"] == pytest.approx(0.85)
    assert row(found, "setting", "margin", "miou", budget=10)["value"] == pytest.approx(0.225)
    assert row(found, "setting", "margin", "seconds")["value"] == 2
    pair = row(found, "pair", "margin", "pixels", target=0.8)
    assert (pair["against"], pair["value"]) == ("random", -15)  # 20 against 40, and 30 against more than 40
    assert (pair["wins"], pair["ties"], pair["losses"], pair["p"]) == (1, 1, 0, 1)  # 30 and 40 are a round apart
    both = row(found, "pair", "margin", "pixels", target=0.9)
    assert (both["value"], both["wins"], both["ties"]) == (-5, 0, 2)
    assert math.isnan(both["p"])
    assert row(found, "setting", "margin", "missed", budget=39)["value"] == 1  # of a class in all runs
    assert row(found, "setting", "margin", "accuracy_off_border", budget=39)["value"] == pytest.approx(0.925)
    at_budget = {"accuracy", "accuracy_off_border", "miou", "missed"}
    assert set(found.table["quantity"]) == {"pixels", "median_pixels", "area", "seconds"} | at_budget


UNITS = st.fixed_dictionaries(
    {
        (image, seed): st.lists(st.floats(0, 1), min_size=3, max_size=7)
        for image in ("a", "b", "c")
        for seed in (0, 1)
    }
)


@settings(max_examples=20)
@given(UNITS, st.floats(0.01, 1), st.integers(0, 3))
def test_measures_agree_with_loops(units: Units, target: float, per_round_less: int) -> None:
    runs = [
        budget_run(*unit, acc, void_share=0.2, per_round=10 - per_round_less)
        for unit, acc in (((image, "margin", seed), accuracies) for (image, seed), accuracies in units.items())
    ]
    table = curves_of(runs)
    by_run = {
        unit: list(zip(r.rounds["revealed"], r.rounds["accuracy"], strict=True))
        for unit, r in zip(units, runs, strict=True)
    }
    start = max(rounds[0][0] for rounds in by_run.values())
    end = min(rounds[-1][0] for rounds in by_run.values())
    if end <= start:
        return
    assert span(table) == (start, end)
    middle = (start + end) // 2
    pixels, area, accuracy, *_ = measures(table, [target], [middle])
    for measure, by_loop in ((pixels, _pixels), (area, _area), (accuracy, _accuracy)):
        for run in measure.runs.itertuples():
            expected = by_loop(by_run[run.image, run.seed], start, end, target, middle)
            assert run.value == pytest.approx(expected, abs=1e-12)
    for run in pixels.runs.itertuples():
        assert run.censored == (not any(a >= target and n <= end for n, a in by_run[run.image, run.seed]))


def _pixels(rounds: list[tuple[int, float]], start: int, end: int, target: float, at: int) -> float:
    return next((n for n, accuracy in rounds if accuracy >= target and n <= end), end)


def _area(rounds: list[tuple[int, float]], start: int, end: int, target: float, at: int) -> float:
    return float(np.mean([_accuracy(rounds, start, end, target, n) for n in range(start, end)]))


def _accuracy(rounds: list[tuple[int, float]], start: int, end: int, target: float, at: int) -> float:
    return [accuracy for n, accuracy in rounds if n <= at][-1]


@settings(max_examples=8)
@given(st.lists(UNITS, min_size=2, max_size=3))
def test_headline_is_the_highest_target_that_every_setting_mostly_reaches(units: list[Units]) -> None:
    rounds = min(len(accuracies) for runs in units for accuracies in runs.values())
    names = ["random", "margin", "error_depth"]
    given_runs = {
        name: {unit: acc[:rounds] for unit, acc in runs.items()} for name, runs in zip(names, units, strict=False)
    }
    found = compare_settings(curves(given_runs), budgets=[10])
    reached = [
        min(
            sum(max(accuracies) >= target for accuracies in runs.values()) / len(runs)
            for name, runs in given_runs.items()
            if name != "error_depth"
        )
        >= ENOUGH
        for target in TARGETS
    ]
    held = [target for target, is_reached in zip(TARGETS, reached, strict=True) if is_reached]
    assert found.headline == max(held, default=min(TARGETS))
    assert set(found.table.loc[found.table["headline"], "target"]) == {found.headline}
    assert found.comparisons == 1  # the privileged setting is not counted
    assert found.settings[2:] == (("error_depth",) if len(units) == 3 else ())


def test_runs_are_censored_at_the_smallest_budget() -> None:
    short = budget_run("a", "margin", 0, [0.5, 0.6, 0.7])
    long = budget_run("a", "random", 0, [0.5, 0.65, 0.7, 0.8, 0.9])
    found = compare_settings(comparable(curves_of([short, long])), targets=(0.7, 0.9))
    assert found.budget == 30
    assert found.curves["round"].max() == 2
    late = row(found, "setting", "random", "pixels", target=0.9)
    assert (late["value"], late["censored"]) == (30, 1)
    assert row(found, "setting", "random", "pixels", target=0.7)["censored"] == 0  # at the budget is in time


def test_a_round_that_a_budget_cut_short_is_left_out() -> None:
    short = budget_run("a", "margin", 0, [0.5, 0.6, 0.7])
    rounds = short.frame()
    rounds.loc[2, "asked"] = 25
    rounds.loc[2, "revealed"] = 25
    long = curves_of([budget_run("a", "random", 0, [0.5, 0.65, 0.7, 0.8])])
    kept = comparable(pd.concat([rounds[long.columns], long], ignore_index=True))
    assert kept["asked"].tolist() == [10, 20] * 2


@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=1, max_size=9))
def test_median_is_a_bound_where_an_image_in_the_middle_is_censored(runs: list[tuple[int, bool]]) -> None:
    values = [1000 if censored else pixels for pixels, censored in runs]
    frame = pd.DataFrame({"image": range(len(runs)), "value": values, "censored": [c for _, c in runs]})
    value, bound = median_pixels(frame.astype({"value": float}))
    assert value == np.median(values)
    ordered = sorted(math.inf if censored else pixels for pixels, censored in runs)
    assert bound == (max(ordered[(len(runs) - 1) // 2], ordered[len(runs) // 2]) == math.inf)


@given(st.lists(st.tuples(st.integers(10, 50), st.integers(10, 50)), min_size=1, max_size=8))
def test_wins_agree_with_a_loop(pairs: list[tuple[int, int]]) -> None:
    schedule = np.array([10, 11, 12, 15, 20, 30, 50], np.int32)
    own, other = (pd.Series([float(pair[k]) for pair in pairs]) for k in (0, 1))
    tally = {"wins": 0, "ties": 0, "losses": 0}
    for a, b in pairs:
        before = max(k for k in range(6) if schedule[k] <= min(a, b))
        step = schedule[before + 1] - schedule[before]
        tally["ties" if abs(a - b) <= step else "wins" if a < b else "losses"] += 1
    found = wins(own, other, schedule)
    assert {key: found[key] for key in tally} == tally
    decided = tally["wins"] + tally["losses"]
    if decided:
        k = min(tally["wins"], tally["losses"])
        p = 2 * sum(math.comb(decided, j) for j in range(k + 1)) / 2**decided
        assert found["p"] == pytest.approx(min(1, p))
    else:
        assert math.isnan(found["p"])


# Pairs, verdicts and the table


def many(offset: float, images: int = 8, spread: float = 0.02) -> Units:
    random = np.random.default_rng(3)
    return {
        (f"drive{k % 2}_{k:03}", seed): [
            min(1, 0.5 + 0.05 * j + offset * (j > 0) + spread * float(random.random())) for j in range(10)
        ]
        for k in range(images)
        for seed in (0, 1)
    }


def test_pairs_take_the_mean_over_seeds_first_and_bonferroni_over_settings() -> None:
    runs = {
        "random": many(0),
        "margin": many(0.2),
        "entropy": many(-0.2),
        "bald": many(0.001),
        "error_depth": many(0.3),
    }
    found = compare_settings(curves(runs), targets=(0.6, 0.7))
    assert found.comparisons == 3
    assert found.level == pytest.approx(1 - 0.05 / 3)
    pairs = found.table[found.table["kind"] == "pair"]
    assert set(pairs["level"]) == {found.level}
    assert set(found.table.loc[found.table["kind"] == "setting", "level"].dropna()) == {0.95}

    def need(name: str, image: str) -> float:
        return float(
            np.mean(
                [next((10 * (j + 1) for j, a in enumerate(runs[name][image, s]) if a >= 0.6), 100) for s in (0, 1)]
            )
        )

    images = sorted({image for image, _ in runs["random"]})
    for name in ("margin", "entropy", "bald", "error_depth"):
        pair = row(found, "pair", name, "pixels", target=0.6)
        assert pair["value"] == pytest.approx(np.mean([need(name, i) - need("random", i) for i in images]))
        assert pair["wins"] + pair["ties"] + pair["losses"] == len(images)
    verdicts = {s: row(found, "pair", s, "pixels", target=0.6)["verdict"] for s in runs if s != "random"}
    assert verdicts["margin"] == verdicts["error_depth"] == "fewer pixels"
    assert verdicts["entropy"] == "more pixels"
    assert row(found, "pair", "margin", "area")["verdict"] == "higher"
    assert row(found, "pair", "entropy", "miou", budget=100)["verdict"] == "lower"
    for pair in pairs.itertuples():
        holds_zero = pair.low <= 0 <= pair.high
        assert (pair.verdict == "no difference shown") == holds_zero


@pytest.mark.filterwarnings("error")
def test_the_table_comes_back_from_csv_and_is_the_same_twice(tmp_path: Path) -> None:
    runs = curves({"random": many(0), "margin": many(0.1), "error_depth": many(0.2)})
    groups = group_images(runs["image"], block=2)
    first, second = (compare_settings(runs, [0.7, 0.8], [10, 50], groups=groups).table for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert set(first["groups"]) == {4}
    first.to_csv(tmp_path / "comparison.csv", index=False)
    pd.testing.assert_frame_equal(read_comparison(tmp_path / "comparison.csv"), first, check_exact=True)


def test_settings_with_the_same_rounds_are_one() -> None:
    runs = curves({"random": many(0), "margin": many(0.1), "entropy": many(0.1), "bald": many(0.2)})
    runs.loc[runs["setting"] == "entropy", "seconds"] += 2
    found = compare_settings(comparable(runs), targets=[0.8], budgets=[50])
    assert set(found.settings) == {"random", "entropy = margin", "bald"}
    assert found.comparisons == 2
    assert row(found, "setting", "entropy = margin", "seconds")["value"] == 6  # 5 and 7
    assert compare_settings(comparable(runs), [0.8], [50], "margin").baseline == "entropy = margin"
    same = runs[runs["setting"].isin(["margin", "entropy"])].assign(privileged=runs["setting"] == "margin")
    assert same["privileged"].any()
    assert comparable(same)["setting"].nunique() == 2  # privilege is never hidden in a joined name
