"""What an order study takes from an image study: its data set, and the pixels that each run revealed, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lowpix.data import IGNORE, Dataset, open_dataset
from lowpix.errors import InputError
from lowpix.record import Study, read_settings
from lowpix.record.tables import KEY
from lowpix.reveal.oracle import could_tell
from lowpix.reveal.order import Revealed

SCENES = ("scene_size", "scene_count", "scene_classes", "seed")


@dataclass(frozen=True)
class OrderSource:
    """One setting of an image study that ran to its budget."""

    folder: Path
    setting: str
    settings: dict[str, Any]
    """Of the study, as in its `study.toml`."""
    dataset: Dataset
    images: tuple[str, ...]
    """Those that every seed has finished, in the order of the data set."""
    seeds: tuple[int, ...]
    """Of the study, in order."""
    runs: dict[tuple[str, int], Revealed]
    """What was revealed, by image and seed."""


def read_source(folder: Path, setting: str | None = None, data_root: Path | None = None) -> OrderSource:
    """Read an image study; label maps are not read before `require_labels`.

    Args:
        folder: of the study.
        setting: one of its settings; None where it has but one.
        data_root: folder of the data set or its parent; None looks where `open_dataset` looks.

    Raises:
        InputError: no finished study, one that stopped at its target or trained with dropout, a setting that it
            does not hold, or a data set that cannot be opened or lacks its images.
    """
    tables = Study(folder).tables()
    if tables.curves.empty or tables.revealed.empty:
        raise InputError(f"{folder}: holds no finished run of a study (python -m lowpix.image_study makes one)")
    settings = read_settings(folder / "study.toml")
    setting = _one_of(folder, setting, sorted(tables.curves["setting"].unique()))
    curves = tables.curves[tables.curves["setting"] == setting]
    if (curves["stop"] != "budget").any():
        raise InputError(f"{folder}: its images stopped at the target; run the image study with --stop budget")
    if settings.get("members_from", "ensemble") != "ensemble":
        raise InputError(f"{folder}: trained with dropout; an order study takes --members-from ensemble alone")
    runs = _runs(curves, tables.revealed[tables.revealed["setting"] == setting])
    seeds = tuple(sorted({seed for _, seed in runs}))
    dataset = _open(folder, settings, data_root)
    unknown = sorted({image for image, _ in runs} - set(dataset.images))
    if unknown:
        raise InputError(
            f"{folder}: image {unknown[0]} is not in {dataset.name} {dataset.split}: is --data-root the same data?"
        )
    whole = tuple(image for image in dataset.images if all((image, seed) in runs for seed in seeds))
    if not whole:
        raise InputError(
            f"{folder}: no image has finished with all seeds, {', '.join(map(str, seeds))}; go on with it"
        )
    return OrderSource(folder, setting, settings, dataset, whole, seeds, runs)


def require_labels(source: OrderSource, images: Sequence[str]) -> None:
    """Raise InputError unless images and label maps fit, are the study's, and leave pixels to score on."""
    errs = bool(source.settings.get("oracle_noise"))
    for image in images:
        truth = source.dataset.labels(image)
        if truth is None:
            raise InputError(f"{source.folder}: image {image} has no label map in {source.dataset.name}")
        if source.dataset.image(image).shape[:2] != truth.shape:
            raise InputError(f"{source.folder}: image {image} and its label map differ in size")
        for seed in source.seeds:
            revealed = source.runs[image, seed]
            if not could_tell(truth, revealed.pixels, revealed.labels, errs):
                raise InputError(
                    f"{source.folder}: pixels of {image} have other labels in {source.dataset.name} "
                    f"{source.dataset.split}: is --data-root the same data?"
                )
            if np.count_nonzero(truth != IGNORE) <= len(revealed.pixels):
                raise InputError(
                    f"{source.folder}: all pixels of {image} are revealed, so none is left to score on"
                )


def _one_of(folder: Path, setting: str | None, there: Sequence[str]) -> str:
    if setting is None and len(there) == 1:
        return there[0]
    if setting is None:
        raise InputError(f"{folder}: holds several settings; name one: --setting {' or '.join(there)}")
    if setting not in there:
        raise InputError(f"--setting {setting}: {folder} holds {', '.join(there)}")
    return setting


def _open(folder: Path, settings: dict[str, Any], data_root: Path | None) -> Dataset:
    scenes = {key: settings[key] for key in SCENES if key in settings}
    if "scene_size" in scenes:
        scenes["scene_size"] = tuple(scenes["scene_size"])
    split = settings.get("split")
    try:
        # a folder without splits calls its only one all
        return open_dataset(settings["dataset"], data_root, None if split == "all" else split, **scenes)
    except (InputError, KeyError) as fault:
        raise InputError(f"{folder}: its data set cannot be opened: {fault}") from None


def _runs(curves: pd.DataFrame, revealed: pd.DataFrame) -> dict[tuple[str, int], Revealed]:
    """What each run revealed. Rounds before the first answer that carries a class trained nothing."""
    told_by_run = dict(iter(revealed.sort_values([*KEY, "order"]).groupby(["image", "seed"])))
    rounds_by_run = dict(iter(curves.sort_values([*KEY, "round"]).groupby(["image", "seed"])))
    runs: dict[tuple[str, int], Revealed] = {}
    for image, seed in curves[["image", "seed"]].drop_duplicates().itertuples(index=False, name=None):
        counts = tuple(int(count) for count in rounds_by_run[image, seed]["revealed"] if count)
        told = told_by_run.get((image, seed))
        if told is None or not counts or len(told) != counts[-1]:
            raise InputError(f"revealed.parquet: pixels of {image}, seed {seed}, are not those of curves.parquet")
        pixels = told[["row", "column"]].to_numpy(np.int64)
        runs[image, seed] = Revealed(pixels, told["label"].to_numpy(np.uint8), counts)
    return runs
