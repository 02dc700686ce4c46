"""Ratios of the test mIoU of settings, with intervals."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lowpix.study.intervals import drawn_miou

LEVEL = 0.95
COLUMNS = [
    "setting",
    "against",
    "pairs",
    "label_seeds",
    "ratio",
    "low",
    "high",
    "images_low",
    "images_high",
    "level",
]
"""Columns of `ratios.csv`."""


def ratios(
    summary: pd.DataFrame, confusion: pd.DataFrame, against: str = "full", level: float = LEVEL
) -> pd.DataFrame:
    """The ratio of each setting's test mIoU to that of `against`, from rows of `summary.csv`.

    Runs with the same seed form a pair. `ratio` is the geometric mean of the pairs' ratios. `low` and `high` are
    the t-interval of the mean log ratio, transformed back; they are empty for a single pair. The level holds for
    one comparison at a time. `label_seeds` counts the image study's seeds that the labels come from. If there are
    fewer of them than pairs, the interval does not include the variation between labels of different seeds.

    `images_low` and `images_high` are a percentile bootstrap of the same ratio over test images, from rows of
    `confusion.parquet`. The networks are kept, and both settings use the same draws. If the images are frames of
    few videos, other videos may differ by more.
    """
    scores = summary.pivot(index="seed", columns="setting", values="miou")
    drawn = drawn_miou(confusion, ["setting", "seed"])
    rows = []
    for setting in scores.columns:
        if setting == against or against not in scores:
            continue
        pairs = scores[[setting, against]].dropna()
        if not len(pairs):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):  # an mIoU may be 0
            logs = np.log(pairs[setting].to_numpy() / pairs[against].to_numpy())
            over_images = [np.log(drawn[setting, seed] / drawn[against, seed]) for seed in pairs.index]
            ends = np.quantile(np.mean(over_images, axis=0), [(1 - level) / 2, (1 + level) / 2])
        own = summary[(summary["setting"] == setting) & summary["seed"].isin(pairs.index)]
        seeds = own["label_seed"].nunique()
        rows.append((setting, against, len(pairs), seeds, *mean_ratio(logs, level), *map(math.exp, ends), level))
    return pd.DataFrame(rows, columns=COLUMNS)


def mean_ratio(logs: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float, float]:
    """The geometric mean of ratios, from their logs, and the t-interval of the mean log, transformed back.

    The interval is nan for a single ratio, and if one of them is 0.
    """
    mean, low, high = float(logs.mean()), math.nan, math.nan
    if len(logs) > 1 and np.isfinite(logs).all():
        half = stats.t.ppf((1 + level) / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
        low, high = mean - float(half), mean + float(half)
    return math.exp(mean), math.exp(low), math.exp(high)
