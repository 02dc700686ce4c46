"""python -m lowpix.predict: label new images with a network that a data-set study has trained."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from lowpix.command import main, parse
from lowpix.data import open_dataset
from lowpix.errors import InputError
from lowpix.learning.evaluation import label_image
from lowpix.learning.segmenter import load_model
from lowpix.networks.device import find_device
from lowpix.record import write_label_map
from lowpix.record.atomic import atomic
from lowpix.reveal.study import one_thread

MARK = "model.sha256"
"""In the folder of labels: which model they are by."""


@dataclass(frozen=True)
class Options:
    """Label photographs of any size: an indexed PNG for each, of its name, in the colours of the training data."""

    photos: Annotated[Path, tyro.conf.Positional]
    """Folder of photographs, or a folder data set with images/ in it."""
    model: Path
    """A trained network: models/<setting>/<seed>.safetensors of a data-set study."""
    out: Path = Path("labels")
    """Folder for the label maps. Those that are there already by the same model are kept."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    fresh: bool = False
    """Label all images again, whatever made the maps that are there."""


def predict(options: Options) -> int:
    """Label the images that have no label map yet, and tell how many these were.

    An image that cannot be read does not keep the others from being labelled.

    Raises:
        InputError: no such model or folder, labels by another model, or images that cannot be read, at the end.
    """
    device = find_device(options.device)
    model = load_model(options.model)
    network = model.network.to(device)
    photos = open_dataset("folder", options.photos)
    _require_same_model(options)
    files = {name: options.out / f"{name}.png" for name in photos.images}
    same = [name for name in files if photos.image_file(name) == files[name]]
    if same:
        raise InputError(
            f"--out {options.out}: would overwrite the photograph {files[same[0]]}: name another folder"
        )
    todo = [name for name, file in files.items() if options.fresh or not file.exists()]
    print(f"{len(files)} images, {len(todo)} of them to label: {', '.join(model.classes)}", flush=True)
    faults = []
    with one_thread():
        for name in tqdm(todo, unit="image"):
            try:
                image = photos.image(name)
            except InputError as fault:
                faults.append(str(fault))
                continue
            write_label_map(files[name], label_image(network, image, model.scale, device), model.palette)
    if faults:
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{others}; the other {len(files) - len(faults)} images are labelled")
    return len(todo)


def _require_same_model(options: Options) -> None:
    """Mark the folder of labels as this model's, or refuse one that is another's."""
    mark, digest = options.out / MARK, hashlib.sha256(options.model.read_bytes()).hexdigest()
    if mark.exists() and not options.fresh and mark.read_text(encoding="utf-8").strip() != digest:
        raise InputError(
            f"--out {options.out}: holds labels by another model: name another folder, or --fresh labels all again"
        )
    try:
        with atomic(mark) as temporary:
            temporary.write_text(f"{digest}\n", encoding="utf-8")
    except OSError as fault:
        raise InputError(f"--out {options.out}: cannot be written to ({fault.strerror})") from None


def command(arguments: Sequence[str]) -> None:
    """Label what the arguments name, and say where the labels are."""
    options = parse(Options, arguments, "python -m lowpix.predict")
    predict(options)
    print(f"label maps: {options.out}")


if __name__ == "__main__":
    main(command)
