"""Compare settings with a baseline in pairs of runs with the same image and seed; intervals are over images."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.compare.comparable import JOIN
from lowpix.compare.measures import Measure, measures, median_pixels, span, wins
from lowpix.errors import InputError
from lowpix.storage import read_csv
from lowpix.study.intervals import ALPHA, interval, verdict

TARGETS = (0.80, 0.85, 0.90, 0.95, 0.98)
BUDGETS = (10, 30, 100, 300, 1000, 3000)
BASELINES = ("stratified", "random")  # the default is the first of these that is compared
ENOUGH = 0.8  # the headline target is one that this share of each setting's runs reaches

COLUMNS = {
    "kind": "str",  # setting (its mean over images) or pair (its mean difference to `against`)
    "setting": "str",
    "privileged": "bool",
    "against": "str",  # the baseline; empty if kind is setting
    "quantity": "str",  # pixels, median_pixels, area, accuracy, accuracy_off_border, miou, missed, seconds
    "target": "float64",  # of pixels and median_pixels
    "headline": "bool",  # whether target is the headline target
    "budget": "int64",  # revealed pixels at which, or up to which, the quantity is measured
    "value": "float64",
    "bound": "bool",  # the value is a lower bound, because the median run is censored
    "low": "float64",  # interval of the value at confidence `level`
    "high": "float64",
    "level": "float64",
    "images": "int64",
    "groups": "int64",  # number of groups that were resampled: images, or sequences of images
    "runs": "int64",  # of the setting: images × seeds
    "censored": "float64",  # share of the runs that did not reach the target within the budget
    "wins": "Int64",  # images for which the setting needs fewer pixels than the baseline, by more than a round
    "ties": "Int64",
    "losses": "Int64",
    "p": "float64",  # sign test of wins against losses, two-sided, not adjusted
    "verdict": "str",
}


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison, and the rounds that were compared."""

    table: pd.DataFrame
    """The table `comparison.csv`, with COLUMNS."""
    curves: pd.DataFrame
    """The rounds that were compared, from `comparable`."""
    settings: tuple[str, ...]
    """The settings by mean pixels to the headline target, fewest first; privileged ones are last."""
    baseline: str
    headline: float
    """The headline target, 0 to 1."""
    reached: float
    """Share of runs that reach the headline target, in the worst setting that is not privileged."""
    start: int
    """Revealed pixels from which every run has an accuracy."""
    budget: int
    """Revealed pixels that every run goes to; runs are censored here."""
    comparisons: int
    """Number of settings compared with the baseline, without privileged ones."""
    level: float
    """Confidence level of each pair's interval; together they hold at 1 − ALPHA (Bonferroni)."""


def compare_settings(
    curves: pd.DataFrame,
    targets: Sequence[float] = TARGETS,
    budgets: Sequence[int] | None = None,
    baseline: str | None = None,
    groups: pd.Series | None = None,
) -> Comparison:
    """Compare settings with a baseline, image by image.

    Args:
        curves: rounds from `comparable`.
        targets: accuracies, 0 to 1.
        budgets: revealed pixels at which accuracy and mIoU are read; by default those of BUDGETS that all runs
        have.
        baseline: a setting or its acquisition; by default the first of BASELINES that is compared.
        groups: a group name for each image; groups are resampled as a whole. By default each image is a group.

    Raises:
        InputError: a target or budget is out of range, the baseline is missing, privileged or ambiguous, or the
        runs
            have no number of revealed pixels in common.
    """
    start, end = span(curves)
    measured = measures(curves, _checked_targets(targets), _checked_budgets(budgets, start, end))
    facts = curves.groupby("setting")[["privileged", "acquisition"]].first()
    against = _find_baseline(facts, baseline)
    fair = facts.index[~facts["privileged"]]
    by_target = {measure.target: measure for measure in measured if measure.quantity == "pixels"}
    shares = {
        target: float((~measure.runs["censored"]).groupby(measure.runs["setting"]).mean()[fair].min())
        for target, measure in by_target.items()
    }
    headline = max((target for target, share in shares.items() if share >= ENOUGH), default=min(shares))
    need = facts.assign(pixels=by_target[headline].per_image().mean())
    settings = tuple(need.sort_values(["privileged", "pixels"], kind="stable").index)
    if groups is None:
        groups = pd.Series(images := curves["image"].unique(), index=images)
    comparisons = len(fair) - 1
    level = 1 - ALPHA / max(comparisons, 1)
    schedule = np.unique(curves["asked"])
    rows = [
        *_setting_rows(measured, settings, groups),
        *_pair_rows(measured, settings, against, schedule, groups, level),
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["privileged"] = table["setting"].map(facts["privileged"])
    table["headline"] = table["target"] == headline
    return Comparison(
        table.astype(COLUMNS),
        curves,
        settings,
        against,
        headline,
        shares[headline],
        start,
        end,
        comparisons,
        level,
    )


def read_comparison(path: Path) -> pd.DataFrame:
    """Read a `comparison.csv` with the types of COLUMNS and every number exactly as written.

    Raises InputError if it cannot be read as a comparison.
    """
    return read_csv(path, COLUMNS, "a comparison")


def _setting_rows(
    measured: Sequence[Measure], settings: Sequence[str], groups: pd.Series
) -> Iterator[dict[str, object]]:
    """The rows of settings: means over images, with intervals at 1 − ALPHA each."""
    for measure in measured:
        images = measure.per_image()
        for setting in settings:
            runs = measure.of(setting)
            row = _row(measure, images[setting], groups, 1 - ALPHA)
            row |= {"kind": "setting", "setting": setting, "runs": len(runs)}
            if measure.quantity != "pixels":
                yield row
                continue
            median, bound = median_pixels(runs)
            yield row | {"censored": runs["censored"].mean()}
            no_interval = dict.fromkeys(("low", "high", "level"), math.nan)
            yield row | no_interval | {"quantity": "median_pixels", "value": median, "bound": bound}


def _pair_rows(
    measured: Sequence[Measure],
    settings: Sequence[str],
    baseline: str,
    schedule: NDArray[np.int32],
    groups: pd.Series,
    level: float,
) -> Iterator[dict[str, object]]:
    """The rows of pairs: mean differences to the baseline over images, with intervals at `level`."""
    for measure in (measure for measure in measured if measure.quantity != "seconds"):
        images = measure.per_image()
        for setting in (setting for setting in settings if setting != baseline):
            row = _row(measure, images[setting] - images[baseline], groups, level)
            row |= {"kind": "pair", "setting": setting, "against": baseline, "runs": len(measure.of(setting))}
            if measure.quantity == "pixels":
                row |= wins(images[setting], images[baseline], schedule)
            words = ("fewer pixels", "more pixels") if measure.quantity == "pixels" else ("lower", "higher")
            yield row | {"verdict": verdict(row["low"], row["high"], *words)}


def _row(measure: Measure, values: pd.Series, groups: pd.Series, level: float) -> dict[str, Any]:
    """The columns that both kinds of rows have, from `values`, one per image."""
    low, high = interval(values, groups, level)
    return {
        "against": "",
        "quantity": measure.quantity,
        "target": measure.target,
        "budget": measure.budget,
        "value": values.mean(),
        "bound": False,
        "low": low,
        "high": high,
        "level": level,
        "images": len(values),
        "groups": groups[values.index].nunique(),
        "verdict": "",
    }


def _find_baseline(facts: pd.DataFrame, wanted: str | None) -> str:
    """The setting that `wanted` names. `facts` has the columns privileged and acquisition, by setting."""
    names = [str(setting) for setting in facts.index]
    held = ", ".join(names)
    for name in (wanted,) if wanted else BASELINES:
        by_name = [setting for setting in names if setting == name or name in setting.split(JOIN)]
        by_acquisition = [
            setting for setting in names if name in str(facts.loc[setting, "acquisition"]).split(JOIN)
        ]
        found = by_name or by_acquisition
        if len(found) > 1:
            raise InputError(f"--baseline {name}: could be {' or '.join(found)}; name one of them")
        if found:
            if facts.loc[found[0], "privileged"]:
                raise InputError(f"--baseline {name}: is privileged; compare with one that a person could use")
            return found[0]
    joined = f" (settings with equal runs are joined by {JOIN.strip()})" if JOIN in held else ""
    raise InputError(f"--baseline {wanted or ' or '.join(BASELINES)}: no such setting; name one of {held}{joined}")


def _checked_targets(targets: Sequence[float]) -> list[float]:
    for target in targets:
        if not 0 < target <= 1:
            raise InputError(f"--targets {target}: must be above 0, at most 1")
    if not targets:
        raise InputError("--targets: at least one")
    return sorted(set(targets))


def _checked_budgets(budgets: Sequence[int] | None, start: int, end: int) -> list[int]:
    if budgets is None:
        return [budget for budget in BUDGETS if start <= budget <= end] or [end]
    for budget in budgets:
        if not start <= budget <= end:
            raise InputError(f"--budgets {budget}: must lie between {start} and {end}, where all runs have rounds")
    if not budgets:
        raise InputError("--budgets: at least one")
    return sorted(set(budgets))
