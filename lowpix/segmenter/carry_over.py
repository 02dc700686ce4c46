"""Carry over what finished images tell: a network that learns from their label maps, and judges an image to come.

A study trains one after each block of images, and a page can after each image. What its probabilities are good for
is in `lowpix.reveal.prior`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import Dataset
from lowpix.data.dataset import median_size
from lowpix.seeds import seed_for
from lowpix.segmenter.augment import Augmentation
from lowpix.segmenter.evaluation import class_probabilities
from lowpix.segmenter.method import Method
from lowpix.segmenter.model import Fresh, Model
from lowpix.segmenter.options import SegmenterOptions
from lowpix.segmenter.training import Recipe

PIXELS = 43_200  # 180×240: larger images are made smaller for the network
BATCH = 4
RECIPE = Recipe(epochs=15, steps=20, learning_rate=0.001, weight_decay=0.01, backbone=0.25)
"""As many steps for any number of images. An epoch is the part of the training after which its state is saved."""
ZOOM, COLOUR = (0.75, 1.5), 0.3


@dataclass(frozen=True)
class Finished:
    """Images with label maps to learn from."""

    images: tuple[str, ...]
    """Their names."""
    label_map: Callable[[str], NDArray[np.uint8]]
    """The label map (H, W) of an image."""
    sparse: bool = False

    def read(self, name: str) -> tuple[NDArray[np.uint8], None]:
        """The label map of an image; all pixels weigh 1."""
        return self.label_map(name), None


def fresh(network: str, classes: int) -> Fresh:
    """Gives the network before its training: `unet`, or pretrained weights as `hf:<folder or model id>`."""
    return Fresh(network, classes, SegmenterOptions(network).resolved_width(), from_scratch=False)


def carried_model(
    dataset: Dataset,
    finished: Finished,
    network: str,
    seed: int,
    device: torch.device,
    state: Path,
    recipe: Recipe = RECIPE,
) -> tuple[Model, list[dict[str, float]]]:
    """Train a network on finished images. The same images, label maps and seed give the same bits on one machine.

    Args:
        dataset: holds the images.
        finished: names and label maps of those to learn from.
        network: as in `fresh`.
        seed: seed of weights, minibatches and dropout.
        device: where it is trained.
        state: safetensors file that a stopped training goes on from. It is kept at the end.
        recipe: steps and rates.

    Returns:
        The model, in eval mode, and a row per epoch with `epoch learning_rate loss train_miou seconds`.

    Raises:
        InputError: there is no such network, or `state` cannot be gone on from.
    """
    height, width = median_size(dataset, finished.images)
    scale = min(1.0, math.sqrt(PIXELS / (height * width)))
    augmentation = Augmentation(median_size(dataset, finished.images, scale), scale, ZOOM, True, COLOUR)
    method = Method(fresh(network, len(dataset.classes)), BATCH, False, augmentation, recipe)
    made = method.fresh(seed_for(seed, "initial weights"))
    history = method.train(made, dataset, finished, None, seed, device, state)
    return Model(made.eval(), dataset.classes, dataset.palette, scale, (height, width)), history


def prior_of(model: Model, image: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """What the model thinks of an image `(H, W, 3)` uint8: probabilities `(H, W, C)` float32."""
    return class_probabilities(model.network.to(device), image, model.scale, device)
