"""Make a comparison: from its options to its table and picture."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lowpix.compare.comparable import comparable, mixed_machines, side_by_side
from lowpix.compare.comparison import Comparison, compare_settings
from lowpix.compare.options import Options
from lowpix.compare.pictures import comparison_picture
from lowpix.compare.report import describe
from lowpix.data.options import difference
from lowpix.errors import InputError
from lowpix.storage import csv_bytes
from lowpix.study.data import read_data
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.intervals import group_images
from lowpix.study.plots import figure_png
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, read_settings

SEAL = "comparison.sha256"


def compare(options: Options) -> Comparison:
    """Compare the settings of studies, print the comparison, and write `comparison.csv` and `comparison.png`.

    Raises:
        InputError: an option is out of range, a folder holds no study, or settings cannot be compared.
    """
    options.check()
    curves = side_by_side(read_curves(options.studies))
    rounds = comparable(curves, options.common)
    groups = group_images(rounds["image"], options.group_by, options.block_frames)
    found = compare_settings(rounds, options.targets, options.budgets, options.baseline, groups)
    out = options.out or options.studies[0]
    try:
        picture = figure_png(comparison_picture(found))
        files, seal = {"comparison.csv": csv_bytes(found.table), "comparison.png": picture}, Seal(out, SEAL)
        if _is_comparison(out / "comparison.csv", found.table):
            seal.adopt(files)  # by an older lowpix
        seal.write(files)
    except OSError as fault:
        raise InputError(f"{out}: cannot be written to ({fault.strerror})") from None
    print(describe(found, curves))
    if mixed := mixed_machines(rounds):
        print(f"warning: {mixed}", file=sys.stderr)
    print(f"table and picture: {out / 'comparison.csv'}, {out / 'comparison.png'}")
    return found


def read_curves(folders: Sequence[Path]) -> dict[Path, pd.DataFrame]:
    """The curves of studies, by folder.

    Raises:
        InputError: no folder is given, one is given twice, one has no finished run, or the studies' data differ.
    """
    if not folders:
        raise InputError("no study is named: give the folder of at least one")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError(f"{' '.join(map(str, folders))}: a study is given twice")
    found = {folder: _curves(folder) for folder in folders}
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
        _require_same_images(first, folder)
    return found


def _curves(folder: Path) -> pd.DataFrame:
    """The rows of `curves.parquet`: an image study has them in its runs, too, any other in the file alone."""
    record, name = folder / "study.toml", "curves.parquet"
    kind = read_kind(record) if record.exists() else IMAGES.name
    if kind == IMAGES.name:
        return Study(folder, IMAGES).tables().curves
    if not (folder / name).exists():
        raise InputError(
            f"{folder}: is a study of kind {kind} without {name}; compare reads studies of kind image, and of "
            "kind active with a finished run"
        )
    return IMAGES.stored[name].read(folder / name, Seal(folder).read(name))


def _is_comparison(path: Path, table: pd.DataFrame) -> bool:
    """Whether a file exists and has the columns of `table`."""
    return path.exists() and path.read_bytes().startswith(",".join(table.columns).encode() + b"\n")


def _require_same_images(first: Path, other: Path) -> None:
    """Raise InputError if two studies recorded different digests of an image."""
    both = read_data(first).merge(read_data(other), on=["split", "image"])
    for what in ("image", "labels"):
        changed = both[both[f"{what}_sha256_x"] != both[f"{what}_sha256_y"]]
        if len(changed):
            name = changed["image"].iloc[0]
            raise InputError(f"{what} of {name} differ between {first} and {other}; compare on the same data")


def _settings(folder: Path) -> dict[str, object]:
    """The settings of a study; empty if the folder has tables but no `study.toml`."""
    record = folder / "study.toml"
    return read_settings(record) if record.exists() else {}
