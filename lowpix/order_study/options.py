"""The options of an order study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lowpix.options import at_least, between, check_options
from lowpix.study.options import ClusterOptions, RunOptions


@dataclass(frozen=True)
class SourceOptions:
    """Which image study gives the revealed pixels."""

    image_study: Path | None = None
    """Folder of the image study; if not given, a small one on generated scenes is run first."""
    setting: str | None = None
    """Setting of the image study, such as mlp-margin; required if it has several."""
    data_root: Path | None = None
    """Folder of the data set or its parent; if not given, LOWPIX_DATA, ./data and your cache are searched."""
    limit: Annotated[int | None, at_least(1)] = None
    """Number of the study's images, spread evenly over the list; if not given, all."""
    images: tuple[str, ...] = ()
    """Names of the images to use; if not given, all."""


@dataclass(frozen=True)
class TrainingOptions:
    """How each arm is trained, and how intervals are computed."""

    seeds: Annotated[int, between(1, 10_000)] = 3
    """Number of fresh networks for each image and arm. They take the image study's seeds in turn."""
    batch: Annotated[int, between(1, 1_000_000)] = 256
    """Minibatch: number of pixels that each step draws, with replacement, from the pixels known at that step."""
    plateau_cap: Annotated[int, between(1, 1_000_000)] = 10
    """Limit for full_plateau: the steps of the other arms times this number."""
    group_by: str | None = None
    """Regular expression; its first group matches the sequence in an image's name: '^([^_]+)_'.
    The bootstrap then resamples sequences instead of images."""


# bases in reverse order: a dataclass begins with the fields of its last base
@dataclass(frozen=True)
class Options(ClusterOptions, RunOptions, TrainingOptions, SourceOptions):
    """Does the order in which pixels were revealed matter?

    Takes an image study that ran to its budget (--stop budget), and trains each image's network again from fresh
    weights. The arms differ in the pixels that they train on:

    - in_order, shuffled, reversed: the revealed pixels in this order, round by round
    - at_once: all revealed pixels from the first step
    - at_once_weighted: the same, each pixel weighted by how often in_order draws it
    - full: the full label map
    - full_plateau: the full label map, with more steps, until the loss plateaus

    All arms are evaluated on the pixels that are neither revealed nor void. Only full and full_plateau train on
    these pixels, too.

    Writes order.csv, order_pairs.csv and order.png.

    python -m lowpix.image_study --dataset camvid --limit 8 --stop budget --max-pixels 300 --out results/to_budget

    python -m lowpix.order_study --image-study results/to_budget --jobs 2
    """

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        check_options(self)
        self.check_cluster()
