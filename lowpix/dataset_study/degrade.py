"""Label maps with errors added on purpose, and label maps made from revealed pixels without a network."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import random_walker

from lowpix.data import IGNORE
from lowpix.reveal.log import Log

WOBBLE = 8.0  # scale in pixels of the random field that decides to which side a border moves


def flip_labels(
    truth: NDArray[np.uint8], rate: float, classes: int, draw: np.random.Generator
) -> NDArray[np.uint8]:
    """The label map (H, W) with a share `rate` of its non-void pixels wrong, at independent random places.

    The number of wrong pixels is exact (rounded). Each takes one of the other classes with equal probability.
    """
    degraded = truth.copy()
    known = np.flatnonzero(truth != IGNORE)
    wrong = draw.choice(known, round(rate * len(known)), replace=False)
    shift = draw.integers(1, classes, len(wrong))  # 1 to C − 1, added modulo C
    degraded.ravel()[wrong] = (truth.ravel()[wrong] + shift) % classes
    return degraded


def move_borders(truth: NDArray[np.uint8], rate: float, draw: np.random.Generator) -> NDArray[np.uint8]:
    """The label map (H, W) with a share `rate` of its non-void pixels wrong along the borders of its regions.

    A smooth random field decides to which side each border moves. Wrong pixels take the class on the other side of
    their nearest border. Their number is exact (rounded). A map with one class has no borders and is not changed.
    """
    held = np.setdiff1d(truth, [IGNORE])
    known = truth != IGNORE
    if len(held) < 2:
        return truth.copy()
    distance = np.full(truth.shape, np.inf)
    beyond = truth.copy()
    for label in held:
        own = truth == label
        # a region's edge to void is not a border, so void counts as part of the region here
        away, (rows, columns) = ndimage.distance_transform_edt(own | ~known, return_indices=True)
        distance[own] = away[own]
        beyond[own] = truth[rows[own], columns[own]]
    field = ndimage.gaussian_filter(draw.standard_normal(truth.shape), WOBBLE)
    yields = (truth < beyond) == (field > 0)  # only one side of a border changes at each place
    order = np.lexsort([draw.random(truth.size), distance.ravel(), ~yields.ravel(), ~known.ravel()])
    wrong = order[: round(rate * np.count_nonzero(known))]
    degraded = truth.copy()
    degraded.ravel()[wrong] = beyond.ravel()[wrong]
    return degraded


def walk(image: NDArray[np.uint8], log: Log) -> NDArray[np.uint8]:
    """Labels (H, W) of an image (H, W, 3), made from its revealed pixels by scikit-image's random walker.

    The walker works on Lab colours. Without a revealed pixel the map is all void.
    """
    pixels, labels = log.labelled()
    held, index = np.unique(labels, return_inverse=True)
    if len(held) < 2:
        return np.full(image.shape[:2], held[0] if len(held) else IGNORE, np.uint8)
    seeds = np.zeros(image.shape[:2], np.int32)
    seeds[tuple(pixels.T)] = index + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that an optional, faster solver is missing
        found = random_walker(rgb2lab(image), seeds, mode="cg_j", channel_axis=-1)
    walked: NDArray[np.uint8] = held[np.maximum(found, 1) - 1]
    return walked
