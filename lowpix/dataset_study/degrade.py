"""Label maps made worse on purpose, and maps from revealed pixels without any network."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import random_walker

from lowpix.data import IGNORE
from lowpix.reveal.log import Log

WOBBLE = 8.0  # pixels over which a border that moved keeps its direction


def flip_labels(
    truth: NDArray[np.uint8], rate: float, classes: int, draw: np.random.Generator
) -> NDArray[np.uint8]:
    """The label map (H, W) with a share `rate` of its non-void pixels wrong, each independently of the others.

    Wrong pixels are drawn uniformly, exactly so many (rounded), and each takes one of the other classes alike.
    """
    degraded = truth.copy()
    known = np.flatnonzero(truth != IGNORE)
    wrong = draw.choice(known, round(rate * len(known)), replace=False)
    shift = draw.integers(1, classes, len(wrong))  # 1 to C − 1, added modulo C
    degraded.ravel()[wrong] = (truth.ravel()[wrong] + shift) % classes
    return degraded


def move_borders(truth: NDArray[np.uint8], rate: float, draw: np.random.Generator) -> NDArray[np.uint8]:
    """The label map (H, W) with a share `rate` of its non-void pixels wrong along the borders of its regions.

    Borders move to one side or the other, as a smooth random field says, until exactly so many pixels (rounded)
    have taken the class beyond their nearest border. A map of one class has no borders and stays as it is.
    """
    held = np.setdiff1d(truth, [IGNORE])
    known = truth != IGNORE
    if len(held) < 2:
        return truth.copy()
    distance = np.full(truth.shape, np.inf)
    beyond = truth.copy()
    for label in held:
        own = truth == label
        # void is no border: a region is looked at as if void beside it were its own
        away, (rows, columns) = ndimage.distance_transform_edt(own | ~known, return_indices=True)
        distance[own] = away[own]
        beyond[own] = truth[rows[own], columns[own]]
    field = ndimage.gaussian_filter(draw.standard_normal(truth.shape), WOBBLE)
    yields = (truth < beyond) == (field > 0)  # else both sides of a border would change places
    order = np.lexsort([draw.random(truth.size), distance.ravel(), ~yields.ravel(), ~known.ravel()])
    wrong = order[: round(rate * np.count_nonzero(known))]
    degraded = truth.copy()
    degraded.ravel()[wrong] = beyond.ravel()[wrong]
    return degraded


def walk(image: NDArray[np.uint8], log: Log) -> NDArray[np.uint8]:
    """Labels (H, W) of an image (H, W, 3) by scikit-image's random walker on Lab colour from its revealed pixels.

    Void everywhere where no pixel is revealed.
    """
    pixels, labels = log.labelled()
    held, index = np.unique(labels, return_inverse=True)
    if len(held) < 2:
        return np.full(image.shape[:2], held[0] if len(held) else IGNORE, np.uint8)
    seeds = np.zeros(image.shape[:2], np.int32)
    seeds[tuple(pixels.T)] = index + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the solver that it prefers is an optional one
        found = random_walker(rgb2lab(image), seeds, mode="cg_j", channel_axis=-1)
    walked: NDArray[np.uint8] = held[np.maximum(found, 1) - 1]
    return walked
