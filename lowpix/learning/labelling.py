"""Pseudo-labels for a data set: those that an image study has, and a run of it for those that it lacks."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import torch
from tqdm import tqdm

from lowpix.data import Dataset
from lowpix.errors import InputError
from lowpix.image_study import Options, image_study
from lowpix.learning.image_labels import (
    Found,
    ImageLabels,
    Source,
    options_of,
    read_labels,
    require_maps,
)
from lowpix.networks.device import find_device
from lowpix.record import Study
from lowpix.reveal.oracle import could_tell
from lowpix.reveal.setting import Setting, Unit
from lowpix.reveal.study import run_units

EVEN = "stratified"  # the acquisition of evenly spread pixels

GENERATED = ("scene_size", "scene_classes", "seed")  # what makes a generated scene the one that it is


def labelled(
    planned: Options,
    dataset: Dataset,
    names: Sequence[str],
    repeats: Collection[int],
    budgets: Sequence[int],
    spare: Path,
    confidence: bool = False,
) -> tuple[Source, Found]:
    """The image study in folder `planned.out`, and its labels of these images by `planned.acquisition`.

    Where it lacks some, it is run for them, and a line says so: with its own settings, or, if it is not there
    yet, with those planned. In a study that stops at the target evenly spread pixels would not be as many as the
    other acquisition's, so these are made apart, each image to as many clicks as the other took.

    Args:
        planned: options of an image study; of one that is there, only places, images and acquisitions are read.
        dataset: the split that is labelled.
        names: its images.
        repeats: of the data-set study, each of which takes labels of one seed.
        budgets: pixels asked of an image, of those at which the image study keeps pseudo-labels.
        spare: folder for labels that are made apart.
        confidence: whether the confidence of the labels is needed, too.

    Raises:
        InputError: a study of other images, faulty options, or labels that are not to be had.
    """
    assert planned.out is not None
    folder, acquisitions = planned.out, planned.acquisition
    if (folder / "study.toml").exists():
        source = open_source(planned, dataset)
        if source.settings["stop"] == "target" and len(acquisitions) > 1:
            acquisitions = tuple(name for name in acquisitions if name != EVEN)
        own = Options(**options_of(Options, source.settings))
        if missing := source.missing(acquisitions, repeats, budgets, names):
            print(f"image study {folder}: lacks {len(missing)} pseudo-label maps: running it for them", flush=True)
            places = ("data_root", "device", "jobs", "out", "limit", "scene_count")
            given = {name: getattr(planned, name) for name in places}
            image_study(replace(own, images=(), acquisition=acquisitions, repeats=source.repeats, **given))
    else:
        wanted = f"{', '.join(acquisitions)}, {planned.max_pixels} pixels an image"
        print(f"image study {folder}: is not there yet: running it ({wanted})", flush=True)
        image_study(planned)
        source = open_source(planned, dataset)
    missing = source.missing(acquisitions, repeats, budgets, names)
    if confidence:
        missing += source.missing(acquisitions, repeats, budgets, names, confidence)
    if missing:
        raise InputError(
            f"{missing[0]}: is not there, though the study's tables count its run as done: "
            "run that image study into another folder"
        )
    found = source.read(acquisitions, repeats, budgets, names)
    require_maps(found, dataset, names)  # now, and not hours later, when their turn comes
    if acquisitions != planned.acquisition:
        for budget in budgets:
            clicked = [labels for (_, at, _), labels in found.items() if at == budget]
            spread = _evenly_spread(source, clicked, dataset, planned, Study(spare / str(budget)))
            found |= {(EVEN, budget, seed): labels for seed, labels in spread.items()}
    return source, found


def _evenly_spread(
    source: Source, clicked: Sequence[ImageLabels], dataset: Dataset, planned: Options, study: Study
) -> dict[int, ImageLabels]:
    """Labels from evenly spread pixels by seed, each image with as many clicks as those that are given."""
    own = replace(Options(**options_of(Options, source.settings)), acquisition=(EVEN,), stop="budget", keep_at=())
    (setting,) = own.settings()
    clicks = {(name, labels.seed): n for labels in clicked for name, n in labels.asked.items()}
    done = study.finished()
    todo = [unit for unit in clicks if (setting.name, *unit) not in done]
    if todo:
        print(f"image study {source.folder}: stops at the target: spreading as many pixels evenly", flush=True)
    device = find_device(planned.device)
    calls = []
    for unit in todo:
        schedule = replace(setting.schedule, first=min(setting.schedule.first, clicks[unit]), budget=clicks[unit])
        calls.append(joblib.delayed(_run)(dataset, replace(setting, schedule=schedule), unit, study, device))
    for _ in tqdm(
        joblib.Parallel(planned.jobs, return_as="generator_unordered")(calls), total=len(todo), unit="run"
    ):
        pass
    names = sorted({name for name, _ in clicks})
    seeds = sorted({seed for _, seed in clicks})
    return read_labels(
        study, study.tables(), setting.name, seeds, names, privileged=True
    )  # as many as the truth had a say in


def _run(dataset: Dataset, setting: Setting, unit: Unit, study: Study, device: torch.device) -> None:
    for _ in run_units(dataset, [setting], [unit], study, device, 1):
        pass


def open_source(planned: Options, dataset: Dataset) -> Source:
    """The image study in folder `planned.out`; InputError where it is one of other images or labels."""
    assert planned.out is not None
    source = Source(planned.out, planned.repeats)
    given = {"dataset": dataset.name, "split": dataset.split}
    if dataset.name == "scenes":
        given |= {name: getattr(planned, name) for name in GENERATED}
    for name, here in given.items():
        here, there = list(here) if isinstance(here, tuple) else here, source.settings.get(name)
        if here != there:
            raise InputError(
                f"--image-study {planned.out}: its {name} is {there}, not {here}: other images "
                f"(--{name.replace('_', '-')} names them)"
            )
    _require_same_labels(source, dataset)
    return source


def _require_same_labels(source: Source, dataset: Dataset) -> None:
    """Two folders may have the same name; what was revealed tells them apart."""
    told = {str(image): rows for image, rows in Study(source.folder).tables().revealed.groupby("image")}
    if told and not told.keys() & set(dataset.images):
        raise InputError(
            f"--image-study {source.folder}: none of its images is here: is --data-root the same data?"
        )
    for image in sorted(told.keys() & set(dataset.images)):
        pixels, labels = told[image][["row", "column"]].to_numpy(), told[image]["label"].to_numpy()
        truth = dataset.labels(image)
        if truth is None or not could_tell(truth, pixels, labels, source.settings["oracle_noise"] > 0):
            raise InputError(
                f"--image-study {source.folder}: pixels of {image} have other labels here: "
                "is --data-root the same data?"
            )
