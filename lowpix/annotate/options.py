"""The options of the annotation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lowpix.data.options import DataOptions
from lowpix.options import above, at_least, between, check_options, require


@dataclass(frozen=True)
class ServerOptions:
    """Where the page is."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but this computer's own makes the page ask for a token, which is printed."""
    port: Annotated[int, between(0, 65535)] = 8710
    """Port of the page; 0 takes any free one."""
    browser: bool = True
    """Open the page in a browser."""


@dataclass(frozen=True)
class WorkOptions:
    """When an image is done, and what comes out."""

    photos: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of photographs; short for --dataset folder --data-root."""
    out: Path | None = None
    """Folder for answers and labels; if not given, it lies beside the photographs and is called NAME_labelled."""
    stop: Literal["person", "budget", "audit"] = "person"
    """person: when you press Enter; budget: by itself after --max-pixels answers;
    audit: by itself when answers to random pixels, kept for this check alone, show with 95 % confidence that at
    least the share --target is labelled right."""
    max_pixels: Annotated[int, at_least(1)] = 1000
    """Largest number of answers that an image learns from."""
    target: Annotated[float, above(0, 1)] = 0.9
    """Share of pixels labelled right, with --stop audit."""
    carry_over: bool = True
    """Let images that are done help the next ones: when 20, 40, 80, … are done, a network is trained on
    them in the background, and whenever you press m."""
    export: Literal["none", "coco"] = "none"
    """coco: write annotations.json with masks in run lengths beside the tables, and end without a page."""
    simulate: bool = False
    """Let true label maps answer, on the same page, where the data set has them."""
    seed: Annotated[int, between(0, 2**32 - 1)] = 0
    """Seed of first pixels and initial weights."""


# bases in reverse order: a dataclass begins with the fields of its last base
@dataclass(frozen=True)
class Options(ServerOptions, WorkOptions, DataOptions):
    """Label photographs by single keys, on a page in the browser.

    The page shows a pixel; the key of its class answers, and the next pixel is already there. A small network
    learns from each answer and labels the rest. Every answer is kept at once: stop and start whenever you like.

    python -m lowpix.annotate my_photos --classes sky,road,car,tree

    python -m lowpix.annotate my_photos --export coco
    """

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        check_options(self)
        beside = "left out beside the folder of photographs"
        require("dataset", self.dataset, self.photos is None or self.dataset in ("scenes", "folder"), beside)
        require("data_root", self.data_root, self.photos is None or self.data_root is None, beside)
