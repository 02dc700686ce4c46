"""Read image studies: revealed pixels and pseudo-labels. All studies that learn from image studies use this."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.data.options import difference, reopen
from lowpix.errors import InputError
from lowpix.networks import find_network
from lowpix.reveal.acquisition import find_acquisition
from lowpix.reveal.log import UNSURE, Log
from lowpix.reveal.oracle import could_tell
from lowpix.storage import read_csv
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES, Tables, confidence_name, label_map_name, setting_name
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, read_settings
from lowpix.study.tables import KEY

ANSWERS = "answers.csv"
"""The answers of a person, in a study that one has answered: a table of ANSWER_COLUMNS."""
ANSWER_COLUMNS = {
    "image": "str",
    "order": "int64",
    "row": "int64",
    "column": "int64",
    "answer": "int64",  # a class id, VOID or UNSURE
    "kind": "str",  # asked by the machine, shown by the person, or an audit, which nothing has learnt from
    "seconds": "float64",
    "time": "float64",  # since 1970
}


@dataclass(frozen=True)
class ImageLabels:
    """The labels of one setting and seed of an image study at one budget, for all images."""

    folder: Path
    setting: str
    seed: int
    kept_at: int | None
    """The budget, in pixels asked of an image; None for the last round."""
    logs: Mapping[str, Log]
    """The revealed pixels, by image."""
    asked: Mapping[str, int]
    """Pixels asked, by image, including those without a class as answer."""
    privileged: bool
    """Whether the true label map was used to choose the pixels or their number."""
    read: Mapping[tuple[str, Callable[..., str]], NDArray[np.uint8]] = field(default_factory=dict)
    """Maps that were read before, by image and by the function that names their file."""

    def file(self, image: str) -> Path:
        """The file of the pseudo-labels."""
        return self.folder / label_map_name(self.setting, self.seed, image, self.kept_at)

    def map(self, image: str) -> NDArray[np.uint8]:
        """The labels in the file, (H, W). Raises InputError if it cannot be read or has changed."""
        return self._read(image, label_map_name)

    def labels(self, image: str) -> NDArray[np.uint8]:
        """The pseudo-labels (H, W); revealed pixels have the oracle's answer."""
        return self.logs[image].overwrite(self.map(image))

    def confidence(self, image: str) -> NDArray[np.float32]:
        """The confidence (H, W) of the pseudo-labels, 0 to 1; 1 for revealed pixels."""
        grey = self._read(image, confidence_name)
        confidence: NDArray[np.float32] = grey.astype(np.float32) / np.float32(255)
        confidence[tuple(self.logs[image].pixels.T)] = 1
        return confidence

    def sent(self, confidence: bool) -> "ImageLabels":
        """The same with all maps in memory, to travel to another machine; with `confidence`, those as well."""
        makers = (label_map_name, confidence_name) if confidence else (label_map_name,)
        read = {(image, maker): self._read(image, maker) for image in self.logs for maker in makers}
        return replace(self, read=read)

    def _read(self, image: str, name_of: Callable[..., str]) -> NDArray[np.uint8]:
        if self.read:
            return self.read[image, name_of].copy()
        name = name_of(self.setting, self.seed, image, self.kept_at)
        return Study(self.folder, IMAGES).read_label_map((self.setting, self.seed, image), name)


Found = dict[tuple[str, int, int], ImageLabels]
"""Labels by acquisition, budget and seed of the image study."""


class Source:
    """An image study that another study learns from.

    Raises:
        InputError: `folder` holds no image study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        record = folder / "study.toml"
        if not record.exists() or read_kind(record) != IMAGES.name:
            raise InputError(f"{folder}: is no image study (python -m lowpix.image_study makes one)")
        self.settings: dict[str, Any] = read_settings(record)

    @cached_property
    def tables(self) -> Tables:
        """The tables. They are read only once, because this may read the file of each run."""
        return Study(self.folder, IMAGES).tables()

    @property
    def fixed(self) -> dict[str, Any]:
        """What stays the same when the study is extended: settings, and what its first setting uses."""
        fixed = {key: value for key, value in self.settings.items() if key not in IMAGES.extendable}
        later = {"smoothing": self.smoothing, "carry_over": self.carry_over, "grid": self.grid}
        used = {key: value for key, value in later.items() if value not in ("none", 1)}
        return fixed | {"network": self.network, "members": self.members} | used

    @property
    def network(self) -> str:
        """The network whose labels are used: the study's first."""
        return str(self.settings["network"][0])

    @property
    def members(self) -> int:
        """Number of networks per image."""
        one = self.settings.get("members_from") == "dropout"
        return int(self.settings.get("members") or (1 if one else find_network(self.network).members))

    @property
    def smoothing(self) -> str:
        """The smoothing of the labels that are used: the study's first."""
        return str(self.settings["smoothing"][0])

    @property
    def carry_over(self) -> str:
        """The carry-over of these labels: the study's first."""
        return str(self.settings["carry_over"][0])

    @property
    def grid(self) -> int:
        """The grid of the labels that are used: the study's first."""
        return int(self.settings["grid"][0])

    @property
    def budgets(self) -> tuple[int, ...]:
        """Numbers of pixels asked at which pseudo-labels are kept, ascending; the last is --max-pixels."""
        return tuple(sorted({*self.settings.get("keep_at", ()), int(self.settings["max_pixels"])}))

    @property
    def stopped_at_target(self) -> bool:
        """Whether each image stopped at the target, which needs the true label map."""
        return bool(self.settings["stop"] == "target")

    def open(self, data_root: Path | None) -> Dataset:
        """Open the study's data set. Raises InputError if it cannot be opened or lacks images of the study."""
        try:
            dataset = reopen(self.settings, data_root)
        except InputError as fault:
            raise InputError(f"{self.folder}: its data set cannot be opened: {fault}") from None
        unknown = sorted(set(self.tables.curves["image"]) - set(dataset.images))
        if unknown:
            raise InputError(
                f"{self.folder}: image {unknown[0]} is not in {dataset.name} {dataset.split}: "
                "is --data-root the same data?"
            )
        return dataset

    def require_same_data(self, dataset: Dataset) -> None:
        """Raise InputError if the study used other images or labels than those of `dataset`."""
        if found := difference(self.settings, dataset.settings):
            name, there, here = found
            raise InputError(
                f"--image-study {self.folder}: its {name} is {there}, not {here}: other images "
                f"(--{name.replace('_', '-')} names them)"
            )
        told = {str(image): rows for image, rows in self.tables.revealed.groupby("image")}
        shared = sorted(told.keys() & set(dataset.images))
        if told and not shared:
            raise InputError(
                f"--image-study {self.folder}: none of its images is here: is --data-root the same data?"
            )
        for image in shared:
            truth, rows = dataset.labels(image), told[image]
            self.require_told(truth, image, rows[["row", "column"]].to_numpy(), rows["label"].to_numpy())

    @property
    def answered_by_person(self) -> bool:
        """Whether somebody else than a label map answered; a person may err, and images need no label map."""
        return bool(self.settings.get("oracles"))

    def audits(self) -> dict[str, pd.DataFrame]:
        """By image, the answers with a class that nothing has learnt from: `row`, `column` and `answer`."""
        if not (self.folder / ANSWERS).exists():
            return {}
        content = Seal(self.folder).read(ANSWERS)
        answers = read_csv(self.folder / ANSWERS, ANSWER_COLUMNS, "answers of a person", content=content)
        known = answers[(answers["kind"] == "audit") & (answers["answer"] < UNSURE)]
        return {str(image): rows[["row", "column", "answer"]] for image, rows in known.groupby("image")}

    def require_told(
        self, truth: NDArray[np.uint8] | None, image: str, pixels: NDArray[np.int64], labels: NDArray[np.uint8]
    ) -> None:
        """Raise InputError if the study's oracle cannot have given these labels with this true label map."""
        if self.answered_by_person:
            return
        errs = bool(self.settings.get("oracle_noise"))
        if truth is None or not could_tell(truth, pixels, labels, errs):
            raise InputError(
                f"{self.folder}: pixels of {image} have other labels here: is --data-root the same data?"
            )

    def setting(self, acquisition: str) -> str:
        """The name of the study's first setting with this acquisition."""
        name = find_acquisition(acquisition).name
        return setting_name(self.network, name, self.smoothing, self.carry_over, self.grid)

    def seed(self, repeat: int, repeats: int) -> int:
        """The seed of the runs that a repeat of another study uses; repeats take the seeds in turn.

        The image study has, or will have, at least `repeats` repeats.
        """
        return int(self.settings["seed"]) + repeat % max(repeats, int(self.settings["repeats"]))

    def missing(
        self,
        acquisitions: Sequence[str],
        seeds: Collection[int],
        budgets: Sequence[int],
        names: Sequence[str],
        confidence: bool = False,
    ) -> list[Path]:
        """The files of pseudo-labels, or with `confidence` of confidence maps, that do not exist."""
        name_of = confidence_name if confidence else label_map_name
        files = [
            self.folder / name_of(self.setting(acquisition), seed, name, self._kept_at(budget))
            for acquisition in acquisitions
            for seed in sorted(seeds)
            for budget in budgets
            for name in names
        ]
        return [file for file in files if not file.exists()]

    def labels(
        self, acquisitions: Sequence[str], seeds: Collection[int], budgets: Sequence[int], names: Sequence[str]
    ) -> Found:
        """Labels of these images by acquisition, budget and seed. Raises InputError if an image has no run."""
        found: Found = {}
        for acquisition in acquisitions:
            setting = self.setting(acquisition)
            privileged = self.stopped_at_target or find_acquisition(acquisition).privileged
            logs = self.logs(setting)
            for seed in seeds:
                if unknown := [name for name in names if (name, seed) not in logs]:
                    raise InputError(f"{self.folder}: has no run of {setting}, seed {seed}, image {unknown[0]}")
                for budget in budgets:
                    kept_at = self._kept_at(budget)
                    counts = self._counts(setting, seed, kept_at)
                    of_budget = {name: logs[name, seed].until(counts[name][1]) for name in names}
                    asked = {name: counts[name][0] for name in names}
                    found[acquisition, budget, seed] = ImageLabels(
                        self.folder, setting, seed, kept_at, of_budget, asked, privileged
                    )
        return found

    def logs(self, setting: str) -> dict[tuple[str, int], Log]:
        """The log of each run of a setting, by image and seed, with a fit after each round with revealed pixels.

        Answers without a class are missing, because the tables do not hold them. Raises InputError if tables
        contradict each other.
        """
        curves, revealed, _ = self.tables
        curves, revealed = curves[curves["setting"] == setting], revealed[revealed["setting"] == setting]
        told_by_run = dict(iter(revealed.sort_values([*KEY, "order"]).groupby(["image", "seed"])))
        logs: dict[tuple[str, int], Log] = {}
        rounds_by_run = dict(iter(curves.sort_values([*KEY, "round"]).groupby(["image", "seed"])))
        for run, rounds in rounds_by_run.items():
            log = Log(UNSURE)  # all labels below UNSURE are classes
            told = told_by_run.get(run)
            if told is not None:
                log.tell(told[["row", "column"]].to_numpy(np.int64), told["label"].to_numpy(np.uint8))
            log.fits = [int(count) for count in rounds["revealed"] if count]
            if log.asked != int(rounds["revealed"].iloc[-1]):
                raise InputError(
                    f"{self.folder}: revealed.parquet: the pixels of {run[0]}, seed {run[1]}, do not fit "
                    "curves.parquet"
                )
            logs[str(run[0]), int(str(run[1]))] = log
        return logs

    def _kept_at(self, budget: int) -> int | None:
        return None if budget == self.budgets[-1] else budget

    def _counts(self, setting: str, seed: int, kept_at: int | None) -> dict[str, tuple[int, int]]:
        """Pixels asked and revealed, by image, at the last round with at most `kept_at` pixels asked."""
        curves = self.tables.curves
        rounds = curves[(curves["setting"] == setting) & (curves["seed"] == seed)]
        if kept_at is not None:
            rounds = rounds[rounds["asked"] <= kept_at]
        last = rounds.groupby("image")[["asked", "revealed"]].max()
        return {str(image): (int(asked), int(known)) for image, asked, known in last.itertuples()}


def require_maps(found: Found, dataset: Dataset, names: Sequence[str]) -> None:
    """Raise InputError for a label map that cannot be read, or does not fit its image or the classes."""
    for name in names:
        shape, classes = dataset.image(name).shape[:2], len(dataset.classes)
        for labels in found.values():
            file = labels.file(name)
            ids = labels.map(name)
            if ids.shape != shape:
                raise InputError(f"{file}: {_by(ids.shape)} pixels: must be {_by(shape)}, like the image")
            if (most := ids[ids != IGNORE].max(initial=0)) >= classes:
                raise InputError(f"{file}: holds id {most}: must be below {classes}, the number of classes")


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
