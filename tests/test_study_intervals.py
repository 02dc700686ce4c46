"""Intervals of means over images: against scipy and a plain loop; and the groups that are drawn together."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lowpix.errors import InputError
from lowpix.study.intervals import FEW, RESAMPLES, TIED, group_images, interval, verdict

IMAGES = ("0001TP_006690", "0001TP_006930", "0006R0_f00930", "0006R0_f01230", "Seq05VD_f00000")


def images_of(values: list[float]) -> pd.Series:
    return pd.Series(values, index=[f"image_{k:03}" for k in range(len(values))])


def alone(values: pd.Series) -> pd.Series:
    return pd.Series(values.index, index=values.index)


def plain_bootstrap_t(values: list[float], level: float) -> tuple[float, float]:
    """The bootstrap-t as a book has it: one resample after another."""
    draw, count = np.random.default_rng(0), len(values)
    mean, error = np.mean(values), scipy.stats.sem(values)
    distances = []
    for drawn in draw.integers(0, count, (RESAMPLES, count)):
        resample = np.take(values, drawn)
        distances.append((resample.mean() - mean) / (resample.std(ddof=1) / np.sqrt(count)))
    low, high = (np.quantile(distances, tail, method="nearest") for tail in ((1 - level) / 2, (1 + level) / 2))
    return mean - high * error, mean - low * error


@settings(max_examples=4)
@given(
    st.lists(st.integers(-500, 500), min_size=FEW, max_size=16, unique=True),
    st.sampled_from([0.95, 0.99]),
)
def test_interval_is_the_bootstrap_t(values: list[int], level: float) -> None:
    images = images_of([float(v) for v in values])
    expected = plain_bootstrap_t(images.tolist(), level)
    assert interval(images, alone(images), level) == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(-500, 500), min_size=2, max_size=FEW - 1, unique=True))
def test_interval_of_few_images_is_that_of_scipys_t_test(values: list[int]) -> None:
    images = images_of([float(v) for v in values])
    expected = scipy.stats.ttest_1samp(images, 0).confidence_interval(0.95)
    assert interval(images, alone(images), 0.95) == pytest.approx(tuple(expected), rel=1e-6)


def test_skewed_differences_get_a_longer_tail_than_by_student() -> None:
    images = images_of(np.random.default_rng(0).lognormal(0, 1, 24).tolist())
    low, high = interval(images, alone(images), 0.995)
    student = scipy.stats.ttest_1samp(images, 0).confidence_interval(0.995)
    assert high > student.high
    assert low > student.low


def test_whole_groups_are_drawn() -> None:
    random = np.random.default_rng(1)
    means = random.normal(size=12).tolist()
    images = images_of(np.repeat(means, 5).tolist())  # each image of a group is a copy
    groups = pd.Series(np.repeat([f"drive_{k:02}" for k in range(12)], 5), index=images.index)
    drawn = interval(images, groups, 0.95)
    assert drawn == pytest.approx(interval(images_of(means), alone(images_of(means)), 0.95))
    narrow = interval(images, alone(images), 0.95)
    assert drawn[1] - drawn[0] > 1.5 * (narrow[1] - narrow[0])


def test_groups_of_unlike_size_draw_the_size_too() -> None:
    """Against resampling the images themselves: the spread of the mean is the same."""
    random = np.random.default_rng(2)
    sizes = random.integers(1, 9, 40)
    means = random.normal(size=40) + sizes / 4
    images = images_of(np.repeat(means, sizes).tolist())
    groups = pd.Series(np.repeat([f"drive_{k:02}" for k in range(40)], sizes), index=images.index)
    members = [images[groups == name].to_numpy() for name in groups.unique()]
    found = scipy.stats.bootstrap(
        (np.arange(40),),
        lambda drawn: np.concatenate([members[k] for k in drawn]).mean(),
        vectorized=False,
        n_resamples=2_000,
        rng=np.random.default_rng(0),
    )
    low, high = interval(images, groups, 0.95)
    assert (high - low) / (2 * 1.96) == pytest.approx(found.standard_error, rel=0.15)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [[0.1] * 5, [0.0] * 2, [3.0, 4.0], [0.0, 0.0, 0.0, 0.0, 7.0], [-1e-18, 0.0, 1e-18], [0.0] * 20 + [7.0]],
)
def test_degenerate_values_have_an_interval_and_no_warning(values: list[float]) -> None:
    images = images_of(values)
    low, high = interval(images, alone(images), 0.99)
    assert low <= np.mean(values) <= high
    if len(set(values)) == 1:
        assert low == high


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
