"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611) on a backbone of transformers: what PixelPick's network is.

The head that transformers itself puts on MobileNetV2 under this name has one 1×1 convolution and image pooling.
It has neither the atrous branches nor the decoder, whose skip shows where things end.
"""

import json
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from lowpix.segmenter.unet import Pointwise

RATES = (6, 12, 18)  # dilations of the atrous branches, for features at stride 16
SKIP_STRIDE = 4  # of the features that the decoder adds, and of the logits
SKIP_CHANNELS = 48
PROBE = 64  # side of the image that shows the shapes of a backbone's features


class Norm(NamedTuple):
    """The input that a model expects."""

    mean: tuple[float, ...]
    """Per channel, in units of 0 to 255."""
    std: tuple[float, ...]
    """Likewise."""
    bgr: bool
    """Whether blue comes before red."""


class DeepLab(nn.Module):
    """Normalised images `(B, 3, H, W)` → logits `(B, C, h, w)` at stride 4.

    Args:
        backbone: a model of transformers, which gives its features as `hidden_states`.
        classes: C.
        width: channels of the branches and of the decoder, for example 64 on a CPU and 256 on a GPU.
        norm: the input that the backbone expects.

    New weights are drawn from torch's global generator.
    """

    dropout = 0.1
    """Dropout probability of the last layer's input. Whole channels are dropped."""

    def __init__(self, backbone: Any, classes: int, width: int, norm: Norm) -> None:
        super().__init__()
        self.backbone = backbone
        self.mean, self.std, self.bgr = norm
        self.description = {
            "network": "deeplab",
            "config": json.loads(backbone.config.to_json_string(use_diff=False)),
            "classes": classes,
            "width": width,
            **norm._asdict(),
        }
        shapes = [tuple(features.shape) for features in self._probe()]
        fine = [index for index, shape in enumerate(shapes) if shape[-1] * SKIP_STRIDE == PROBE]
        if not fine:
            raise ValueError(f"its features have shapes {shapes}: none has stride {SKIP_STRIDE}")
        self.skip = fine[-1]
        channels = shapes[-1][1]
        self.branches = nn.ModuleList(
            [_convolution(channels, width, 1), *(_convolution(channels, width, 3, rate) for rate in RATES)]
        )
        self.pooled = Pointwise(channels, width)  # without batch norm: an image has only one value per channel
        self.project = _convolution((len(RATES) + 2) * width, width, 1)
        self.narrow = _convolution(shapes[self.skip][1], SKIP_CHANNELS, 1)
        self.decode = nn.Sequential(_convolution(width + SKIP_CHANNELS, width, 3), _convolution(width, width, 3))
        self.head = Pointwise(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(functional.dropout2d(self.features(images), self.dropout, self.training))
        return logits

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's input `(B, width, h, w)`."""
        hidden = self._hidden(images)
        coarse, skip = hidden[-1], hidden[self.skip]
        pooled = self.pooled(coarse.mean((2, 3), keepdim=True)).relu().expand(-1, -1, *coarse.shape[-2:])
        coarse = self.project(torch.cat([*(branch(coarse) for branch in self.branches), pooled], 1))
        coarse = functional.interpolate(coarse, skip.shape[-2:], mode="bilinear")
        found: torch.Tensor = self.decode(torch.cat([coarse, self.narrow(skip)], 1))
        return found

    def _hidden(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: Any = self.backbone(pixel_values=images, output_hidden_states=True)
        hidden: tuple[torch.Tensor, ...] = found.hidden_states
        return hidden

    @torch.no_grad()
    def _probe(self) -> tuple[torch.Tensor, ...]:
        """Features of an empty image, for their shapes. No statistics change."""
        self.backbone.eval()
        hidden = self._hidden(torch.zeros(1, 3, PROBE, PROBE))
        self.backbone.train()
        return hidden


def dilate(stage: nn.Module) -> None:
    """Take the stride of 2 from a stage of a ResNet, in place, and dilate its later convolutions instead.

    They then see the same pixels as before, on a grid that is twice as fine.
    """
    for module in stage.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.stride == (2, 2):
            module.stride = (1, 1)
        elif module.kernel_size == (3, 3):
            module.dilation = module.padding = (2, 2)


def _convolution(channels: int, out: int, size: int, rate: int = 1) -> nn.Sequential:
    """A convolution that keeps height and width, with batch norm and ReLU."""
    padding = rate * (size // 2)
    return nn.Sequential(
        nn.Conv2d(channels, out, size, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )
