"""Probabilities of an image from a data-set network, also of Monte-Carlo samples of its last layer.

The features of an image, which take nearly all the time, are computed once. A sample drops channels of them before
the last layer, the same ones for all pixels and images: it is the same network with a thinned last layer (Gal and
Ghahramani 2016, arXiv 1506.02142, with dropout in the last layer alone).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lowpix.networks.device import mixed_precision
from lowpix.segmenter.evaluation import network_input
from lowpix.segmenter.model import Segmenter


def kept_channels(network: Segmenter, samples: int, dropout: float, seed: int) -> torch.Tensor:
    """The factors `(M, F)` of the last layer's input for each sample: 0, or 1 / (1 − dropout)."""
    assert network.head is not None, "checked before the study"
    draw = torch.Generator().manual_seed(seed)
    kept = torch.rand(samples, network.head.in_features, generator=draw) >= dropout
    return kept / (1 - dropout)


@torch.no_grad()
def probabilities(
    network: Segmenter,
    image: NDArray[np.uint8],
    scale: float,
    stride: int,
    device: torch.device,
    kept: torch.Tensor | None = None,
) -> torch.Tensor:
    """Probabilities `(M, C, h, w)` float32 on a grid over an image `(H, W, 3)` uint8, on `device`.

    Args:
        network: in eval mode, and on `device`.
        image: is resized by `scale` for the network.
        scale: as in `label_image`.
        stride: pixels of the resized image from one point of the grid to the next. Features are interpolated
            bilinearly to the grid; as the last layer is linear, this is the same as interpolating its logits.
        device: where the network is.
        kept: from `kept_channels`; None gives M = 1, the network without dropout.
    """
    given = network_input(image, scale, device)
    grid = [-(-side // stride) for side in given.shape[-2:]]
    with mixed_precision(device):
        features = network.features(given)
    if list(features.shape[-2:]) != grid:
        features = functional.interpolate(features, grid, mode="bilinear")
    if network.head is None:
        return features.softmax(1)
    weights, bias = network.head.weight, network.head.bias
    members = weights[None] if kept is None else weights * kept.to(device)[:, None]  # (M, C, F)
    logits = members.flatten(0, 1) @ features[0].flatten(1)  # (M·C, h·w)
    logits = logits.view(len(members), len(weights), *grid) + bias.view(-1, 1, 1)
    return logits.softmax(1)
