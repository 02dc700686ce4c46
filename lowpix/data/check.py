"""Find what is wrong with a data set before a network is trained on it."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lowpix.data.dataset import IGNORE, Dataset
from lowpix.errors import InputError, printable


@dataclass(frozen=True)
class Report:
    """Faults stop a study, warnings do not. Each is one line."""

    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    pixels: NDArray[np.int64]
    """(C,) number of pixels of each class, over all valid label maps."""
    images: NDArray[np.int64]
    """(C,) number of valid label maps that hold each class."""
    void: int
    """Number of void pixels, over all valid label maps."""

    digests: dict[str, tuple[str, str]]
    """By name of each sound image: digests of the image and of its label map, empty where none was read."""
    size: int
    """H×W of all sound images with a label map together."""
    left_out: dict[str, tuple[str, ...]]
    """What is wrong with the other images, by name. A missing label map is no fault if there are others."""

    @property
    def names(self) -> tuple[str, ...]:
        """The images that a study can use, in the order in which they were checked."""
        return tuple(self.digests)

    def shares(self) -> NDArray[np.float64]:
        """(C,) share of each class among the pixels that are not void; zeros if all are void."""
        return self.pixels / max(int(self.pixels.sum()), 1)

    def void_share(self) -> float:
        """Share of void pixels among all pixels; 0 if there are no pixels."""
        return self.void / max(int(self.pixels.sum()) + self.void, 1)


def check(dataset: Dataset, names: Sequence[str], labelled: bool = True, progress: bool = False) -> Report:
    """Read the images `names` and their label maps, one at a time, and list all faults.

    With `labelled`, each image must have a label map of the same size with at least one labelled pixel, and the
    data set must declare and contain at least 2 classes. If only some images have label maps, the others are left
    out with a warning. Without `labelled`, no label map is read. `progress` shows a bar if stderr is a terminal.
    """
    faults: list[str] = []
    warnings: list[str] = []
    unlabelled: dict[str, tuple[str, ...]] = {}
    faulty: dict[str, tuple[str, ...]] = {}
    classes = len(dataset.classes)
    pixels, images = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    digests: dict[str, tuple[str, str]] = {}
    void = size = 0

    if labelled and classes < 2:
        declared = f"only the class {dataset.classes[0]}" if classes else "no classes"
        page = "; python -m lowpix.annotate labels photographs that have no label maps" if not classes else ""
        faults.append(f"{_title(dataset)}: declares {declared}: there must be at least 2{page}")
    for name in tqdm(names, "checking", unit="image", disable=None if progress else True, leave=False):
        image, labels, own = _read(dataset, name, labelled)
        if image is not None and (note := dataset.note(name)):
            warnings.append(note)
        if labelled and labels is None and not own:
            unlabelled[name] = (f"{_file(dataset.image_file(name), name)}: has no label map",)
            continue
        if labels is not None and not own:
            where = _file(dataset.label_file(name), name)
            counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
            found = np.flatnonzero(counts[:classes])
            if not found.size:
                own.append(f"{where}: no labelled pixel: all {labels.size} are void")
            elif found.size == 1:
                warnings.append(f"{where}: holds a single class, {dataset.classes[found[0]]}")
            pixels += counts[:classes]
            images[found] += 1
            void += int(counts[IGNORE])
        if own:
            faults += own
            faulty[name] = tuple(own)
        else:
            digests[name] = pixels_digest(image), pixels_digest(labels)
            size += 0 if labels is None else labels.size

    if len(unlabelled) == len(names) > 1:
        sought = '; they are looked for as labels/NAME.png, or where "labels" in classes.json says'
        where = sought if dataset.name == "folder" else ""
        faults.append(f"{_title(dataset)}: none of the {len(names)} images has a label map{where}")
    elif len(unlabelled) == len(names):
        faults += (fault for missing in unlabelled.values() for fault in missing)
    elif unlabelled:
        some = ", ".join(list(unlabelled)[:3]) + (", …" if len(unlabelled) > 3 else "")
        share = f"{len(unlabelled)} of {len(names)} images"
        warnings.append(f"{_title(dataset)}: {share} have no label map and are left out: {some}")
    # One image with a single class is only a warning. A data set with a single class cannot be learned from.
    if classes > 1 and np.count_nonzero(pixels) == 1 and (images.sum() > 1 or len(dataset.images) == 1):
        only = dataset.classes[int(pixels.argmax())]
        faults.append(f"{_title(dataset)}: its label maps hold only the class {only}: there must be at least 2")
    if labelled and dataset.void_class is not None:
        of_all = void / max(int(pixels.sum()) + void, 1)
        warnings.append(
            f'{_title(dataset)}: "ignore_index" is the id of class {dataset.void_class}: its pixels, '
            f"{of_all:.1%} of all, are void and never asked"
        )
    if labelled and set(names) >= set(dataset.images):
        faults += dataset.faults()
    warnings += dataset.warnings()
    faults, warnings = (list(map(printable, found)) for found in (faults, warnings))
    return Report(tuple(faults), tuple(warnings), pixels, images, void, digests, size, unlabelled | faulty)


def _read(
    dataset: Dataset, name: str, labelled: bool
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None, list[str]]:
    """An image, its label map if it is needed and there is one, and their faults."""
    image = labels = None
    faults = []
    try:
        image = dataset.image(name)
    except InputError as fault:
        faults.append(str(fault))
    if labelled:
        try:
            labels = dataset.labels(name)
        except InputError as fault:
            if str(fault) not in faults:  # an unknown name raises the same fault twice
                faults.append(str(fault))
    if image is not None and labels is not None and labels.shape != image.shape[:2]:
        where = _file(dataset.label_file(name), name)
        sizes = [f"{height}×{width}" for height, width in (labels.shape, image.shape[:2])]
        faults.append(f"{where}: label map of {sizes[0]} for an image of {sizes[1]}: sizes must be equal")
    return image, labels, faults


def require_sound(
    dataset: Dataset, names: Sequence[str], labelled: bool = True, skip_faulty: bool = False
) -> Report:
    """Run `check` and print its warnings to stderr. Raises InputError with the first fault, if there is one.

    With `skip_faulty`, files that have a fault are left out instead, with a warning for each. The report's `names`
    are the images that are left.
    """
    report = check(dataset, names, labelled)
    faults, skipped = list(report.faults), []
    if skip_faulty and report.names:
        of_files = {printable(fault) for found in (*report.left_out.values(), dataset.faults()) for fault in found}
        skipped = [f"left out: {fault}" for fault in faults if fault in of_files]
        faults = [fault for fault in faults if fault not in of_files]
    for warning in (*report.warnings, *skipped):
        print(f"warning: {warning}", file=sys.stderr)
    if faults:
        more = len(faults) - 1
        listed = "python -m lowpix.doctor, with the same --dataset and --data-root, lists them all"
        others = f" (and {more} more: {listed})" if more else ""
        raise InputError(f"{faults[0]}{others}")
    return report


def _title(dataset: Dataset) -> str:
    return f"{dataset.name}, split {dataset.split}"


def _file(path: Path | None, name: str) -> str:
    return name if path is None else str(path)


def pixels_digest(pixels: NDArray[np.uint8] | None) -> str:
    """Of what a file holds, not of the file: 32 hexadecimal digits."""
    if pixels is None:
        return ""
    found = hashlib.sha256(str(pixels.shape).encode())
    found.update(pixels.tobytes())
    return found.hexdigest()[:32]
