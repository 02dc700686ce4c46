"""The options that name a data set. Every command that reads one inherits them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from lowpix.data import Dataset, open_dataset
from lowpix.errors import InputError
from lowpix.options import at_least, between

GENERATED = ("scene_size", "scene_count", "scene_classes", "seed")
"""Options that determine the generated scenes."""


@dataclass(frozen=True)
class DataOptions:
    """Which images."""

    dataset: Literal["scenes", "camvid", "voc", "cityscapes", "ade20k", "folder"] = "scenes"
    """scenes: generated, needs no download; camvid: downloaded on first use; folder: your own images;
    voc, cityscapes, ade20k: as published, once you have fetched them."""
    data_root: Path | None = None
    """Folder of the data set or its parent; if not given, LOWPIX_DATA, ./data and your cache are searched."""
    split: str | None = None
    """Split of the data set, or several: train,val; all stands for those of a folder.
    If not given, train, or all for a folder without splits."""
    classes: str | None = None
    """Classes of a folder of photographs without classes.json, such as sky,road,car."""
    limit: Annotated[int | None, at_least(1)] = None
    """Number of images, spread evenly over the list; if not given, all."""
    skip_faulty: bool = False
    """Leave out images with a fault, such as a label map that is all void, instead of refusing all."""
    scene_size: Annotated[tuple[int, int], between(16, 16384)] = (120, 160)
    """Height and width of generated scenes, pixels."""
    scene_count: Annotated[int, between(1, 1_000_000)] = 8
    """Number of scenes in each generated split."""
    scene_classes: Annotated[int, between(2, 50)] = 6
    """Number of classes in generated scenes."""


def arguments_of(options: DataOptions, but: Collection[str] = ()) -> list[str]:
    """The arguments by which another command, whose defaults may differ, reads the same images; none in `but`."""
    arguments = []
    for field in fields(DataOptions):
        value = getattr(options, field.name)
        idle = field.name.startswith("scene_") and options.dataset != "scenes"
        if value is None or value is False or idle or field.name in but:
            continue
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        arguments += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return arguments


def open_data(options: DataOptions, split: str | None = None, seed: int = 0) -> Dataset:
    """The data set that the options name; `split`, if given, replaces theirs. `seed` is for generated scenes.

    Raises:
        InputError: unknown name or split, no files, an option out of range, or a folder that would not be read.
    """
    if options.dataset == "scenes" and options.data_root is not None:
        raise InputError(
            f"--data-root {options.data_root}: scenes are generated: name --dataset folder, or another"
        )
    return open_dataset(
        options.dataset,
        options.data_root,
        split or options.split,
        classes=options.classes,
        scene_size=options.scene_size,
        scene_count=options.scene_count,
        scene_classes=options.scene_classes,
        seed=seed,
    )


def reopen(settings: Mapping[str, Any], data_root: Path | None = None) -> Dataset:
    """The data set that a study's settings name.

    Raises:
        InputError: the settings name no data set, or it cannot be opened.
    """
    generated = {name: settings[name] for name in GENERATED if name in settings}
    if "scene_size" in generated:
        generated["scene_size"] = tuple(generated["scene_size"])
    if "dataset" not in settings:
        raise InputError("its settings name no data set")
    split = settings.get("split")
    # all is the name of the only split of a folder without splits
    return open_dataset(settings["dataset"], data_root, split, classes=settings.get("classes"), **generated)


def difference(settings: Mapping[str, Any], others: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first option for which two studies use different images, with both values; None if there is none.

    The number of generated scenes is not compared: with a larger number the first scenes stay the same.
    """
    for name in ("dataset", "split", "classes", *(option for option in GENERATED if option != "scene_count")):
        if name in GENERATED and settings.get("dataset") != "scenes":
            continue
        one, other = (
            list(value) if isinstance(value := of.get(name), tuple) else value for of in (settings, others)
        )
        if one != other:
            return name, one, other
    return None
