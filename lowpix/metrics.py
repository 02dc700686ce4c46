"""Segmentation metrics, all read off one confusion matrix."""

import numpy as np
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.errors import InputError


def confusion(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the pixels of every pair (true class, predicted class).

    `truth` and `prediction` are label maps of one shape (any, so a selection of pixels will do), uint8, ids
    below `classes` or IGNORE. The result is (C, C + 1) int64: rows are true classes, columns predicted ones;
    the last column counts the pixels that were predicted to be nothing (IGNORE), which are therefore wrong.
    Pixels whose truth is void count nowhere. Matrices of several images add up.

    Raises InputError on another dtype, on shapes that differ and on ids that are neither a class nor IGNORE.
    """
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise InputError(f"confusion: label maps must be uint8, not {truth.dtype} and {prediction.dtype}")
    if truth.shape != prediction.shape:
        raise InputError(f"confusion: truth {truth.shape} and prediction {prediction.shape} differ in shape")
    # Both bytes side by side number one of 256 × 256 cells: one pass counts, and faulty ids show as cells
    # that should be empty, so that looking for them costs nothing.
    pair = (truth.astype(np.uint16) << 8) | prediction
    cells = np.bincount(pair.ravel(), minlength=256 * 256).reshape(256, 256).astype(np.int64, copy=False)
    for what, counts in (("truth", cells.sum(axis=1)), ("prediction", cells.sum(axis=0))):
        faulty = classes + np.flatnonzero(counts[classes:IGNORE])
        if faulty.size:
            raise InputError(f"confusion: label {faulty[0]} in the {what}, with {classes} classes")
    return np.concatenate([cells[:classes, :classes], cells[:classes, IGNORE:]], axis=1)


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of the non-void pixels that are labelled rightly, 0 to 1; nan if there are none."""
    pixels = confusion.sum()
    return float(np.trace(confusion) / pixels) if pixels else float("nan")


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union per class, (C,) float64; nan for a class that the truth does not hold.

    A pixel wrongly given to such an absent class still counts as missing from its true class.
    """
    right = np.diagonal(confusion)
    true = confusion.sum(axis=1)
    union = true + confusion.sum(axis=0)[: len(true)] - right
    return np.where(true > 0, right / np.maximum(union, 1), np.nan)


def miou(confusion: NDArray[np.int64]) -> float:
    """Mean of `iou` over the classes that the truth holds; nan if it holds none."""
    each = iou(confusion)
    held = each[~np.isnan(each)]
    return float(held.mean()) if held.size else float("nan")
