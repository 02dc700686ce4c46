"""The labels that the network of each setting learns from, and their cost.

To add a setting, add a function to SETTINGS, its name to SettingName in options.py and, unless grey will do, its
colour to KIND_COLOURS in pictures.py.
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
from lowpix.study.folder import image_file
from lowpix.study.label_maps import label_map_png, parse_label_map
from lowpix.study.seal import Seal
from lowpix.study.source import ImageLabels

Labels = NDArray[np.uint8]
"""(H, W) class ids, IGNORE for pixels without a label."""
Read = Callable[[str], tuple[Labels, NDArray[np.float32] | None]]
"""From an image's name to its labels and the weights (H, W) of its pixels in the loss; None means weight 1."""


@dataclass(frozen=True)
class Annotation:
    """The labels that a network learns from, and their cost."""

    images: tuple[str, ...]
    """Names of the training images."""
    read: Read
    sparse: bool = False
    """Whether only single pixels are labelled."""
    clicks: int = 0
    """Number of pixels asked."""
    pixels: int = 0
    """Number of these pixels that were answered with a class."""
    maps: int = 0
    """Number of full label maps drawn by hand."""


@dataclass(frozen=True)
class Material:
    """What the settings of a study make their labels from, for one repeat."""

    dataset: Dataset
    names: tuple[str, ...]
    """The training images, the same for every setting."""
    seed: int
    """Seed of the repeat, for random choices."""
    chosen: ImageLabels | None = None
    """The image study's pixels and pseudo-labels by the chosen acquisition."""
    stratified: ImageLabels | None = None
    """The image study's pixels and pseudo-labels by evenly spread pixels."""
    ask_void: bool = False
    """Whether the image study asks void pixels."""
    noise: float = 0.0
    """Share of wrong answers of the image study's oracle."""
    refusal: float = 0.0
    """Share of pixels that the image study's oracle refuses to label."""
    least_confidence: float = 0.0
    weigh: bool = False
    maps_for: Callable[[int], int] = lambda clicks: 1
    """From a number of clicks to the number of full label maps that cost the same time."""
    cache: Path = Path()
    """Folder of the study, for label maps that take long to make."""

    def truth(self, name: str) -> Labels:
        """The true label map."""
        labels = self.dataset.labels(name)
        assert labels is not None, "checked before the study"
        return labels

    def source(self) -> ImageLabels:
        """The labels by the chosen acquisition."""
        assert self.chosen is not None, "read before the study"
        return self.chosen

    def draw(self, *purpose: object) -> np.random.Generator:
        """A random generator for this purpose."""
        return np.random.default_rng(seed_for(self.seed, self.dataset.name, *purpose))


def full(material: Material) -> Annotation:
    """The true label maps of all images."""
    return Annotation(material.names, lambda name: (material.truth(name), None), maps=len(material.names))


def few_full(material: Material) -> Annotation:
    """True label maps of randomly drawn images, as many as cost the same time as all clicks, but at least one."""
    count = min(max(1, material.maps_for(sum(material.source().asked.values()))), len(material.names))
    drawn = sorted(material.draw("few_full").choice(len(material.names), count, replace=False))
    images = tuple(material.names[index] for index in drawn)
    return Annotation(images, lambda name: (material.truth(name), None), maps=count)


def pseudo(material: Material) -> Annotation:
    """Pseudo-labels of the image study's networks; revealed pixels keep the oracle's answer."""
    return _pseudo(material, material.source())


def pseudo_stratified(material: Material) -> Annotation:
    """Pseudo-labels from evenly spread pixels, equally many: the baseline without a choice of pixels."""
    assert material.stratified is not None, "read before the study"
    return _pseudo(material, material.stratified)


def sparse(material: Material) -> Annotation:
    """Only the revealed pixels."""
    source = material.source()

    def read(name: str) -> tuple[Labels, None]:
        return source.logs[name].overwrite(np.full(material.truth(name).shape, IGNORE, np.uint8)), None

    return _clicked(material, source, read, sparse=True)


def sparse_random(material: Material) -> Annotation:
    """Random pixels of each image, as many as were asked, answered by the same oracle."""
    source = material.source()

    def read(name: str) -> tuple[Labels, None]:
        truth = material.truth(name)
        askable = np.flatnonzero(np.ones(truth.size, bool) if material.ask_void else truth.ravel() != IGNORE)
        count = min(source.asked[name], len(askable))
        asked = material.draw("sparse_random", name).choice(askable, count, replace=False)
        # the same seed as in the image study, so that the oracle errs at the same pixels
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
    """Labels by scikit-image's random walker from the same revealed pixels, without a network."""
    source = material.source()

    def read(name: str) -> tuple[Labels, None]:
        setting = f"{source.setting}-{source.logs[name].asked}"
        seal, file = Seal(material.cache), image_file("walker", setting, source.seed, name)
        if not (material.cache / file).exists():  # takes seconds per image
            labels = walk(material.dataset.image(name), source.logs[name])
            seal.write({file: label_map_png(labels, material.dataset.palette)})
        return parse_label_map(material.cache / file, seal.read(file)), None

    return _clicked(material, source, read)


def full_degraded_flips(material: Material) -> Annotation:
    """The true maps with as many wrong pixels as each image's pseudo-labels have, at independent random places."""

    def degrade(name: str, rate: float) -> Labels:
        draw = material.draw("flips", name)
        return flip_labels(material.truth(name), rate, len(material.dataset.classes), draw)

    return _degraded(material, degrade)


def full_degraded_borders(material: Material) -> Annotation:
    """The true maps with as many wrong pixels as each image's pseudo-labels have, along borders of regions."""
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
    """The quality and number of a setting's labels, over all its training images."""

    accuracy: float
    """Accuracy of the labels, 0 to 1, over labelled pixels that are not void in the true map."""
    miou: float
    """mIoU of these pixels, from the summed confusion matrix."""
    pixels: NDArray[np.int64]
    """(C,) number of labelled pixels of each class."""
    size: int
    """Number of pixels in the images, labelled or not."""


def survey(annotation: Annotation, material: Material) -> Survey:
    """Read all labels of a setting, and compare them with the true label maps."""
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
