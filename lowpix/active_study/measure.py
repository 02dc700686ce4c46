"""What is measured after each round: the network on the test split, and the pixels that were revealed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lowpix.data import IGNORE
from lowpix.metrics import accuracy, iou, miou
from lowpix.reveal.log import Log
from lowpix.reveal.oracle import NEAR
from lowpix.study.splits import Splits


def round_row(
    splits: Splits, tested: Mapping[str, NDArray[np.int64]], logs: Mapping[str, Log] | None
) -> dict[str, Any]:
    """The row of a round in `rounds.csv`, without its number, its seconds and what names the run.

    Args:
        splits: the training and test images.
        tested: the confusion matrix of each test image.
        logs: the log of each training image; None for a network that learned from the true label maps.
    """
    counts, classes, images = total(tested), splits.train.classes, len(splits.names)
    pixels = labelled_pixels(splits, logs)
    annotated = splits.pixels if logs is None else int(pixels.sum())  # a map has its void drawn as well
    asked = splits.pixels if logs is None else sum(log.asked for log in logs.values())
    row: dict[str, Any] = {
        "asked": asked / images,
        "revealed": int(pixels.sum()) / images,
        "annotated_fraction": (annotated + splits.validation_pixels) / splits.pixels,
        "accuracy": accuracy(counts),
        "miou": miou(counts),
        "near_border": _share_near_border(splits, logs),
    }
    row |= {f"iou_{name}": _number(value) for name, value in zip(classes, iou(counts), strict=True)}
    shares = pixels / max(int(pixels.sum()), 1)
    return row | {f"revealed_{name}": float(share) for name, share in zip(classes, shares, strict=True)}


def total(tested: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The confusion matrix of all test images together."""
    counts: NDArray[np.int64] = np.sum(list(tested.values()), axis=0)
    return counts


def labelled_pixels(splits: Splits, logs: Mapping[str, Log] | None) -> NDArray[np.int64]:
    """Number of labelled training pixels of each class `(C,)`; `logs` as in `round_row`."""
    if logs is None:
        return splits.reports[splits.train].pixels
    labels = np.concatenate([log.labelled()[1] for log in logs.values()])
    return np.bincount(labels, minlength=len(splits.train.classes))


def near_border(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels `(H, W)` have another class within NEAR pixels along the chessboard. Void is no class."""
    side = 2 * NEAR + 1
    void = labels == IGNORE
    largest = ndimage.maximum_filter(np.where(void, -1, labels.astype(np.int16)), side, mode="nearest")
    smallest = ndimage.minimum_filter(labels.astype(np.int16), side, mode="nearest")
    near: NDArray[np.bool_] = (largest != smallest) & ~void
    return near


def _share_near_border(splits: Splits, logs: Mapping[str, Log] | None) -> float:
    """Share of the labelled pixels that lie near a border of true classes. Label maps are read one at a time."""
    near = known = 0
    for name in splits.names:
        truth = splits.train.labels(name)
        assert truth is not None, "checked before the study"
        borders = near_border(truth)
        of_image = truth != IGNORE if logs is None else tuple(logs[name].labelled()[0].T)
        near, known = near + int(borders[of_image].sum()), known + borders[of_image].size
    return near / max(known, 1)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
