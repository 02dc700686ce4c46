"""The printed table: medians with censored runs and their intervals, against scipy and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st
from image_run_samples import make_run

from lowpix.study.overview import median_to_target, overview
from lowpix.study.tables import summarise
from lowpix.study.text import Bound, as_text


def summary_of(pixels: dict[str, list[int | None]], budget: int = 1000) -> pd.DataFrame:
    """A summary with one run per image and entry; None where the budget ran out."""
    rows = [(image, found) for image, runs in pixels.items() for found in runs]
    found = pd.array([found for _, found in rows], dtype="Int64")
    return pd.DataFrame(
        {
            "image": [image for image, _ in rows],
            "pixels_to_target": found,
            "fraction_to_target": found.astype("Float64").to_numpy(float, na_value=np.nan) / 1e5,
            "revealed": found.fillna(budget),
            "fraction": found.fillna(budget).astype(float) / 1e5,
        }
    )


@settings(max_examples=25)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=30))
def test_interval_agrees_with_scipy(pixels: list[int]) -> None:
    found = median_to_target(summary_of({str(i): [value] for i, value in enumerate(pixels)}))
    assert found.median == Bound(np.median(pixels), False)
    expected = scipy.stats.bootstrap(
        (pixels,), np.median, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).bootstrap_distribution
    # Two bootstraps agree up to chance: the 2.5 % point of one lies between the 1.5 % and 3.5 % of another.
    low, high = (np.quantile(expected, q, method="lower") for q in ([0.015, 0.035], [0.965, 0.985]))
    assert low[0] <= found.low.value <= low[1]
    assert high[0] <= found.high.value <= high[1]


def test_median_of_censored_runs_is_a_bound() -> None:
    found = median_to_target(summary_of({"a": [100], "b": [None], "c": [None]}))
    assert found.median.text() == ">1000"
    assert found.high.text() == ">1000"
    assert found.low.text() == "100"
    found = median_to_target(summary_of({"a": [100], "b": [200], "c": [None]}))
    assert found.median.text() == "200"
    assert found.high.text() == ">1000"
    # Half-way between 100 and an unknown number above 1000 lies more than 550.
    assert median_to_target(summary_of({"a": [100], "b": [None]})).median.text() == ">550"


def test_seeds_are_put_together_within_an_image_first() -> None:
    # Three runs of an easy image do not outvote two hard ones.
    found = median_to_target(summary_of({"a": [10, 10, 10], "b": [200, 400], "c": [500, 900]}))
    assert found.median == Bound(300, False)
    assert median_to_target(summary_of({"a": [900, None]})).median.text() == ">950"


@settings(max_examples=40)
@given(st.lists(st.integers(1, 999) | st.none(), min_size=1, max_size=12), st.data())
@example([1] * 7 + [None, None, 501], None)
@example([None, 1, None, None, 1, None, 501, None, None, None], None)
def test_a_larger_budget_never_takes_back_what_a_smaller_one_said(
    pixels: list[int | None], data: st.DataObject | None
) -> None:
    """What is known with runs censored at 999 must hold for any true values beyond it."""
    draw = data.draw if data else lambda _: 1000
    true = [draw(st.integers(1000, 5000)) if value is None else value for value in pixels]
    said = median_to_target(summary_of({str(i): [v] for i, v in enumerate(pixels)}, budget=999))
    truth = median_to_target(summary_of({str(i): [v] for i, v in enumerate(true)}))
    for bound, known in zip(said, truth, strict=True):
        if bound.censored:
            assert known.value >= bound.value  # equal where other samples are at the end of the interval
        else:
            assert known.value == bound.value or math.isnan(known.value)


def test_fraction_goes_the_same_way() -> None:
    found = median_to_target(summary_of({"a": [100], "b": [200], "c": [None]}), "fraction_to_target")
    assert found.median.text(100, 2) == "0.20"
    assert found.high.text(100, 2) == ">1.00"


def test_overview_reads_well() -> None:
    runs = [
        make_run(image, setting, seed, accuracies=accuracies, void_share=0, privileged=setting == "error_depth")
        for image, accuracies in (("a", [0.5, 0.96]), ("b", [0.5, 0.6, 0.97]), ("c", [0.5, 0.6, 0.7]))
        for setting in ("margin", "error_depth")
        for seed in (0, 1)
    ]
    table = overview(summarise(pd.concat([run.frame() for run in runs])))
    assert table["setting"].tolist() == ["error_depth (privileged)", "margin"]
    margin = table.iloc[1]
    assert margin["images"] == "3"
    assert margin["runs"] == "6"
    assert margin["target"] == "95 %"
    assert margin["reached"] == "67 %"
    assert margin["median pixels"] == "30"
    assert margin["95 % interval"] == "20–>30"
    assert margin["of the image"] == "1.736 %"  # 30 of 36×48
    assert margin["accuracy"] == "87.7 %"
    assert margin["mIoU"] == "43.8 %"
    assert margin["wall s/image"] == "1.3"
    lines = as_text(table).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("data set  setting")
    assert lines[2].startswith("scenes    margin   ")
    assert lines[1].endswith(" 1.3")


def test_of_images_without_a_label_map_only_what_is_known_is_shown() -> None:
    """Beside others they have a row of their own, and those others show what they would alone."""
    known = [make_run(image, accuracies=[0.5, 0.96], void_share=0) for image in "ab"]
    unknown = [make_run(image, accuracies=[math.nan] * 2, void_share=0) for image in "cd"]
    alone, empty, both = (
        overview(summarise(pd.concat([run.frame() for run in runs]))) for runs in (known, unknown, known + unknown)
    )
    (row,) = empty.to_dict("records")
    assert {name: text for name, text in row.items() if text} == {
        "data set": "scenes",
        "setting": "margin",
        "images": "2",
        "runs": "2",
        "wall s/image": "1.0",
    }
    pd.testing.assert_frame_equal(both, pd.concat([alone, empty], ignore_index=True))
    assert list(alone.columns) == list(empty.columns)
    assert "nan" not in as_text(both)


def test_one_image_has_no_interval_and_none_gives_an_empty_table() -> None:
    summary = summarise(make_run().frame())
    assert overview(summary)["95 % interval"].tolist() == [""]
    assert as_text(overview(summary[:0])) == ""


@pytest.mark.parametrize(
    ("bound", "text"),
    [(Bound(1000, True), ">1000"), (Bound(136.5, False), "136"), (Bound(math.nan, False), "")],
)
def test_bounds_as_text(bound: Bound, text: str) -> None:
    assert bound.text() == text
