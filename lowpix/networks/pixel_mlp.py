"""An ensemble of per-pixel MLPs on fixed features. Training a round takes milliseconds."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.networks.device import multiplies_bfloat16
from lowpix.networks.features import pixel_features
from lowpix.networks.network import Parameters


class PixelMLP:
    """Two hidden layers on `pixel_features`; `S × M` networks run as batched matrix products.

    Networks are trained in float32. They are evaluated in bfloat16 if the device multiplies it natively, which is
    twice as fast. The same networks then label one pixel in a thousand otherwise, and mostly choose other pixels
    (CamVid: mean over 72 runs, and all of them; `results/camvid_float32`). With `exact` the evaluation is in
    float32, too.
    """

    members = 4
    stacks = True
    reads_features = True
    learning_rate = 0.01
    first_steps = 60
    steps = 20
    width = 64
    tile = 8192  # pixels; a layer's output then fits in a core's cache

    def __init__(self, name: str = "mlp", exact: bool = False) -> None:
        self.name = name
        self.exact = exact

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """`(N, F)` pixel features, in the dtype of evaluation."""
        fast = not self.exact and multiplies_bfloat16(device)
        return pixel_features(image, torch.bfloat16 if fast else torch.float32).to(device)

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """He initialisation with a smaller last layer, so that an untrained network is unsure."""

        def weights(fan_out: int, fan_in: int, gain: float) -> torch.Tensor:
            return torch.randn(members, fan_out, fan_in, generator=draw) * (gain / math.sqrt(fan_in))

        return {
            "weight1": weights(self.width, inputs.shape[1], math.sqrt(2)),
            "bias1": torch.zeros(members, self.width, 1),
            "weight2": weights(self.width, self.width, math.sqrt(2)),
            "bias2": torch.zeros(members, self.width, 1),
            "weight3": weights(classes, self.width, 0.5),
            "bias3": torch.zeros(members, classes, 1),
        }

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """`(F, n)` float32: the features of these pixels."""
        return inputs[pixels].T.float()

    def logits(self, parameters: Parameters, rows: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`(S, M, C, n)` from rows `(S, F, n)`."""
        sessions, members, width, count = parameters["weight1"].shape
        pixels = rows.shape[-1]
        # a session's members read the same rows, so their first layers are one product
        hidden = torch.baddbmm(
            parameters["bias1"].reshape(sessions, members * width, 1),
            parameters["weight1"].reshape(sessions, members * width, count),
            rows,
        ).relu_()
        hidden = hidden.view(sessions * members, width, pixels)
        hidden = torch.baddbmm(
            parameters["bias2"].flatten(0, 1), parameters["weight2"].flatten(0, 1), hidden
        ).relu_()
        if keep is not None:
            hidden = hidden * keep.flatten(0, 1)
        logits = torch.baddbmm(parameters["bias3"].flatten(0, 1), parameters["weight3"].flatten(0, 1), hidden)
        return logits.view(sessions, members, -1, pixels)

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Tiles of `tile` pixels in row-major order. Members run one after another to stay in the cache."""
        classes = parameters["bias3"].shape[1]
        samples = 1 if keep is None else len(keep)
        head, bias = parameters["weight3"], parameters["bias3"]
        if keep is not None:
            head = (head[:, None] * keep[:, None]).flatten(1, 2)  # (M, K·C, width): all samples in one product
            bias = bias.repeat(1, samples, 1)
        head, bias = head.to(inputs.dtype), bias.to(inputs.dtype)
        layers = [
            (parameters[f"weight{layer}"].to(inputs.dtype), parameters[f"bias{layer}"][..., 0].to(inputs.dtype))
            for layer in (1, 2)
        ]
        tile = self.tile if inputs.device.type == "cpu" else 64 * self.tile
        for start in range(0, len(inputs), tile):
            where = slice(start, min(start + tile, len(inputs)))
            logits = inputs.new_empty(len(head), samples * classes, where.stop - start)
            for member, out in enumerate(logits):
                hidden = inputs[where]
                for weight, bias_of_layer in layers:
                    hidden = _dense(hidden, weight[member], bias_of_layer[member])
                torch.addmm(bias[member], head[member], hidden.T, out=out)
            yield where, logits.view(-1, classes, where.stop - start)


def _dense(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A linear layer and ReLU, `(n, in)` → `(n, out)`; fused into one pass by oneDNN for bfloat16 on a CPU."""
    if rows.dtype == torch.bfloat16 and rows.device.type == "cpu":
        fused: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "relu", [], "")
        return fused
    return torch.nn.functional.linear(rows, weight, bias).relu_()
