"""The options of an active study."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from lowpix.data.options import DataOptions
from lowpix.options import NOT_EMPTY, Rule, above, at_least, between, check_options, require
from lowpix.segmenter.options import SegmenterOptions
from lowpix.study.options import ClusterOptions, RepeatOptions, RunOptions, TestOptions

MOST_ROUNDS = 1000


@dataclass(frozen=True)
class AskingOptions:
    """Which pixels are asked, and how they are answered."""

    acquisition: Annotated[tuple[str, ...], NOT_EMPTY] = ("margin", "random")
    """How pixels are chosen; each is a setting:
    random, stratified, spaced, entropy, least_confidence, margin,
    from Monte-Carlo dropout bald, mean_std, variation_ratio, power_bald, balent,
    vote_entropy and consensus_entropy (query by committee with hard and soft votes),
    or your own function as module:function."""
    first_pixels: int = 10
    """Pixels of an image in the first round. They are drawn uniformly, and are the same for all settings."""
    pixels_per_round: str = "10"
    """Pixels of an image in each later round: a number, or a share of those asked so far, such as 50%."""
    max_pixels: Annotated[int, at_least(1)] = 100
    """Budget: largest number of pixels asked of an image."""
    percent: Annotated[float, above(0, 100)] = 5.0
    """Draw at random among this percentage of an image's pixels, those with the highest scores."""
    selection: Literal["top_percent", "top"] = "top_percent"
    """top_percent: see --percent; top: take the highest scores. power_bald, which draws itself, takes the top."""
    spacing: Annotated[float, at_least(0)] = 10
    """Least distance between the picks of a round if the top is taken, in pixels, while there is room."""
    score_stride: Annotated[int, between(1, 1024)] = 4
    """Pixels of the resized image from one score to the next. 1 gives each pixel its own score;
    DeepLabV3+ itself computes one every 4 pixels."""
    dropout: Annotated[float, Rule("at least 0, below 1", lambda share: 0 <= share < 1)] = 0.2
    """Dropout probability of the last layer's input, in training and for Monte-Carlo samples."""
    mc_samples: Annotated[int, between(2, 10_000)] = 50
    """Number of Monte-Carlo samples of the last layer, for acquisitions that compare members."""
    oracle_noise: Annotated[float, between(0, 1)] = 0.0
    """Share of wrong answers; they are uniform over the other classes."""
    oracle_border_noise: Annotated[float, between(0, 1)] = 0.0
    """Share of wrong answers among the pixels within 2 px of a border between classes, on top of
    --oracle-noise; they name the class beyond the border."""
    oracle_refusal: Annotated[float, between(0, 1)] = 0.0
    """Share of pixels that the oracle refuses to label. They count as asked."""
    ask_void: bool = False
    """Ask void pixels, too; they count as asked. By default void is taken as known and never asked."""


@dataclass(frozen=True)
class TrainingOptions:
    """How the network of a round is trained."""

    full: bool = True
    """Also train a network on the true label maps, with as many steps as the last network of a setting."""
    start: Literal["pretrained", "warm"] = "pretrained"
    """pretrained: each round starts again from the first weights; warm: from the last round's network."""
    retrain: bool = False
    """With --start warm, also train on the last pixels from the first weights, with all rounds' steps."""
    epochs: Annotated[int, between(1, 1_000_000)] = 30
    """Passes over the training images in each round."""
    first_epochs: Annotated[int | None, between(1, 1_000_000)] = None
    """Passes in the first round; if not given, as in the others."""
    learning_rate: Annotated[float | None, above(0, 100)] = None
    """Learning rate; if not given, 0.001, or 0.0005 for pretrained weights. Without --milestones it warms up over
    the first 5 % of a round's steps and falls to 0 as a polynomial of power 0.9."""
    backbone_rate: Annotated[float, between(1e-6, 100)] = 0.1
    """Factor of the learning rate of pretrained parameters. With --from-scratch there are none."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """adamw shrinks weights by the weight decay; adam adds it to the gradient (L2)."""
    milestones: Annotated[tuple[int, ...], between(1, 1_000_000)] = ()
    """Epochs of a round after which the learning rate falls to a tenth, instead of the polynomial."""
    grey: Annotated[float, between(0, 1)] = 0.0
    """Share of the training samples that lose their colours."""
    blur: Annotated[float, between(0, 1)] = 0.0
    """Share of the training samples that are blurred by up to 2 pixels."""
    keep_rounds: bool = False
    """Keep the network of every round, not only of the last: models/SETTING/SEED.ROUND.safetensors."""
    select: Literal["last", "validation"] = "last"
    """last: the last checkpoint of a round; validation: the one with the largest mIoU on the validation split.
    The pixels of the validation maps are added to the annotated ones."""


# bases in reverse order: a dataclass begins with the fields of its last base
@dataclass(frozen=True)
class Options(
    ClusterOptions,
    RunOptions,
    RepeatOptions,
    TrainingOptions,
    SegmenterOptions,
    AskingOptions,
    TestOptions,
    DataOptions,
):
    """One network for the data set asks for the pixels that it learns from: how few does it need?

    Round 0 reveals random pixels of every image. Each round trains one network on all revealed pixels, measures it
    on the test split, scores every training image, and asks an oracle for the labels of further pixels.
    With --cluster, all images travel with each run.

    python -m lowpix.active_study

    python -m lowpix.active_study --dataset camvid --network hf:weights/mobilenet_v2 --acquisition margin random
    """

    scene_size: Annotated[tuple[int, int], between(16, 16384)] = (64, 96)
    """Height and width of generated scenes, pixels."""
    scene_count: Annotated[int, between(1, 1_000_000)] = 8
    """Number of scenes in each generated split."""

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        from lowpix.reveal.acquisition import find_acquisition
        from lowpix.reveal.schedule import Schedule

        check_options(self)
        self.check_cluster()
        for name in self.acquisition:
            found = find_acquisition(name)
            fair = "one that does not use the true labels, which this study does not show to it"
            require("acquisition", name, not found.privileged, fair)
            require("acquisition", name, not found.facility, "another than facility, which knows one image alone")
            require("dropout", self.dropout, not found.members or self.dropout > 0, f"above 0 with {name}")
        rule = "given as a number or a share, such as 10 or 50%"
        require("pixels_per_round", self.pixels_per_round, self.pixels_per_round != "default", rule)
        schedule = Schedule(self.first_pixels, self.pixels_per_round, self.max_pixels)
        asked, rounds = self.first_pixels, 1
        while rounds <= MOST_ROUNDS and (more := schedule.next(asked)):
            asked, rounds = asked + more, rounds + 1
        within = f"reached within {MOST_ROUNDS} rounds: raise --pixels-per-round"
        require("max_pixels", self.max_pixels, rounds <= MOST_ROUNDS, within)
        require("retrain", self.retrain, not self.retrain or self.start == "warm", "used with --start warm")
        ends = (0, *self.milestones)
        rising = all(one < other for one, other in pairwise(ends))
        require("milestones", self.milestones, rising, "numbers of epochs, the smallest first")
        self.check_zoom()

    def resolved_learning_rate(self) -> float:
        """The learning rate."""
        return self.learning_rate or (0.001 if self.network == "unet" or self.from_scratch else 0.0005)

    def resolved_backbone_rate(self) -> float:
        """The factor of the backbone's learning rate."""
        return 1.0 if self.from_scratch else self.backbone_rate
