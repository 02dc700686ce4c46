"""python -m lowpix.predict: label new images with a network that a data-set study has trained."""

import hashlib
import math
import sys
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from lowpix.command import run
from lowpix.data import Dataset, open_dataset
from lowpix.errors import InputError, printable
from lowpix.options import between, check_options

if TYPE_CHECKING:
    from lowpix.segmenter.model import Model
    from lowpix.study.seal import Seal

MARK = "model.sha256"
"""A file in the folder of label maps: digest of the model that made them, and the scale."""
SHARES = "shares.csv"
"""A table in this folder: the share of each class in each image."""
FAR = 2  # a hint about --scale is printed where sides are this many times longer or shorter than in training


@dataclass(frozen=True)
class Options:
    """Label photographs of any size with a trained network.

    Each label map is an indexed PNG with the name of its photograph and the colours of the training data.
    shares.csv holds the share of each class in each image.

    python -m lowpix.predict photos --model results/scenes_dataset/models/pseudo-50/0.safetensors --out labels
    """

    photos: Annotated[Path, tyro.conf.Positional]
    """Folder of photographs, or a folder data set with images/ in it."""
    model: Path
    """Trained network: models/<setting>/<seed>.safetensors of a data-set study."""
    out: Path = Path("labels")
    """Folder for the label maps. Existing label maps by the same model are kept."""
    split: str | None = None
    """Split of a folder data set; if not given, train."""
    scale: Annotated[float | None, between(0.001, 100)] = None
    """Factor by which images are resized for the network; if not given, as in training.
    The program suggests a factor for photographs much larger or smaller than those images."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    overlay: bool = False
    """Also draw each label map over its photograph, in overlays/, with a legend."""
    fresh: bool = False
    """Label all images again and replace existing label maps, also those by another model."""

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        check_options(self)


def predict(options: Options) -> int:
    """Label the images that have no label map yet, and return their number.

    If an image cannot be read, the other images are labelled first, and the error is raised at the end.

    Raises:
        InputError: the model or folder does not exist, `out` holds label maps by another model, or an image cannot
            be read.
    """
    # imported here because torch takes seconds to import, and `--help` does not need it
    from lowpix.networks.device import find_device
    from lowpix.segmenter.evaluation import label_image
    from lowpix.segmenter.model import load_model
    from lowpix.study.label_maps import label_map_png, read_label_map
    from lowpix.study.seal import Seal
    from lowpix.study.threads import one_thread

    options.check()
    device = find_device(options.device)
    model = load_model(options.model)
    network, scale = model.network.to(device), options.scale or model.scale
    photos = open_dataset("folder", options.photos, options.split)
    seal = Seal(options.out)
    _prepare(options, photos, scale, seal)
    wanted = [_name, *([_overlay_name] if options.overlay else [])]
    for warning in photos.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    todo = [name for name in photos.images if not all((options.out / of(name)).exists() for of in wanted)]
    print(f"{len(photos.images)} images, {len(todo)} of them to label: {', '.join(model.classes)}", flush=True)
    faults = []
    with one_thread():
        for name in tqdm(todo, unit="image"):
            there = options.out / _name(name)
            try:
                image = photos.image(name)
                labels = read_label_map(there) if there.exists() else None  # perhaps corrected by hand
                if labels is not None and labels.shape != image.shape[:2]:
                    size, own = (f"{height}×{width}" for height, width in (labels.shape, image.shape[:2]))
                    raise InputError(f"{there}: is {size}, but the photograph is {own}: remove it")
            except InputError as fault:
                faults.append(str(fault))
                continue
            if note := photos.note(name):
                tqdm.write(f"warning: {note}", file=sys.stderr)
            if name == todo[0]:
                _hint(image, scale, model)
            files = {}
            if labels is None:
                labels = label_image(network, image, scale, device)
                files[_name(name)] = label_map_png(labels, model.palette)
            if options.overlay:
                files[_overlay_name(name)] = overlay_jpeg(image, labels, model.palette)
            seal.write(files)
    _summarise(options, photos, model, seal)
    if faults:
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{others}; the other {len(photos.images) - len(faults)} images are labelled")
    return len(todo)


def _name(image: str) -> str:
    return f"{image}.png"


def _overlay_name(image: str) -> str:
    return f"overlays/{image}.jpg"


def overlay_jpeg(image: NDArray[np.uint8], labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A photograph `(H, W, 3)` in half the colours of its labels `(H, W)`, with their borders, as JPEG."""
    colours = np.full((256, 3), 255, np.uint8)  # void, and what else a hand may have drawn, is white
    colours[: len(palette)] = palette
    mixed = (image // 2 + colours[labels] // 2).astype(np.uint8)
    border = np.zeros(labels.shape, np.bool_)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    mixed[border] = colours[labels[border]]
    buffer = BytesIO()
    Image.fromarray(mixed).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def _summarise(options: Options, photos: Dataset, model: "Model", seal: "Seal") -> None:
    """Write and print the share of each class, and draw the legend of overlays."""
    from lowpix.storage import csv_bytes
    from lowpix.study.label_maps import read_label_map

    classes, counts = len(model.classes), {}
    for name in photos.images:
        with suppress(InputError):  # not labelled, or since then made into something else
            labels = read_label_map(options.out / _name(name))
            counts[name] = np.bincount(labels.ravel(), minlength=classes)[:classes]
    shares = {name: own / max(own.sum(), 1) for name, own in counts.items()}
    rows = [[name, *share.round(6)] for name, share in shares.items()]
    seal.write({SHARES: csv_bytes(pd.DataFrame(rows, columns=["image", *model.classes]))})
    total = sum(counts.values(), np.zeros(classes, np.int64))
    for name, share in zip(model.classes, total / max(total.sum(), 1), strict=True):
        print(f"{share:8.2%}  {printable(name)}")
    if options.overlay:
        from lowpix.study.plots import figure_png, legend_picture

        seal.write({"overlays/legend.png": figure_png(legend_picture(model.classes, model.palette))})


def _prepare(options: Options, photos: Dataset, scale: float, seal: "Seal") -> None:
    """Mark the folder of label maps as this model's; refuse it if it holds other label maps or the user's files.

    With --fresh, existing label maps are removed first.
    """
    from lowpix.storage import remove_leftovers
    from lowpix.study.folder import require_apart, require_not_a_home

    out, mark = options.out, options.out / MARK
    if options.fresh:
        require_not_a_home(out)
    require_apart(out, [*photos.folders, options.model])
    made = f"{hashlib.sha256(options.model.read_bytes()).hexdigest()} scale {scale:g}\n".encode()
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; label maps need a folder")
    written = seal.digests()
    for name in photos.images:
        if (out / f"{name}.png").exists() and f"{name}.png" not in written:
            raise InputError(f"--out {out}: holds {name}.png, not by this program: name another folder")
    if mark.exists() and mark.read_bytes() != made and not options.fresh:
        raise InputError(
            f"--out {out}: holds labels by another model: name another folder, or label all again with --fresh"
        )
    try:
        if written:
            remove_leftovers(out, [*{name.split("/")[0] for name in written if "/" in name}])
        if options.fresh:
            seal.remove()
        seal.write({MARK: made})
    except OSError as fault:
        raise InputError(f"--out {out}: cannot be written to ({fault.strerror})") from None


def _hint(image: NDArray[np.uint8], scale: float, model: "Model") -> None:
    """Suggest a --scale if the photographs are much larger or smaller than the training images."""
    times = math.sqrt(image[..., 0].size / math.prod(model.size)) * scale / model.scale
    if not 1 / FAR < times < FAR:
        photograph, training = (f"{height}×{width}" for height, width in (image.shape[:2], model.size))
        print(
            f"photographs have {photograph} pixels and training images {training}: if both show the same kind of "
            f"scene, --scale {scale / times:.2g} fits"
        )


def command(options: Options) -> None:
    """Label the images, and print where the label maps are."""
    predict(options)
    print(f"label maps: {options.out}")


if __name__ == "__main__":
    run(Options, "python -m lowpix.predict", command)
