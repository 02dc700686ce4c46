"""One budget of clicks, spent in three ways; then the same network of the data set learns from what each way gave.

    python -m studies.three_ways results/nuclei_active --data-root data/nuclei

*alone*: the network of each image asks, and labels the image. *asks*: one network for the data set has asked, in
the active study, and nothing else is labelled. *both*: the network of each image labels it from the pixels that
the active study asked. *carried*: the same, and what the network that asked makes of the image helps it
(`--carry-over asker`). *full*: the true label maps, for comparison. All final networks of a seed share the first
weights, the crops and the steps: as many as the active study's last network had.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import tyro

from lowpix.command import run
from lowpix.dataset_study import Options as DatasetOptions
from lowpix.dataset_study import dataset_study
from lowpix.dataset_study.options import SettingName
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.reveal.schedule import Schedule
from lowpix.storage import csv_bytes, write_bytes
from lowpix.study.replay import ASKER
from lowpix.study.settings import read_kind, read_settings
from lowpix.study.text import as_text

WAYS = {
    ("alone", "pseudo"): "alone",
    ("both", "sparse"): "asks",
    ("both", "pseudo"): "both",
    ("carried", "pseudo"): "carried",
    ("alone", "full"): "full",
}
"""The way that each data-set study and kind of labels stands for."""
COLUMNS = ("way", "seed", "pixels_per_image", "label_accuracy", "label_miou", "accuracy", "miou")
"""Labels are those of training images, accuracy and mIoU those of test images; 0 to 1."""


@dataclass(frozen=True)
class Options:
    """The same clicks in three ways: which labels teach the network of the data set best?"""

    active: Annotated[Path, tyro.conf.Positional]
    """Folder of a finished active study."""
    acquisition: str = "margin"
    """Which of its acquisitions."""
    repeats: int | None = None
    """How many of its seeds, the first ones; if not given, all. More can be added later."""
    learning_rate: float | None = None
    """Of the final networks; if not given, as in a data-set study."""
    data_root: Path | None = None
    """Folder of the data set or its parent."""
    jobs: int = 1
    """Number of processes, each with one thread."""
    out: Path | None = None
    """Folder of the table and the studies; if not given, beside the active study."""


def three_ways(options: Options) -> pd.DataFrame:
    """Run the studies, or go on with them, and write `three_ways.csv`. Returns this table, with COLUMNS.

    Raises InputError if the folder holds no active study, or one of the studies cannot be run.
    """
    record = options.active / "study.toml"
    if not record.exists() or read_kind(record) != "active":
        raise InputError(f"{options.active}: is no active study (python -m lowpix.active_study makes one)")
    settings = read_settings(record)
    if settings.get("oracle_border_noise"):
        raise InputError(f"{options.active}: the images' networks know no wrong answers at borders alone")
    if options.repeats is not None:
        settings["repeats"] = options.repeats
    out = options.out or options.active.with_name(f"{options.active.name}_ways")
    place: dict[str, Any] = {"data_root": options.data_root, "jobs": options.jobs}
    chosen = ImageOptions(
        **_shared(ImageOptions, settings, "acquisition", "first_pixels", "pixels_per_round", "percent", "network"),
        **place,
        stop="budget",
        out=out / "images_alone",
    )
    given = replace(
        chosen,
        acquisition=(options.acquisition,),
        pixels_of=options.active,
        first_pixels=settings["first_pixels"],
        pixels_per_round=settings["pixels_per_round"],
        out=out / "images_both",
    )
    # first the pixels of the active study, so that one that lacks some is refused before any work
    works: list[tuple[str, ImageOptions, tuple[SettingName, ...]]] = [
        ("both", given, ("pseudo", "sparse")),
        ("carried", replace(given, carry_over=(ASKER,), out=out / "images_carried"), ("pseudo",)),
        ("alone", chosen, ("pseudo", "full")),
    ]
    parts = []
    for name, images, kinds in works:
        final = DatasetOptions(
            **_shared(DatasetOptions, settings, "acquisition", "epochs", "learning_rate"),
            **place,
            epochs=_epochs(settings),
            learning_rate=options.learning_rate,
            settings=kinds,
            image_study=image_study(images).folder,
            out=out / name,
        )
        summary = dataset_study(final).tables().summary
        parts.append(summary.assign(way=[WAYS[name, kind] for kind in summary["kind"]])[list(COLUMNS)])
    table = pd.concat(parts, ignore_index=True).sort_values(["way", "seed"], ignore_index=True)
    write_bytes(out / "three_ways.csv", csv_bytes(table))
    return table


def _shared(kind: Any, settings: dict[str, Any], *but: str) -> dict[str, Any]:
    """The settings of the active study that another kind of study has, too, as options."""
    names = {field.name for field in fields(kind)} - set(but)
    shared = {name: value for name, value in settings.items() if name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in shared.items()}


def _epochs(settings: dict[str, Any]) -> int:
    """Epochs that the last network of the active study was trained for, in all its rounds if they were warm."""
    schedule = Schedule(settings["first_pixels"], settings["pixels_per_round"], settings["max_pixels"])
    later, rounds = settings["epochs"], len(schedule.asked())
    first = settings.get("first_epochs", later)
    return int(first + (rounds - 1) * later if settings["start"] == "warm" or rounds == 1 else later)


def command(options: Options) -> None:
    """Run the studies, and print the table: test mIoU in %, and its difference to *asks* in pairs."""
    table = three_ways(options)
    by_seed = 100 * table.pivot(index="seed", columns="way", values="miou")
    less = by_seed.sub(by_seed["asks"], axis=0).drop(columns="asks").add_suffix(" − asks")
    both = pd.concat([by_seed.map("{:.1f}".format), less.map("{:+.1f}".format)], axis=1)
    print("test mIoU of the final network, in %, and differences in points")
    print(as_text(both.reset_index().astype(str)))


if __name__ == "__main__":
    run(Options, "python -m studies.three_ways", command)
