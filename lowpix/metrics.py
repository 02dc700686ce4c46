"""Segmentation metrics, all computed from one confusion matrix."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from lowpix.data import IGNORE
from lowpix.errors import InputError


def confusion(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count the pixels of every pair (true class, predicted class).

    `truth` and `prediction` are uint8 arrays of the same shape, with ids below `classes` or IGNORE: label maps or
    any selection of pixels. The result is (C, C + 1) int64: rows are true classes, columns are predicted classes.
    The last column counts pixels with a true class that are predicted as IGNORE; they are wrong. Void pixels of
    the truth are not counted. The matrices of several images can be added.

    Raises InputError on another dtype, on different shapes and on ids that are neither a class nor IGNORE.
    """
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise InputError(f"confusion: label maps must be uint8, not {truth.dtype} and {prediction.dtype}")
    if truth.shape != prediction.shape:
        raise InputError(f"confusion: truth {truth.shape} and prediction {prediction.shape} differ in shape")
    # Both bytes together index one of 256 × 256 cells. One pass counts all pairs, and an invalid id shows up in a
    # cell that should be empty.
    pair = (truth.astype(np.uint16) << 8) | prediction
    cells = np.bincount(pair.ravel(), minlength=256 * 256).reshape(256, 256).astype(np.int64, copy=False)
    for what, counts in (("truth", cells.sum(axis=1)), ("prediction", cells.sum(axis=0))):
        faulty = classes + np.flatnonzero(counts[classes:IGNORE])
        if faulty.size:
            raise InputError(f"confusion: label {faulty[0]} in the {what}, with {classes} classes")
    return np.concatenate([cells[:classes, :classes], cells[:classes, IGNORE:]], axis=1)


def off_border(truth: NDArray[np.uint8], distance: int = 2) -> NDArray[np.bool_]:
    """The non-void pixels farther than `distance` pixels from any pixel with another label, void included.

    Accuracy on them leaves out the band around borders, where label maps themselves are uncertain (the trimap of
    Kohli, Ladický and Torr, "Robust higher order potentials for enforcing label consistency", IJCV 2009).
    Distances are chessboard distances. `truth` and the result are `(H, W)`.
    """
    size = 2 * distance + 1
    off: NDArray[np.bool_] = (maximum_filter(truth, size) == minimum_filter(truth, size)) & (truth != IGNORE)
    return off


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of the non-void pixels that have the correct label, 0 to 1; nan if there are no such pixels."""
    pixels = confusion.sum()
    return float(np.trace(confusion) / pixels) if pixels else float("nan")


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, (C,) float64; nan for a class that is absent from the truth.

    A pixel predicted as an absent class still counts as an error of its true class.
    """
    right = np.diagonal(confusion)
    true = confusion.sum(axis=1)
    union = true + confusion.sum(axis=0)[: len(true)] - right
    return np.where(true > 0, right / np.maximum(union, 1), np.nan)


def miou(confusion: NDArray[np.int64]) -> float:
    """Mean of `iou` over the classes in the truth; nan if it has none."""
    each = iou(confusion)
    held = each[~np.isnan(each)]
    return float(held.mean()) if held.size else float("nan")
