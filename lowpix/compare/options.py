"""The options of a comparison."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lowpix.options import NOT_EMPTY, above, at_least, check_options


@dataclass(frozen=True)
class Options:
    """Which setting needs fewer pixels? Compares settings in pairs with the same image, seed and first pixels.

    Takes several image studies, or one with several settings, that ran to the budget (--stop budget). Also takes
    active studies: there images are those of the test split, and pixels those of a training image. Prints the
    comparison and writes comparison.csv and comparison.png.

    python -m lowpix.image_study --acquisition margin stratified --stop budget --max-pixels 300 --out results/two

    python -m lowpix.compare results/two
    """

    studies: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of image studies or of active studies."""
    targets: Annotated[tuple[float, ...], NOT_EMPTY, above(0, 1)] = (0.80, 0.85, 0.90, 0.95, 0.98)
    """Target accuracies, 0 to 1. The headline is the highest that 80 % of each setting's runs reach."""
    budgets: tuple[int, ...] | None = None
    """Revealed pixels at which accuracy and mIoU are compared; if not given, 10, 30, … as far as all runs go."""
    baseline: str | None = None
    """Setting or acquisition that all others are compared with; if not given, stratified, otherwise random."""
    group_by: str | None = None
    """Regular expression; its first group matches the sequence in an image's name: '^([^_]+)_'.
    The bootstrap then resamples sequences instead of images."""
    block_frames: Annotated[int | None, at_least(1)] = None
    """Resample blocks of this number of images that follow each other by name.
    With --group-by, blocks do not cross sequences."""
    common: bool = False
    """Compare only the images and seeds that all settings hold; otherwise missing ones are an error."""
    out: Path | None = None
    """Folder for the comparison; if not given, that of the first study."""

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        check_options(self)
