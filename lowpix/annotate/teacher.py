"""Networks of the images that are done: when one is trained, by which command, and where it is kept.

OUT/networks/C_classes_N_images.safetensors    a network of C classes that learned from N images; each stays
OUT_network/                                   the data-set study that trains the next one
"""

import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from lowpix.annotate.options import Options
from lowpix.annotate.store import Store
from lowpix.annotate.trainer import Trainer
from lowpix.data.options import arguments_of
from lowpix.errors import InputError
from lowpix.storage import write_bytes
from lowpix.study.settings import read_settings

FIRST = 20
"""Images that are done when the first network is trained without being asked for; the next at twice as many, …
From 20 images of CamVid it saves answers, from 10 no saving was shown: benchmarks/README.md, carrying."""


class Trained(NamedTuple):
    """A network that has been trained."""

    images: int
    """Number of images that it learned from."""
    file: Path


def newest(out: Path, classes: int) -> Trained | None:
    """The network of so many classes that learned from the most images; None if there is none."""
    pattern = re.compile(rf"{classes}_classes_([1-9]\d{{0,8}})_images\.safetensors")
    names = [pattern.fullmatch(file.name) for file in (out / "networks").glob("*")]
    images = max((int(name[1]) for name in names if name), default=0)
    return Trained(images, network_file(out, classes, images)) if images else None


def network_file(out: Path, classes: int, images: int) -> Path:
    """Where the network of so many classes that learned from so many images is kept."""
    return out / "networks" / f"{classes}_classes_{images}_images.safetensors"


class Teacher:
    """Has networks trained.

    Args:
        options: of the annotation.
        out: folder of the answers.
        store: answers and class names.
        fixed_classes: whether the data set names its classes itself.
    """

    def __init__(self, options: Options, out: Path, store: Store, fixed_classes: bool) -> None:
        self._options, self._out, self._store, self._fixed = options, out, store, fixed_classes
        self.trainer = Trainer(out / "network.log")
        self.ready: Callable[[], None] = lambda: None
        """Is called when there is a new network, from a thread."""
        self._begun: set[tuple[int, int]] = set()
        """Classes and images of the trainings that were due."""

    @property
    def running(self) -> bool:
        """Whether a network is being trained."""
        return self.trainer.running

    def due(self, images: int) -> bool:
        """Whether to train a network now, when so many images are done. Each is due once, even if it fails."""
        if not self._options.carry_over or images < FIRST or self.running:
            return False
        classes, step = len(self._store.classes()), FIRST << (images // FIRST).bit_length() - 1
        known = newest(self._out, classes)
        if (classes, step) in self._begun or (known and known.images >= step):
            return False
        self._begun.add((classes, step))
        return True

    def train(self, images: int) -> None:
        """Train a network on so many images, all that are done. Raises InputError if there are none."""
        if not images:
            raise InputError("no image is done yet, so there is nothing to train a network on")
        study = self._beside("network")
        file = network_file(self._out, len(self._store.classes()), images)

        def keep() -> None:
            write_bytes(file, self._model(study).read_bytes())
            self.ready()

        arguments = [*self._training(study), "--fresh", *self._recipe(images)]
        what = f"A network of {images} image{'s' * (images > 1)}"
        helps = " and helps the next images" if self._options.carry_over else ""
        ready = f"is ready{helps}. To label photographs with it: {shlex.join(self._prediction(file))}"
        self.trainer.start("lowpix.dataset_study", arguments, what, ready, keep)

    def next_commands(self) -> list[str]:
        """The commands that train a network on the labels, and label the other photographs."""
        study = self._beside("model")
        commands = [["python", "-m", "lowpix.dataset_study", *self._training(study)]]
        if self._options.dataset == "folder":
            commands.append(self._prediction(self._model(study)))
        return [shlex.join(command) for command in commands]

    def _beside(self, name: str) -> Path:
        return self._out.with_name(f"{self._out.name}_{name}")

    def _training(self, study: Path) -> list[str]:
        """The arguments of dataset_study to train a network on the labels."""
        data = arguments_of(self._options, but=("classes", "limit"))
        data += [] if self._fixed else ["--classes", ",".join(name for name, _ in self._store.classes())]
        data += ["--seed", str(self._options.seed)] if self._options.seed else []
        return [*data, "--image-study", str(self._out), "--settings", "pseudo", "--out", str(study)]

    def _recipe(self, images: int) -> list[str]:
        """Arguments for a training beside the page: of small images, and as long for many images as for few."""
        from lowpix.segmenter.carry_over import BATCH, PIXELS, RECIPE, ZOOM

        frames = [image.frame for image in self._store.images() if image.height]
        scale = min(1.0, math.sqrt(PIXELS / median(frame.height * frame.width for frame in frames)))
        epochs = math.ceil(RECIPE.epochs * RECIPE.steps / math.ceil(images / BATCH))
        given = {"scale": (scale,), "zoom": ZOOM, "batch": (BATCH,), "epochs": (epochs,)}
        return [text for name, values in given.items() for text in (f"--{name}", *map(str, values))]

    def _model(self, study: Path) -> Path:
        """The network that a study of `_training` leaves behind."""
        record = self._out / "study.toml"  # it keeps the first budget, by which the study calls the label maps
        budget = read_settings(record)["max_pixels"] if record.exists() else self._options.max_pixels
        return study / f"models/pseudo-{budget}/{self._options.seed}.safetensors"

    def _prediction(self, model: Path) -> list[str]:
        """The command that labels photographs by a network."""
        return ["python", "-m", "lowpix.predict", str(self._options.data_root or "PHOTOS"), "--model", str(model)]
