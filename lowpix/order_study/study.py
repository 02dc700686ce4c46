"""An order study from its options to its tables and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowpix.data import IGNORE, Dataset, spread
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.networks.device import find_device
from lowpix.order_study.options import Options
from lowpix.order_study.pictures import order_picture
from lowpix.order_study.runs import ImageWork, Training, run_order
from lowpix.order_study.tables import ARMS, OrderRun, OrderStudies, OrderTables
from lowpix.reveal.log import Log
from lowpix.study.folder import Study, open_study
from lowpix.study.intervals import group_images
from lowpix.study.source import Source

SMALL_STUDY = Path("results/scenes_budget")  # where no image study is named


@dataclass(frozen=True)
class Given:
    """One setting of an image study that ran to its budget: what an order study trains on."""

    source: Source
    setting: str
    dataset: Dataset
    logs: dict[tuple[str, int], Log]
    """What was revealed, by image and seed."""
    images: tuple[str, ...]
    """Those that every seed has finished, in the order of the data set."""
    seeds: tuple[int, ...]
    """Of the study, in order."""


def order_study(options: Options) -> OrderTables:
    """Run an order study, or go on with the one in its folder; gives `order.csv` and `order_pairs.csv`.

    Raises:
        InputError: an option out of range, an image study that cannot be used, a data set that cannot be opened or
            is another one, or a folder that holds another study.
    """
    options.check()
    device = find_device(options.device)
    folder = options.image_study or _small_study(options.jobs)
    out = _out(folder, options.out)
    given = read_given(Source(folder), options.setting, options.data_root)
    images = _images(given, options)
    group_images(images, options.group_by)  # a faulty expression is found before hours of work
    require_labels(given, images)
    kind = OrderStudies(images, options.group_by)
    study = open_study(out, kind, _settings(given, options), fresh=options.fresh, device=str(device))

    def picture(tables: OrderTables) -> None:
        if len(tables.pairs):
            order_picture(out / "order.png", tables.pairs)

    with study.at_work(str(device), picture):
        _work(given, images, study, options)
    return study.tables()


def read_given(source: Source, setting: str | None = None, data_root: Path | None = None) -> Given:
    """Read an image study; label maps are not read before `require_labels`.

    Args:
        source: the study.
        setting: one of its settings; None where it has but one.
        data_root: folder of the data set or its parent; None looks where `open_dataset` looks.

    Raises:
        InputError: no finished run, a study that stopped at its target or trained with dropout, a setting that it
            does not hold, or a data set that cannot be opened or lacks its images.
    """
    folder, curves = source.folder, source.tables.curves
    if curves.empty or source.tables.revealed.empty:
        raise InputError(f"{folder}: holds no finished run of a study (python -m lowpix.image_study makes one)")
    setting = _one_of(folder, setting, sorted(curves["setting"].unique()))
    if source.stopped_at_target:
        raise InputError(f"{folder}: its images stopped at the target; run the image study with --stop budget")
    if source.settings.get("members_from", "ensemble") != "ensemble":
        raise InputError(f"{folder}: trained with dropout; an order study takes --members-from ensemble alone")
    dataset, logs = source.open(data_root), source.logs(setting)
    seeds = tuple(sorted({seed for _, seed in logs}))
    whole = tuple(image for image in dataset.images if all((image, seed) in logs for seed in seeds))
    if not whole:
        raise InputError(
            f"{folder}: no image has finished with all seeds, {', '.join(map(str, seeds))}; go on with it"
        )
    return Given(source, setting, dataset, logs, whole, seeds)


def require_labels(given: Given, images: Sequence[str]) -> None:
    """Raise InputError unless images and label maps fit, are the study's, and leave pixels to score on."""
    folder = given.source.folder
    for image in images:
        truth = given.dataset.labels(image)
        if truth is None:
            raise InputError(f"{folder}: image {image} has no label map in {given.dataset.name}")
        if given.dataset.image(image).shape[:2] != truth.shape:
            raise InputError(f"{folder}: image {image} and its label map differ in size")
        for seed in given.seeds:
            log = given.logs[image, seed]
            if not log.asked:
                raise InputError(f"{folder}: no pixel of {image}, seed {seed}, has a class: nothing to train on")
            given.source.require_told(truth, image, log.pixels, log.answers)
            if np.count_nonzero(truth != IGNORE) <= log.asked:
                raise InputError(f"{folder}: all pixels of {image} are revealed, so none is left to score on")


def _one_of(folder: Path, setting: str | None, there: Sequence[str]) -> str:
    if setting is None and len(there) == 1:
        return there[0]
    if setting is None:
        raise InputError(f"{folder}: holds several settings; name one: --setting {' or '.join(there)}")
    if setting not in there:
        raise InputError(f"--setting {setting}: {folder} holds {', '.join(there)}")
    return setting


def _small_study(jobs: int) -> Path:
    """An image study of minutes, for a look at what this command does."""
    print(f"no --image-study: one on generated scenes comes first, in {SMALL_STUDY}", flush=True)
    small = ImageOptions(stop="budget", max_pixels=100, pixels_per_round="10%", jobs=jobs, out=SMALL_STUDY)
    return image_study(small).folder


def _out(folder: Path, out: Path | None) -> Path:
    if out is None:
        whole = folder.resolve()
        return folder.parent / f"{whole.name}_order" if folder.name else whole.with_name(f"{whole.name}_order")
    if out.resolve() == folder.resolve():
        raise InputError(f"--out {out}: is the folder of the image study; name another")
    return out


def _images(given: Given, options: Options) -> tuple[str, ...]:
    unknown = [image for image in options.images if image not in given.images]
    if unknown:
        holds = f"the {len(given.images)} finished images of {given.source.folder}, such as {given.images[0]}"
        raise InputError(f"--images {unknown[0]}: must be one of {holds}")
    return spread(tuple(dict.fromkeys(options.images)) or given.images, options.limit)


def _settings(given: Given, options: Options) -> dict[str, object]:
    """For `study.toml`: what the image study was, and what is done with it."""
    return given.source.fixed | {
        "setting": given.setting,
        "study_seeds": list(given.seeds),
        "limit": options.limit,
        "images": options.images or None,
        "seeds": options.seeds,
        "batch": options.batch,
        "plateau_cap": options.plateau_cap,
    }


def _work(given: Given, images: Sequence[str], study: Study[OrderRun, OrderTables], options: Options) -> None:
    """Do what is unfinished."""
    turns = {seed: given.seeds[seed % len(given.seeds)] for seed in range(options.seeds)}
    works = [
        ImageWork(image, {seed: (turn, given.logs[image, turn]) for seed, turn in turns.items()})
        for image in images
    ]
    every = {(arm, seed, image) for image in images for arm in ARMS for seed in turns}
    left = len(every - study.finished())
    data = f"{given.dataset.name} {given.dataset.split}, {given.setting}"
    print(f"{data}: {len(every)} runs, {left} of them to do", flush=True)
    if not left:
        return
    settings = given.source.settings
    training = Training(
        given.setting,
        settings["network"],
        settings["members"],
        options.batch,
        options.plateau_cap,
        find_device(options.device),
    )
    for _ in run_order(given.dataset, training, works, study, options.jobs, left):
        pass
