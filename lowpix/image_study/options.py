"""The options of an image study, and the settings that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lowpix.data.options import DataOptions
from lowpix.options import NOT_EMPTY, Rule, above, at_least, between, check_options, require
from lowpix.study.options import RepeatOptions, RunOptions

if TYPE_CHECKING:
    from lowpix.image_study.setting import Setting


@dataclass(frozen=True)
class NetworkOptions:
    """The networks of an image."""

    network: Literal["mlp", "mlp_float32", "unet"] = "mlp"
    """mlp: an ensemble of per-pixel networks, in bfloat16 where the processor multiplies it; mlp_float32: never in
    bfloat16; unet: convolutions."""
    members: Annotated[int | None, at_least(1)] = None
    """Networks per image; else the network's own number (mlp 4, unet 1)."""
    members_from: Literal["ensemble", "dropout"] = "ensemble"
    """What acquisitions compare. ensemble: the networks; dropout: samples of one, its last layer thinned."""
    mc_samples: Annotated[int, at_least(1)] = 32
    """With --members-from dropout: so many samples."""
    dropout: Annotated[float, Rule("above 0, below 1", lambda share: 0 < share < 1)] = 0.5
    """With --members-from dropout: share of what the last layer reads that is dropped."""
    stack: Annotated[int | None, at_least(1)] = None
    """Images trained together; else 1 on a CPU, 64 on a GPU."""


@dataclass(frozen=True)
class AskingOptions:
    """Which pixels are asked, who answers, and when it ends."""

    images: tuple[str, ...] = ()
    """These images by name; else all."""
    acquisition: Annotated[tuple[str, ...], NOT_EMPTY] = ("margin",)
    """One or several, each a setting: random, stratified, spaced, entropy, least_confidence, margin, bald,
    mean_std, variation_ratio, power_bald, balent, error_depth (privileged), or your own as module:function."""
    oracle_noise: Annotated[float, between(0, 1)] = 0.0
    """Share of wrong answers, uniform over the other classes."""
    oracle_refusal: Annotated[float, between(0, 1)] = 0.0
    """Share of pixels that the oracle refuses to label; each costs a click."""
    target: Annotated[float, above(0, 1)] = 0.98
    """Accuracy to reach over the image's non-void pixels; --stop budget goes on from there."""
    stop: Literal["target", "budget"] = "target"
    """target: an image ends when it reaches the target; budget: it goes on to --max-pixels."""
    max_pixels: Annotated[int, at_least(1)] = 1000
    """Budget: at most so many pixels are asked of an image."""
    keep_at: tuple[int, ...] = ()
    """Keep the pseudo-labels at these smaller budgets, too: a round ends at each of them."""
    ask_void: bool = False
    """Void pixels may be asked, at the cost of a click; else they never are, as if known beforehand."""
    pixels_per_round: str = "default"
    """A number, a growth such as 5% of those asked so far, or default: one until 100 are asked, then 5%."""
    first_pixels: int = 5
    """Pixels of the first round, drawn uniformly, the same for all settings."""
    spacing: Annotated[float, at_least(0)] = 10
    """No two picks of a round within so many pixels (chessboard distance), while there is room; not random's."""
    percent: Annotated[float | None, above(0, 100)] = None
    """Draw picks at random among so many percent of the pixels with the highest scores; else take the top."""


# bases backwards: the fields of a dataclass begin with those of its last base
@dataclass(frozen=True)
class Options(RunOptions, RepeatOptions, AskingOptions, NetworkOptions, DataOptions):
    """How few labelled pixels does each image need?

    A small network is trained from scratch for every image while an oracle, which holds the label map, reveals
    the pixels that the acquisition asks for, until the network labels the target share of the pixels rightly.

    python -m lowpix.image_study --dataset camvid --limit 8 --acquisition margin random --jobs 2
    python -m lowpix.image_study --dataset folder --data-root photos --stop budget --max-pixels 100
    """

    @classmethod
    def of(cls, settings: Mapping[str, Any], **changes: Any) -> "Options":
        """The options of a study that is there, from its settings, with changes."""
        known = {field.name for field in fields(cls)}
        there: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in settings.items()
            if name in known
        }
        if there.get("split") == "all":  # as a folder without splits calls its only one
            del there["split"]
        return cls(**there | changes)

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        from lowpix.networks import find_network
        from lowpix.reveal.acquisition import find_acquisition

        check_options(self)
        network = find_network(self.network)
        compared = self.mc_samples if self._dropout else self.members or network.members
        for name in self.acquisition:
            least = find_acquisition(name).least_members
            rule = f"given at least {least} members to compare: --members {least}, or --members-from dropout"
            require("acquisition", name, compared >= least, rule)
        one = "1 with --members-from dropout, which samples one network"
        require("members", self.members, not self._dropout or self.members in (None, 1), one)
        kept = all(self.first_pixels <= budget <= self.max_pixels for budget in self.keep_at)
        require("keep_at", self.keep_at, kept, "between --first-pixels and --max-pixels")
        alone = f"1, since {self.network} trains images one by one"
        require("stack", self.stack, network.stacks or self.stack in (None, 1), alone)

    def settings(self) -> "list[Setting]":
        """A setting for each acquisition."""
        from lowpix.image_study.setting import Setting
        from lowpix.reveal.schedule import Schedule
        from lowpix.reveal.session import Selection

        return [
            Setting(
                network=self.network,
                members=self.resolved_members(),
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
            for acquisition in dict.fromkeys(self.acquisition)
        ]

    def resolved_members(self) -> int:
        """Networks per image."""
        from lowpix.networks import find_network

        return self.members or (1 if self._dropout else find_network(self.network).members)

    @property
    def _dropout(self) -> bool:
        return self.members_from == "dropout"
