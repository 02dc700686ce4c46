"""python -m benchmarks.coverage: how often do intervals of the mean over images miss the true mean?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap
from tqdm import tqdm

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.compare.measures import measures
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.intervals import interval

Draw = Callable[[int], NDArray[np.float64]]


@dataclass(frozen=True)
class Options:
    """Do the intervals of `lowpix.compare` hold as often as they say?

    Samples are drawn again and again from populations whose mean is known: two skewed distributions, and the
    differences between two settings of a real study, image by image.
    """

    study: Path = Path("results/camvid_unsmoothed")
    """Folder of an image study."""
    baseline: str = "mlp-stratified"
    """Setting that others are compared with."""
    settings: tuple[str, ...] = ("mlp-margin", "mlp-entropy", "mlp-balent", "mlp-variation_ratio")
    """These others."""
    target: float = 0.9
    """Accuracy that the pixels are counted to, 0 to 1."""
    images: tuple[int, ...] = (12, 24)
    """Images in a sample."""
    levels: tuple[float, ...] = (0.95, 0.995)
    """Confidence levels."""
    samples: int = 1000
    """Number of samples."""
    smoke: bool = False
    """Draw few samples, to check that the benchmark runs."""
    out: Path = Path("results/benchmarks/coverage.csv")
    """File of the table."""


def populations(options: Options) -> dict[str, tuple[Draw, float]]:
    """Ways to draw n values, each with the mean of what it draws from, by name."""
    draw = np.random.default_rng(0)
    curves = Study(options.study, IMAGES).tables().curves
    pixels = measures(curves, [options.target], [])[0].per_image()
    found: dict[str, tuple[Draw, float]] = {
        "exponential": (lambda n: draw.exponential(size=n), 1.0),
        "lognormal": (lambda n: draw.lognormal(size=n), float(np.exp(0.5))),
    }
    for setting in options.settings:
        values = (pixels[setting] - pixels[options.baseline]).to_numpy(float)
        found[f"{setting} - {options.baseline}"] = partial(_resampled, values, draw), float(values.mean())
    return found


def _resampled(values: NDArray[np.float64], draw: np.random.Generator, count: int) -> NDArray[np.float64]:
    return draw.choice(values, count)


def measure(options: Options) -> Iterator[Row]:
    """Whether an interval misses the mean, 0 or 1: `value` for ours, `baseline` for scipy's BCa."""
    samples = 20 if options.smoke else options.samples
    bar = tqdm(total=len(options.images) * (2 + len(options.settings)) * samples, unit="sample")
    for count in options.images:
        for name, (draw, mean) in populations(options).items():
            for _ in range(samples):
                values = draw(count)
                series = pd.Series(values)
                for level in options.levels:
                    both = interval(series, pd.Series(series.index), level), bca(values, level)
                    ours, theirs = (float(not low <= mean <= high) for low, high in both)
                    yield Row(f"{count} images: {name}", ours, f"share missed at {100 * level:g} %", theirs)
                bar.update()


def bca(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """scipy's BCa interval of the mean."""
    if values.min() == values.max():
        return float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, confidence_level=level, n_resamples=1999, rng=np.random.default_rng(0))
    return found.confidence_interval


def command(options: Options) -> None:
    """Write and print the table."""
    write_table(options.out, measure(options), f"of {options.study.name}")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.coverage", command)
