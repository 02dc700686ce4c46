"""The short table that a study prints: each setting's median pixels to the target, with its interval."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.study.text import Bound, setting_label

RESAMPLES = 10_000
AT_TARGET = ("target", "reached", "median pixels", "95 % interval", "of the image")


class Estimate(NamedTuple):
    """A median over images with its 95 % interval, which is nan for a single image."""

    median: Bound
    low: Bound
    high: Bound


def median_to_target(summary: pd.DataFrame, column: str = "pixels_to_target") -> Estimate:
    """The median over images of `pixels_to_target` (or `fraction_to_target`) in rows of `summary.csv`.

    The median over an image's seeds is taken first, so that all images have the same weight. The interval is a
    percentile bootstrap over images. A censored run counts as larger than every number, so that hard images are
    not left out.
    """
    reached = summary[column].astype("float64")
    spent = summary["revealed" if column == "pixels_to_target" else "fraction"]
    runs = pd.DataFrame({"image": summary["image"], "value": reached.fillna(math.inf)})
    runs["bound"] = reached.fillna(spent)  # a censored run needs more than it revealed
    images = runs.groupby("image").median()
    values, bounds = (_median_and_interval(images[name].to_numpy()) for name in ("value", "bound"))
    numbers = zip(values, bounds, strict=True)
    # a number is exact if both agree; otherwise it is a lower bound
    return Estimate(*(Bound(bound, value > bound) for value, bound in numbers))


def _median_and_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The median of `values` (n,), which may be inf, and the ends of its bootstrap interval."""
    if len(values) < 2:
        return float(np.median(values)), math.nan, math.nan
    random = np.random.default_rng(0)  # the same interval each time
    drawn = values[random.integers(0, len(values), (RESAMPLES, len(values)))]
    medians = np.sort(np.median(drawn, axis=1))
    cut = RESAMPLES // 40  # 2.5 % at either end; an interpolated quantile is not defined next to inf
    return float(np.median(values)), float(medians[cut]), float(medians[-1 - cut])


def overview(summary: pd.DataFrame) -> pd.DataFrame:
    """A printable table of an image study's results from rows of `summary.csv`: one row of text per setting.

    Medians are those of `median_to_target`. The other numbers are means over images at the last round, after the
    mean over an image's seeds. Images without a label map have a row of their own, without what only a label map
    can tell.
    """
    rows = []
    for _, runs in summary.groupby(["dataset", "setting", "target"], dropna=False):
        first = runs.iloc[0]
        means = runs.groupby("image")[["accuracy", "miou", "seconds"]].mean().mean()
        rows.append(
            {
                "data set": first["dataset"],
                "setting": setting_label(first["setting"], first["privileged"]),
                "images": str(runs["image"].nunique()),
                "runs": str(len(runs)),
                **(_at_target(runs) if first["target"] > 0 else dict.fromkeys(AT_TARGET, "")),
                "accuracy": _percent(means["accuracy"], 1),
                "mIoU": _percent(means["miou"], 1),
                "wall s/image": f"{means['seconds']:.1f}",
            }
        )
    return pd.DataFrame(rows)


def _at_target(runs: pd.DataFrame) -> dict[str, str]:
    """What `overview` says of the target that these runs share."""
    pixels, share = (median_to_target(runs, f"{what}_to_target") for what in ("pixels", "fraction"))
    interval = "–".join(end.text() for end in (pixels.low, pixels.high) if end.text())
    texts = (
        f"{100 * runs['target'].iloc[0]:g} %",
        _percent(1 - runs["censored"].mean()),
        pixels.median.text(),
        interval,
        f"{share.median.text(100, 3)} %",
    )
    return dict(zip(AT_TARGET, texts, strict=True))


def _percent(share: float, digits: int = 0) -> str:
    return "" if math.isnan(share) else f"{100 * share:.{digits}f} %"
