"""A small U-Net on the whole image. It learns its own features; every training step runs on all pixels."""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from lowpix.networks.network import Parameters

WIDTH = 16  # channels at full resolution, doubled at each level
LEVELS = 3  # halvings of the resolution


class UNet:
    """A U-Net, trained one session at a time: on a CPU, grouped convolutions are slower than separate ones."""

    name = "unet"
    members = 1
    stacks = False
    width = WIDTH
    reads_features = False
    learning_rate = 0.003
    first_steps = 60
    steps = 10

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """`(1, 3, H, W)` float32, with about zero mean and unit scale."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device, torch.float32)
        return (pixels.permute(2, 0, 1)[None] - 127.5) / 64

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """He initialisation of the convolutions; norms start as the identity."""

        def fresh(name: str, value: torch.Tensor) -> torch.Tensor:
            if value.ndim == 4:
                fan_in = math.prod(value.shape[1:])
                return torch.randn(members, *value.shape, generator=draw) * math.sqrt(2 / fan_in)
            return torch.full((members, *value.shape), float("norm" in name and name.endswith("weight")))

        return {name: fresh(name, value) for name, value in _module(classes).named_parameters()}

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole image, and the pixels to compute logits for."""
        return inputs, pixels

    def logits(
        self,
        parameters: Parameters,
        rows: tuple[torch.Tensor, torch.Tensor],
        keep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`(1, M, C, n)` for a stack of one session."""
        inputs, pixels = rows
        (session,) = zip(*parameters.values(), strict=True)
        members = [dict(zip(parameters, values, strict=True)) for values in zip(*session, strict=True)]
        hidden = [self._hidden(member, inputs)[:, pixels] for member in members]
        if keep is not None:
            hidden = [values * kept for values, kept in zip(hidden, keep[0], strict=True)]
        return torch.stack([self._head(*pair) for pair in zip(members, hidden, strict=True)])[None]

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """One tile: the whole image."""
        logits = []
        for values in zip(*parameters.values(), strict=True):
            member = dict(zip(parameters, values, strict=True))
            hidden = self._hidden(member, inputs)
            samples = [hidden] if keep is None else (hidden * kept[:, None] for kept in keep)
            logits += [self._head(member, sample) for sample in samples]
        yield slice(0, inputs.shape[-2] * inputs.shape[-1]), torch.stack(logits)

    def _hidden(self, member: Parameters, inputs: torch.Tensor) -> torch.Tensor:
        """`(width, N)`: the input of one member's last layer."""
        hidden: torch.Tensor = functional_call(_module(member["head.bias"].shape[0]), member, (inputs,))
        return hidden[0].flatten(1)

    def _head(self, member: Parameters, hidden: torch.Tensor) -> torch.Tensor:
        """Logits `(C, n)` from hidden values `(width, n)`."""
        return torch.addmm(member["head.bias"][:, None], member["head.weight"][..., 0, 0], hidden)


class _Block(nn.Sequential):
    """Two 3×3 convolutions, each with a group norm and a ReLU."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        for index, channels_in in enumerate((channels, out)):
            self.add_module(f"conv{index}", nn.Conv2d(channels_in, out, 3, padding=1, bias=False))
            self.add_module(f"norm{index}", nn.GroupNorm(4, out))
            self.add_module(f"relu{index}", nn.ReLU(inplace=True))


class _Module(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = [WIDTH * 2**level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(_Block(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in pairwise(widths))
        self.head = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`(1, 3, H, W)` → `(1, WIDTH, H, W)`, the input of the head, for any height and width."""
        height, width = image.shape[-2:]
        multiple = 2**LEVELS
        hidden = functional.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips = []
        for level, block in enumerate(self.down):
            hidden = block(functional.max_pool2d(hidden, 2) if level else hidden)
            skips.append(hidden)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            hidden = functional.interpolate(hidden, scale_factor=2, mode="nearest")
            hidden = block(torch.cat([skip, hidden], 1))
        return hidden[..., :height, :width]


@lru_cache(maxsize=4)
def _module(classes: int) -> _Module:
    """The architecture. Its own parameters have no storage and are never read."""
    with torch.device("meta"):
        return _Module(classes)
