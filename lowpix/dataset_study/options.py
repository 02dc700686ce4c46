"""The options of a data-set study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from lowpix.data.options import DataOptions
from lowpix.options import NOT_EMPTY, above, at_least, between, check_options
from lowpix.segmenter.options import SegmenterOptions
from lowpix.study.options import ClusterOptions, RepeatOptions, RunOptions, TestOptions

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
class LabelOptions:
    """Which labels the networks learn from, and what these cost."""

    image_study: Path | None = None
    """Folder of the image study with the pseudo-labels; if not given, image_study in --out.
    The image study is run first if it does not exist."""
    budgets: Annotated[tuple[int, ...], at_least(1)] = ()
    """Pixels asked of an image; each budget gives settings such as pseudo-100.
    It must be the image study's --max-pixels or one of its --keep-at budgets.
    If not given, its --max-pixels, or 50 for a new image study."""
    acquisition: str | None = None
    """Acquisition of the image study; its pixels and pseudo-labels are used. If not given, the study's first."""
    settings: Annotated[tuple[SettingName, ...], NOT_EMPTY] = (
        "full",
        "pseudo",
        "pseudo_stratified",
        "few_full",
        "sparse",
        "sparse_random",
    )
    """The labels to train on; each is a setting:
    full (all true label maps);
    few_full (true label maps of fewer images, for the same annotation time);
    pseudo (pseudo-labels);
    pseudo_stratified (pseudo-labels from evenly spread pixels);
    pseudo_walker (random walker from the same pixels, without an image network);
    sparse (only the chosen pixels);
    sparse_random (equally many random pixels);
    full_degraded_flips (true maps with the error rate of pseudo, at random pixels);
    full_degraded_borders (true maps with the error rate of pseudo, along borders);
    full_degraded (both of these)."""
    min_confidence: Annotated[float, between(0, 1)] = 0.0
    """Pseudo-labels with less confidence become void; revealed pixels have confidence 1."""
    weigh_by_confidence: bool = False
    """Weigh each pixel by its confidence in the loss; revealed pixels have confidence 1."""
    minutes_per_map: Annotated[float, between(0.001, 1_000_000)] = 60.0
    """Minutes to draw a full label map. Fewer minutes give few_full more maps.
    Reported are 60 for CamVid (as cited in arXiv 1807.06056)
    and more than 90 for Cityscapes (arXiv 1604.01685)."""
    seconds_per_click: Annotated[float, between(0.001, 1_000_000)] = 1.0
    """Seconds to label a pixel. Bearman et al. (arXiv 1506.02106) measured 2.4 s for
    the first point of a class in an image and 0.9 s for further ones.
    Their annotators chose the points."""


@dataclass(frozen=True)
class TrainingOptions:
    """How the network is trained."""

    epochs: Annotated[int, between(1, 1_000_000)] = 60
    """Passes over all training images. All settings train for the same number of steps."""
    learning_rate: Annotated[float | None, above(0, 100)] = None
    """Peak learning rate of AdamW; if not given, 0.001, or 0.0003 for pretrained weights.
    It warms up over the first 5 % of the steps and falls to 0 as a polynomial of power 0.9."""
    select: Literal["last", "validation"] = "last"
    """last: the last checkpoint; validation: the one with the largest mIoU on the validation split.
    The cost of the validation maps is added to the annotation cost."""


# bases in reverse order: a dataclass begins with the fields of its last base
@dataclass(frozen=True)
class Options(
    ClusterOptions,
    RunOptions,
    RepeatOptions,
    TrainingOptions,
    SegmenterOptions,
    LabelOptions,
    TestOptions,
    DataOptions,
):
    """Does a network trained on pseudo-labels reach one trained on full annotation?

    The pseudo-labels come from an image study; missing ones are made first. For each setting, one network for the
    data set is trained on the setting's labels, with the same steps and schedule, and evaluated on the test split.
    With --cluster, all images travel with each network that is trained.

    python -m lowpix.dataset_study

    python -m lowpix.dataset_study --dataset camvid --limit 120 --image-study results/camvid_labels --scale 0.5
    """

    scene_size: Annotated[tuple[int, int], between(16, 16384)] = (96, 128)
    """Height and width of generated scenes, pixels."""
    scene_count: Annotated[int, between(1, 1_000_000)] = 16
    """Number of scenes in each generated split."""

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        from lowpix.reveal.acquisition import find_acquisition

        check_options(self)
        self.check_cluster()
        if self.acquisition is not None:
            find_acquisition(self.acquisition)
        self.check_zoom()

    def kinds(self) -> tuple[str, ...]:
        """The settings without duplicates; names in GROUPS are replaced by their settings."""
        names = [kind for name in self.settings for kind in GROUPS.get(name, (name,))]
        return tuple(dict.fromkeys(names))

    def resolved_learning_rate(self) -> float:
        """The peak learning rate."""
        return self.learning_rate or (0.001 if self.network == "unet" or self.from_scratch else 0.0003)
