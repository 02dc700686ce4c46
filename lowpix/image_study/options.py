"""The options of an image study, and the settings that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lowpix.data.options import DataOptions
from lowpix.options import NOT_EMPTY, Rule, above, at_least, between, check_options, require
from lowpix.study.options import ClusterOptions, RepeatOptions, RunOptions

if TYPE_CHECKING:
    from lowpix.image_study.setting import Setting


@dataclass(frozen=True)
class NetworkOptions:
    """The network of an image."""

    network: Annotated[tuple[Literal["mlp", "mlp_float32", "gp", "mlp+gp", "unet"], ...], NOT_EMPTY] = ("mlp",)
    """Several may be given; each with each acquisition is a setting.
    mlp: per-pixel networks, in bfloat16 if the processor supports it;
    mlp_float32: the same in float32; gp: a Gaussian process, solved instead of trained;
    mlp+gp: the mean of both; unet: a convolutional network."""
    smoothing: Annotated[tuple[Literal["none", "edges"], ...], NOT_EMPTY] = ("edges",)
    """Several may be given, likewise.
    edges: probabilities are smoothed along the edges of the image; none: they are not."""
    grid: Annotated[tuple[int, ...], NOT_EMPTY, between(1, 64)] = (1,)
    """Several may be given, likewise.
    With n above 1, only every n-th row and column of a large image is predicted between rounds, and pixels are
    chosen there: 4 makes rounds 15 times shorter. Accuracies of these rounds are those of this sample, with
    smoothing somewhat below those of the whole image. The last round, budgets of --keep-at and
    a round that seems to reach the target use every pixel, and so do images of less than 10,000 n² pixels, with
    4 those smaller than 400×400."""
    members: Annotated[int | None, between(1, 1000)] = None
    """Number of networks in the ensemble of an image; if not given, 4 for mlp and mlp+gp, 1 for gp and unet."""
    members_from: Literal["ensemble", "dropout"] = "ensemble"
    """Members that acquisitions compare. ensemble: several networks; dropout: Monte-Carlo samples of one."""
    mc_samples: Annotated[int, between(1, 10_000)] = 32
    """Number of Monte-Carlo samples, with --members-from dropout."""
    dropout: Annotated[float, Rule("above 0, below 1", lambda share: 0 < share < 1)] = 0.5
    """Dropout probability of the last layer's input, with --members-from dropout."""
    stack: Annotated[int | None, between(1, 100_000)] = None
    """Number of images trained together; if not given, 1 on a CPU and 64 on a GPU."""


@dataclass(frozen=True)
class AskingOptions:
    """Which pixels are asked, how they are answered, and when asking stops."""

    images: tuple[str, ...] = ()
    """Names of the images to use; if not given, all."""
    acquisition: Annotated[tuple[str, ...], NOT_EMPTY] = ("facility",)
    """How pixels are chosen. Several may be given; each is a setting:
    random, stratified, spaced, entropy, least_confidence, margin,
    facility (until 80 pixels also unlike any pixel asked before, then margin),
    bald, mean_std, variation_ratio, vote_entropy, consensus_entropy, power_bald, balent,
    error_depth (privileged: uses the true labels), or your own function as module:function."""
    pixels_of: Path | None = None
    """Folder of an active or image study: ask the pixels that it revealed with the same acquisition, in its
    order, instead of choosing others. Answers are not copied: --oracle-noise and --oracle-refusal apply anew."""
    oracle_noise: Annotated[float, between(0, 1)] = 0.0
    """Share of wrong answers; they are uniform over the other classes."""
    oracle_refusal: Annotated[float, between(0, 1)] = 0.0
    """Share of pixels that the oracle refuses to label. They count as asked."""
    target: Annotated[float, above(0, 1)] = 0.98
    """Target accuracy over the non-void pixels of an image."""
    stop: Literal["target", "budget"] = "target"
    """target: stop when the image reaches the target; budget: always go on to --max-pixels."""
    max_pixels: Annotated[int, at_least(1)] = 1000
    """Budget: largest number of pixels asked of an image."""
    keep_at: tuple[int, ...] = ()
    """Smaller budgets at which the pseudo-labels are kept, too. A round ends at each of them."""
    ask_void: bool = False
    """Ask void pixels, too; they count as asked. By default void is taken as known and never asked."""
    pixels_per_round: str = "default"
    """A number, a share of the pixels asked so far, such as 5%, or default: 1 until 100 are asked, then 5%."""
    first_pixels: int = 5
    """Number of pixels in the first round. They are drawn uniformly, and are the same for all settings but
    facility, which spreads them over unlike parts of the image."""
    spacing: Annotated[float, at_least(0)] = 10
    """Least distance between the picks of a round, in pixels, while there is room. Not for random or --percent."""
    percent: Annotated[float | None, above(0, 100)] = None
    """Draw at random among this percentage of the pixels with the highest scores; if not given, take the top."""


@dataclass(frozen=True)
class CarryOptions:
    """How finished images help the next ones."""

    carry_over: Annotated[tuple[str, ...], NOT_EMPTY] = ("none",)
    """Several may be given; each with each network, smoothing and acquisition is a setting.
    none: each image starts from nothing;
    unet, or a model of transformers as hf:<folder or model id>: after 25, 50, 100, 200 … images
    such a network learns from their pseudo-labels, and helps the networks of the next images.
    The order of the images is kept in study.toml; further images join at the end;
    asker: with --pixels-of an active study, its last network, which asked for the pixels, helps."""


@dataclass(frozen=True)
class PictureOptions:
    """The pictures at the end."""

    full_size: bool = False
    """Show the images of overview.png in full size, so that thin things can be seen."""


# bases in reverse order: a dataclass begins with the fields of its last base
@dataclass(frozen=True)
class Options(
    PictureOptions,
    ClusterOptions,
    RunOptions,
    RepeatOptions,
    CarryOptions,
    AskingOptions,
    NetworkOptions,
    DataOptions,
):
    """How few labelled pixels does each image need?

    For each image, a small network is trained from scratch. In each round the acquisition chooses pixels, and an
    oracle reveals their true labels from the label map, until the network reaches the target accuracy.

    python -m lowpix.image_study --dataset camvid --limit 8 --acquisition margin random --jobs 2

    python -m lowpix.image_study --dataset folder --data-root photos --stop budget --max-pixels 100
    """

    @classmethod
    def of(cls, settings: Mapping[str, Any], **changes: Any) -> "Options":
        """The options of an existing study, from its settings, with changes."""
        known = {field.name for field in fields(cls)}
        there: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in settings.items()
            if name in known
        }
        if "pixels_of" in there:
            there["pixels_of"] = Path(there["pixels_of"])
        return cls(**there | changes)

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        from lowpix.networks import Solver, find_network
        from lowpix.reveal.acquisition import find_acquisition
        from lowpix.study.image_runs import carrier_name
        from lowpix.study.replay import ASKER

        check_options(self)
        self.check_cluster()
        carriers = [carrier_name(name) for name in dict.fromkeys(self.carry_over)]
        require("carry_over", self.carry_over, len(carriers) == len(set(carriers)), "models of different names")
        asked = ASKER not in self.carry_over or self.pixels_of is not None
        require("carry_over", ASKER, asked, "given with --pixels-of an active study")
        here = self.cluster is None or set(carriers) == {"none"}
        require("cluster", self.cluster, here, "left out with --carry-over: workers lack its networks")
        networks = [find_network(name) for name in self.network]
        for network in networks:
            layer = "one with a last layer to drop out, such as mlp, with --members-from dropout"
            require("network", network.name, network.width > 0 or not self._dropout, layer)
            single = f"1, since {network.name} has a single solution"
            require("members", self.members, not isinstance(network, Solver) or self.members in (None, 1), single)
            whole = f"1, since {network.name} reads whole images"
            require("grid", self.grid, network.reads_features or set(self.grid) == {1}, whole)
        fewest = min(self.members or network.members for network in networks)
        compared = self.mc_samples if self._dropout else fewest
        for name in self.acquisition:
            least = find_acquisition(name).least_members
            rule = f"given at least {least} members to compare: use --members {least} or --members-from dropout"
            require("acquisition", name, compared >= least, rule)
        one = "1 with --members-from dropout, which samples one network"
        require("members", self.members, not self._dropout or self.members in (None, 1), one)
        kept = all(self.first_pixels <= budget <= self.max_pixels for budget in self.keep_at)
        require("keep_at", self.keep_at, kept, "between --first-pixels and --max-pixels")
        for network in networks:
            alone = f"1, since {network.name} trains images one by one"
            require("stack", self.stack, network.stacks or self.stack in (None, 1), alone)

    def settings(self) -> "list[Setting]":
        """The settings of the study: each network with each smoothing, carry-over and acquisition."""
        from lowpix.image_study.setting import Setting
        from lowpix.reveal.schedule import Schedule
        from lowpix.reveal.selection import Selection

        return [
            Setting(
                network=network,
                smoothing=smoothing,
                carry_over=carry_over,
                grid=grid,
                members=self.members,
                dropout=self.dropout if self._dropout else 0,
                samples=self.mc_samples,
                acquisition=acquisition,
                selection=Selection(self.spacing, self.percent),
                schedule=Schedule(self.first_pixels, self.pixels_per_round, self.max_pixels, self.keep_at),
                target=self.target,
                stop=self.stop,
                ask_void=self.ask_void,
                oracle_noise=self.oracle_noise,
                oracle_refusal=self.oracle_refusal,
            )
            for network in dict.fromkeys(self.network)
            for smoothing in dict.fromkeys(self.smoothing)
            for carry_over in dict.fromkeys(self.carry_over)
            for grid in dict.fromkeys(self.grid)
            for acquisition in dict.fromkeys(self.acquisition)
        ]

    @property
    def _dropout(self) -> bool:
        return self.members_from == "dropout"
