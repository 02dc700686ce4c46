"""Run an order study: from its options to its tables and picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowpix.data import IGNORE, Dataset, spread
from lowpix.data.check import require_sound
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.networks import MixedNetwork, Solver, find_network
from lowpix.networks.device import find_device
from lowpix.order_study.options import Options
from lowpix.order_study.pictures import order_picture
from lowpix.order_study.runs import ImageWork, Training, run_order
from lowpix.order_study.tables import ARMS, OrderRun, OrderStudies, OrderTables
from lowpix.reveal.log import Log
from lowpix.study.data import digest_of, keep_data, read_data, refuse_other_data, require_same
from lowpix.study.folder import Study, open_study
from lowpix.study.intervals import group_images
from lowpix.study.plots import figure_png
from lowpix.study.source import Source

SMALL_STUDY = Path("results/scenes_budget")  # used if no image study is named


@dataclass(frozen=True)
class Given:
    """The input of an order study: one setting of an image study that ran to its budget."""

    source: Source
    setting: str
    dataset: Dataset
    logs: dict[tuple[str, int], Log]
    """The logs of revealed pixels, by image and seed."""
    images: tuple[str, ...]
    """The images that are finished with all seeds, in the order of the data set."""
    seeds: tuple[int, ...]
    """The seeds of the image study, in order."""


def order_study(options: Options) -> OrderTables:
    """Run an order study, or go on with the one in its folder; return `order.csv` and `order_pairs.csv`.

    Raises:
        InputError: an option is out of range, the image study cannot be used, its data set cannot be opened or has
            changed, or the folder holds another study.
    """
    options.check()
    device = find_device(options.device)
    folder = options.image_study or _small_study(options.jobs)
    out = folder_of(folder, options.out)
    given = read_given(Source(folder), options.setting, options.data_root)
    images = _images(given, options)
    group_images(images, options.group_by)  # finds an invalid expression before hours of work
    require_labels(given, images)
    report = {given.dataset: require_sound(given.dataset, images)}
    require_same(read_data(folder), report, f"{folder} is of other images: is --data-root the same data?")
    kind = OrderStudies(images, options.group_by)
    resolved, data = _settings(given, options), digest_of(report)
    if not options.fresh:
        refuse_other_data(out, report)
    study = open_study(out, kind, resolved, fresh=options.fresh, data=data, device=str(device))
    keep_data(study, report)

    def picture(tables: OrderTables) -> dict[str, bytes]:
        return {"order.png": figure_png(order_picture(tables.pairs))} if len(tables.pairs) else {}

    with study.at_work(str(device), picture):
        _work(given, images, study, options)
    return study.tables()


def read_given(source: Source, setting: str | None = None, data_root: Path | None = None) -> Given:
    """Read an image study, without its label maps.

    Args:
        source: the image study.
        setting: one of its settings; may be None if there is only one.
        data_root: folder of the data set or its parent; None searches where `open_dataset` does.

    Raises:
        InputError: the study has no finished run, stopped at its target or trained with dropout, it does not hold
        the
            setting, or its data set cannot be opened or lacks images of the study.
    """
    folder, curves = source.folder, source.tables.curves
    if curves.empty or source.tables.revealed.empty:
        raise InputError(f"{folder}: holds no finished run of a study (python -m lowpix.image_study makes one)")
    setting = _one_of(folder, setting, sorted(curves["setting"].unique()))
    if source.stopped_at_target:
        raise InputError(f"{folder}: its images stopped at the target; run the image study with --stop budget")
    if source.settings.get("members_from", "ensemble") != "ensemble":
        raise InputError(f"{folder}: trained with dropout; an order study needs --members-from ensemble")
    if isinstance(find_network(source.network), Solver | MixedNetwork):
        raise InputError(
            f"{folder}: {source.network} is solved, not only trained by steps, whose order is studied"
        )
    dataset, logs = source.open(data_root), source.logs(setting)
    seeds = tuple(sorted({seed for _, seed in logs}))
    whole = tuple(image for image in dataset.images if all((image, seed) in logs for seed in seeds))
    if not whole:
        raise InputError(
            f"{folder}: no image has finished with all seeds, {', '.join(map(str, seeds))}; finish the study first"
        )
    return Given(source, setting, dataset, logs, whole, seeds)


def require_labels(given: Given, images: Sequence[str]) -> None:
    """Raise InputError if a label map is missing, does not fit, has changed or leaves no pixels to evaluate on."""
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
                raise InputError(f"{folder}: all pixels of {image} are revealed, so none is left to evaluate on")


def _one_of(folder: Path, setting: str | None, there: Sequence[str]) -> str:
    if setting is None and len(there) == 1:
        return there[0]
    if setting is None:
        raise InputError(f"{folder}: holds several settings; name one: --setting {' or '.join(there)}")
    if setting not in there:
        raise InputError(f"--setting {setting}: {folder} holds {', '.join(there)}")
    return setting


def _small_study(jobs: int) -> Path:
    """Run an image study that takes minutes, to try out the order study."""
    print(f"no --image-study: one on generated scenes comes first, in {SMALL_STUDY}", flush=True)
    small = ImageOptions(stop="budget", max_pixels=100, pixels_per_round="10%", jobs=jobs, out=SMALL_STUDY)
    return image_study(small).folder


def folder_of(folder: Path, out: Path | None) -> Path:
    """The folder of the order study of an image study in `folder`; `out` if it is given."""
    if out is None:
        resolved = folder.resolve()
        name = f"{resolved.name}_order"
        return folder.parent / name if folder.name else resolved.with_name(name)
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
    """The settings for `study.toml`: those of the image study and of the order study."""
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
    """Do the unfinished runs."""
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
    training = Training(
        given.setting,
        given.source.network,
        given.source.members,
        options.batch,
        options.plateau_cap,
        find_device(options.device),
    )
    for _ in run_order(given.dataset, training, works, study, options.jobs, left, options.cluster):
        pass
    study.require_finished(every)
