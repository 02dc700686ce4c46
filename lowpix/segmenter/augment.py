"""Augmentation: cut a window from an image and its labels, then resize, mirror and recolour it.

Labels follow the image exactly. Sparse labels are moved as points: resizing their map would lose most of them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from lowpix.data import IGNORE

Value = TypeVar("Value", bound=np.generic)

BLUR = (0.1, 2.0)  # smallest and largest standard deviation of a blur, in pixels
GREY = 127.5  # fills a window outside the image


class Sample(NamedTuple):
    """One augmented training sample. A minibatch has the same parts, each with a leading B."""

    image: torch.Tensor
    """(3, h, w) float32, 0 to 255."""
    labels: torch.Tensor
    """(h, w) uint8, IGNORE for pixels without a label."""
    weights: torch.Tensor
    """(h, w) float32, the weight of each pixel in the loss."""


@dataclass(frozen=True)
class Augmentation:
    """How samples are drawn."""

    crop: tuple[int, int]
    """Height and width of a sample, in pixels."""
    scale: float = 1.0
    """Images are resized by this factor and by the zoom."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom; its logarithm is drawn uniformly."""
    flip: bool = False
    """Whether half of the samples are mirrored left to right."""
    colour: float = 0.0
    """Brightness, contrast and saturation are each multiplied by a factor from 1 − `colour` to 1 + `colour`."""
    grey: float = 0.0
    """Share of the samples that lose their colours."""
    blur: float = 0.0
    """Share of the samples that are blurred by a Gaussian with a standard deviation of BLUR pixels."""

    def __call__(
        self,
        image: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float32] | None,
        sparse: bool,
        draw: np.random.Generator,
    ) -> Sample:
        """Draw a sample from an image (H, W, 3), its labels (H, W), and the weights (H, W) of its pixels.

        A window larger than the image is filled with unlabelled grey. If `weights` is None, dense labels weigh 1
        and `sparse` labels weigh the square of the zoom. Otherwise sparse labels would count most when zoomed out.
        """
        factor = self.scale * math.exp(draw.uniform(*np.log(self.zoom)))
        window = tuple(max(1, round(side / factor)) for side in self.crop)
        # a window larger than the image contains the whole image at a random place
        corner = [
            int(draw.integers(min(0, side - part), max(0, side - part) + 1))
            for side, part in zip(labels.shape, window, strict=True)
        ]
        cut = torch.from_numpy(_cut(image, corner, window, GREY).astype(np.float32)).permute(2, 0, 1)
        picture = resize_image(cut, self.crop)
        target = resize_labels(_cut(labels, corner, window, IGNORE), self.crop, sparse)
        # zooming in spreads a dense label over zoom² times as many pixels; a sparse label stays one pixel
        weight = np.full(self.crop, (factor / self.scale) ** 2 if sparse else 1, np.float32)
        if weights is not None:
            weight = nearest(_cut(weights, corner, window, 0), self.crop)
        if self.flip and draw.random() < 0.5:
            picture, target, weight = picture.flip(-1), target[:, ::-1], weight[:, ::-1]
        if self.colour:
            picture = recolour(picture, *draw.uniform(1 - self.colour, 1 + self.colour, 3))
        if self.grey and draw.random() < self.grey:
            picture = recolour(picture, 1, 1, 0)
        if self.blur and draw.random() < self.blur:
            picture = blurred(picture, draw.uniform(*BLUR))
        return Sample(
            picture, torch.from_numpy(target.copy()), torch.from_numpy(weight.astype(np.float32, copy=True))
        )


def resize_image(image: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Resize an image `(3, H, W)` float32 to `(3, h, w)`: bilinear, with antialiasing if it shrinks."""
    if image.shape[-2:] == torch.Size(size):
        return image
    return functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def resize_labels(labels: NDArray[np.uint8], size: tuple[int, ...], sparse: bool) -> NDArray[np.uint8]:
    """Resize labels (H, W) to (h, w) by the nearest pixel or, if `sparse`, by moving each labelled pixel.

    If two labelled pixels move to the same place, the later one in row-major order stays.
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
    """Resize a map (H, W) to (h, w) by the nearest pixel."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, values.shape, strict=True)
    )
    resized: NDArray[Value] = values[rows[:, None], columns]
    return resized


def recolour(image: torch.Tensor, brightness: float, contrast: float, saturation: float) -> torch.Tensor:
    """Multiply brightness, contrast and saturation of an image `(3, h, w)`, 0 to 255, each by its factor."""
    image = image * brightness
    image = (image - image.mean()) * contrast + image.mean()
    grey = image.mean(0, keepdim=True)
    return ((image - grey) * saturation + grey).clamp(0, 255)


def blurred(image: torch.Tensor, deviation: float) -> torch.Tensor:
    """An image `(3, h, w)`, blurred by a Gaussian with this standard deviation in pixels."""
    return torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, deviation, deviation), truncate=3))


def _cut(values: NDArray[Value], corner: list[int], window: tuple[int, ...], fill: float) -> NDArray[Value]:
    """The window (h, w, …) of (H, W, …) that begins at `corner`, with `fill` outside the image."""
    filled = np.full((*window, *values.shape[2:]), fill, values.dtype)
    source = [
        slice(max(0, start), min(side, start + part))
        for start, part, side in zip(corner, window, values.shape[:2], strict=True)
    ]
    target = tuple(slice(cut.start - start, cut.stop - start) for cut, start in zip(source, corner, strict=True))
    filled[target] = values[tuple(source)]
    return filled
