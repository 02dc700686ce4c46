"""The pictures that an image study leaves beside its tables."""

import math
from pathlib import Path

import pandas as pd

from lowpix.data import Dataset, spread
from lowpix.study.folder import Study
from lowpix.study.image_runs import Run, Tables, label_map_name
from lowpix.study.label_maps import read_label_map
from lowpix.study.plots import Example, curves_picture, example_panels, overview_picture
from lowpix.study.tables import pixels_to

LOWER = (0.95, 0.9, 0.85, 0.8)
"""Targets that are drawn where few runs reach the study's own."""
EXAMPLES = 4
"""Images in the overview."""


def write_pictures(study: Study[Run, Tables], tables: Tables, dataset: Dataset) -> None:
    """Write `curves.png` of the images whose accuracy is known, and `overview.png` of a few whose pseudo-labels
    are in the folder."""
    if not len(tables.summary):
        return
    measured = tables.curves[tables.curves["accuracy"].notna()]
    if len(measured):
        curves_picture(study.folder / "curves.png", measured, _target(tables))
    examples = study_examples(study, tables, dataset)
    if examples:
        rows = [example_panels(example) for example in examples]
        overview_picture(study.folder / "overview.png", rows, dataset.classes, dataset.palette)


def study_examples(
    study: Study[Run, Tables], tables: Tables, dataset: Dataset, setting: str | None = None
) -> list[Example]:
    """A few images with what the study made of them: by default in its first setting that a person could use.

    Images are spread over the data set, each with its lowest seed; those without a file of pseudo-labels are
    left out.
    """
    if setting is None:
        setting = str(tables.summary.sort_values(["privileged", "setting"])["setting"].iloc[0])
    runs = tables.summary[tables.summary["setting"] == setting].sort_values("seed").drop_duplicates("image")
    seeds = dict(zip(runs["image"], runs["seed"], strict=True))
    accuracy = dict(zip(runs["image"], runs["accuracy"], strict=True))
    files = {
        name: study.folder / label_map_name(setting, seeds[name], name) for name in dataset.images if name in seeds
    }
    there = [name for name, file in files.items() if file.exists()]
    return [
        _example(dataset, name, setting, files[name], tables.revealed, seeds[name], accuracy[name])
        for name in spread(there, EXAMPLES)
    ]


def _target(tables: Tables) -> float:
    """The study's target; where runs went on to the budget, one that half of the fair ones reach."""
    target, curves = float(tables.summary["target"].max()), tables.curves  # all the same, where it is known
    fair = curves[~curves["privileged"] & curves["accuracy"].notna()]
    if fair.empty or (fair["stop"] == "target").any():
        return target
    reached = (at for at in (target, *LOWER) if pixels_to(fair, at)["pixels"].notna().mean() >= 0.5)
    return next(reached, target)


def _example(
    dataset: Dataset, name: str, setting: str, file: Path, revealed: pd.DataFrame, seed: int, accuracy: float
) -> Example:
    told = revealed.query("setting == @setting and image == @name and seed == @seed")
    return Example(
        name=f"{name}, {setting}",
        image=dataset.image(name),
        truth=dataset.labels(name),
        prediction=read_label_map(file),
        rows=told["row"].to_numpy(),
        columns=told["column"].to_numpy(),
        labels=told["label"].to_numpy(),
        accuracy=None if math.isnan(accuracy) else float(accuracy),
    )
