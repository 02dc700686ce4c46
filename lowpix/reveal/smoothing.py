"""Smooth the probabilities of an image along its edges: noise within a region goes, the region's border stays.

Per-pixel networks judge each pixel alone. Two steps bring the pixels together: a pixel's probabilities are mixed
with the mean over its segment, and then spread to its neighbours unless an edge lies between. The more pixels are
revealed, the better the networks know, and the less is smoothed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from torch.nn import functional

from lowpix.networks.features import graph_segments, row_blocks
from lowpix.reveal.lattice import Lattice

CONTRAST = 1.5  # a colour step of the image's mean size lowers the weight between neighbours to exp(−1.5)
LEAST_WEIGHT = 1e-5  # keeps every pixel connected
# both depend on the share of revealed pixels: of a smaller image, as many pixels tell more, and things are thinner
MOST_VOTE, VOTE = 2.5, 7e-4  # weight of the segment's mean: at most, and times the share
LEAST_PULL, PULL = 0.01, 17.0  # weight of the networks' own probabilities: at least, and per share
PULL_OF_ANSWERS = 100.0
BLOCK = 4 << 20  # pixels: larger images are smoothed in blocks of rows, each as an image by itself
ITERATIONS = 10  # about as good as convergence, and answers then reach no farther than 10 pixels


@dataclass(frozen=True)
class Edges:
    """What smoothing reads from an image, computed once."""

    right: torch.Tensor
    """`(N,)` float32: weight between a pixel and the next one in its row; 0 at the end of a row."""
    down: torch.Tensor
    """`(N,)` float32: weight between a pixel and the one below; 0 in the last row."""
    segments: torch.Tensor
    """`(N,)` int32: the segment of each pixel, 0 to S − 1."""
    shape: tuple[int, int]
    step: int = 1
    """Rows and columns of the image from one pixel here to the next."""

    def at(self, lattice: Lattice) -> "Edges":
        """The edges between the points of a lattice.

        The weights in a line of pixels join like resistors in series, and `step` such lines lie side by side.
        """
        rows, columns = lattice.where
        joined = []
        for weights, across in (
            (self.right.view(self.shape)[rows], columns),
            (self.down.view(self.shape)[:, columns].T, rows),
        ):
            offsets = range(across.start, across.start + lattice.step)
            points = len(range(*across.indices(weights.shape[1])))
            resistance = torch.zeros(len(weights), points - 1, device=weights.device)
            for offset in offsets:
                resistance += 1 / weights[:, offset :: lattice.step][:, : points - 1]
            joined.append(functional.pad(lattice.step / resistance, (0, 1)))
        right, down = joined[0], joined[1].T.contiguous()
        segments = self.segments.view(self.shape)[rows, columns].reshape(-1)
        return Edges(right.ravel(), down.ravel(), segments, (right.shape[0], right.shape[1]), lattice.step)

    def rows(self, start: int, stop: int) -> "Edges":
        """The edges within rows `start` to `stop`."""
        width = self.shape[1]
        where = slice(start * width, stop * width)
        right, down, segments = self.right[where], self.down[where].clone(), self.segments[where]
        down[-width:] = 0
        return Edges(right, down, segments - segments.min(), (stop - start, width), self.step)

    @classmethod
    def of(cls, image: NDArray[np.uint8], device: torch.device) -> "Edges":
        """The edges of an image `(H, W, 3)` uint8. Weights are exp(−1.5 ‖ΔLab‖ / mean ‖ΔLab‖) + 1e-5."""
        lab = np.empty(image.shape, np.float32)
        for start, stop in row_blocks(*image.shape[:2]):  # the colours are in float64 at first
            lab[start:stop] = rgb2lab(image[start:stop])
        flat = [torch.from_numpy(weight.ravel()).to(device) for weight in _weights(lab)]
        segments = torch.from_numpy(graph_segments(lab).ravel()).to(device, torch.int32)
        return cls(flat[0], flat[1], segments, (image.shape[0], image.shape[1]))


def _weights(lab: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The weights of `Edges`, right and down, each `(H, W)`, from colours `(H, W, 3)`."""
    blurred = ndimage.gaussian_filter(lab, (0.6, 0.6, 0))
    right, down = (np.linalg.norm(np.diff(blurred, axis=axis), axis=-1) for axis in (1, 0))
    mean = (right.sum() + down.sum()) / max(right.size + down.size, 1)
    weights = [np.exp(-CONTRAST / max(mean, 1e-6) * step) + LEAST_WEIGHT for step in (right, down)]
    padded = [np.pad(weights[0], ((0, 0), (0, 1))), np.pad(weights[1], ((0, 1), (0, 0)))]
    return [weight.astype(np.float32) for weight in padded]


@torch.no_grad()
def smooth(edges: Edges, mean: torch.Tensor, pixels: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Smooth the mean probabilities of all pixels, in place.

    An image of more than BLOCK pixels is smoothed in blocks of rows, and nothing spreads across their borders: so
    memory beside `mean` does not grow with the image.

    Args:
        edges: of the image.
        mean: `(C, N)` float32, the mean probabilities of the classes that the networks have learned, at least two.
        pixels: `(n,)` int64, the flat indices of the labelled pixels.
        answers: `(n,)` int64, their classes, as rows of `mean`.

    Returns:
        `mean`, whose probabilities sum to 1.
    """
    share = len(pixels) / (mean.shape[1] * edges.step**2)
    height, width = edges.shape
    for start, stop in row_blocks(height, width, BLOCK):
        first, end = start * width, stop * width
        own = (pixels >= first) & (pixels < end)
        part = edges if end - first == mean.shape[1] else edges.rows(start, stop)
        _smooth_block(part, mean[:, first:end], pixels[own] - first, answers[own], share)
    return mean


def _smooth_block(
    edges: Edges, mean: torch.Tensor, pixels: torch.Tensor, answers: torch.Tensor, share: float
) -> None:
    """Smooth a block of pixels in place; `share` is that of labelled pixels in the whole image."""
    block = edges.step**2  # pixels of the image that one pixel here stands for
    vote = min(MOST_VOTE, VOTE / share) if share else MOST_VOTE  # 0 where only other images have told so far
    prior = _normalised(segment_vote(mean, edges.segments, vote))
    prior[:, pixels] = (torch.arange(len(mean), device=mean.device)[:, None] == answers).to(prior)
    pull = prior.new_full((mean.shape[1],), block * max(LEAST_PULL, PULL * share))
    pull[pixels] = PULL_OF_ANSWERS
    _normalised(random_walk(edges, prior, pull, out=prior).clamp_(min=0))


def segment_vote(mean: torch.Tensor, segments: torch.Tensor, weight: float) -> torch.Tensor:
    """`(C, N)`: adds `weight` times the mean over the segment of a pixel to its probabilities, in place."""
    sizes = segments.bincount()
    sums = mean.new_zeros(len(mean), len(sizes)).index_add_(1, segments, mean)
    for own, vote in zip(mean, weight * sums / sizes, strict=True):
        own += vote[segments]
    return mean


def random_walk(
    edges: Edges,
    prior: torch.Tensor,
    pull: torch.Tensor,
    iterations: int = ITERATIONS,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Solve (D − W + Γ) x = Γ v: the random walker with prior (Grady, "Multilabel random walker image segmentation
    using prior models", CVPR 2005).

    W holds the weights between neighbours and D their sums. The prior v is kept the more, the larger Γ is. The
    system is solved by a few steps of conjugate gradients from v, preconditioned by its diagonal.

    Args:
        edges: of the image.
        prior: `(C, N)` float32, v.
        pull: `(N,)` float32, the diagonal of Γ.
        iterations: number of steps.
        out: `(C, N)` float32 for the result; may be `prior`.

    Returns:
        `(C, N)` float32, x. It sums to 1 over classes, but single values may lie slightly outside 0 to 1.
    """
    width = edges.shape[1]
    degree = edges.right + edges.down
    degree[1:] += edges.right[:-1]
    degree[width:] += edges.down[:-width]
    # scaled by the root of the diagonal on both sides, the matrix is 1 − W' and needs no preconditioner
    root = (degree + pull).rsqrt()
    right = edges.right[:-1] * root[:-1] * root[1:]
    down = edges.down[:-width] * root[:-width] * root[width:]

    def times(y: torch.Tensor) -> torch.Tensor:
        product = y.clone()
        product[:, 1:].addcmul_(right, y[:, :-1], value=-1)
        product[:, :-1].addcmul_(right, y[:, 1:], value=-1)
        product[:, width:].addcmul_(down, y[:, :-width], value=-1)
        product[:, :-width].addcmul_(down, y[:, width:], value=-1)
        return product

    solution = torch.empty_like(prior) if out is None else out
    # on a CPU one class at a time, so that all vectors stay in the cache
    size = 1 if prior.device.type == "cpu" else len(prior)
    for part, solved in zip(torch.split(prior, size), torch.split(solution, size), strict=True):
        y = part / root
        residual = pull * root * part - times(y)
        direction = residual.clone()
        squared = residual.square().sum(1, keepdim=True)
        for _ in range(iterations):
            product = times(direction)
            step = squared / (direction * product).sum(1, keepdim=True).clamp(min=1e-30)
            y.addcmul_(direction, step)
            residual.addcmul_(product, step, value=-1)
            before, squared = squared, residual.square().sum(1, keepdim=True)
            direction.mul_(squared / before.clamp(min=1e-30)).add_(residual)
        torch.mul(y, root, out=solved)
    return solution


def _normalised(values: torch.Tensor) -> torch.Tensor:
    return values.div_(values.sum(0).clamp(min=1e-12))


SMOOTHINGS: dict[str, Callable[[NDArray[np.uint8], torch.device], Edges] | None] = {
    "none": None,
    "edges": Edges.of,
}
"""What a smoothing reads from the image, by the smoothing's name."""
