"""A data set's network as everything else sees it: images of 0 to 255 in, logits of the same size out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from lowpix.errors import InputError
from lowpix.networks.dataset_unet import DatasetUNet
from lowpix.networks.pretrained import PREFIX, Pretrained, open_pretrained, rebuild
from lowpix.record.atomic import atomic

FORMAT = "lowpix model 1"  # the key of the metadata


class Segmenter(nn.Module):
    """A network with its input normalisation: `(B, 3, H, W)` float32 of 0 to 255 → logits `(B, C, H, W)` float32.

    Where the network's own logits are coarser, they are interpolated bilinearly.
    """

    def __init__(self, body: DatasetUNet | Pretrained) -> None:
        super().__init__()
        self.body = body
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(body.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(body.std).view(-1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body((images - self.mean) / self.std).float()
        if logits.shape[-2:] != images.shape[-2:]:
            logits = functional.interpolate(logits, images.shape[-2:], mode="bilinear")
        return logits


def build(network: str, classes: int, width: int, from_scratch: bool, seed: int) -> Segmenter:
    """A network that is about to be trained: `unet`, or `hf:<folder or model id>` of transformers.

    Args:
        network: its name.
        classes: C.
        width: channels of `unet` at full resolution.
        from_scratch: of a transformers model only the configuration is used; `unet` always starts afresh.
        seed: of the initial weights.

    Raises:
        InputError: an unknown name, or a model that is not to be had.
    """
    if network == "unet":
        return Segmenter(DatasetUNet(classes, width, seed))
    if network.startswith(PREFIX) and len(network) > len(PREFIX):
        return Segmenter(open_pretrained(network.removeprefix(PREFIX), classes, from_scratch, seed))
    raise InputError(f"--network {network}: unknown; choose from unet, {PREFIX}<folder or model id>")


@dataclass(frozen=True)
class Model:
    """A trained network and what labelling a new image takes."""

    network: Segmenter
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    """(C, 3), a colour per class."""
    scale: float
    """Images are resized by so much before the network sees them."""
    size: tuple[int, int]
    """Height and width of the median training image, before it was resized."""


def save_model(path: Path, model: Model, about: Mapping[str, str] | None = None) -> None:
    """Write a model to a safetensors file, whole or not at all, with all that `load_model` needs as metadata.

    `about` is further metadata, for readers.
    """
    body = model.network.body
    metadata = {
        "description": body.description,
        "classes": model.classes,
        "palette": model.palette.tolist(),
        "scale": model.scale,
        "size": model.size,
        "mean": body.mean,
        "std": body.std,
        **(about or {}),
    }
    with atomic(path) as temporary:
        # under one key: safetensors writes several in any order, and the same model should be the same bytes
        save_file(tensors(model.network), temporary, {FORMAT: json.dumps(metadata)})


def load_model(path: Path) -> Model:
    """Read what `save_model` wrote. Raises InputError where the file is missing or is no such model."""
    try:
        with safe_open(path, "pt") as file:
            if FORMAT not in (file.metadata() or {}):
                raise InputError(f"{path}: is no model of lowpix.dataset_study")
            metadata = json.loads(file.metadata()[FORMAT])
            network = _described(metadata["description"])
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return Model(
            network.eval(),
            tuple(metadata["classes"]),
            np.array(metadata["palette"], np.uint8),
            float(metadata["scale"]),
            tuple(metadata["size"]),
        )
    except InputError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise InputError(f"{path}: cannot be read as a model ({' '.join(str(fault).split())[:200]})") from None


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, as safetensors takes them: on the CPU, contiguous, none sharing memory."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}


def _described(description: dict[str, Any]) -> Segmenter:
    if description["network"] == "unet":
        return Segmenter(DatasetUNet(description["classes"], description["width"], seed=0))
    return Segmenter(rebuild(description))
