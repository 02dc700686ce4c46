"""Intervals of means over images: against scipy called directly; and the groups that are drawn together."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lowpix.errors import InputError
from lowpix.study.intervals import RESAMPLES, TIED, group_images, interval, verdict

IMAGES = ("0001TP_006690", "0001TP_006930", "0006R0_f00930", "0006R0_f01230", "Seq05VD_f00000")


def images_of(values: list[float]) -> pd.Series:
    return pd.Series(values, index=[f"image_{k:03}" for k in range(len(values))])


def alone(values: pd.Series) -> pd.Series:
    return pd.Series(values.index, index=values.index)


@settings(max_examples=15)
@given(
    st.lists(st.integers(-500, 500), min_size=8, max_size=20).filter(lambda v: len(set(v)) > 4),
    st.sampled_from([0.95, 0.99]),
)
def test_interval_is_that_of_scipy(values: list[int], level: float) -> None:
    images = images_of([float(v) for v in values])
    expected = scipy.stats.bootstrap(
        (images.to_numpy(),), np.mean, confidence_level=level, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval(images, alone(images), level) == pytest.approx(tuple(expected), abs=1e-9)


def test_drawing_whole_groups_agrees_with_scipy_on_indices_and_is_wider_for_copies() -> None:
    random = np.random.default_rng(1)
    sizes = [3, 5, 8, 2, 7, 4, 6, 5]
    means = random.integers(-20, 20, len(sizes))  # whole numbers: sums are exact in any order
    images = images_of(np.repeat(means, sizes).astype(float).tolist())  # every image of a group is a copy
    groups = pd.Series(np.repeat([f"drive_{k}" for k in range(len(sizes))], sizes), index=images.index)
    members = [images[groups == name].to_numpy() for name in groups.unique()]
    expected = scipy.stats.bootstrap(
        (np.arange(len(sizes)),),
        lambda drawn: np.concatenate([members[k] for k in drawn]).mean(),
        vectorized=False,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = interval(images, groups, 0.95)
    assert (low, high) == pytest.approx(tuple(expected), abs=1e-9)
    narrow = interval(images, alone(images), 0.95)
    assert high - low > 1.5 * (narrow[1] - narrow[0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values", [[0.1] * 5, [0.0] * 2, [3.0, 4.0], [0.0, 0.0, 0.0, 0.0, 7.0], [-1e-18, 0.0, 1e-18]]
)
def test_degenerate_values_have_an_interval_and_no_warning(values: list[float]) -> None:
    images = images_of(values)
    low, high = interval(images, alone(images), 0.99)
    assert min(values) <= low <= high <= max(values)


@pytest.mark.filterwarnings("error")
def test_one_image_or_group_has_no_interval() -> None:
    images = images_of([3.0])
    assert np.isnan(interval(images, alone(images), 0.95)).all()
    images = images_of([3.0, 4.0])
    assert np.isnan(interval(images, pd.Series("one", index=images.index), 0.95)).all()


# Groups


def test_groups_by_name() -> None:
    groups = group_images(IMAGES, "^([^_]+)_", 1)
    assert groups.nunique() == 5
    assert group_images(IMAGES, "^([^_]+)_").tolist() == ["0001TP"] * 2 + ["0006R0"] * 2 + ["Seq05VD"]
    assert group_images(reversed(IMAGES), block=3).groupby(level=0).first().nunique() == 2
    assert group_images(IMAGES, "^([^_]+)_", 2).nunique() == 3  # a block never spans two sequences
    assert group_images(IMAGES).nunique() == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "("}, r"--group-by \(: is no regular expression"),
        ({"pattern": "^[^_]+_"}, r"--group-by \^\[\^_\]\+_: needs a group in parentheses"),
        ({"pattern": r"^(\d+)"}, "--group-by .*Seq05VD_f00000"),
        ({"pattern": "(_)"}, "--group-by .*all 5 images into one group"),
        ({"block": 9}, "--block-frames 9: .*one group"),
    ],
)
def test_groups_that_say_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        group_images(IMAGES, **options)  # type: ignore[arg-type]


def test_an_interval_shows_what_it_does_not_hold() -> None:
    assert (verdict(-2, -1), verdict(1, 2), verdict(-1, 1), verdict(0, 0)) == ("lower", "higher", TIED, TIED)
    assert verdict(-2, -1, "fewer", "more") == "fewer"
    assert verdict(np.nan, np.nan) == TIED  # where there is no interval
