"""python -m benchmarks.memory: the memory of image and active studies, summed over their processes.

Linux only, because it measures the proportional set size, which counts shared memory once.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import Row, write_table
from lowpix.command import run
from lowpix.data import IGNORE, Dataset, open_dataset
from lowpix.errors import InputError

MB = 1e6
INTERVAL = 0.05  # seconds between two measurements


@dataclass(frozen=True)
class Options:
    """How much memory does a study take, and does it grow with the number of images?"""

    dataset: str = "camvid"
    """camvid or scenes (generated)."""
    data_root: Path | None = None
    """Folder of the data set or its parent; if not given, LOWPIX_DATA, ./data and your cache are searched."""
    few: int = 4
    """Number of images of the small study."""
    many: int = 40
    """Number of images of the large study."""
    few_active: int = 20
    """Number of training images of the small active study."""
    many_active: int = 80
    """Number of training images of the large active study."""
    stack: int = 2
    """Number of images trained together, in both studies."""
    jobs: int = 2
    """Number of processes, in both studies."""
    max_pixels: int = 8
    """Budget of an image, in both studies; memory hardly depends on it."""
    scene_size: tuple[int, int] = (120, 160)
    """Height and width of generated scenes, pixels."""
    large: tuple[int, int] = (1024, 2048)
    """Height and width of one large generated scene, pixels."""
    photographs: tuple[tuple[int, int], ...] = ((3000, 4000), (5792, 8688))
    """Height and width of photographs, each made of the data set's images side by side."""
    smoke: bool = False
    """Use small generated scenes, to check that the benchmark runs. Overrides the options above."""
    out: Path = Path("results/benchmarks/memory.csv")
    """File of the table."""


SMALL: dict[str, Any] = {
    "dataset": "scenes",
    "few": 1,
    "many": 2,
    "few_active": 1,
    "many_active": 2,
    "stack": 1,
    "jobs": 1,
    "max_pixels": 6,
    "scene_size": (24, 32),
    "large": (48, 64),
    "photographs": ((60, 70),),
}
ACTIVE = [
    "--acquisition",
    "margin",
    "--no-full",
    "--test-limit",
    4,
    "--width",
    4,
    "--epochs",
    1,
    "--max-pixels",
    30,
]
"""An active study of three short rounds; memory hardly depends on their length."""


def measure(options: Options) -> Iterator[Row]:
    """All rows."""
    common = ["--stack", options.stack, "--jobs", options.jobs, "--max-pixels", options.max_pixels]
    data: list[object] = ["--dataset", options.dataset]
    if options.dataset == "scenes":
        data += ["--scene-size", *options.scene_size, "--scene-count", max(options.many, options.many_active)]
    if options.data_root:
        data += ["--data-root", options.data_root]
    yield from _growth("image_study", [*data, *common], options.few, options.many)
    yield from _growth("active_study", [*data, *ACTIVE], options.few_active, options.many_active)

    height, width = options.large
    scene = ["--dataset", "scenes", "--scene-size", height, width, "--scene-count", 1]
    large = _peak("image_study", [*scene, "--jobs", 1, "--max-pixels", 6])
    yield Row(f"image_of_{height}x{width}_one_process", large.process, "MB")

    for size in options.photographs:
        with TemporaryDirectory() as folder:
            _write_photograph(Path(folder), open_dataset(options.dataset, options.data_root), size)
            one = ["--dataset", "folder", "--data-root", folder, "--stop", "budget", "--max-pixels", 6]
            yield Row(f"photograph_of_{size[0]}x{size[1]}_one_process", _peak("image_study", one).process, "MB")


def _write_photograph(folder: Path, dataset: Dataset, size: tuple[int, int]) -> None:
    """Write a photograph and its label map: images of the data set side by side, cut off at the end."""
    image, labels = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    names = cycle(dataset.images)
    height, width = dataset.image(dataset.images[0]).shape[:2]
    for row in range(0, size[0], height):
        for column in range(0, size[1], width):
            name, where = next(names), np.s_[row : row + height, column : column + width]
            room = np.s_[: min(height, size[0] - row), : min(width, size[1] - column)]
            truth = dataset.labels(name)
            assert truth is not None
            image[where], labels[where] = dataset.image(name)[room], truth[room]
    for place, array in (("images/photograph.jpg", image), ("labels/photograph.png", labels)):
        (folder / place).parent.mkdir()
        Image.fromarray(array).save(folder / place)
    declared = {"classes": dataset.classes, "ignore_index": IGNORE}
    (folder / "classes.json").write_text(json.dumps(declared), encoding="utf-8")


def _growth(study: str, arguments: Sequence[object], few: int, many: int) -> Iterator[Row]:
    """The rows of a study with few and with many images."""
    small, large = (_peak(study, [*arguments, "--limit", limit]) for limit in (few, many))
    what = f"{'' if study == 'image_study' else 'active_'}study_of_{many}_images_vs_{few}"
    yield Row(f"{what}_all_processes", large.tree, "MB", small.tree)
    yield Row(f"{what}_growth", large.tree - small.tree, "MB more")


@dataclass(frozen=True)
class Peak:
    """The largest memory measured, in MB."""

    tree: float
    """Of all processes together."""
    process: float
    """Of the largest process."""


def _peak(name: str, arguments: Sequence[object]) -> Peak:
    """Run a study to its end, and measure its memory."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"lowpix.{name}", *map(str, arguments), "--out", f"{folder}/study"]
        study = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        tree = process = 0.0
        while study.poll() is None:
            sizes = _sizes(study.pid)
            tree, process = max(tree, sum(sizes)), max(process, *sizes, 0)
            sleep(INTERVAL)
    if study.returncode:  # the study has printed the reason
        raise InputError(f"{' '.join(command)}: ended with {study.returncode}")
    print(f"{' '.join(command[2:])}: {tree:.0f} MB, largest process {process:.0f} MB", file=sys.stderr, flush=True)
    return Peak(tree, process)


def _sizes(parent: int) -> list[float]:
    """Proportional set sizes of a process and its descendants, in MB."""
    sizes = []
    with suppress(psutil.NoSuchProcess):
        for process in (psutil.Process(parent), *psutil.Process(parent).children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                sizes.append(process.memory_full_info().pss / MB)
    return sizes


def command(options: Options) -> None:
    """Measure, and write the table."""
    if options.smoke:
        options = replace(options, **SMALL)
    write_table(options.out, measure(options), options.dataset)


if __name__ == "__main__":
    run(Options, "python -m benchmarks.memory", command)
