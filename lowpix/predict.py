"""python -m lowpix.predict: label new images with a network that a data-set study has trained."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from lowpix.command import run
from lowpix.data import Dataset, open_dataset
from lowpix.errors import InputError
from lowpix.options import above, check_options
from lowpix.storage import write_bytes

if TYPE_CHECKING:
    from lowpix.segmenter.model import Model

MARK = "model.sha256"
"""In the folder of labels: which model they are by, at which scale."""
FAR = 2  # times as long and wide as the training images, from which on the scale is worth a word


@dataclass(frozen=True)
class Options:
    """Label photographs of any size: an indexed PNG for each, of its name, in the colours of the training data.

    python -m lowpix.predict photos --model results/scenes_dataset/models/pseudo-50/0.safetensors --out labels
    """

    photos: Annotated[Path, tyro.conf.Positional]
    """Folder of photographs, or a folder data set with images/ in it."""
    model: Path
    """A trained network: models/<setting>/<seed>.safetensors of a data-set study."""
    out: Path = Path("labels")
    """Folder for the label maps. Those that are there already by the same model are kept."""
    split: str | None = None
    """Part of a folder data set that has several; else train."""
    scale: Annotated[float | None, above(0)] = None
    """The network sees images resized by so much; else as in training. Of photographs that show things much larger
    than the training images did, try the number that the program names."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    fresh: bool = False
    """Label all images again, whichever model made the maps that are there."""

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        check_options(self)


def predict(options: Options) -> int:
    """Label the images that have no label map yet, and tell how many these were.

    An image that cannot be read does not keep the others from being labelled.

    Raises:
        InputError: no such model or folder, labels by another model, or images that cannot be read, at the end.
    """
    # only here: torch takes seconds, and `--help` should not
    from lowpix.networks.device import find_device
    from lowpix.segmenter.evaluation import label_image
    from lowpix.segmenter.model import load_model
    from lowpix.study.label_maps import write_label_map
    from lowpix.study.work import one_thread

    options.check()
    device = find_device(options.device)
    model = load_model(options.model)
    network, scale = model.network.to(device), options.scale or model.scale
    photos = open_dataset("folder", options.photos, options.split)
    files = {name: options.out / f"{name}.png" for name in photos.images}
    _require_apart(options, photos, list(files.values()))
    _require_same_model(options, scale, list(files.values()))
    todo = [name for name, file in files.items() if not file.exists()]
    print(f"{len(files)} images, {len(todo)} of them to label: {', '.join(model.classes)}", flush=True)
    faults = []
    with one_thread():
        for name in tqdm(todo, unit="image"):
            try:
                image = photos.image(name)
            except InputError as fault:
                faults.append(str(fault))
                continue
            if name == todo[0]:
                _hint(image, scale, model)
            write_label_map(files[name], label_image(network, image, scale, device), model.palette)
    if faults:
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{others}; the other {len(files) - len(faults)} images are labelled")
    return len(todo)


def _require_apart(options: Options, photos: Dataset, files: Sequence[Path]) -> None:
    """Refuse a folder where a label map would replace an original, or be taken for one from then on."""
    originals = {
        file.resolve()
        for name in photos.images
        for file in (photos.image_file(name), photos.label_file(name))
        if file is not None
    }
    for file in files:
        if file.resolve() in originals:
            raise InputError(f"--out {options.out}: would overwrite {file}: name another folder")
    folder = options.photos if photos.split == "all" else options.photos / photos.split
    if (folder / "images").is_dir() and any(
        options.out.resolve().is_relative_to((folder / name).resolve()) for name in ("images", "labels")
    ):
        raise InputError(f"--out {options.out}: is where the data set has its own files: name another folder")


def _require_same_model(options: Options, scale: float, files: Sequence[Path]) -> None:
    """Mark the folder of labels as this model's, or refuse one that is another's."""
    mark = options.out / MARK
    made = f"{hashlib.sha256(options.model.read_bytes()).hexdigest()} scale {scale:g}"
    there = [file for file in files if file.exists()]
    if there and not mark.exists():
        raise InputError(f"--out {options.out}: holds {there[0].name}, not by this program: name another folder")
    if not options.fresh and mark.exists() and mark.read_text(encoding="utf-8").strip() != made:
        raise InputError(
            f"--out {options.out}: holds labels by another model: name another folder, or --fresh labels all again"
        )
    try:
        if options.fresh:  # before the mark: stopped in between, there are no labels that it is not true of
            for file in there:
                file.unlink()
        write_bytes(mark, f"{made}\n".encode())
    except OSError as fault:
        raise InputError(f"--out {options.out}: cannot be written to ({fault.strerror})") from None


def _hint(image: NDArray[np.uint8], scale: float, model: "Model") -> None:
    """Tell of photographs that are much larger or smaller than what the model was trained on."""
    times = math.sqrt(image[..., 0].size / math.prod(model.size)) * scale / model.scale
    if not 1 / FAR < times < FAR:
        sides = " and ".join(f"{height}×{width}" for height, width in (image.shape[:2], model.size))
        fitting = scale / times
        print(
            f"photographs and training images have {sides} pixels: if they show alike, --scale {fitting:.2g} fits"
        )


def command(options: Options) -> None:
    """Label the images, and say where the labels are."""
    predict(options)
    print(f"label maps: {options.out}")


if __name__ == "__main__":
    run(Options, "python -m lowpix.predict", command)
