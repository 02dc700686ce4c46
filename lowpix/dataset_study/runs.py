"""The runs of a data-set study: train on a setting's labels, evaluate on the test split, save the results."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.dataset_study.labels import SETTINGS, Annotation, Material, Survey, survey
from lowpix.dataset_study.tables import DatasetTables, TrainedRun, model_name, prediction_name, state_name
from lowpix.metrics import accuracy, iou, miou
from lowpix.seeds import seed_for
from lowpix.segmenter.evaluation import label_images
from lowpix.segmenter.method import Method
from lowpix.segmenter.model import Model, model_file
from lowpix.segmenter.training import finished_epochs
from lowpix.study.cluster import Away, Cluster
from lowpix.study.folder import Study
from lowpix.study.label_maps import label_map_png
from lowpix.study.splits import Splits
from lowpix.study.work import work

LOADERS = 12  # largest number of threads that prepare minibatches for a GPU


@dataclass(frozen=True)
class Costs:
    """The time that annotation takes."""

    seconds_per_click: float
    minutes_per_map: float

    def hours(self, clicks: int, maps: int) -> float:
        """Hours for a number of clicks and full label maps."""
        return clicks * self.seconds_per_click / 3600 + maps * self.minutes_per_map / 60

    def maps_for(self, clicks: int) -> int:
        """The number of full label maps that take no longer than these clicks."""
        return int(clicks * self.seconds_per_click / (60 * self.minutes_per_map))


@dataclass(frozen=True)
class Job:
    """A run to do."""

    setting: str
    """The setting's name in tables and files."""
    kind: str
    """A name in SETTINGS."""
    budget: int | None
    """Pixels asked of an image; None for settings that do not use the image study."""
    seed: int
    repeat: int


@dataclass(frozen=True)
class Plan:
    """What all runs of a study share."""

    method: Method
    costs: Costs
    splits: Splits
    """If there is a validation split, it chooses the checkpoint, and its maps count as annotation."""


Trained = tuple[TrainedRun, dict[str, bytes]]
"""A finished run, and its model and predictions by file name within the study's folder."""


@dataclass(frozen=True)
class Training:
    """Does a job, or goes on with it: the state after each epoch is saved in the study's folder.

    Runs with the same seed share initial weights, and the order and crops of training images.
    """

    plan: Plan
    materials: dict[Job, Material]
    folder: Path
    device: torch.device

    def __call__(self, job: Job) -> Iterator[Trained]:
        material, plan, device = self.materials[job], self.plan, self.device
        dataset, scale = material.dataset, plan.method.scale
        seed = self.seed(job)
        annotation = SETTINGS[job.kind](material)
        seen = survey(annotation, material)
        network = plan.method.fresh(seed_for(seed, "initial weights"))
        history = plan.method.train(
            network,
            dataset,
            annotation,
            seen.pixels,
            seed,
            device,
            self.state(job),
            validation=plan.splits.validation,
            validation_names=plan.splits.validation_names,
            loaders=min(LOADERS, os.cpu_count() or 1) if device.type == "cuda" else 0,
        )
        total = np.zeros((len(dataset.classes), len(dataset.classes) + 1), np.int64)
        cells: list[tuple[str, int, int, int]] = []
        files: dict[str, bytes] = {}
        for name, labels, counts in label_images(network, plan.splits.test, plan.splits.test_names, scale, device):
            assert counts is not None, "checked before the study"
            total += counts
            pairs = zip(*np.nonzero(counts), strict=True)
            cells += [(name, int(true), int(found), int(counts[true, found])) for true, found in pairs]
            files[prediction_name(job.setting, job.seed, name)] = label_map_png(labels, dataset.palette)
        row = _row(job, material, plan, annotation, seen, total) | {"seconds": history[-1]["seconds"]}
        row |= {
            f"iou_{name}": None if np.isnan(value) else float(value)
            for name, value in zip(dataset.classes, iou(total), strict=True)
        }
        about = {"dataset": dataset.name, "setting": job.setting, "seed": str(job.seed)}
        model = Model(network, dataset.classes, dataset.palette, scale, plan.splits.median_size(1))
        files[model_name(job.setting, job.seed)] = model_file(model, about)
        yield TrainedRun(row, history, cells), files

    def sender(self) -> Callable[[Job], Away[Trained]]:
        """Makes of a job the same work on a machine that sees none of our files."""
        splits = self.plan.splits.sent()

        def send(job: Job) -> Away[Trained]:
            method = self.plan.method.sent(seed_for(self.seed(job), "initial weights"))
            plan, material = replace(self.plan, splits=splits, method=method), self.materials[job]
            confidence = material.weigh or material.least_confidence > 0
            material = replace(
                material,
                dataset=splits.train,
                chosen=material.chosen and material.chosen.sent(confidence),
                stratified=material.stratified and material.stratified.sent(confidence),
            )
            training = replace(self, plan=plan, materials={job: material})
            states = Away.states_in(self.folder, state_name(job.setting, job.seed))
            return Away(partial(_train_in, training, job), states)

        return send

    def seed(self, job: Job) -> int:
        """The seed of a run's training."""
        return seed_for(job.seed, self.materials[job].dataset.name, "data-set network")

    def state(self, job: Job) -> Path:
        """The file of an unfinished run's state."""
        return self.folder / state_name(job.setting, job.seed)


def _train_in(training: Training, job: Job, folder: Path) -> Iterator[Trained]:
    """Do a job in another folder."""
    material = replace(training.materials[job], cache=folder)
    yield from replace(training, folder=folder, materials={job: material})(job)


def run_jobs(
    jobs: Sequence[Job],
    training: Training,
    study: Study[TrainedRun, DatasetTables],
    processes: int,
    cluster: str | None = None,
) -> None:
    """Do these runs and save each when it ends, with a bar that counts epochs.

    `cluster` is the address of a cluster that does them instead. All images travel with each run, and its epochs
    are counted when it ends.
    """
    epochs = training.plan.method.recipe.epochs
    print(f"{training.plan.splits.train.name}: {len(jobs)} networks to train, {epochs} epochs each", flush=True)

    def done() -> float:
        finished = study.finished()
        return sum(
            epochs if (job.setting, job.seed) in finished else finished_epochs(training.state(job)) for job in jobs
        )

    def tell(run: TrainedRun) -> str:
        score = "" if math.isnan(run.row["miou"]) else f": mIoU {run.row['miou']:.3f}"
        return f"{run.row['setting']} {run.row['seed']}{score}"

    if jobs:
        others = None if cluster is None else Cluster(cluster, training.sender())
        save, total = _Save(study), len(jobs) * epochs
        for _ in work(
            training, jobs, save, processes, total=total, unit="epoch", done=done, tell=tell, cluster=others
        ):
            pass
        study.require_finished((job.setting, job.seed) for job in jobs)


@dataclass(frozen=True)
class _Save:
    study: Study[TrainedRun, DatasetTables]

    def __call__(self, trained: Trained) -> TrainedRun:
        run = self.study.save(*trained)
        (self.study.folder / state_name(run.row["setting"], run.row["seed"])).unlink(missing_ok=True)
        return run


def _row(
    job: Job,
    material: Material,
    plan: Plan,
    annotation: Annotation,
    seen: Survey,
    total: NDArray[np.int64],
) -> dict[str, Any]:
    """The run's row of `summary.csv`, without seconds and the IoU of classes."""
    source = material.stratified if job.kind == "pseudo_stratified" else material.chosen
    maps = annotation.maps + len(plan.splits.validation_names)
    annotated = (seen.size if annotation.maps else annotation.pixels) + plan.splits.validation_pixels
    return {
        "dataset": material.dataset.name,
        "setting": job.setting,
        "seed": job.seed,
        "kind": job.kind,
        "budget": job.budget,
        "network": plan.method.fresh.network,
        "privileged": job.kind.startswith("full_degraded") or (source is not None and source.privileged),
        "label_seed": source.seed if source else None,
        "images": len(annotation.images),
        "pixels_per_image": annotated / len(material.names),
        "annotated_fraction": annotated / plan.splits.pixels,
        "clicks": annotation.clicks,
        "maps": maps,
        "hours": plan.costs.hours(annotation.clicks, maps),
        "accuracy": accuracy(total),
        "miou": miou(total),
        "label_accuracy": seen.accuracy,
        "label_miou": seen.miou,
    }
