"""Label images of any size with a trained data-set network, and measure the labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lowpix.data import Dataset
from lowpix.metrics import confusion, miou
from lowpix.networks.device import mixed_precision
from lowpix.segmenter.augment import resize_image
from lowpix.segmenter.model import Segmenter

TILE = 1536
"""Side of a tile in pixels of the resized image. Larger images are labelled tile by tile."""
MARGIN = 128
"""Width of the border of a tile that the network sees but does not label, in pixels of the resized image."""


def label_image(
    network: Segmenter,
    image: NDArray[np.uint8],
    scale: float,
    device: torch.device,
    tile: int = TILE,
    margin: int = MARGIN,
) -> NDArray[np.uint8]:
    """Class ids `(H, W)` uint8 of an image `(H, W, 3)` uint8. The network must be in eval mode and on `device`.

    The network sees the image resized by `scale`. Its logits are interpolated bilinearly to the original size
    before the argmax. For `tile` and `margin` see TILE and MARGIN.
    """
    labels = np.empty(image.shape[:2], np.uint8)
    for rows, columns, logits in _logits(network, image, scale, device, tile, margin):
        labels[rows, columns] = logits.argmax(0).to(torch.uint8).cpu().numpy()
    return labels


def class_probabilities(
    network: Segmenter, image: NDArray[np.uint8], scale: float, device: torch.device
) -> NDArray[np.float32]:
    """The probabilities `(H, W, C)` float32 of the classes, for the rest as in `label_image`."""
    found: NDArray[np.float32] | None = None
    for rows, columns, logits in _logits(network, image, scale, device, TILE, MARGIN):
        if found is None:
            found = np.empty((*image.shape[:2], len(logits)), np.float32)
        found[rows, columns] = logits.softmax(0).permute(1, 2, 0).cpu().numpy()
    assert found is not None, "an image has pixels"
    return found


def label_images(
    network: Segmenter, dataset: Dataset, names: Iterable[str], scale: float, device: torch.device
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int64] | None]]:
    """Label images one at a time: name, labels `(H, W)`, and confusion matrix `(C, C + 1)`.

    The matrix is None if the image has no label map. The network is put in eval mode.
    """
    network.eval()
    for name in names:
        labels, truth = label_image(network, dataset.image(name), scale, device), dataset.labels(name)
        yield name, labels, None if truth is None else confusion(truth, labels, len(dataset.classes))


def dataset_miou(
    network: Segmenter, dataset: Dataset, names: Iterable[str], scale: float, device: torch.device
) -> float:
    """mIoU, 0 to 1, from the summed confusion matrix of the images with label maps."""
    found = [cells for _, _, cells in label_images(network, dataset, names, scale, device) if cells is not None]
    total: NDArray[np.int64] = np.sum(found, axis=0)
    return miou(total)


def validator(
    validation: Dataset | None, names: Sequence[str], scale: float, device: torch.device
) -> Callable[[Segmenter], float] | None:
    """A function that gives a network's mIoU on these images of the split for validation; None without one."""
    if validation is None:
        return None
    return lambda network: dataset_miou(network, validation, names, scale, device)


def network_input(image: NDArray[np.uint8], scale: float, device: torch.device) -> torch.Tensor:
    """An image `(H, W, 3)` uint8, resized by `scale`, as a network's input `(1, 3, h, w)` float32 on `device`."""
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image.astype(np.float32)).to(device).permute(2, 0, 1)
    seen = resize_image(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
    return seen[None].contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _logits(
    network: Segmenter, image: NDArray[np.uint8], scale: float, device: torch.device, tile: int, margin: int
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """For each tile the rows and columns that it labels, and their logits `(C, h, w)` float32."""
    side, border = round(tile / scale), round(margin / scale)
    for seen_rows, rows in _tiles(image.shape[0], side, border):
        for seen_columns, columns in _tiles(image.shape[1], side, border):
            seen = image[seen_rows, seen_columns]
            with mixed_precision(device):
                logits = network(network_input(seen, scale, device)).float()
            if logits.shape[-2:] != seen.shape[:2]:
                logits = functional.interpolate(logits, seen.shape[:2], mode="bilinear")
            yield rows, columns, logits[0][:, _within(rows, seen_rows), _within(columns, seen_columns)]


def _tiles(length: int, side: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """For each tile along one axis, what it sees and what it labels. One tile if `length` is at most `side`."""
    if length <= side:
        yield slice(0, length), slice(0, length)
        return
    step = side - 2 * margin
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield slice(max(0, start - margin), min(length, stop + margin)), slice(start, stop)


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
