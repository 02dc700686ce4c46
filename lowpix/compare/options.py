"""The options of a comparison."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lowpix.options import at_least, check_options


@dataclass(frozen=True)
class Options:
    """Which setting needs fewer pixels? Settings in pairs on the same images, seeds and first pixels.

    Takes studies that ran every image to its budget (--stop budget): several, or one with several settings.
    Prints the comparison and writes comparison.csv and comparison.png.

    python -m lowpix.image_study --acquisition margin stratified --stop budget --max-pixels 300 --out results/two
    python -m lowpix.compare results/two
    """

    studies: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of studies."""
    targets: tuple[float, ...] = (0.80, 0.85, 0.90, 0.95, 0.98)
    """Accuracies, 0 to 1; the headline is the highest that 80 % of every setting's runs reach."""
    budgets: tuple[int, ...] | None = None
    """Revealed pixels at which accuracy and mIoU are read; else 10, 30, 100, … as far as all runs go."""
    baseline: str | None = None
    """Setting, or its acquisition, that all others are compared with; else stratified, or random without it."""
    group_by: str | None = None
    """Regular expression whose first group names an image's sequence, as '^([^_]+)_': the bootstrap draws whole
    sequences."""
    block_frames: Annotated[int | None, at_least(1)] = None
    """The bootstrap draws blocks of so many images that follow each other by name, in each sequence if it has
    them."""
    common: bool = False
    """Compare the images and seeds that all settings hold; else a setting that lacks some is refused."""
    out: Path | None = None
    """Where the comparison is written; else the first study's folder."""

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        check_options(self)
