"""From an image and its labels to what a network is shown: a window, resized, mirrored and recoloured.

Labels follow the image exactly. Sparse labels go along as points, for resizing a map of few labelled pixels would
lose most of them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lowpix.data import IGNORE

Value = TypeVar("Value", bound=np.generic)

GREY = 127.5  # beyond an image's borders


class Sample(NamedTuple):
    """What a network is shown of an image; of several, each with a leading B."""

    image: torch.Tensor
    """(3, h, w) float32 of 0 to 255."""
    labels: torch.Tensor
    """(h, w) uint8, IGNORE where there is none."""
    weights: torch.Tensor
    """(h, w) float32, of each pixel in the loss."""


@dataclass(frozen=True)
class Augmentation:
    """How a sample is drawn."""

    crop: tuple[int, int]
    """Height and width of what the network is shown, pixels."""
    scale: float = 1.0
    """Images are resized by so much, …"""
    zoom: tuple[float, float] = (1.0, 1.0)
    """… and by a factor drawn between these, evenly in its logarithm."""
    flip: bool = False
    """Half of the samples are mirrored, left to right."""
    colour: float = 0.0
    """Brightness, contrast and saturation are each multiplied by up to 1 ± so much."""

    def __call__(
        self,
        image: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float32] | None,
        sparse: bool,
        draw: np.random.Generator,
    ) -> Sample:
        """Draw a sample from an image (H, W, 3), its labels (H, W), and the weights of its pixels, 1 if None.

        Where the window is larger than the image, it shows grey without labels beyond the borders. A `sparse`
        label weighs the square of the zoom, as dense ones do together, lest it teach mostly from afar.
        """
        factor = self.scale * math.exp(draw.uniform(*np.log(self.zoom)))
        window = tuple(max(1, round(side / factor)) for side in self.crop)
        # a window larger than the image holds all of it, somewhere
        corner = [
            int(draw.integers(min(0, side - part), max(0, side - part) + 1))
            for side, part in zip(labels.shape, window, strict=True)
        ]
        seen = torch.from_numpy(_cut(image, corner, window, GREY).astype(np.float32)).permute(2, 0, 1)
        picture = resize_image(seen, self.crop)
        target = resize_labels(_cut(labels, corner, window, IGNORE), self.crop, sparse)
        # dense labels of a part of the image fill zoom² as many pixels of the window; a sparse one is always one
        weight = np.full(self.crop, (factor / self.scale) ** 2 if sparse else 1, np.float32)
        if weights is not None:
            weight = nearest(_cut(weights, corner, window, 0), self.crop)
        if self.flip and draw.random() < 0.5:
            picture, target, weight = picture.flip(-1), target[:, ::-1], weight[:, ::-1]
        if self.colour:
            picture = recolour(picture, *draw.uniform(1 - self.colour, 1 + self.colour, 3))
        return Sample(
            picture, torch.from_numpy(target.copy()), torch.from_numpy(weight.astype(np.float32, copy=True))
        )


def resize_image(image: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """An image `(3, H, W)` float32 as `(3, h, w)`, bilinear, without aliasing where it shrinks."""
    if image.shape[-2:] == torch.Size(size):
        return image
    return functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def resize_labels(labels: NDArray[np.uint8], size: tuple[int, ...], sparse: bool) -> NDArray[np.uint8]:
    """Labels (H, W) as (h, w): of the nearest pixel, or, if `sparse`, each labelled pixel at the place it goes to.

    Where two of these go to the same place, the later one stays.
    """
    if labels.shape == tuple(size):
        return labels
    if not sparse:
        return nearest(labels, size)
    resized = np.full(size, IGNORE, np.uint8)
    rows, columns = np.nonzero(labels != IGNORE)
    (height, width), (old_height, old_width) = size, labels.shape
    resized[(2 * rows + 1) * height // (2 * old_height), (2 * columns + 1) * width // (2 * old_width)] = labels[
        rows, columns
    ]
    return resized


def nearest(values: NDArray[Value], size: tuple[int, ...]) -> NDArray[Value]:
    """A map (H, W) as (h, w), each pixel that of the nearest one."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, values.shape, strict=True)
    )
    resized: NDArray[Value] = values[rows[:, None], columns]
    return resized


def recolour(image: torch.Tensor, brightness: float, contrast: float, saturation: float) -> torch.Tensor:
    """Multiply brightness, contrast and saturation of `(3, h, w)` of 0 to 255, each by its factor."""
    image = image * brightness
    image = (image - image.mean()) * contrast + image.mean()
    grey = image.mean(0, keepdim=True)
    return ((image - grey) * saturation + grey).clamp(0, 255)


def _cut(values: NDArray[Value], corner: list[int], window: tuple[int, ...], fill: float) -> NDArray[Value]:
    """The window (h, w, …) of (H, W, …) whose first pixel is `corner`, with `fill` beyond the borders."""
    whole = np.full((*window, *values.shape[2:]), fill, values.dtype)
    within = [
        slice(max(0, start), min(side, start + part))
        for start, part, side in zip(corner, window, values.shape[:2], strict=True)
    ]
    there = tuple(slice(cut.start - start, cut.stop - start) for cut, start in zip(within, corner, strict=True))
    whole[there] = values[tuple(within)]
    return whole
