"""Pseudo-labels for a data set: those that an image study has, and a run of it for those that it lacks."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

from lowpix.data import Dataset
from lowpix.data.options import DataOptions
from lowpix.dataset_study.options import Options
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.study.source import Found, Source, require_maps

EVEN = "stratified"  # the acquisition of evenly spread pixels
PLANNED = 50  # pixels an image of an image study that is not there yet


def labelled(
    options: Options,
    folder: Path,
    dataset: Dataset,
    names: Sequence[str],
    acquisitions: tuple[str, ...],
    repeats: Collection[int],
    budgets: Sequence[int],
) -> tuple[Source, Found]:
    """The image study in `folder`, and its labels of these images by the acquisitions.

    Where it lacks some, it is run for them, and a line says so: with its own settings, or, if it is not there
    yet, with settings that follow from the options.

    Args:
        options: of the data-set study.
        folder: of the image study.
        dataset: the split that is labelled.
        names: its images.
        acquisitions: of the image study.
        repeats: of the data-set study, each of which takes labels of one seed.
        budgets: pixels asked of an image, of those at which the image study keeps pseudo-labels.

    Raises:
        InputError: a study of other images, faulty options, or labels that are not to be had.
    """
    if not (folder / "study.toml").exists():
        planned = _planned(options, folder, acquisitions)
        wanted = f"{', '.join(acquisitions)}, {planned.max_pixels} pixels an image"
        print(f"image study {folder}: is not there yet: running it ({wanted})", flush=True)
        image_study(planned)
    source = open_source(folder, dataset)
    seeds = {label_seed(options, source, repeat) for repeat in repeats}
    if missing := source.missing(acquisitions, seeds, budgets, names):
        print(f"image study {folder}: lacks {len(missing)} pseudo-label maps: running it for them", flush=True)
        image_study(_extended(options, source, acquisitions))
        source = open_source(folder, dataset)
    missing = source.missing(acquisitions, seeds, budgets, names)
    if options.weigh_by_confidence or options.min_confidence > 0:
        missing += source.missing(acquisitions, seeds, budgets, names, confidence=True)
    if missing:
        raise InputError(
            f"{missing[0]}: is not there, though the study's tables count its run as done: "
            "run that image study into another folder"
        )
    found = source.labels(acquisitions, sorted(seeds), budgets, names)
    require_maps(found, dataset, names)  # now, and not hours later, when their turn comes
    return source, found


def open_source(folder: Path, dataset: Dataset) -> Source:
    """The image study in `folder`; InputError where it is one of other images or labels."""
    source = Source(folder)
    source.require_same_data(dataset)
    return source


def label_seed(options: Options, source: Source, repeat: int) -> int:
    """Seed of the image study's runs that a repeat of the data-set study takes."""
    return source.seed(repeat, _label_repeats(options))


def budgets_of(options: Options, folder: Path, dataset: Dataset) -> tuple[int, ...]:
    """Pixels an image, each once.

    Raises InputError for one at which the image study keeps nothing, and for evenly spread pixels where it cannot
    give as many.
    """
    given = tuple(dict.fromkeys(options.budgets))
    if options.kinds() == ("full",):
        return given
    if not (folder / "study.toml").exists():
        return given or (PLANNED,)
    source = open_source(folder, dataset)
    if source.stopped_at_target and "pseudo_stratified" in options.kinds() and options.acquisition != EVEN:
        raise InputError(
            f"--settings pseudo_stratified: {folder} stopped at its target, so that evenly spread pixels would be "
            "others in number: name an image study that ran with --stop budget, or leave this setting out"
        )
    kept = source.budgets
    for budget in given:
        if budget not in kept:
            other = "--out" if options.image_study is None else "--image-study and --out"
            raise InputError(
                f"--budgets {budget}: {folder} keeps pseudo-labels at {', '.join(map(str, kept))} pixels "
                f"(its --keep-at): name another {other}"
            )
    return given or kept[-1:]


def _planned(options: Options, folder: Path, acquisitions: tuple[str, ...]) -> ImageOptions:
    """The image study that is run where there is none."""
    budgets = tuple(sorted(options.budgets)) or (PLANNED,)
    data = {field.name: getattr(options, field.name) for field in fields(DataOptions)}
    return ImageOptions(
        **data,
        acquisition=acquisitions,
        stop="budget",
        max_pixels=budgets[-1],
        keep_at=budgets[:-1],
        first_pixels=min(ImageOptions.first_pixels, budgets[0]),
        seed=options.seed,
        repeats=_label_repeats(options),
        jobs=options.jobs,
        device=options.device,
        out=folder,
    )


def _extended(options: Options, source: Source, acquisitions: tuple[str, ...]) -> ImageOptions:
    """The image study that is there, for all that the data-set study needs."""
    return ImageOptions.of(
        source.settings,
        images=(),
        acquisition=acquisitions,
        repeats=max(int(source.settings["repeats"]), _label_repeats(options)),
        data_root=options.data_root,
        limit=options.limit,
        scene_count=options.scene_count,
        jobs=options.jobs,
        device=options.device,
        out=source.folder,
    )


def _label_repeats(options: Options) -> int:
    """Repeats that the image study is to have: as many as this study, unless it is one of others."""
    return options.repeats if options.image_study is None else 1
