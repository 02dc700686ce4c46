"""Networks from models of `transformers`: segmentation models, and DeepLabV3+ on others. Nothing is downloaded."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import batch_norm, interpolate, pad

from lowpix.errors import InputError
from lowpix.segmenter.deeplab import DeepLab, Norm, dilate

PREFIX = "hf:"
BACKBONES = ("mobilenet_v2", "resnet")
"""Types of models that get the head of DeepLabV3+, unless they were saved with a segmentation head."""
DEFAULT_NORM = Norm((127.5,) * 3, (127.5,) * 3, bgr=False)
"""For models without `preprocessor_config.json`: inputs become -1 to 1."""
LEAST_SIDE = 64  # pixels; smaller images are padded, because many models cannot take them
COARSEST_STRIDE = 16  # if the model's stride can be set; 32 loses thin things
MOMENTUM = 0.1
"""Largest weight of the newest minibatch in the running statistics of a batch norm; torch's default."""
MOST_DROPPED = 0.2
"""Largest dropout probability before a model's classifier."""


class Pretrained(nn.Module):
    """A model of transformers as the data-set network: normalised `(B, 3, H, W)` → logits `(B, C, h, w)`.

    Logits may be coarser than the input. `description` is all that `rebuild` needs.
    """

    def __init__(self, model: Any, norm: Norm) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std, self.bgr = norm
        config = json.loads(model.config.to_json_string(use_diff=False))
        self.description = {"network": "hf", "config": config, **norm._asdict()}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        below, beside = max(0, LEAST_SIDE - height), max(0, LEAST_SIDE - width)
        logits: torch.Tensor = self.model(pixel_values=pad(images, (0, beside, 0, below), mode="replicate")).logits
        if below or beside:
            logits = interpolate(logits.float(), (height + below, width + beside), mode="bilinear")
            logits = logits[..., :height, :width]
        return logits


Body = Pretrained | DeepLab


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that takes a single value per channel, which torch refuses, by its running statistics.

    A branch that pools an image to one value per channel meets this in a minibatch of one image.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training and inputs.numel() == inputs.shape[1]:
            return batch_norm(inputs, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(inputs)


def trainable(model: Body) -> Body:
    """Make the batch norms of a model of transformers fit for training, in place; returns the model.

    transformers builds MobileNetV2 with momentum 0.997, TensorFlow's notation. In torch this keeps the statistics
    of hardly more than the last minibatch, so the trained network depends on which images came last.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = BatchNorm
            module.momentum = min(module.momentum or MOMENTUM, MOMENTUM)
    return model


def open_pretrained(name: str, classes: int, width: int, from_scratch: bool, seed: int) -> Body:
    """The model in folder `name`, or with this id in the local cache, for `classes` classes.

    A model of BACKBONES that was saved without a segmentation head, for example one for photographs of ImageNet,
    becomes the backbone of DeepLabV3+ with `width` channels. Any other keeps the head of transformers.

    Saved weights are loaded. Weights that do not fit, such as a head for other classes, are drawn from `seed`.
    `from_scratch` reads only the configuration and draws all weights. If the configuration has an `output_stride`,
    it is set to at most 16.

    Raises:
        InputError: transformers is not installed, or there is no such segmentation model.
    """
    transformers = _transformers(name)
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    saved: dict[str, Any] = {"use_safetensors": True, "ignore_mismatched_sizes": True}

    def load() -> Body:
        config = transformers.AutoConfig.from_pretrained(name, num_labels=classes, **where)
        saved_as = "".join(config.architectures or ())
        decodes = config.model_type in BACKBONES and "Segmentation" not in saved_as
        if hasattr(config, "output_stride"):
            config.output_stride = min(config.output_stride, COARSEST_STRIDE)
        if hasattr(config, "classifier_dropout_prob"):
            # MobileNetV2 declares 0.8: in TensorFlow, where it comes from, that is the share of channels to keep
            config.classifier_dropout_prob = min(config.classifier_dropout_prob, MOST_DROPPED)
        auto = transformers.AutoModel if decodes else transformers.AutoModelForSemanticSegmentation
        norm = _normalisation(transformers, name)
        _require_norm(norm)
        with drawing_from(seed):
            if from_scratch:
                model = auto.from_config(config)
            else:
                model = auto.from_pretrained(name, config=config, **saved, **where)
            model = model.float()
            made = DeepLab(_backbone(model), classes, width, norm) if decodes else Pretrained(model, norm)
        _require_logits(made, classes)
        return trainable(made)

    return _reported(name, load)


def rebuild(description: dict[str, Any]) -> Body:
    """The model of a `description`, before its weights are loaded. Raises InputError as above."""
    transformers = _transformers("model")
    config = dict(description["config"])
    norm = Norm(tuple(description["mean"]), tuple(description["std"]), description["bgr"])

    def build() -> Body:
        _require_norm(norm)
        made = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
        with drawing_from(0):
            if description["network"] == "hf":
                return trainable(Pretrained(transformers.AutoModelForSemanticSegmentation.from_config(made), norm))
            backbone = _backbone(transformers.AutoModel.from_config(made))
            return trainable(DeepLab(backbone, description["classes"], description["width"], norm))

    return _reported(config["model_type"], build)


def _backbone(model: Any) -> Any:
    """A model of BACKBONES without what follows its features, and with features at stride 16."""
    if model.config.model_type == "resnet":  # its configuration has no stride
        dilate(model.encoder.stages[-1])
    else:
        model.conv_1x1, model.pooler = nn.Identity(), None
    return model


@contextmanager
def drawing_from(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators with `seed`, and restore their state afterwards."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _require_norm(norm: Norm) -> None:
    """Raise ValueError for a mean or std that no image can be normalised by."""
    largest = torch.finfo(torch.float32).max
    if len(norm.mean) != 3 or not all(abs(value) <= largest for value in norm.mean):
        raise ValueError(f"image_mean must be three finite numbers, not {norm.mean}")
    if len(norm.std) != 3 or not all(1 / largest < value <= largest for value in norm.std):
        raise ValueError(f"image_std must be three positive finite numbers, not {norm.std}")


def _require_logits(network: Body, classes: int) -> None:
    """Raise ValueError unless the model makes finite logits of these classes from a grey image."""
    training = network.training
    with torch.no_grad():
        logits = network.eval()(torch.zeros(1, 3, LEAST_SIDE, LEAST_SIDE))
    network.train(training)
    if logits.ndim != 4 or logits.shape[:2] != (1, classes) or not logits.isfinite().all():
        raise ValueError(f"it must make finite logits of {classes} classes from an RGB image")


def _reported(name: str, build: Callable[[], Body]) -> Body:
    """Call `build` and turn its exceptions into InputError."""
    try:
        return build()
    except Exception as fault:  # transformers raises exceptions of many kinds for broken folders
        reason = " ".join(str(fault).split())[:200]
        raise InputError(
            f"--network {PREFIX}{name}: no segmentation model here; nothing is downloaded ({reason})"
        ) from None


def _transformers(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"--network {PREFIX}{name}: needs transformers: pip install 'lowpix[pretrained]'"
        ) from None
    transformers.utils.logging.set_verbosity_error()  # it warns of each new head
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _normalisation(transformers: Any, name: str) -> Norm:
    """The input that the model expects, from `preprocessor_config.json`, if it exists.

    If it has no `do_normalize`, the model normalises only if the file names a mean.
    """
    found = transformers.utils.cached_file(
        name, "preprocessor_config.json", local_files_only=True, _raise_exceptions_for_missing_entries=False
    )
    if found is None:
        return DEFAULT_NORM
    declared = json.loads(Path(found).read_text(encoding="utf-8"))
    unit = 1 / declared.get("rescale_factor", 1 / 255) if declared.get("do_rescale", True) else 1.0
    normal = declared.get("do_normalize", "image_mean" in declared)
    mean = declared.get("image_mean", [0.5] * 3) if normal else [0.0] * 3
    std = declared.get("image_std", [0.5] * 3) if normal else [1.0] * 3
    bgr = bool(declared.get("do_flip_channel_order", False))
    return Norm(tuple(unit * value for value in mean), tuple(unit * value for value in std), bgr)
