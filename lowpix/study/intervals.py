"""Intervals of means over images, their verdicts, and groups of images that are resampled together."""

import math
import re
from collections.abc import Hashable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.errors import InputError

RESAMPLES = 9_999
TESTS = 2000  # bootstrap resamples of test images
ALPHA = 0.05  # error rate of all comparisons together
TIED = "no difference shown"
FEW = 10  # with fewer images or groups than this, an interval is rough


def verdict(low: float, high: float, less: str = "lower", more: str = "higher") -> str:
    """The verdict on a difference with this interval; TIED if it holds zero or is nan."""
    return less if high < 0 else more if low > 0 else TIED


def interval(values: pd.Series, groups: pd.Series, level: float) -> tuple[float, float]:
    """Confidence interval of the mean of `values`, one per image, at confidence `level`.

    `groups` names each image's group; whole groups are resampled. The interval is the bootstrap-t (Efron and
    Tibshirani 1993, section 12.5), and Student's t with fewer than FEW groups: with few images BCa is too narrow,
    see `benchmarks/coverage.py`. It is nan for a single group, and the value itself if all values are equal.
    """
    from scipy.stats import t as student

    by_group = values.groupby(groups)
    sums, sizes = (np.asarray(of_group, np.float64) for of_group in (by_group.sum(), by_group.size()))
    count = len(sums)
    if count < 2:
        return math.nan, math.nan
    if values.min() == values.max():
        return float(values.iloc[0]), float(values.iloc[0])
    mean, error = _mean_and_error(sums, sizes)
    tails = np.array([0.5 + level / 2, 0.5 - level / 2])
    quantiles = student.ppf(tails, count - 1)
    if count >= FEW:
        drawn = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))  # the same interval each time
        means, errors = _mean_and_error(sums[drawn], sizes[drawn])
        with np.errstate(divide="ignore", invalid="ignore"):
            # a resample of equal groups has no spread: its distance counts as infinite
            distances = np.where(means == mean, 0, (means - mean) / errors)
        found = np.quantile(distances, tails, method="nearest")
        quantiles = np.where(np.isfinite(found), found, quantiles)
    low, high = mean - quantiles * error
    return float(low), float(high)


def _mean_and_error(
    sums: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean over the images of groups and its standard error; groups lie on the last axis.

    The error is that of a ratio estimator, since the sizes of groups are drawn, too.
    """
    count = sums.shape[-1]
    total = sizes.sum(-1)
    mean = sums.sum(-1) / total
    spread = ((sums - mean[..., None] * sizes) ** 2).sum(-1)
    return mean, np.sqrt(spread * count / (count - 1)) / total


def drawn_miou(confusion: pd.DataFrame, run: list[str]) -> dict[tuple[Hashable, ...], NDArray[np.float64]]:
    """The mIoU (TESTS,) of each run on test images drawn with replacement; all runs use the same draws.

    `confusion` has the columns image, true, predicted and pixels, and those in `run`, which name a run.
    """
    if confusion.empty:
        return {}
    images = np.sort(confusion["image"].unique())
    classes = int(confusion[["true", "predicted"]].to_numpy().max()) + 1
    draw = np.random.default_rng(0)
    weights = draw.multinomial(len(images), np.full(len(images), 1 / len(images)), TESTS).astype(np.float64)
    drawn = {}
    for key, rows in confusion.groupby(run):
        image, true, predicted = np.searchsorted(images, rows["image"]), rows["true"], rows["predicted"]
        hit = rows["pixels"].where(true == predicted, 0)
        counts = np.zeros((3, len(images), classes))
        for kind, label, pixels in ((0, true, hit), (1, true, rows["pixels"]), (2, predicted, rows["pixels"])):
            np.add.at(counts[kind], (image, label), pixels)
        hits, trues, found = weights @ counts
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = np.where(trues > 0, hits / (trues + found - hits), np.nan)
        drawn[key] = np.nanmean(iou, axis=1)
    return drawn


def group_images(images: Iterable[str], pattern: str | None = None, block: int | None = None) -> pd.Series:
    """The groups of images that are resampled together: a group name per image, indexed by image, sorted.

    `pattern` is a regular expression that is searched in an image's name; its first group is the name of the
    image's sequence. `block` cuts the images of each sequence, in order of their names, into blocks of that
    length. Without either, each image is its own group. Raises InputError if the pattern is invalid or does not
    match an image, and if one group holds all images.
    """
    names = sorted(set(images))
    sequences = [_sequence(name, pattern) if pattern is not None else "" for name in names]
    groups = pd.Series(sequences if pattern is not None else names, index=pd.Index(names, name="image"))
    if block is not None:
        place = pd.Series(sequences, index=groups.index).groupby(sequences).cumcount() // block
        groups = pd.Series([f"{s}:{n}" for s, n in zip(sequences, place, strict=True)], index=groups.index)
    if len(names) > 1 and groups.nunique() == 1:
        given = f"--block-frames {block}" if block is not None else f"--group-by {pattern}"
        raise InputError(f"{given}: puts all {len(names)} images into one group; an interval needs at least two")
    return groups.rename("group")


def _sequence(image: str, pattern: str) -> str:
    try:
        expression = re.compile(pattern)
    except re.error as fault:
        raise InputError(f"--group-by {pattern}: is no regular expression ({fault})") from None
    if not expression.groups:
        raise InputError(f"--group-by {pattern}: needs a group in parentheses, such as '^([^_]+)_'")
    found = expression.search(image)
    if found is None or not found[1]:
        raise InputError(f"--group-by {pattern}: finds no sequence in the name of image {image}")
    return found[1]
