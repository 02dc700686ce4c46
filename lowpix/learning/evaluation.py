"""What a trained network says of images of any size."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lowpix.data import Dataset
from lowpix.learning.augment import resize_image
from lowpix.learning.segmenter import Segmenter
from lowpix.networks.device import mixed_precision
from lowpix.record.metrics import confusion, miou

TILE = 1536
"""Sides, in pixels that the network sees, up to which an image is labelled as a whole."""
MARGIN = 128
"""A larger one is labelled in tiles that see so many pixels more on every side than they label."""


@torch.no_grad()
def label_image(
    network: Segmenter, image: NDArray[np.uint8], scale: float, device: torch.device
) -> NDArray[np.uint8]:
    """Class ids `(H, W)` uint8 of an image `(H, W, 3)` uint8, by a network that is in eval mode on `device`.

    The network sees the image resized by `scale`; its logits are interpolated bilinearly to the image's own size
    before the largest is taken.
    """
    labels = np.empty(image.shape[:2], np.uint8)
    side, margin = round(TILE / scale), round(MARGIN / scale)
    for rows in _tiles(image.shape[0], side, margin):
        for columns in _tiles(image.shape[1], side, margin):
            (seen, kept), (seen_across, kept_across) = rows, columns
            found = _label(network, image[seen, seen_across], scale, device)
            inner = found[_within(kept, seen), _within(kept_across, seen_across)]
            labels[kept, kept_across] = inner
    return labels


def label_images(
    network: Segmenter, dataset: Dataset, names: Iterable[str], scale: float, device: torch.device
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int64] | None]]:
    """Label images one at a time: the name, its labels `(H, W)`, and the confusion matrix `(C, C + 1)`.

    The matrix is None where the image has no label map. The network is put in eval mode.
    """
    network.eval()
    for name in names:
        labels, truth = label_image(network, dataset.image(name), scale, device), dataset.labels(name)
        yield name, labels, None if truth is None else confusion(truth, labels, len(dataset.classes))


def dataset_miou(
    network: Segmenter, dataset: Dataset, names: Iterable[str], scale: float, device: torch.device
) -> float:
    """mIoU, 0 to 1, from the summed confusion matrix of labelled images."""
    found = [cells for _, _, cells in label_images(network, dataset, names, scale, device) if cells is not None]
    total: NDArray[np.int64] = np.sum(found, axis=0)
    return miou(total)


def _label(network: Segmenter, image: NDArray[np.uint8], scale: float, device: torch.device) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    pixels = torch.from_numpy(image.astype(np.float32)).to(device).permute(2, 0, 1)
    seen = resize_image(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
    with mixed_precision(device):
        logits = network(seen[None].contiguous(memory_format=torch.channels_last)).float()
    if logits.shape[-2:] != (height, width):
        logits = functional.interpolate(logits, (height, width), mode="bilinear")
    found: NDArray[np.uint8] = logits[0].argmax(0).to(torch.uint8).cpu().numpy()
    return found


def _tiles(length: int, side: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Along one axis: what a tile sees and what it labels; one tile where `length` is at most `side`."""
    if length <= side:
        yield slice(0, length), slice(0, length)
        return
    step = side - 2 * margin
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield slice(max(0, start - margin), min(length, stop + margin)), slice(start, stop)


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
