"""The features that a per-pixel network reads. They are computed once per image; no round changes them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb

SCALES = (1, 2, 4, 8, 16)  # standard deviations of the Gaussian scale space, pixels
OCTAVES = 4  # of Fourier coordinates; the period of the coarsest is the image's longer side
SEGMENT_SCALES = (50, 200, 800)  # of Felzenszwalb and Huttenlocher's graph-based segments, fine to coarse
BLOCK = 1 << 20  # pixels
HALO = 4 * max(SCALES) + 1  # rows above and below a block that its scale space and gradients read
PLACE = slice(3 + 7 * len(SCALES), 5 + 7 * len(SCALES))  # the features that are coordinates
FOURIER = slice(PLACE.stop, PLACE.stop + 4 * OCTAVES)  # and those that are their sines and cosines
FEATURES = FOURIER.stop + 5 * len(SEGMENT_SCALES)


def pixel_features(
    image: NDArray[np.uint8], dtype: torch.dtype = torch.float32, block: int = BLOCK
) -> torch.Tensor:
    """Features of every pixel, with about zero mean and unit scale.

    Lab colours and their Gaussian scale space; gradients and local deviation of the lightness; coordinates with
    their Fourier octaves; and the mean colour and position of the pixel's graph-based segment (Felzenszwalb and
    Huttenlocher, IJCV 2004) at three scales. Colours are standardised per image, so dark and bright images give
    similar features. With the segments, a network that reads one pixel at a time can follow the edges of regions.

    Args:
        image: `(H, W, 3)` uint8.
        dtype: of the result. The features are computed in float32.
        block: pixels. Larger images are processed in blocks of rows, and segments end at the block borders.

    Returns:
        `(N, F)` with N = H·W pixels in row-major order and F = FEATURES.
    """
    height, width = image.shape[:2]
    features = torch.empty(height, width, FEATURES, dtype=dtype)
    bounds = list(row_blocks(height, width, block))
    lab = np.empty((3, height, width), np.float32)
    for start, stop in bounds:
        lab[:, start:stop] = np.moveaxis(rgb2lab(image[start:stop]), -1, 0)
    colours = _standardised(lab)
    for start, stop in bounds:
        for index, plane in enumerate(_planes(colours, start, stop)):
            features[start:stop, :, index] = torch.from_numpy(plane)
    return features.view(-1, FEATURES)


def _planes(colours: NDArray[np.float32], start: int, stop: int) -> Iterator[NDArray[np.float32]]:
    """The features of rows `start` to `stop`, one by one, each `(stop − start, W)`, from colours `(3, H, W)`."""
    height, width = colours.shape[1:]
    y, x = np.mgrid[start:stop, :width].astype(np.float32)
    longer_half = max(height, width) / 2
    place = np.stack([(y - (height - 1) / 2) / longer_half, (x - (width - 1) / 2) / longer_half])
    above, below = min(start, HALO), min(height - stop, HALO)
    around = colours[:, start - above : stop + below]
    block = colours[:, start:stop]

    yield from block
    for sigma in SCALES:
        yield from _scale(around, sigma)[:, above : above + stop - start]
    yield from place
    yield from _fourier(place)
    summaries = np.concatenate([block, place])
    for scale in SEGMENT_SCALES:
        yield from _segment_means(_segments(block, scale), summaries)


def graph_segments(lab: NDArray[np.float32], block: int = BLOCK) -> NDArray[np.int64]:
    """The finest graph-based segments of the features, from Lab colours `(H, W, 3)`: `(H, W)` ids from 0.

    Segments of images with more than `block` pixels end at block borders, like those of the features.
    """
    colours = _standardised(np.moveaxis(lab, -1, 0))
    segments = np.empty(lab.shape[:2], np.int64)
    count = 0
    height, width = lab.shape[:2]
    for start, stop in row_blocks(height, width, block):
        segments[start:stop] = _segments(colours[:, start:stop], SEGMENT_SCALES[0]) + count
        count = int(segments[start:stop].max()) + 1
    return segments


def row_blocks(height: int, width: int, block: int = BLOCK) -> Iterator[tuple[int, int]]:
    """The first row and the end of each block of rows with at most about `block` pixels."""
    bounds = np.linspace(0, height, min(-(-height * width // block), height) + 1).astype(int)
    return pairwise(int(bound) for bound in bounds)


def _segments(colours: NDArray[np.float32], scale: int) -> NDArray[np.int64]:
    """Segments `(H, W)` of standardised colours `(3, H, W)` (Felzenszwalb and Huttenlocher, IJCV 2004)."""
    # the scales are usually chosen for RGB in 0 to 1; dividing by 5 gives about that spread of colours
    graph = np.moveaxis(colours, 0, -1) / 5
    segments: NDArray[np.int64] = felzenszwalb(graph, scale=scale, sigma=0.8, min_size=max(20, scale // 4))
    return segments


def _standardised(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lab colours divided by the image's own spread, with zero mean. A spread under 2 Lab units counts as 2."""
    lightness, *chroma = lab.std((1, 2))
    unit = np.array([max(lightness, 2), *[1.5 * max(float(np.hypot(*chroma)), 2)] * 2], np.float32)
    standardised: NDArray[np.float32] = (lab - lab.mean((1, 2), keepdims=True)) / unit[:, None, None]
    return standardised


def _scale(colours: NDArray[np.float32], sigma: int) -> NDArray[np.float32]:
    """Smoothed colours, and the lightness's gradients (normalised by scale) and local deviation, at one scale."""
    smooth = np.stack([ndimage.gaussian_filter(plane, sigma) for plane in colours])
    dy, dx = (
        np.gradient(smooth[0], axis=axis) if size > 1 else np.zeros_like(smooth[0])
        for axis, size in enumerate(smooth[0].shape)
    )
    gradients = np.stack([dy, dx, np.hypot(dy, dx)]) * (2 * sigma)
    variance = ndimage.gaussian_filter(colours[0] ** 2, sigma) - smooth[0] ** 2
    return np.concatenate([smooth, gradients, 3 * np.sqrt(np.maximum(variance, 0))[None]])


def _fourier(place: NDArray[np.float32]) -> NDArray[np.float32]:
    angles = np.concatenate([np.pi * 2**octave * place for octave in range(OCTAVES)])
    return np.concatenate([np.sin(angles), np.cos(angles)])


def _segment_means(segments: NDArray[np.integer], planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each plane's mean over the segment of each pixel: `(P, H, W)`."""
    flat = segments.ravel()
    sizes = np.bincount(flat)
    means = np.stack([np.bincount(flat, plane.ravel()) / sizes for plane in planes])
    return means[:, flat].reshape(planes.shape).astype(np.float32)
