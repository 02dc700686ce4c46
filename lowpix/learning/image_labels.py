"""What image studies found out about the images of a data set: revealed pixels and pseudo-labels."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.data import Dataset
from lowpix.errors import InputError
from lowpix.record import Study, Tables, read_label_map, read_settings
from lowpix.reveal.acquisition import find_acquisition


class Revealed(NamedTuple):
    """The pixels of an image whose class was told, in order."""

    rows: NDArray[np.int32]  # (n,)
    columns: NDArray[np.int32]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class ImageLabels:
    """One setting and seed of an image study when so many pixels were asked, all images of it."""

    study: Study
    setting: str
    seed: int
    kept_at: int | None
    """The number of pixels; None for the last round."""
    revealed: dict[str, Revealed]
    """By image."""
    asked: dict[str, int]
    """Clicks by image, those that gave no class included."""
    privileged: bool
    """Whether the truth had a say in the choice of the pixels or in their number."""

    def file(self, image: str) -> Path:
        """Where the pseudo-labels are."""
        return self.study.label_map_file(self.setting, self.seed, image, self.kept_at)

    def labels(self, image: str) -> NDArray[np.uint8]:
        """The pseudo-labels (H, W), revealed pixels as they were told."""
        labels = read_label_map(self.file(image))
        told = self.revealed[image]
        labels[told.rows, told.columns] = told.labels
        return labels

    def confidence(self, image: str) -> NDArray[np.float32]:
        """The confidence (H, W) of the pseudo-labels, 0 to 1; 1 where the label was told."""
        grey = read_label_map(self.study.confidence_file(self.setting, self.seed, image, self.kept_at))
        confidence: NDArray[np.float32] = grey.astype(np.float32) / np.float32(255)
        told = self.revealed[image]
        confidence[told.rows, told.columns] = 1
        return confidence


Found = dict[tuple[str, int, int], ImageLabels]
"""Labels by acquisition, budget and the image study's seed."""


class Source:
    """An image study that pseudo-labels are taken from."""

    def __init__(self, folder: Path, repeats: int = 1) -> None:
        """With `repeats`, it is to have at least so many seeds. InputError where `folder` holds no image study."""
        self.folder = folder
        self.settings = read_settings(folder / "study.toml")
        if "acquisition" not in self.settings or "max_pixels" not in self.settings:
            raise InputError(f"{folder}: is no image study")
        self.repeats = max(repeats, int(self.settings["repeats"]))

    @property
    def budgets(self) -> tuple[int, ...]:
        """Pixels asked of an image at which pseudo-labels are kept, ascending; the last is the most."""
        return tuple(sorted({*self.settings.get("keep_at", ()), int(self.settings["max_pixels"])}))

    def _kept_at(self, budget: int) -> int | None:
        return None if budget == self.budgets[-1] else budget

    def seed(self, repeat: int) -> int:
        """Seed of the image study's runs that repeat `repeat` of a data-set study takes: each in turn."""
        return int(self.settings["seed"]) + repeat % self.repeats

    def setting(self, acquisition: str) -> str:
        """Name of the image study's setting with this acquisition."""
        return f"{self.settings['network']}-{find_acquisition(acquisition).name}"

    def missing(
        self,
        acquisitions: Sequence[str],
        repeats: Collection[int],
        budgets: Sequence[int],
        names: Sequence[str],
        confidence: bool = False,
    ) -> list[Path]:
        """Pseudo-labels, or their confidence, that are not there, of those that these repeats of a study take."""
        study = Study(self.folder)
        where = study.confidence_file if confidence else study.label_map_file
        files = [
            where(self.setting(acquisition), seed, name, self._kept_at(budget))
            for acquisition in acquisitions
            for seed in sorted({self.seed(repeat) for repeat in repeats})
            for budget in budgets
            for name in names
        ]
        return [file for file in files if not file.exists()]

    def read(
        self, acquisitions: Sequence[str], repeats: Collection[int], budgets: Sequence[int], names: Sequence[str]
    ) -> Found:
        """Read the labels that these repeats of a data-set study take. InputError where an image has no run."""
        study, stopped = Study(self.folder), self.settings["stop"] == "target"
        tables = study.tables()  # once: of a study under way it reads a file a run
        found: Found = {}
        seeds = sorted({self.seed(repeat) for repeat in repeats})
        for acquisition in acquisitions:
            for budget in budgets:
                privileged = stopped or find_acquisition(acquisition).privileged
                setting = self.setting(acquisition)
                labels = read_labels(study, tables, setting, seeds, names, privileged, self._kept_at(budget))
                found |= {(acquisition, budget, seed): of_seed for seed, of_seed in labels.items()}
        return found


def require_maps(found: Found, dataset: Dataset, names: Sequence[str]) -> None:
    """Raise InputError for a label map that cannot be read, or is none of its image."""
    for name in names:
        shape, classes = dataset.image(name).shape[:2], len(dataset.classes)
        for labels in found.values():
            file = labels.file(name)
            ids = read_label_map(file)
            if ids.shape != shape:
                raise InputError(f"{file}: {_by(ids.shape)} pixels: must be {_by(shape)}, as the image")
            if ids.max() >= classes:
                raise InputError(f"{file}: holds id {ids.max()}: must be below {classes}, the number of classes")


def read_labels(
    study: Study,
    tables: Tables,
    setting: str,
    seeds: Collection[int],
    names: Sequence[str],
    privileged: bool,
    kept_at: int | None = None,
) -> dict[int, ImageLabels]:
    """Read what was revealed of images, by seed, when `kept_at` pixels were asked, or in the end.

    `tables` are those of `study`. Raises InputError where an image has no run.
    """
    curves, _, revealed = tables
    rounds = curves[
        (curves["setting"] == setting) & (curves["asked"] <= (math.inf if kept_at is None else kept_at))
    ]
    last = rounds.groupby(["seed", "image"])[["asked", "revealed"]].max()
    told = dict(list(revealed[revealed["setting"] == setting].groupby(["seed", "image"])))
    found = {}
    for seed in seeds:
        if unknown := [name for name in names if (seed, name) not in last.index]:
            raise InputError(f"{study.folder}: has no run of {setting}, seed {seed}, image {unknown[0]}")
        of_seed = last.loc[seed]
        pixels = {name: _revealed(told.get((seed, name)), int(of_seed["revealed"][name])) for name in names}
        clicks = {name: int(of_seed["asked"][name]) for name in names}
        found[seed] = ImageLabels(study, setting, seed, kept_at, pixels, clicks, privileged)
    return found


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _revealed(rows: pd.DataFrame | None, count: int) -> Revealed:
    """The first `count` of the rows of an image in `revealed.parquet`."""
    if rows is None:  # nothing but void or refusals
        return Revealed(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint8))
    rows = rows.sort_values("order")[:count]
    return Revealed(
        rows["row"].to_numpy(np.int32), rows["column"].to_numpy(np.int32), rows["label"].to_numpy(np.uint8)
    )


def options_of(kind: type[Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a `study.toml` as arguments of the options' dataclass `kind`."""
    known = {field.name for field in fields(kind)}
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items() if key in known
    }
