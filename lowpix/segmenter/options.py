"""The options of a data-set network, for every study that trains one."""

from dataclasses import dataclass
from typing import Annotated

from lowpix.options import Rule, between, require


@dataclass(frozen=True)
class SegmenterOptions:
    """The network of the data set, and the images that it is shown."""

    network: str = "unet"
    """unet, trained from scratch, or a model of transformers: hf:<folder or model id>.
    A MobileNetV2 or ResNet for photographs gets the head of DeepLabV3+."""
    width: Annotated[int | None, between(1, 4096)] = None
    """Channels of unet at full resolution, for example 16 on a CPU and 64 on a GPU;
    or of DeepLabV3+'s head, for example 64 and 256. If not given, 16 or 64."""
    from_scratch: bool = False
    """Use only the configuration of an hf: model, with random initial weights."""
    batch: Annotated[int, between(1, 4096)] = 4
    """Number of images in a minibatch."""
    weight_decay: Annotated[float, between(0, 1000)] = 0.01
    """Weight decay of the optimiser."""
    scale: Annotated[float, between(0.01, 1)] = 1.0
    """Factor by which images are resized for the network; metrics use the original size."""
    crop: Annotated[tuple[int, int] | None, between(16, 16384)] = None
    """Height and width of training crops; if not given, those of the median image after resizing."""
    zoom: tuple[float, float] = (0.5, 2.0)
    """Range of a random factor by which training images are resized, too; 1 1 switches it off."""
    flip: bool = True
    """Mirror half of the training images, left to right."""
    colour: Annotated[float, Rule("at least 0, below 1", lambda share: 0 <= share < 1)] = 0.3
    """Largest random change of brightness, contrast and saturation; 0.3 multiplies by 0.7 to 1.3."""
    class_weights: bool = False
    """Give classes that are rare in the setting's labels a larger weight in the loss."""

    def check_zoom(self) -> None:
        """Raise InputError if the zoom is out of range."""
        low, high = self.zoom
        require("zoom", self.zoom, 0.01 <= low <= high <= 100, "two factors from 0.01 to 100, the smaller first")

    def resolved_width(self) -> int:
        """The width of the network."""
        return self.width or (16 if self.network == "unet" else 64)
