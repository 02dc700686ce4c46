"""The data-set network with its input normalisation, and its model file."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from lowpix.errors import InputError, is_plain
from lowpix.options import shown
from lowpix.segmenter.pretrained import PREFIX, Body, Pretrained, open_pretrained, rebuild
from lowpix.segmenter.unet import DatasetUNet, Pointwise
from lowpix.storage import write_bytes
from lowpix.weights import read_weights, weights_file

FORMAT = "lowpix model 1"  # the only key of the metadata
MOST_SCALE = 1000  # an image is resized by this factor or its inverse at the most


class Segmenter(nn.Module):
    """A network with its input normalisation: `(B, 3, H, W)` float32 of 0 to 255 → logits `(B, C, H, W)` float32.

    Coarser logits are interpolated bilinearly.
    """

    def __init__(self, body: DatasetUNet | Body) -> None:
        super().__init__()
        self.body = body
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(body.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(body.std).view(-1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(self._normalised(images)).float()
        if logits.shape[-2:] != images.shape[-2:]:
            logits = functional.interpolate(logits, images.shape[-2:], mode="bilinear")
        return logits

    @property
    def head(self) -> Pointwise | None:
        """The last layer, which takes `features`; None if the network does not show it."""
        return None if isinstance(self.body, Pretrained) else self.body.head

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's input `(B, F, h, w)` float32; of a network that does not show it, the logits."""
        images = self._normalised(images)
        found: torch.Tensor = (
            self.body(images) if isinstance(self.body, Pretrained) else self.body.features(images)
        )
        return found.float()

    def backbone(self) -> list[nn.Parameter]:
        """The pretrained parameters; none in `unet`."""
        if isinstance(self.body, DatasetUNet):
            return []
        inner = self.body.model.base_model if isinstance(self.body, Pretrained) else self.body.backbone
        return list(inner.parameters())

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        images = (images - self.mean) / self.std
        return images.flip(1) if self.body.bgr else images


def build(network: str, classes: int, width: int, from_scratch: bool, seed: int) -> Segmenter:
    """Build a network for training: `unet`, or `hf:<folder or model id>` for a model of transformers.

    Args:
        network: name of the network.
        classes: C.
        width: channels of `unet` at full resolution, or of the head of DeepLabV3+.
        from_scratch: use only the configuration of a transformers model; `unet` is always trained from scratch.
        seed: seed of the initial weights.

    Raises:
        InputError: an unknown name, or a model that cannot be found.
    """
    if network == "unet":
        return Segmenter(DatasetUNet(classes, width, seed))
    if network.startswith(PREFIX) and len(network) > len(PREFIX):
        return Segmenter(open_pretrained(network.removeprefix(PREFIX), classes, width, from_scratch, seed))
    raise InputError(f"--network {network}: unknown; choose from unet, {PREFIX}<folder or model id>")


@dataclass(frozen=True)
class Fresh:
    """Gives networks before their training. The fields are the arguments of `build`."""

    network: str
    classes: int
    width: int
    from_scratch: bool
    kept: Mapping[int, Segmenter] = field(default_factory=dict)
    """Networks by seed that need not be built: another machine may lack the files of a pretrained one."""

    def __call__(self, seed: int) -> Segmenter:
        """A network with the initial weights of this seed. Raises InputError as `build` does."""
        if seed in self.kept:
            return deepcopy(self.kept[seed])
        return build(self.network, self.classes, self.width, self.from_scratch, seed)

    def sent(self, seed: int) -> "Fresh":
        """The same with the network of this seed, to travel with work to another machine."""
        return replace(self, kept={seed: self(seed)})


@dataclass(frozen=True)
class Model:
    """A trained network, with all that is needed to label a new image."""

    network: Segmenter
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    """(C, 3), a colour per class."""
    scale: float
    """Images are resized by this factor before the network sees them."""
    size: tuple[int, int]
    """Height and width of the median training image, before resizing."""


def save_model(path: Path, model: Model, about: Mapping[str, str] | None = None) -> None:
    """Write `model_file` to `path`, completely or not at all."""
    write_bytes(path, model_file(model, about))


def model_file(model: Model, about: Mapping[str, str] | None = None) -> bytes:
    """A model as the bytes of a safetensors file, with all that `load_model` needs in the metadata.

    `about` is further metadata for readers.
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
    return weights_file(tensors(model.network), FORMAT, metadata)


def load_model(path: Path) -> Model:
    """Read a file that `save_model` wrote. Raises InputError if the file is missing or is no such model."""
    weights, metadata = read_weights(path, FORMAT)
    try:
        _require_sound(metadata, weights)
        network = _described(metadata["description"])
        network.load_state_dict(weights)
        return Model(
            network.eval(),
            tuple(metadata["classes"]),
            np.array(metadata["palette"], np.uint8),
            float(metadata["scale"]),
            tuple(metadata["size"]),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as fault:
        raise InputError(f"{path}: cannot be read as a model ({' '.join(str(fault).split())[:200]})") from None


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, as safetensors needs them: on the CPU, contiguous, without shared memory."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}


def _require_sound(metadata: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError for metadata of no trained network, before a network as large as they say is built."""
    classes, scale, size = metadata["classes"], metadata["scale"], metadata["size"]
    description, count = metadata["description"], len(classes)
    rules = {
        "classes": isinstance(classes, list)
        and all(isinstance(name, str) and name and is_plain(name) for name in classes),
        "palette": np.array(metadata["palette"], np.uint8).shape == (count, 3),
        "scale": type(scale) in (int, float) and 1 / MOST_SCALE <= scale <= MOST_SCALE,
        "size": all(type(side) is int and 1 <= side < 2**31 for side in size) and len(size) == 2,
    }
    if description["network"] in ("unet", "deeplab"):
        shape = (count, description["width"])
        rules["description"] = description["classes"] == count and weights["body.head.weight"].shape == shape
    for name, kept in rules.items():
        if not kept:
            raise ValueError(f"its {name} is {shown(metadata[name])}")


def _described(description: dict[str, Any]) -> Segmenter:
    if description["network"] == "unet":
        return Segmenter(DatasetUNet(description["classes"], description["width"], seed=0))
    return Segmenter(rebuild(description))
