"""Settings of an active study in pairs: the same seed, first pixels, first weights and test images."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from lowpix.study.intervals import drawn_miou

LEVEL = 0.95
COLUMNS = {
    "setting": "str",
    "against": "str",
    "round": "int64",  # of the setting; random is taken at the same round, and full has only one
    "asked": "float64",  # pixels of a training image that the setting has asked by then
    "seeds": "int64",  # number of pairs
    "difference": "float64",  # of test mIoU, 0 to 1: setting − against, mean over pairs
    "low": "float64",  # t-interval of this mean; empty for a single pair
    "high": "float64",
    "images_low": "float64",  # bootstrap over test images, with the same networks
    "images_high": "float64",
    "ratio": "float64",  # of the mean mIoUs
    "level": "float64",
}
"""Columns of `pairs.csv`."""


def pairs(rounds: pd.DataFrame, confusion: pd.DataFrame) -> pd.DataFrame:
    """The difference in test mIoU of each setting to random, round by round, and to full annotation.

    Takes rows of `rounds.csv` and `confusion.parquet`. The level holds for one comparison at a time. If test
    images are frames of few videos, other videos may differ by more than the interval over images says.
    """
    run = ["setting", "seed", "round"]
    drawn = drawn_miou(confusion, run)
    miou = rounds.set_index(run)["miou"]
    rows = []
    for setting, number, asked, against, other in _compared(rounds):
        seeds = [
            seed
            for seed in sorted(rounds["seed"].unique())
            if {(setting, seed, number), (against, seed, other)} <= drawn.keys()
        ]
        if not seeds:
            continue
        own = np.array([miou[setting, seed, number] for seed in seeds])
        its = np.array([miou[against, seed, other] for seed in seeds])
        mean, half = float((own - its).mean()), math.nan
        if len(seeds) > 1:
            error = float((own - its).std(ddof=1)) / math.sqrt(len(seeds))
            half = float(stats.t.ppf((1 + LEVEL) / 2, len(seeds) - 1)) * error
        over_images = [drawn[setting, seed, number] - drawn[against, seed, other] for seed in seeds]
        ends = np.quantile(np.mean(over_images, axis=0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        interval = (mean, mean - half, mean + half, *map(float, ends))
        rows.append((setting, against, number, asked, len(seeds), *interval, own.mean() / its.mean(), LEVEL))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _compared(rounds: pd.DataFrame) -> Iterator[tuple[str, int, float, str, int]]:
    """Each setting and round, with the pixels asked by then, and what it is compared with at which round."""
    acquisition = rounds.groupby("setting")["acquisition"].first()
    of_setting = rounds.groupby(["setting", "round"], as_index=False)["asked"].mean()
    for against, name in acquisition[acquisition.isin(["random", "full"])].items():
        for setting, number, asked in of_setting.itertuples(index=False, name=None):
            shared = name == "random" and number == 0  # the first round is the same network in all settings
            if setting != against and acquisition[setting] != "full" and not shared:
                yield setting, number, asked, str(against), 0 if name == "full" else number
