"""The options of a data-set study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from lowpix.data.options import DataOptions
from lowpix.options import NOT_EMPTY, Rule, above, at_least, between, check_options, require
from lowpix.study.options import RepeatOptions, RunOptions

SettingName = Literal[
    "full",
    "pseudo",
    "pseudo_stratified",
    "few_full",
    "sparse",
    "sparse_random",
    "full_degraded",
    "full_degraded_flips",
    "full_degraded_borders",
    "pseudo_walker",
]
GROUPS = {"full_degraded": ("full_degraded_flips", "full_degraded_borders")}
"""Names that stand for several settings."""


@dataclass(frozen=True)
class TestOptions:
    """What the networks are judged on."""

    __test__ = False  # pytest, too, looks for names that begin with Test

    test_split: str = "test"
    """Part of the data set that the networks are judged on."""
    validation_split: str = "val"
    """With --select validation: part that the checkpoint is chosen on."""
    test_limit: Annotated[int | None, at_least(1)] = None
    """So many test images, spread over the list; else all."""


@dataclass(frozen=True)
class LabelOptions:
    """What the networks learn from, and what it costs."""

    image_study: Path | None = None
    """Folder of the image study that gives the pseudo-labels; else image_study in --out, where it is run first."""
    budgets: Annotated[tuple[int, ...], at_least(1)] = ()
    """Pixels asked of an image, one or several, each with settings of its own, like pseudo-100: the image study's
    --max-pixels, or what it was told to --keep-at. Else its --max-pixels alone; 50 if it is not there yet."""
    acquisition: str = "margin"
    """The image study's acquisition whose pixels and pseudo-labels are used."""
    settings: Annotated[tuple[SettingName, ...], NOT_EMPTY] = (
        "full",
        "pseudo",
        "pseudo_stratified",
        "few_full",
        "sparse",
        "sparse_random",
    )
    """full (the true maps), pseudo (pseudo-labels), pseudo_stratified (of evenly spread pixels), few_full (as many
    true maps as cost the same hours), sparse (the chosen pixels alone), sparse_random (as many random ones),
    full_degraded (the truth with each image's own error rate: full_degraded_flips and full_degraded_borders),
    pseudo_walker (no image network: a random walker)."""
    min_confidence: Annotated[float, between(0, 1)] = 0.0
    """Pseudo-labels of less confidence become void; revealed pixels are sure."""
    weigh_by_confidence: bool = False
    """A pixel with a pseudo-label weighs its confidence in the loss; a revealed one 1."""
    minutes_per_map: Annotated[float, above(0)] = 60.0
    """To draw a full label map. 60 is what is reported of CamVid (as cited in arXiv 1807.06056); more than 90 of
    Cityscapes (arXiv 1604.01685). The lower, the more maps few_full gets."""
    seconds_per_click: Annotated[float, above(0)] = 1.0
    """To label a pixel. Bearman et al. (arXiv 1506.02106) measured 2.4 s for the first point of a class in
    an image and 0.9 s for each further one, where annotators chose the points."""


@dataclass(frozen=True)
class NetworkOptions:
    """The network of the data set, and how it is trained."""

    network: str = "unet"
    """unet (ours, from scratch), or hf:<folder or model id>, a segmentation model of transformers."""
    width: Annotated[int, at_least(1)] = 16
    """Channels of unet at full resolution: 16 for a CPU, 64 for a GPU."""
    from_scratch: bool = False
    """Of an hf: model take the configuration alone; its weights are drawn afresh."""
    epochs: Annotated[int, at_least(1)] = 60
    """Passes over all training images; a setting that shows fewer images makes as many steps."""
    batch: Annotated[int, Rule("at least 2: batch norm compares images", lambda size: size >= 2)] = 4
    """Images in a batch."""
    learning_rate: Annotated[float | None, above(0)] = None
    """Of AdamW; it falls to 0 over all steps (polynomial of power 0.9), and is warmed up over the first 5 % of
    them. Else 0.001, and 0.0003 for pretrained weights."""
    weight_decay: Annotated[float, at_least(0)] = 0.01
    """Of AdamW."""
    scale: Annotated[float, above(0, 1)] = 1.0
    """The network sees images resized by so much; metrics are always on the original maps."""
    crop: Annotated[tuple[int, int] | None, at_least(16)] = None
    """Height and width that the network is shown in training; else those of the median image, resized."""
    zoom: tuple[float, float] = (0.5, 2.0)
    """Training images are resized by a further factor between these; 1 1 for none."""
    flip: bool = True
    """Half of the training images are mirrored, left to right."""
    colour: Annotated[float, Rule("at least 0, below 1", lambda share: 0 <= share < 1)] = 0.3
    """Brightness, contrast and saturation are multiplied by up to 1 ± so much."""
    class_weights: bool = False
    """Rare classes weigh more in the loss, by how often the setting's own labels hold them."""
    select: Literal["last", "validation"] = "last"
    """last: the last checkpoint; validation: the one of most mIoU on the validation maps, whose cost counts."""


# bases backwards: the fields of a dataclass begin with those of its last base
@dataclass(frozen=True)
class Options(RunOptions, RepeatOptions, NetworkOptions, LabelOptions, TestOptions, DataOptions):
    """Does a network trained on pseudo-labels reach one trained on full annotation?

    Each training image's pseudo-labels come from an image study, which is run first where it has none. Then one
    network for the data set is trained from scratch on them, and, with the same steps and schedule, on what it is
    to be compared with; all are judged on the test split.

    python -m lowpix.dataset_study
    python -m lowpix.dataset_study --dataset camvid --limit 120 --image-study results/camvid_labels --scale 0.5
    """

    scene_size: tuple[int, int] = (96, 128)
    """Height and width of generated scenes, pixels."""
    scene_count: Annotated[int, at_least(1)] = 16
    """How many scenes are generated, for each part of the data set."""

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        from lowpix.reveal.acquisition import find_acquisition

        check_options(self)
        find_acquisition(self.acquisition)
        low, high = self.zoom
        require("zoom", self.zoom, 0 < low <= high, "two factors above 0, the smaller first")

    def kinds(self) -> tuple[str, ...]:
        """The settings, each once, names that stand for several resolved."""
        names = [kind for name in self.settings for kind in GROUPS.get(name, (name,))]
        return tuple(dict.fromkeys(names))

    def resolved_learning_rate(self) -> float:
        """Largest learning rate."""
        return self.learning_rate or (0.001 if self.network == "unet" or self.from_scratch else 0.0003)
