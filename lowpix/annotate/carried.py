"""What images that are done tell about the next ones: what a network that learned from them makes of an image."""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.annotate.frame import Frame
from lowpix.annotate.teacher import Trained
from lowpix.errors import InputError
from lowpix.segmenter.carry_over import prior_of
from lowpix.segmenter.model import load_model
from lowpix.storage import write_bytes
from lowpix.weights import read_weights, weights_file

FORMAT = "lowpix prior 1"  # the only key of the metadata
LEVELS = 255


@dataclass(frozen=True)
class Carried:
    """What a network of other images makes of an image."""

    images: int
    """Number of images that the network learned from."""
    levels: NDArray[np.uint8]
    """`(h, w, C)` probabilities times LEVELS, rounded. The same numbers are used at once and after a restart."""

    @property
    def prior(self) -> NDArray[np.float32]:
        """`(h, w, C)` float32 probabilities; they sum to 1 over the classes."""
        levels = self.levels.astype(np.float32)
        prior: NDArray[np.float32] = levels / levels.sum(2, keepdims=True)
        return prior


def carried_over(
    kept: Path, began: bool, network: Trained | None, frame: Frame, small: NDArray[np.uint8]
) -> Carried | None:
    """What helps an image: what it began with or, before its networks were first trained, the newest network.

    A file that cannot be read, or is damaged, is one line on stderr, and the image goes on without help.

    Args:
        kept: file that keeps it for restarts.
        began: whether the image's networks have been trained.
        network: the newest network; None without one.
        frame: the photograph's size.
        small: `(h, w, 3)` uint8, the photograph at the size of work.
    """
    try:
        if began:
            return _read(kept) if kept.exists() else None
        if network is None:
            kept.unlink(missing_ok=True)
            return None
        carried = Carried(network.images, _judged(network.file, frame, small))
        levels = {"levels": torch.from_numpy(carried.levels)}
        write_bytes(kept, weights_file(levels, FORMAT, {"images": carried.images}))
        return carried
    except (InputError, OSError) as fault:
        print(f"warning: {fault}: its image goes on without help of other images", file=sys.stderr)
        return None


def _judged(network: Path, frame: Frame, small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The levels that a network gives an image. It learned from whole photographs, and sees one that is shrunk."""
    model = load_model(network)
    shrunk = math.sqrt(small.shape[0] * small.shape[1] / (frame.height * frame.width))
    prior = prior_of(replace(model, scale=model.scale / shrunk), small, torch.device("cpu"))
    levels: NDArray[np.uint8] = np.rint(prior * LEVELS).astype(np.uint8)
    return levels


def _read(path: Path) -> Carried:
    tensors, about = read_weights(path, FORMAT)
    levels, images = tensors.get("levels"), about.get("images")
    if levels is None or levels.dtype != torch.uint8 or levels.ndim != 3 or not isinstance(images, int):
        raise InputError(f"{path}: cannot be read as the probabilities of an image")
    return Carried(images, levels.numpy())
