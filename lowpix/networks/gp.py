"""A Gaussian process that classifies pixels. It follows from the revealed pixels exactly: nothing is trained.

Its outputs are a regression on one-hot classes (Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006, sections 2.2 and 6.5), and a softmax makes them probabilities. All hyperparameters are chosen by leaving out
each revealed pixel in turn, which takes no more than one decomposition (their equations 5.10 to 5.12).
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.networks.features import FOURIER, PLACE, pixel_features
from lowpix.networks.network import Parameters

LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)  # squared length scale, in medians of the squared distances
NOISES = (0.001, 0.01, 0.03, 0.1, 0.3)  # variance of the noise; that of the process is 1
SHARPNESSES = (2.0, 3.0, 5.0, 8.0, 12.0)  # the softmax reads the outputs times this
GROWTH = 1.08  # hyperparameters are chosen again when the number of revealed pixels has grown by this
MOST_COMPARED = 512  # revealed pixels that hyperparameters are chosen on: the time grows with the cube
TILE = 1 << 18  # entries of the kernel matrix at a time, so that it stays in a core's cache


class GaussianProcess:
    """Gaussian-process regression on `pixel_features` with a Matérn 3/2 kernel, in float32; solved in float64.

    Its parameters, each with a leading 1:
        support: `(1, n, F)` the scaled features of the n revealed pixels.
        weights: `(1, n, C)` what a pixel like this one adds to the logits.
        offset: `(1, C)` 0 for revealed classes, −∞ for others. With no class revealed, 0 for all.
        scale: `(1, F)` what features are multiplied by. Distances are then in units of length / √3.
        chosen: `(1, 4)` squared length, noise, sharpness, and the number of pixels when they were chosen.
    """

    name = "gp"
    members = 1
    stacks = False
    learning_rate = 0.0
    width = 0
    reads_features = True
    first_steps = 1
    steps = 1

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """`(N, F)` float32 pixel features."""
        return pixel_features(image).to(device)

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """No pixel is revealed, so all classes are equally likely. Nothing is drawn."""
        shapes = {
            "support": (0, inputs.shape[1]),
            "weights": (0, classes),
            "offset": (classes,),
            "scale": (inputs.shape[1],),
            "chosen": (4,),
        }
        return {name: torch.zeros(members, *shape) for name, shape in shapes.items()}

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """`(n, F)` float32: the features of these pixels."""
        return inputs[pixels].float()

    def solve(self, parameters: Parameters, rows: torch.Tensor, answers: torch.Tensor) -> Parameters:
        """The parameters that follow from the features `(n, F)` and classes `(n,)` of the revealed pixels.

        The weights of a class are τ (K + λ1)⁻¹ (y − 1/C′): y is 1 at its pixels and 0 elsewhere, C′ the number of
        revealed classes, λ the noise and τ the sharpness. Of the parameters before, only the hyperparameters are
        kept, until there are 8 % more pixels or a new class.
        """
        seen, offset = torch.unique(answers), parameters["offset"][0]
        features = rows.double() * _importance(rows)
        targets = (answers[:, None] == seen).double() - 1 / len(seen)
        squared = _squared_distances(features, features)
        chosen, classes_before = parameters["chosen"][0], int((offset == 0).sum())
        if len(rows) >= GROWTH * float(chosen[3]) or len(seen) != classes_before:
            chosen = torch.tensor([*choose(squared, targets), len(rows)]).to(offset)
        length, noise, sharpness, _ = chosen.tolist()
        kernel = _matern((3 / length * squared).sqrt_())
        kernel.diagonal().add_(noise)
        weights = rows.new_zeros(len(rows), len(offset))
        weights[:, seen] = (sharpness * torch.cholesky_solve(targets, torch.linalg.cholesky(kernel))).float()
        offset = torch.full_like(offset, -math.inf)
        offset[seen] = 0
        scale = (_importance(rows) * math.sqrt(3 / length)).float()
        solved = {
            "support": rows * scale,
            "weights": weights,
            "offset": offset,
            "scale": scale,
            "chosen": chosen,
        }
        return {name: value[None] for name, value in solved.items()}

    def logits(self, parameters: Parameters, rows: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`(1, 1, C, n)` from features `(n, F)`, for a stack of one session."""
        return _logits({name: value[0, 0] for name, value in parameters.items()}, rows)[None, None]

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Tiles in row-major order. The more pixels are revealed, the smaller they are."""
        own = {name: value[0] for name, value in parameters.items()}
        entries = TILE if inputs.device.type == "cpu" else 64 * TILE
        tile = max(256, entries // max(own["support"].shape))
        for start in range(0, len(inputs), tile):
            where = slice(start, min(start + tile, len(inputs)))
            yield where, _logits(own, inputs[where])[None]


def choose(squared: torch.Tensor, targets: torch.Tensor) -> tuple[float, float, float]:
    """The squared length, noise and sharpness that predict each revealed pixel best from all others.

    Length and noise have the least Brier score; then the sharpness has the least log loss. Beyond MOST_COMPARED
    pixels, evenly spread ones in the order of their revealing are compared.

    Args:
        squared: `(n, n)` float64, squared distances.
        targets: `(n, C′)` float64, one-hot classes less 1/C′.
    """
    step = -(-len(targets) // MOST_COMPARED)
    squared, targets = squared[::step, ::step], targets[::step]
    apart = squared[tuple(torch.triu_indices(len(squared), len(squared), 1))]
    middle = max(float(apart.median()), 1e-6) if len(apart) else 1.0
    noises = torch.tensor(NOISES).to(targets)
    candidates = []
    for length in LENGTHS:
        values, vectors = torch.linalg.eigh(_matern((3 / (length * middle) * squared).sqrt_()))
        inverse = 1 / (values[:, None] + noises)  # (n, noises): eigenvalues of (K + λ1)⁻¹
        projected = (vectors.T @ targets)[:, None] * inverse[..., None]
        weights = (vectors @ projected.flatten(1)).view(projected.shape)  # (n, noises, C′)
        # a pixel's error, if it is left out
        errors = weights / (vectors.square() @ inverse)[..., None]
        briers = errors.square().sum(-1).mean(0)
        candidates += [
            (float(brier), length * middle, noise, error)
            for brier, noise, error in zip(briers, NOISES, errors.unbind(1), strict=True)
        ]
    _, length, noise, error = min(candidates, key=lambda candidate: candidate[0])
    answers = targets.argmax(1, keepdim=True)
    losses = {
        sharpness: -float((sharpness * (targets - error)).log_softmax(1).gather(1, answers).mean())
        for sharpness in SHARPNESSES
    }
    return length, noise, min(losses, key=losses.__getitem__)


def _logits(own: Parameters, rows: torch.Tensor) -> torch.Tensor:
    """`(C, n)` from parameters without their leading 1, and features `(n, F)`."""
    distances = _squared_distances(rows * own["scale"], own["support"]).sqrt_()
    return torch.addmm(own["offset"][:, None], own["weights"].T, _matern(distances).T)


def _matern(distances: torch.Tensor) -> torch.Tensor:
    """The Matérn 3/2 kernel (1 + t) e⁻ᵗ at distances t in units of length / √3."""
    decay = distances.neg().exp_()
    return torch.addcmul(decay, decay, distances, out=decay)


def _squared_distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`(I, J)` squared distances of rows `(I, F)` and `(J, F)`."""
    squares = one.square().sum(1, keepdim=True)
    return torch.addmm(other.square().sum(1), one, other.T, alpha=-2).add_(squares).clamp_(min=0)


def _importance(rows: torch.Tensor) -> torch.Tensor:
    """`(F,)` float64: how much each feature counts in distances. Place matters more, Fourier coordinates less."""
    weights = torch.ones(rows.shape[1], dtype=torch.float64, device=rows.device)
    weights[PLACE], weights[FOURIER] = 2, 0.5
    return weights
