"""The pictures of an image study."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.data import Dataset, spread
from lowpix.study.folder import Study
from lowpix.study.image_runs import Run, Tables, label_map_name
from lowpix.study.plots import Example, curves_picture, example_panels, figure_png, overview_picture
from lowpix.study.tables import pixels_to

LOWER = (0.95, 0.9, 0.85, 0.8)
"""Targets to draw if fewer than half of the runs reach the study's target."""
EXAMPLES = 4
"""Number of images in the overview."""


def image_pictures(
    study: Study[Run, Tables], tables: Tables, dataset: Dataset, full_size: bool = False
) -> dict[str, bytes]:
    """The files `curves.png`, if accuracies are known, and `overview.png` of a few images with pseudo-labels."""
    pictures: dict[str, bytes] = {}
    if not len(tables.summary):
        return pictures
    measured = tables.curves[tables.curves["accuracy"].notna()]
    if len(measured):
        pictures["curves.png"] = figure_png(curves_picture(measured, _target(tables)))
    examples = study_examples(study, tables, dataset)
    if examples:
        rows = [example_panels(example) for example in examples]
        pictures["overview.png"] = figure_png(
            overview_picture(rows, dataset.classes, dataset.palette, full_size), photographs=True
        )
    return pictures


def study_examples(
    study: Study[Run, Tables], tables: Tables, dataset: Dataset, setting: str | None = None
) -> list[Example]:
    """A few example images with their results in `setting`; the default is the first one that is not privileged.

    The images are spread over the data set, each with its lowest seed. Images without a file of pseudo-labels are
    left out.
    """
    if setting is None:
        setting = str(tables.summary.sort_values(["privileged", "setting"])["setting"].iloc[0])
    runs = tables.summary[tables.summary["setting"] == setting].sort_values("seed").drop_duplicates("image")
    seeds = dict(zip(runs["image"], runs["seed"], strict=True))
    accuracy = dict(zip(runs["image"], runs["accuracy"], strict=True))
    files = {name: label_map_name(setting, seeds[name], name) for name in dataset.images if name in seeds}
    there = [name for name, file in files.items() if (study.folder / file).exists()]
    maps = {
        name: study.read_label_map((setting, seeds[name], name), files[name]) for name in spread(there, EXAMPLES)
    }
    return [
        _example(dataset, name, setting, labels, tables.revealed, seeds[name], accuracy[name])
        for name, labels in maps.items()
    ]


def _target(tables: Tables) -> float:
    """The target to draw: the study's, or, if runs go on to the budget, one that half of the fair runs reach.

    Fair runs are those that are not privileged.
    """
    target, curves = float(tables.summary["target"].max()), tables.curves  # one target, where it is known
    fair = curves[~curves["privileged"] & curves["accuracy"].notna()]
    if fair.empty or (fair["stop"] == "target").any():
        return target
    reached = (at for at in (target, *LOWER) if pixels_to(fair, at)["pixels"].notna().mean() >= 0.5)
    return next(reached, target)


def _example(
    dataset: Dataset,
    name: str,
    setting: str,
    labels: NDArray[np.uint8],
    revealed: pd.DataFrame,
    seed: int,
    accuracy: float,
) -> Example:
    told = revealed.query("setting == @setting and image == @name and seed == @seed")
    return Example(
        name=f"{name}, {setting}",
        image=dataset.image(name),
        truth=dataset.labels(name),
        prediction=labels,
        rows=told["row"].to_numpy(),
        columns=told["column"].to_numpy(),
        labels=told["label"].to_numpy(),
        accuracy=None if math.isnan(accuracy) else float(accuracy),
    )
