"""A comparison from its options to its table and picture."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lowpix.compare.comparable import comparable, side_by_side
from lowpix.compare.comparison import Comparison, compare_settings
from lowpix.compare.options import Options
from lowpix.compare.pictures import comparison_picture
from lowpix.compare.report import describe
from lowpix.data.options import difference
from lowpix.errors import InputError
from lowpix.storage import atomic
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.intervals import group_images
from lowpix.study.settings import read_settings


def compare(options: Options) -> Comparison:
    """Compare the settings of studies and print what is found; `comparison.csv` and `.png` are written.

    Raises:
        InputError: an option out of range, a folder without a study, or settings that cannot be compared.
    """
    options.check()
    curves = side_by_side(read_curves(options.studies))
    rounds = comparable(curves, options.common)
    groups = group_images(rounds["image"], options.group_by, options.block_frames)
    found = compare_settings(rounds, options.targets, options.budgets, options.baseline, groups)
    out = options.out or options.studies[0]
    try:
        with atomic(out / "comparison.csv") as temporary:
            found.table.to_csv(temporary, index=False, lineterminator="\n")
        comparison_picture(out / "comparison.png", found)
    except OSError as fault:
        raise InputError(f"{out}: cannot be written to ({fault.strerror})") from None
    print(describe(found, curves))
    print(f"table and picture: {out / 'comparison.csv'}, {out / 'comparison.png'}")
    return found


def read_curves(folders: Sequence[Path]) -> dict[Path, pd.DataFrame]:
    """The curves of studies, by folder.

    Raises:
        InputError: no folder, one given twice, one without a finished run, or studies of different data.
    """
    if not folders:
        raise InputError("no study is named: give the folder of at least one")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError(f"{' '.join(map(str, folders))}: a study is given twice")
    found = {folder: Study(folder, IMAGES).tables().curves for folder in folders}
    for folder, curves in found.items():
        if curves.empty:
            raise InputError(
                f"{folder}: holds no finished run of a study (python -m lowpix.image_study makes one)"
            )
        if (unknown := curves[curves["accuracy"].isna()]).size:
            raise InputError(f"{folder}: image {unknown['image'].iloc[0]} has no label map to compare settings by")
    first = folders[0]
    for folder in folders[1:]:
        if differs := difference(_settings(first), _settings(folder)):
            option, one, other = differs
            raise InputError(
                f"{option} differs: {one!r} in {first}, {other!r} in {folder}; compare on the same data"
            )
    return found


def _settings(folder: Path) -> dict[str, object]:
    """Of a study; none where it left tables alone."""
    record = folder / "study.toml"
    return read_settings(record) if record.exists() else {}
