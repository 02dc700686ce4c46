"""The tables against plain loops over the runs that they are made of."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_run_samples import make_run

from lowpix.reveal.log import UNSURE
from lowpix.study.folder import Study, open_study
from lowpix.study.image_runs import IMAGES, Run
from lowpix.study.tables import (
    CURVE_COLUMNS,
    REVEALED_COLUMNS,
    SUMMARY_COLUMNS,
    pixels_to,
    revealed_pixels,
    summarise,
)

ACCURACIES = st.lists(st.sampled_from([0.3, 0.9, 0.94, 0.95, 0.97, 0.99, 1.0]), min_size=1, max_size=8)


@st.composite
def some_runs(draw: st.DrawFn) -> list[Run]:
    """A few runs of different images, settings and seeds, in any order, some of them never at the target."""
    keys = st.tuples(st.sampled_from("abc"), st.sampled_from(["margin", "random"]), st.integers(0, 2))
    return [
        make_run(
            *key, accuracies=draw(ACCURACIES), per_round=draw(st.integers(0, 5)), void_share=0.2, refused_share=0.2
        )
        for key in draw(st.lists(keys, min_size=1, max_size=6, unique=True))
    ]


def together(runs: list[Run]) -> pd.DataFrame:
    return pd.concat([run.frame() for run in runs])  # with repeated index labels, as a reader might have them


def by_key(runs: list[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.setting, run.image, run.seed))


def test_the_columns_that_the_design_names_are_there() -> None:
    curves = (
        "dataset setting image network acquisition selection oracle privileged stop void seed round asked "
        "revealed fraction accuracy accuracy_unrevealed accuracy_off_border miou classes_missed seconds machine"
    )
    summary = (
        "dataset setting image network acquisition seed pixels_to_target fraction_to_target target censored "
        "pixels_to_stay accuracy accuracy_off_border miou classes_missed classes seconds machine"
    )
    assert tuple(curves.split()) == CURVE_COLUMNS
    assert set(summary.split()) <= set(SUMMARY_COLUMNS)
    assert REVEALED_COLUMNS == ("setting", "image", "seed", "order", "round", "row", "column", "label")


@settings(max_examples=30)
@given(some_runs())
def test_summary_agrees_with_a_loop(runs: list[Run]) -> None:
    summary = summarise(together(runs))
    assert list(summary.columns) == list(SUMMARY_COLUMNS)
    assert len(summary) == len(runs)
    for run, (_, row) in zip(by_key(runs), summary.iterrows(), strict=True):
        assert (run.setting, run.image, run.seed) == (row["setting"], row["image"], row["seed"])
        reached = [r for _, r in run.rounds.iterrows() if r["accuracy"] >= run.target]
        assert row["censored"] == (not reached)
        if reached:
            assert row["pixels_to_target"] == reached[0]["revealed"]
            assert row["fraction_to_target"] == reached[0]["fraction"]
        else:
            assert row["pixels_to_target"] is pd.NA
            assert math.isnan(row["fraction_to_target"])
        rounds = list(run.rounds.itertuples())
        stays = [r for at, r in enumerate(rounds) if all(later.accuracy >= run.target for later in rounds[at:])]
        if stays and run.stop == "budget":
            assert row["pixels_to_stay"] == stays[0].revealed
        else:
            assert row["pixels_to_stay"] is pd.NA
        last = run.rounds.iloc[-1]
        for column in ("revealed", "fraction", "accuracy", "miou", "seconds"):
            assert row[column] == last[column]
        assert (row["classes"], row["target"], row["dataset"]) == (4, 0.95, "scenes")


@settings(max_examples=30)
@given(some_runs(), st.sampled_from([0.0, 0.9, 0.98, 1.01]))
def test_pixels_to_any_accuracy(runs: list[Run], target: float) -> None:
    found = pixels_to(together(runs), target)
    expected = [run.rounds[run.rounds["accuracy"] >= target]["revealed"].tolist()[:1] for run in by_key(runs)]
    assert found["pixels"].dropna().tolist() == [pixels for each in expected for pixels in each]
    assert found["censored"].tolist() == [not each for each in expected]


@settings(max_examples=30)
@given(some_runs())
def test_revealed_pixels_keep_their_order_and_leave_out_what_has_no_class(runs: list[Run]) -> None:
    table = revealed_pixels(together(runs))
    expected = []
    for run in by_key(runs):
        order = 0
        for round_, told in run.rounds.iterrows():
            for row, column, label in zip(told["rows"], told["columns"], told["labels"], strict=True):
                if label < UNSURE:
                    expected.append((run.setting, run.image, run.seed, order, round_, row, column, label))
                    order += 1
        assert order == run.rounds["revealed"].iloc[-1]
    assert list(table.itertuples(index=False, name=None)) == expected


def test_names_of_digits_are_read_as_they_are_written(tmp_path: Path) -> None:
    run = make_run("001")
    open_study(tmp_path, IMAGES, {"dataset": "folder"}).save(run)
    study = Study(tmp_path, IMAGES)
    study.write_tables()
    assert list(study.tables().summary["image"]) == ["001"]
    assert list(pd.read_csv(tmp_path / "summary.csv", dtype={"image": str})["image"]) == ["001"]
    assert list(pd.read_parquet(tmp_path / "curves.parquet")["image"].unique()) == ["001"]


def test_without_a_truth_no_target_is_reached_and_what_is_unknown_stays_empty() -> None:
    known, unknown = make_run("a"), make_run("b", accuracies=[math.nan] * 3)
    summary = summarise(together([known, unknown])).set_index("image")
    assert summary.loc["a"].notna().all()
    nobody_knows = (
        "target pixels_to_target fraction_to_target pixels_to_stay "
        "accuracy accuracy_off_border miou classes_missed classes"
    )
    assert list(summary.columns[summary.loc["b"].isna()]) == nobody_knows.split()
    assert summary.loc["b", "revealed"] == unknown.rounds["revealed"].iloc[-1] > 0
    assert unknown.pixels_to_target == math.inf


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"round": [1, 2, 3]}, "rounds"),
        ({"revealed": [10, 20, 30]}, "`revealed`"),
        ({"asked": [1, 2, 3]}, "`asked`"),
        ({"asked": [20, 30, 40]}, "`asked`"),
        ({"fraction": [0.1, 0.2, 0.3]}, "`fraction`"),
        ({"rows": [np.zeros(3, np.int32)] * 3}, "differ in number"),
    ],
)
def test_a_run_that_miscounts_is_refused(change: dict[str, list[object]], named: str) -> None:
    run = make_run(void_share=0.5)
    facts = {name: getattr(run, name) for name in run.__dataclass_fields__}
    with pytest.raises(ValueError, match=f"run margin/0/street: .*{named}"):
        Run(**facts | {"rounds": run.rounds.assign(**change)})
