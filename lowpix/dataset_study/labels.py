"""What the network of each setting learns from, and what that cost. To add a setting: a line in SETTINGS.

Its name is in SettingName of options.py, its colour in plots in KIND_COLOURS of pictures.py; grey, if not there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.dataset_study.degrade import flip_labels, move_borders, walk
from lowpix.metrics import accuracy, confusion, miou
from lowpix.reveal.log import UNSURE
from lowpix.reveal.oracle import LabelMapOracle
from lowpix.seeds import seed_for
from lowpix.study.label_maps import read_label_map, write_label_map
from lowpix.study.source import ImageLabels

Labels = NDArray[np.uint8]
"""(H, W) class ids, IGNORE for pixels that teach nothing."""
Read = Callable[[str], tuple[Labels, NDArray[np.float32] | None]]
"""From an image's name to its labels and the weights (H, W) of its pixels in the loss, None for 1."""


@dataclass(frozen=True)
class Annotation:
    """What a network learns from."""

    images: tuple[str, ...]
    """Names of the images that it is shown."""
    read: Read
    sparse: bool = False
    """Whether few pixels are labelled, one by one."""
    clicks: int = 0
    """Pixels that somebody was asked for."""
    pixels: int = 0
    """Of these, the ones whose class was told."""
    maps: int = 0
    """Full label maps that somebody drew."""


@dataclass(frozen=True)
class Material:
    """What the settings of a study draw on, for one repeat."""

    dataset: Dataset
    names: tuple[str, ...]
    """The training images, the same for every setting."""
    seed: int
    """Of random choices: seed of the study's repeat."""
    chosen: ImageLabels | None = None
    """Of the image study: the acquisition's pixels and pseudo-labels."""
    stratified: ImageLabels | None = None
    """Likewise of evenly spread pixels."""
    ask_void: bool = False
    """Whether the image study asked void pixels; and its oracle's shares of wrong answers and refusals."""
    noise: float = 0.0
    refusal: float = 0.0
    least_confidence: float = 0.0
    weigh: bool = False
    maps_for: Callable[[int], int] = lambda clicks: 1
    """How many full label maps cost as much as so many clicks."""
    cache: Path = Path()
    """Folder for label maps that take long to make."""

    def truth(self, name: str) -> Labels:
        """The true label map."""
        labels = self.dataset.labels(name)
        assert labels is not None, "checked before the study"
        return labels

    def source(self) -> ImageLabels:
        """The acquisition's labels."""
        assert self.chosen is not None, "read before the study"
        return self.chosen

    def draw(self, *purpose: object) -> np.random.Generator:
        """A generator of its own for every purpose."""
        return np.random.default_rng(seed_for(self.seed, self.dataset.name, *purpose))


def full(material: Material) -> Annotation:
    """The true label maps of all images."""
    return Annotation(material.names, lambda name: (material.truth(name), None), maps=len(material.names))


def few_full(material: Material) -> Annotation:
    """True label maps of as many images as cost what all the clicks did, drawn at random; at least one."""
    count = min(max(1, material.maps_for(sum(material.source().asked.values()))), len(material.names))
    drawn = sorted(material.draw("few_full").choice(len(material.names), count, replace=False))
    images = tuple(material.names[index] for index in drawn)
    return Annotation(images, lambda name: (material.truth(name), None), maps=count)


def pseudo(material: Material) -> Annotation:
    """Pseudo-labels of the image study's networks; revealed pixels keep the label that was told."""
    return _pseudo(material, material.source())


def pseudo_stratified(material: Material) -> Annotation:
    """The same from evenly spread pixels, equally many: what pseudo-labelling does without choosing pixels."""
    assert material.stratified is not None, "read before the study"
    return _pseudo(material, material.stratified)


def sparse(material: Material) -> Annotation:
    """The revealed pixels alone."""
    source = material.source()

    def read(name: str) -> tuple[Labels, None]:
        return source.logs[name].overwrite(np.full(material.truth(name).shape, IGNORE, np.uint8)), None

    return _clicked(material, source, read, sparse=True)


def sparse_random(material: Material) -> Annotation:
    """As many random pixels of each image, answered by the same oracle."""
    source = material.source()

    def read(name: str) -> tuple[Labels, None]:
        truth = material.truth(name)
        askable = np.flatnonzero(np.ones(truth.size, bool) if material.ask_void else truth.ravel() != IGNORE)
        count = min(source.asked[name], len(askable))
        asked = material.draw("sparse_random", name).choice(askable, count, replace=False)
        # the image study's own oracle: it errs in the same places
        oracle_seed = seed_for(source.seed, material.dataset.name, name, "oracle")
        classes = len(material.dataset.classes)
        oracle = LabelMapOracle(truth, classes, material.noise, material.refusal, oracle_seed)
        answers = oracle(np.stack(np.divmod(asked, truth.shape[1]), 1))
        labels = np.full(truth.size, IGNORE, np.uint8)
        labels[asked] = np.where(answers == UNSURE, IGNORE, answers)
        return labels.reshape(truth.shape), None

    pixels = sum(int(np.count_nonzero(read(name)[0] != IGNORE)) for name in material.names)
    return Annotation(material.names, read, True, clicks=sum(source.asked.values()), pixels=pixels)


def pseudo_walker(material: Material) -> Annotation:
    """No network: scikit-image's random walker from the same revealed pixels."""
    source = material.source()

    def read(name: str) -> tuple[Labels, None]:
        file = material.cache / f"{source.setting}-{source.logs[name].asked}" / f"{source.seed}" / f"{name}.png"
        if not file.exists():  # seconds an image
            labels = walk(material.dataset.image(name), source.logs[name])
            write_label_map(file, labels, material.dataset.palette)
        return read_label_map(file), None

    return _clicked(material, source, read)


def full_degraded_flips(material: Material) -> Annotation:
    """The truth with as many wrong pixels as each image's pseudo-labels have, strewn independently."""

    def degrade(name: str, rate: float) -> Labels:
        draw = material.draw("flips", name)
        return flip_labels(material.truth(name), rate, len(material.dataset.classes), draw)

    return _degraded(material, degrade)


def full_degraded_borders(material: Material) -> Annotation:
    """The truth with as many wrong pixels as each image's pseudo-labels have, along the borders of regions."""
    return _degraded(
        material,
        lambda name, rate: move_borders(material.truth(name), rate, material.draw("borders", name)),
    )


SETTINGS: dict[str, Callable[[Material], Annotation]] = {
    "full": full,
    "pseudo": pseudo,
    "pseudo_stratified": pseudo_stratified,
    "few_full": few_full,
    "sparse": sparse,
    "sparse_random": sparse_random,
    "full_degraded_flips": full_degraded_flips,
    "full_degraded_borders": full_degraded_borders,
    "pseudo_walker": pseudo_walker,
}


@dataclass(frozen=True)
class Survey:
    """What the labels of a setting are like, over all the images that it shows."""

    accuracy: float
    """Of the labels, over pixels that have one and whose truth is not void; 0 to 1."""
    miou: float
    """Of these pixels, from the summed confusion matrix."""
    pixels: NDArray[np.int64]
    """(C,) labelled pixels of each class."""
    size: int
    """Pixels of the images, labelled or not."""


def survey(annotation: Annotation, material: Material) -> Survey:
    """Read all labels of a setting once, and compare them with the truth."""
    classes = len(material.dataset.classes)
    cells, counts, size = np.zeros((classes, classes + 1), np.int64), np.zeros(classes, np.int64), 0
    for name in annotation.images:
        labels = annotation.read(name)[0]
        labelled = labels != IGNORE
        cells += confusion(material.truth(name)[labelled], labels[labelled], classes)
        counts += np.bincount(labels[labelled], minlength=classes)
        size += labels.size
    return Survey(accuracy(cells), miou(cells), counts, size)


def _pseudo(material: Material, source: ImageLabels) -> Annotation:
    def read(name: str) -> tuple[Labels, NDArray[np.float32] | None]:
        labels = source.labels(name)
        if not material.least_confidence and not material.weigh:
            return labels, None
        confidence = source.confidence(name)
        labels[confidence < material.least_confidence] = IGNORE
        return labels, confidence if material.weigh else None

    return _clicked(material, source, read)


def _clicked(material: Material, source: ImageLabels, read: Read, sparse: bool = False) -> Annotation:
    clicks, pixels = sum(source.asked.values()), sum(log.asked for log in source.logs.values())
    return Annotation(material.names, read, sparse, clicks, pixels)


def _degraded(material: Material, degrade: Callable[[str, float], Labels]) -> Annotation:
    source, classes = material.source(), len(material.dataset.classes)

    def read(name: str) -> tuple[Labels, None]:
        rate = 1 - accuracy(confusion(material.truth(name), source.labels(name), classes))
        return degrade(name, rate), None

    return Annotation(material.names, read, maps=len(material.names))
