"""Carry-over: the images come in blocks, and what the blocks before tell helps with the next one.

After each block a network of the data set is trained for each setting and seed, on the pseudo-labels of all images
so far. It judges the images of the next block before a pixel of them is asked. The study keeps the networks:

    carry_over/<setting>/<seed>/<images>.safetensors    the network, and how its training went (.csv)
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lowpix.data import Dataset
from lowpix.errors import InputError
from lowpix.seeds import seed_for
from lowpix.segmenter.carry_over import RECIPE, Finished, carried_model, prior_of
from lowpix.segmenter.model import Model, load_model, model_file
from lowpix.segmenter.training import Recipe, finished_epochs
from lowpix.storage import csv_bytes, read_csv
from lowpix.study.folder import Study, file_name
from lowpix.study.image_runs import Run, Tables, label_map_name
from lowpix.study.seal import digest
from lowpix.study.settings import read_section, replace_section
from lowpix.study.work import work

FIRST = 25  # images without help; each later block has as many as all blocks before it
ORDER = "carry_over"
"""The section of `study.toml` with the order of the images."""

Block = tuple[tuple[str, ...], tuple[str, ...]]
"""The images before a block, and those in it."""


def blocks(images: Sequence[str]) -> list[Block]:
    """The blocks of images: 1–25, 26–50, 51–100, 101–200, …"""
    bounds = [0, FIRST]
    while bounds[-1] < len(images):
        bounds.append(2 * bounds[-1])
    return [(tuple(images[:start]), tuple(images[start:end])) for start, end in pairwise(bounds)]


def in_order(record: Path, images: Sequence[str], usable: Collection[str]) -> tuple[str, ...]:
    """The images in the order of an existing study, if `record` is its `study.toml`; new ones join at the end.

    Raises InputError if an image of the study is not `usable` any more: then the blocks would shift.
    """
    before = read_section(record, ORDER).get("images", []) if record.exists() else []
    for name in before:
        if name not in usable:
            raise InputError(f"{record}: its image {name} is gone or left out: use --fresh or another --out")
    return tuple(dict.fromkeys([*before, *images]))


def keep_order(record: Path, images: Sequence[str]) -> None:
    """Record the order of the images."""
    replace_section(record, ORDER, {"images": list(images)})


@dataclass(frozen=True)
class Lesson:
    """A network to train."""

    setting: str
    network: str
    seed: int
    images: tuple[str, ...]
    """Names of the images to learn from."""

    @property
    def place(self) -> str:
        """The name of its files within the study's folder, without their suffix."""
        return f"carry_over/{file_name(self.setting)}/{self.seed}/{len(self.images)}"

    def state(self, folder: Path) -> Path:
        """The file from which its training goes on."""
        return folder / f"state/{file_name(self.setting)}/{self.seed}-{len(self.images)}.safetensors"


@dataclass(frozen=True)
class Carrier:
    """Trains the networks of a study, and reads them."""

    dataset: Dataset
    study: Study[Run, Tables]
    device: torch.device
    recipe: Recipe = field(default_factory=lambda: RECIPE)

    def __call__(self, lesson: Lesson) -> Iterator[tuple[Lesson, dict[str, bytes]]]:
        """Train a network, and give its files by name."""

        def label_map(name: str) -> NDArray[np.uint8]:
            run = lesson.setting, lesson.seed, name
            return self.study.read_label_map(run, label_map_name(*run))

        seed = seed_for(lesson.seed, self.dataset.name, "carry-over", len(lesson.images))
        state = lesson.state(self.study.folder)
        finished = Finished(lesson.images, label_map)
        model, history = carried_model(
            self.dataset, finished, lesson.network, seed, self.device, state, self.recipe
        )
        about = {"dataset": self.dataset.name, "setting": lesson.setting, "seed": str(lesson.seed)}
        files = {f"{lesson.place}.csv": csv_bytes(pd.DataFrame(history))}
        files[f"{lesson.place}.safetensors"] = model_file(model, about)  # last, because it ends the work
        yield lesson, files

    def train(self, lessons: Sequence[Lesson], jobs: int) -> None:
        """Train the networks that are missing, and save each when it ends, with a bar that counts epochs."""
        left = [lesson for lesson in lessons if not self._file(lesson).exists()]
        if not left:
            return
        print(f"networks to train on the first {len(left[0].images)} images: {len(left)}", flush=True)

        def epochs(lesson: Lesson) -> int:
            state = lesson.state(self.study.folder)
            return self.recipe.epochs if self._file(lesson).exists() else finished_epochs(state)

        save, total = _Save(self.study), len(left) * self.recipe.epochs
        for _ in work(self, left, save, jobs, total=total, unit="epoch", done=lambda: sum(map(epochs, left))):
            pass

    def prior(self, lesson: Lesson, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """The probabilities `(H, W, C)` of an image by a network, and its share of the seconds of the training.

        A network that learned from n images helps with n images, so each has an n-th.
        """
        content = self.study.seal.read(f"{lesson.place}.csv")
        history = read_csv(self._file(lesson, ".csv"), {"seconds": "float64"}, "a training", content=content)
        model = _model(self._file(lesson), digest(self.study.seal.read(f"{lesson.place}.safetensors")))
        return prior_of(model, image, self.device), float(history["seconds"].iloc[-1]) / len(lesson.images)

    def _file(self, lesson: Lesson, suffix: str = ".safetensors") -> Path:
        return self.study.folder / f"{lesson.place}{suffix}"


@dataclass(frozen=True)
class Asker:
    """The networks that asked for the pixels in an active study."""

    models: Mapping[int, tuple[Path, float]]
    """By seed: the file, and an image's share of the seconds of the active study."""

    def prior(
        self, seed: int, device: torch.device, image: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], float]:
        """The probabilities `(H, W, C)` of an image by the network of a seed, and its share of the seconds."""
        path, seconds = self.models[seed]
        return prior_of(_model(path, digest(path.read_bytes())), image, device), seconds


@lru_cache(maxsize=4)
def _model(path: Path, content: str) -> Model:
    """The model in a file whose content has this digest, kept for the next images."""
    return load_model(path)


@dataclass(frozen=True)
class _Save:
    study: Study[Run, Tables]

    def __call__(self, trained: tuple[Lesson, dict[str, bytes]]) -> None:
        lesson, files = trained
        self.study.seal.write(files)
        lesson.state(self.study.folder).unlink(missing_ok=True)
