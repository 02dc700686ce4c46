"""The data-set network `unet`, trained from scratch on minibatches of images: a residual U-Net with batch norm.

Its decoder is light: skips are added, not concatenated, and one convolution follows (LinkNet, arXiv 1707.03718).

It is not `lowpix.networks.unet`, which learns from one image and a few labelled pixels.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

LEVELS = 4  # halvings of the resolution
DROPPED = 0.2  # dropout of the coarsest channels: the network soon overfits a few hundred images


class DatasetUNet(nn.Module):
    """`(B, 3, H, W)` float32, about zero mean and unit scale → logits `(B, C, H, W)`, for any height and width.

    Args:
        classes: C.
        width: channels at full resolution. They double at the first three of four halvings.
        seed: seed of the initial weights, which depend only on it and on the shapes.
    """

    mean = (127.5, 127.5, 127.5)
    std = (64.0, 64.0, 64.0)
    bgr = False
    dropout = 0.0
    """Dropout probability of the last layer's input. Whole channels are dropped."""

    def __init__(self, classes: int, width: int, seed: int) -> None:
        super().__init__()
        self.description = {"network": "unet", "classes": classes, "width": width}
        widths = [width * min(2**level, 8) for level in range(LEVELS + 1)]
        with torch.device("meta"):  # otherwise torch draws weights from its global generator
            self.down = nn.ModuleList(Block(a, b) for a, b in zip([3, *widths], widths, strict=False))
            self.context = Pointwise(widths[-1], widths[-1])
            self.up = nn.ModuleList(Up(b, a) for a, b in pairwise(widths))
            self.head = Pointwise(width, classes)
        self.to_empty(device="cpu")
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        logits: torch.Tensor = self.head(functional.dropout2d(self._hidden(images), self.dropout, self.training))
        return logits[..., :height, :width]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's input `(B, width, H, W)`."""
        height, width = images.shape[-2:]
        return self._hidden(images)[..., :height, :width]

    def _hidden(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's input; height and width are rounded up to a multiple of 16."""
        height, width = images.shape[-2:]
        multiple = 2**LEVELS
        hidden = functional.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips = []
        for level, block in enumerate(self.down):
            hidden = block(functional.max_pool2d(hidden, 2) if level else hidden)
            skips.append(hidden)
        # add features of the whole image, which 3×3 convolutions cannot see
        hidden = hidden + self.context(hidden.mean((2, 3), keepdim=True)).relu()
        hidden = functional.dropout2d(hidden, DROPPED, self.training)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            hidden = block(hidden, skip)
        return hidden

    def _initialise(self, draw: torch.Generator) -> None:
        """He initialisation of the convolutions; norms start as the identity; a small head makes it unsure."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d | Pointwise):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=draw)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.head.weight *= 0.1


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, and a shortcut: `(B, in, h, w)` → `(B, out, h, w)`."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(out)
        self.shortcut = Pointwise(channels, out)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first_norm(self.first(inputs)).relu_()
        hidden = self.second_norm(self.second(hidden))
        return functional.relu_(hidden + self.shortcut(inputs))


class Up(nn.Module):
    """Coarse features `(B, in, h, w)` and a skip `(B, out, 2h, 2w)` → `(B, out, 2h, 2w)`."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.narrow = Pointwise(channels, out)
        self.convolution = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        hidden = skip + functional.interpolate(self.narrow(coarse), scale_factor=2, mode="nearest")
        return functional.relu_(self.norm(self.convolution(hidden)))


class Pointwise(nn.Linear):
    """A 1×1 convolution as a matrix product. Torch's own convolution is slow here on one CPU thread."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
