"""An ensemble of per-pixel MLPs on fixed features: a round costs milliseconds to train."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.networks.features import pixel_features
from lowpix.networks.network import Parameters


class PixelMLP:
    """Two hidden layers on `pixel_features`; `S × M` networks run as batched matrix products."""

    name = "mlp"
    members = 4
    stacks = True
    learning_rate = 0.01
    first_steps = 60
    steps = 20
    width = 64
    tile = 2048  # pixels; what the hidden layers of a tile fill stays in a core's cache

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """`(F, N)` float32 pixel features."""
        return pixel_features(image).to(device)

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """He initialisation; the last layer is halved, so that a fresh network is unsure."""

        def weights(fan_out: int, fan_in: int, gain: float) -> torch.Tensor:
            return torch.randn(members, fan_out, fan_in, generator=draw) * (gain / math.sqrt(fan_in))

        return {
            "weight1": weights(self.width, inputs.shape[0], math.sqrt(2)),
            "bias1": torch.zeros(members, self.width, 1),
            "weight2": weights(self.width, self.width, math.sqrt(2)),
            "bias2": torch.zeros(members, self.width, 1),
            "weight3": weights(classes, self.width, 0.5),
            "bias3": torch.zeros(members, classes, 1),
        }

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """`(F, n)`: the features of these pixels."""
        return inputs[:, pixels]

    def logits(self, parameters: Parameters, rows: torch.Tensor) -> torch.Tensor:
        """`(S, M, C, n)` from rows `(S, F, n)`."""
        sessions, members, width, count = parameters["weight1"].shape
        pixels = rows.shape[-1]
        # the members of a session read the same rows: their first layers are one product
        hidden = torch.baddbmm(
            parameters["bias1"].reshape(sessions, members * width, 1),
            parameters["weight1"].reshape(sessions, members * width, count),
            rows,
        ).relu_()
        hidden = hidden.view(sessions * members, width, pixels)
        hidden = torch.baddbmm(
            parameters["bias2"].flatten(0, 1), parameters["weight2"].flatten(0, 1), hidden
        ).relu_()
        logits = torch.baddbmm(parameters["bias3"].flatten(0, 1), parameters["weight3"].flatten(0, 1), hidden)
        return logits.view(sessions, members, -1, pixels)

    def tiles(self, parameters: Parameters, inputs: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Tiles of `tile` pixels in row-major order."""
        stack = {name: value[None] for name, value in parameters.items()}
        tile = self.tile if inputs.device.type == "cpu" else 64 * self.tile
        for start in range(0, inputs.shape[1], tile):
            where = slice(start, min(start + tile, inputs.shape[1]))
            yield where, self.logits(stack, inputs[None, :, where])[0]
