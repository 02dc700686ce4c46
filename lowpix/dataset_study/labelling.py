"""Pseudo-labels for a data set from an image study, which is run first if it lacks some."""

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
PLANNED = 50  # default budget of a new image study, in pixels per image


def labelled(
    options: Options,
    folder: Path,
    dataset: Dataset,
    names: Sequence[str],
    acquisitions: tuple[str, ...],
    repeats: Collection[int],
    budgets: Sequence[int],
) -> tuple[Source, Found]:
    """The image study in `folder`, and its labels of the images by each acquisition, budget and seed.

    If the image study lacks labels, it is extended, and a line is printed. If it does not exist, it is run with
    settings that follow from the options.

    Args:
        options: options of the data-set study.
        folder: folder of the image study.
        dataset: the split to label.
        names: the images to label.
        acquisitions: acquisitions of the image study.
        repeats: repeats of the data-set study; each uses the labels of one seed.
        budgets: pixels asked of an image; the image study must keep pseudo-labels at each.

    Raises:
        InputError: the image study has other images, an option is out of range, or labels cannot be made.
    """
    if not (folder / "study.toml").exists():
        planned = _planned(options, folder, acquisitions)
        wanted = f"{', '.join(acquisitions)}, {planned.max_pixels} pixels an image"
        print(f"image study {folder}: does not exist yet: running it ({wanted})", flush=True)
        image_study(planned)
    source = open_source(folder, dataset)
    seeds = {label_seed(options, source, repeat) for repeat in repeats}
    if missing := source.missing(acquisitions, seeds, budgets, names):
        print(f"image study {folder}: lacks {len(missing)} pseudo-label maps: running it for them", flush=True)
        image_study(_extended(options, source, acquisitions))
        source = open_source(folder, dataset)
    elif options.image_study is None and not (folder / "curves.png").exists():
        print(f"image study {folder}: was stopped before it drew its pictures: drawing them", flush=True)
        image_study(_extended(options, source, acquisitions))
    missing = source.missing(acquisitions, seeds, budgets, names)
    if options.weigh_by_confidence or options.min_confidence > 0:
        missing += source.missing(acquisitions, seeds, budgets, names, confidence=True)
    if missing:
        raise InputError(
            f"{missing[0]}: is not there, though the study's tables count its run as done: "
            "run that image study into another folder"
        )
    found = source.labels(acquisitions, sorted(seeds), budgets, names)
    require_maps(found, dataset, names)  # now, not after hours of training
    return source, found


def open_source(folder: Path, dataset: Dataset) -> Source:
    """The image study in `folder`. Raises InputError if it used other images or labels."""
    source = Source(folder)
    source.require_same_data(dataset)
    return source


def acquisition_of(options: Options, folder: Path) -> str:
    """The acquisition whose labels are used: the one given, or the first of the image study in `folder`."""
    if options.acquisition is not None:
        return options.acquisition
    if (folder / "study.toml").exists():
        return str(Source(folder).settings["acquisition"][0])
    return ImageOptions.acquisition[0]


def label_seed(options: Options, source: Source, repeat: int) -> int:
    """The seed of the image study's runs that a repeat of the data-set study uses."""
    return source.seed(repeat, _label_repeats(options))


def budgets_of(options: Options, folder: Path, dataset: Dataset) -> tuple[int, ...]:
    """The budgets of a data-set study, in pixels asked of an image, without duplicates.

    Raises InputError for a budget at which the image study keeps no pseudo-labels. Also raises it for
    pseudo_stratified if the image study stopped at its target, because then the numbers of pixels would differ.
    """
    given = tuple(dict.fromkeys(options.budgets))
    if options.kinds() == ("full",):
        return given
    if not (folder / "study.toml").exists():
        return given or (PLANNED,)
    source = open_source(folder, dataset)
    if (
        source.stopped_at_target
        and "pseudo_stratified" in options.kinds()
        and acquisition_of(options, folder) != EVEN
    ):
        raise InputError(
            f"--settings pseudo_stratified: {folder} stopped at its target, so the number of evenly spread pixels "
            "would differ: name an image study that ran with --stop budget, or leave this setting out"
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
    """The options of a new image study."""
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
        cluster=options.cluster,
        device=options.device,
        out=folder,
    )


def _extended(options: Options, source: Source, acquisitions: tuple[str, ...]) -> ImageOptions:
    """The options of the existing image study, extended to all labels that the data-set study needs."""
    return ImageOptions.of(
        source.settings,
        images=(),
        acquisition=acquisitions,
        repeats=max(int(source.settings["repeats"]), _label_repeats(options)),
        data_root=options.data_root,
        limit=options.limit,
        skip_faulty=options.skip_faulty,
        scene_count=options.scene_count,
        jobs=options.jobs,
        cluster=options.cluster,
        device=options.device,
        out=source.folder,
    )


def _label_repeats(options: Options) -> int:
    """Repeats that the image study should have: 1 if the user named it, otherwise those of this study."""
    return options.repeats if options.image_study is None else 1
