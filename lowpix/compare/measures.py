"""The quantities that are compared: one number per run, computed from its rounds, and summaries over images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.errors import InputError
from lowpix.study.tables import KEY, pixels_to


class Measure(NamedTuple):
    """A quantity that is compared, with one number per run."""

    quantity: str
    target: float  # nan except for pixels
    budget: int
    runs: pd.DataFrame  # KEY and value, and for pixels also censored

    def of(self, setting: str) -> pd.DataFrame:
        """The runs of one setting."""
        return self.runs[self.runs["setting"] == setting]

    def per_image(self) -> pd.DataFrame:
        """The mean over seeds, with a row per image and a column per setting."""
        return self.runs.groupby(["image", "setting"])["value"].mean().unstack()


def span(curves: pd.DataFrame) -> tuple[int, int]:
    """The smallest and the largest number of revealed pixels at which every run has an accuracy.

    Raises InputError if the smallest is not below the largest.
    """
    by_run = curves.groupby(KEY)["revealed"]
    start, end = int(by_run.min().max()), int(by_run.max().min())
    if end <= start:
        run = by_run.max().reset_index().sort_values("revealed", kind="stable").iloc[0]
        raise InputError(
            f"{run['setting']}, image {run['image']}, seed {run['seed']}: ends at {end} revealed pixels, and "
            f"another run begins at {start}: there is no common range to compare"
        )
    return start, end


def measures(curves: pd.DataFrame, targets: Sequence[float], budgets: Sequence[int]) -> list[Measure]:
    """All quantities that are compared, computed from the rounds of all runs. [start, end] is that of `span`.

    *pixels* to a target, censored at end: a run that has not reached the target by then counts as end, so the mean
    over images is a restricted mean. *area* under the accuracy as a step function of revealed pixels, from start
    to end, divided by end − start: a mean accuracy, 0 to 1. *accuracy*, *accuracy_off_border* and *miou* at a
    budget: those of the last round with at most this number of revealed pixels. *missed*: 1 if one of the image's
    classes was no answer so far, so the mean is a share of runs. Older studies did not measure
    *accuracy_off_border* and *missed*. *seconds* at the last round.
    """
    start, end = span(curves)
    rounds = curves.sort_values([*KEY, "round"], ignore_index=True)
    found: list[Measure] = []
    for target in targets:
        reached = pixels_to(rounds, target)
        pixels = reached["pixels"].astype("float64")
        runs = reached[KEY].assign(value=pixels.fillna(end).clip(upper=end), censored=~(pixels <= end))
        found.append(Measure("pixels", target, end, runs))
    by_run = rounds.groupby(KEY)
    until = by_run["revealed"].shift(-1).fillna(end).clip(start, end)
    width = until - rounds["revealed"].clip(start, end)
    area = rounds[KEY].assign(value=rounds["accuracy"] * width / (end - start)).groupby(KEY).sum()
    found.append(Measure("area", math.nan, end, area.reset_index()))
    for budget in budgets:
        at = rounds[rounds["revealed"] <= budget].groupby(KEY).last()
        values = {name: at[name] for name in ("accuracy", "accuracy_off_border", "miou")}
        values["missed"] = (at["classes_missed"] > 0).astype("float64").where(at["classes_missed"].notna())
        for quantity, value in values.items():
            if value.notna().all():
                found.append(Measure(quantity, math.nan, budget, value.rename("value").reset_index()))
    found.append(Measure("seconds", math.nan, end, by_run["seconds"].last().rename("value").reset_index()))
    return found


def median_pixels(runs: pd.DataFrame) -> tuple[float, bool]:
    """The median over images of the median over an image's seeds, and whether it is only a lower bound."""
    known = runs.assign(known=runs["value"].where(~runs["censored"], math.inf))
    images = known.groupby("image")[["known", "value"]].median().median()
    bound = bool(images["known"] == math.inf)
    return float(images["value" if bound else "known"]), bound


def wins(own: pd.Series, baseline: pd.Series, schedule: NDArray[np.int32]) -> dict[str, object]:
    """Count the images with fewer pixels than the baseline (wins), equally many (ties) and more pixels (losses).

    A difference of at most one round is a tie; the round is the one that the schedule has at the smaller number.
    Two censored images are a tie, because both count as the budget.
    """
    from scipy.stats import binomtest  # imported here because it takes time, which studies need not spend

    smaller = np.minimum(own, baseline)
    round_index = np.searchsorted(schedule, smaller, side="right") - 1
    round_size = np.diff(schedule)[np.clip(round_index, 0, len(schedule) - 2)]
    difference = own - baseline
    apart = difference.abs() > round_size + 1e-9  # means over seeds are rounded
    wins, losses = int((apart & (difference < 0)).sum()), int((apart & (difference > 0)).sum())
    p = binomtest(wins, wins + losses).pvalue if wins + losses else math.nan
    return {"wins": wins, "ties": len(own) - wins - losses, "losses": losses, "p": p}
