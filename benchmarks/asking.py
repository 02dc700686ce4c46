"""Which way of asking is cheaper for a person: keys to the machine's questions, or clicks on the largest mistake?

    python -m benchmarks.asking

From the runs in results/: *keys* are those of `margin`, and *clicks* those of `error_depth`, which asks for the
centre of the largest mistake, as a person clicks it who looks at the overlay. Both begin with the same five random
pixels, which are keys. The label map answers, so nobody errs or hesitates: the seconds are assumptions, given as
options.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lowpix.command import run
from lowpix.storage import csv_bytes, write_bytes
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.overview import median_to_target
from lowpix.study.tables import pixels_to

FIRST = 5
TARGETS = (0.9, 0.95, 0.98)
NOC = ((0.85, 20), (0.85, 300), (0.9, 20), (0.9, 300))
"""mIoU of an image, and the cap: numbers of clicks that readers of interactive segmentation compare."""
RESAMPLES = 9_999


@dataclass(frozen=True)
class Options:
    """Which way of asking is cheaper for a person?"""

    studies: tuple[Path, ...] = (Path("results/camvid_image"), Path("results/nuclei_image"))
    """Image studies with margin and error_depth."""
    seconds_per_key: float = 0.9
    """Seconds for an answer by key, where the machine has chosen the pixel.
    Bearman et al. (arXiv 1506.02106) measured 0.9 s for a further point of a class, which the annotator chose.
    A key for a marked pixel was not measured."""
    seconds_per_click: float = 2.4
    """Seconds to find a mistake, click it and name its class: theirs for the first point of a class."""
    out: Path = Path("results/annotate_simulated")
    """Folder of the tables."""


def costs(curves: pd.DataFrame, target: float, options: Options) -> Iterator[dict[str, Any]]:
    """A row for each way of asking: answers and seconds to an accuracy, and how often clicks were faster."""
    seconds: dict[str, pd.Series] = {}
    for way, acquisition, each in (
        ("keys", "margin", options.seconds_per_key),
        ("clicks", "error_depth", options.seconds_per_click),
    ):
        runs = curves[curves["acquisition"] == acquisition]
        found = pixels_to(runs, target)
        spent = runs.groupby(["setting", "image", "seed"])["revealed"].max().to_numpy()
        summary = found.assign(pixels_to_target=found["pixels"], revealed=spent)
        median = median_to_target(summary)
        of_image = summary.assign(pixels=summary["pixels"].astype("float64").fillna(np.inf))
        pixels = of_image.groupby("image")["pixels"].median()
        seconds[way] = FIRST * options.seconds_per_key + (pixels - FIRST).clip(lower=0) * each
        low, middle, high = (
            FIRST * options.seconds_per_key + max(bound.value - FIRST, 0) * each
            for bound in (median.low, median.median, median.high)
        )
        yield {
            "way": way,
            "target": target,
            "images": len(pixels),
            "reached": float(1 - found["censored"].mean()),
            "median_answers": median.median.text(),
            "median_seconds": f"{'>' if median.median.censored else ''}{middle:.0f}",
            "low_seconds": f"{'>' if median.low.censored else ''}{low:.0f}",
            "high_seconds": f"{'>' if median.high.censored else ''}{high:.0f}",
            "clicks_faster": "" if way == "keys" else _share(seconds["clicks"], seconds["keys"]),
        }


def _share(clicks: pd.Series, keys: pd.Series) -> str:
    """The share of images in which clicks were faster, with its bootstrap interval; a draw counts as half."""
    both = np.isinf(clicks) & np.isinf(keys)
    faster = np.where(both | (clicks == keys), 0.5, clicks < keys)
    drawn = np.random.default_rng(0).choice(faster, (RESAMPLES, len(faster))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{faster.mean():.2f} [{low:.2f}, {high:.2f}]"


def clicks_to_miou(curves: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """NoC: the mean number of answers until an image's mIoU, at most the cap; of whole images, all classes."""
    for way, acquisition in (("keys", "margin"), ("clicks", "error_depth")):
        runs = curves[curves["acquisition"] == acquisition]
        for share, cap in NOC:
            reached = runs[runs["miou"] >= share].groupby(["image", "seed"])["asked"].min()
            # a run that stopped at its target accuracy before this mIoU is left out: nobody knows what it needs
            ends = runs.groupby(["image", "seed"])["asked"].max()
            asked = reached.reindex(ends.index)
            unknown = asked.isna() & (ends < cap)
            counted = asked.fillna(cap).clip(upper=cap)[~unknown]
            yield {
                "way": way,
                "miou": share,
                "cap": cap,
                "noc": round(float(counted.mean()), 1),
                "failed": round(float((counted >= cap).mean()), 3),
                "runs": len(counted),
                "left_out": int(unknown.sum()),
            }


def command(options: Options) -> None:
    """Write and print both tables."""
    seconds, noc = [], []
    for folder in options.studies:
        curves = Study(folder, IMAGES).tables().curves
        seconds += [{"study": folder.name, **row} for at in TARGETS for row in costs(curves, at, options)]
        noc += [{"study": folder.name, **row} for row in clicks_to_miou(curves)]
    for name, rows in (("seconds.csv", seconds), ("noc.csv", noc)):
        table = pd.DataFrame(rows)
        print(table.to_string(index=False))
        write_bytes(options.out / name, csv_bytes(table))


if __name__ == "__main__":
    run(Options, "python -m benchmarks.asking", command)
