"""The options of an order study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lowpix.options import at_least, check_options
from lowpix.study.options import RunOptions


@dataclass(frozen=True)
class SourceOptions:
    """The image study whose pixels these are."""

    image_study: Path | None = None
    """Its folder; else a small one on generated scenes is run first."""
    setting: str | None = None
    """Setting of the image study, such as mlp-margin; needed where it has several."""
    data_root: Path | None = None
    """Folder of the data set or its parent; else LOWPIX_DATA, ./data or the user's cache is looked in."""
    limit: Annotated[int | None, at_least(1)] = None
    """So many of the study's images, spread over the list; else all."""
    images: tuple[str, ...] = ()
    """These images by name; else all."""


@dataclass(frozen=True)
class TrainingOptions:
    """How each arm is trained, and what intervals are drawn over."""

    seeds: Annotated[int, at_least(1)] = 3
    """So many fresh networks an image and arm; the n-th trains on pixels of the study's n-th seed, in turn."""
    batch: Annotated[int, at_least(1)] = 256
    """Pixels that each step of each arm draws, with replacement, from those known at that step."""
    plateau_cap: Annotated[int, at_least(1)] = 10
    """full_plateau takes at most so many times the steps of the other arms."""
    group_by: str | None = None
    """Regular expression whose first group, as '^([^_]+)_', names an image's sequence: the bootstrap draws
    these."""


# bases backwards: the fields of a dataclass begin with those of its last base
@dataclass(frozen=True)
class Options(RunOptions, TrainingOptions, SourceOptions):
    """Does the order in which pixels were revealed matter?

    Takes an image study that ran to its budget (--stop budget) and trains each image's network again from fresh
    weights: on the revealed pixels in order, shuffled, reversed, all at once, all at once but each drawn as often
    as training in order draws it, and on the full label map, also until its loss plateaus. All arms but the last
    have equal steps, and all have one learning rate and minibatch size; they are scored on the pixels that are
    neither revealed nor void. Only the full label map holds the labels that it is scored on.

    Writes order.csv, order_pairs.csv and order.png.

    python -m lowpix.image_study --dataset camvid --limit 8 --stop budget --max-pixels 300 --out results/to_budget
    python -m lowpix.order_study --image-study results/to_budget --jobs 2
    """

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        check_options(self)
