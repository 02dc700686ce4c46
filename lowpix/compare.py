"""python -m lowpix.compare: settings against each other, image by image, with intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from lowpix.command import main, parse
from lowpix.errors import InputError
from lowpix.record import (
    Bound,
    Comparison,
    Study,
    as_text,
    comparable,
    compare_settings,
    comparison_picture,
    group_images,
    read_settings,
    side_by_side,
)
from lowpix.record.atomic import atomic
from lowpix.record.comparison import ENOUGH, TARGETS, TIED
from lowpix.record.settings import UNSET

DATA = ("split", "scene_size", "scene_classes")  # options of a study that its tables do not tell
NONE = "none shown"
FEW = 10  # resampled groups, below which a bootstrap is rough


@dataclass(frozen=True)
class Options:
    """Which setting needs fewer pixels? Settings in pairs on the same images, seeds and first pixels.

    Takes studies that ran every image to its budget (--stop budget): several, or one with several settings.
    Prints the comparison and writes comparison.csv and comparison.png.
    """

    studies: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of studies."""
    targets: tuple[float, ...] = TARGETS
    """Accuracies, 0 to 1; the headline is the highest that 80 % of every setting's runs reach."""
    budgets: tuple[int, ...] | None = None
    """Revealed pixels at which accuracy and mIoU are read; else 10, 30, 100, … as far as all runs go."""
    baseline: str | None = None
    """Setting, or its acquisition, that all others are compared with; else stratified, or random without it."""
    group_by: str | None = None
    """Regular expression whose first group names an image's sequence, as '^([^_]+)_': the bootstrap draws whole
    sequences."""
    block_frames: int | None = None
    """The bootstrap draws blocks of so many images that follow each other by name, in each sequence if it has
    them."""
    common: bool = False
    """Compare the images and seeds that all settings hold; else a setting that lacks some is refused."""
    out: Path | None = None
    """Where the comparison is written; else the first study's folder."""


def compare(options: Options) -> Comparison:
    """Compare the settings of studies and print what is found; `comparison.csv` and `.png` are written.

    Raises:
        InputError: an option out of range, a folder without a study, or settings that cannot be compared.
    """
    if options.block_frames is not None and options.block_frames < 1:
        raise InputError(f"--block-frames {options.block_frames}: must be at least 1")
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
    found = {folder: Study(folder).tables().curves for folder in folders}
    for folder, curves in found.items():
        if curves.empty:
            raise InputError(
                f"{folder}: holds no finished run of a study (python -m lowpix.image_study makes one)"
            )
    data = {folder: _data(folder) for folder in folders}
    first = folders[0]
    for folder in folders[1:]:
        for key in sorted({*data[first], *data[folder]}):
            one, other = (data[study].get(key, UNSET) for study in (first, folder))
            if one != other:
                raise InputError(
                    f"{key} differs: {one!r} in {first}, {other!r} in {folder}; compare on the same data"
                )
    return found


def _data(folder: Path) -> dict[str, object]:
    """What a study says of its images beyond the name of the data set."""
    record = folder / "study.toml"
    settings = read_settings(record) if record.exists() else {}
    generated = ("seed",) if settings.get("dataset") == "scenes" else ()  # scenes are made from the study's seed
    return {key: settings[key] for key in (*DATA, *generated) if key in settings}


def describe(found: Comparison, curves: pd.DataFrame) -> str:
    """The comparison as text; `curves` are all that were given, to tell what was left out."""
    table = found.table
    pairs = table[table["kind"] == "pair"]
    target = f"{100 * found.headline:g} %"
    share = f"{100 * ENOUGH:g} %"
    rule = (
        f"Headline: {target}, the highest target that {share} of every setting's runs reach"
        if found.reached >= ENOUGH
        else f"Headline: {target}, the lowest target; none is reached by {share} of every setting's runs"
    )
    lines = [
        *_what(found, curves),
        f"{rule} (the worst: {100 * found.reached:.0f} %).",
        f"Runs that miss a target by {found.budget:,} pixels count as {found.budget:,} in the mean.",
        "",
        *_block(_needs(found), table),
        "",
        "Accuracy and mIoU at so many revealed pixels, in percent",
        *_block(_at_budgets(found), table),
    ]
    if len(pairs):
        several = f": 95 % for all {found.comparisons} comparisons together" if found.comparisons > 1 else ""
        lines += [
            "",
            f"Against {found.baseline}, in pairs: mean difference over images, {100 * found.level:.5g} % "
            f"intervals{several}, one quantity at a time",
            *_block(_pixel_pairs(found), table),
            "",
            f"The same in points of area, accuracy and mIoU ({NONE}: the interval holds zero)",
            *_block(_other_pairs(found), table),
        ]
    return "\n".join([*lines, "", *_notes(found)])


def _what(found: Comparison, curves: pd.DataFrame) -> list[str]:
    used, given = (len(frame[["image", "seed"]].drop_duplicates()) for frame in (found.curves, curves))
    images, seeds = found.curves["image"].nunique(), found.curves["seed"].nunique()
    lines = [
        f"{found.curves['dataset'].iloc[0]}: {len(found.settings)} settings on {images} images, {seeds} "
        f"seed{'s' if seeds > 1 else ''}, from {found.start:,} to {found.budget:,} revealed pixels"
    ]
    if used < given:
        gone = curves["image"].nunique() - images
        lines.append(
            f"Left out: {given - used} of {given} image × seed, {gone} images whole: not all settings hold them."
        )
    return lines


def _block(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Aligned lines of rows of text, privileged settings under a heading of their own."""
    header, *lines = as_text(rows).splitlines()
    privileged = rows["setting"].map(table.groupby("setting")["privileged"].first())
    fair = int((~privileged).sum())
    heading = ["privileged: chooses with the true label map"] if fair < len(lines) else []
    return [header, *lines[:fair], *heading, *lines[fair:]]


def _rows(found: Comparison, kind: str, quantity: str, budget: int | None = None) -> pd.DataFrame:
    """The rows of a quantity by setting; at the headline where it has targets."""
    table = found.table
    rows = table[(table["kind"] == kind) & (table["quantity"] == quantity)]
    rows = rows[rows["headline"] | rows["target"].isna()]
    return (rows if budget is None else rows[rows["budget"] == budget]).set_index("setting")


def _budgets(found: Comparison) -> list[int]:
    at = found.table.loc[found.table["quantity"] == "accuracy", "budget"]
    return [int(budget) for budget in sorted(at.unique())]


def _needs(found: Comparison) -> pd.DataFrame:
    needs, medians, area, seconds = (
        _rows(found, "setting", quantity) for quantity in ("pixels", "median_pixels", "area", "seconds")
    )
    return pd.DataFrame(
        {
            "setting": needs.index,
            f"pixels to {100 * found.headline:g} %": _numbers(needs["value"], "{:.1f}"),
            "95 % interval": _intervals(needs, "{:.1f}"),
            "median": [Bound(v, b).text() for v, b in zip(medians["value"], medians["bound"], strict=True)],
            "censored": _numbers(100 * needs["censored"], "{:.0f} %"),
            "area": _numbers(area["value"], "{:.4f}"),
            "interval": _intervals(area, "{:.4f}"),
            "s/image": _numbers(seconds["value"], "{:.1f}"),
        }
    )


def _at_budgets(found: Comparison) -> pd.DataFrame:
    columns = {
        f"{name}@{budget}": _numbers(100 * _rows(found, "setting", quantity, budget)["value"], "{:.1f}")
        for quantity, name in (("accuracy", "acc"), ("miou", "mIoU"))
        for budget in _budgets(found)
    }
    return pd.DataFrame({"setting": list(found.settings), **columns})


def _pixel_pairs(found: Comparison) -> pd.DataFrame:
    rows = _rows(found, "pair", "pixels")
    counts = rows[["wins", "ties", "losses"]].itertuples(index=False)
    return pd.DataFrame(
        {
            "setting": rows.index,
            f"pixels to {100 * found.headline:g} %": _numbers(rows["value"], "{:+.1f}"),
            "interval": _intervals(rows, "{:+.1f}"),
            "verdict": list(rows["verdict"]),
            "wins-ties-losses": ["-".join(map(str, row)) for row in counts],
            "p": ["" if pd.isna(p) else f"{p:.2g}" for p in rows["p"]],
        }
    )


def _other_pairs(found: Comparison) -> pd.DataFrame:
    last = _budgets(found)[-1]
    asked = (("area", None, "area"), ("accuracy", last, f"accuracy@{last}"), ("miou", last, f"mIoU@{last}"))
    columns = {}
    for quantity, budget, name in asked:
        rows = _rows(found, "pair", quantity, budget)
        points = 100 * rows[["value", "low", "high"]]
        parts = zip(
            _numbers(points["value"], "{:+.2f}"),
            _intervals(points, "{:+.2f}"),
            rows["verdict"].replace(TIED, NONE),
            strict=True,
        )
        columns[name] = [" ".join(part) for part in parts]
    return pd.DataFrame({"setting": list(rows.index), **columns})


def _notes(found: Comparison) -> list[str]:
    pixels = found.table[found.table["quantity"] == "pixels"]
    images, groups = int(pixels["images"].iloc[0]), int(pixels["groups"].iloc[0])
    notes = ["p: sign test of wins against losses over images, each counted as independent; not adjusted."]
    if groups < images:
        notes.append(
            f"Intervals draw whole groups, {groups} of them ({images} images), so they hold for sequences like "
            "these; CamVid's frames come from a few drives."
        )
    else:
        notes.append(
            "Intervals hold for images like these; where those of one sequence are near-copies, as CamVid's few "
            "drives have them, they are too narrow to speak of other drives (--group-by draws whole sequences)."
        )
    if groups < FEW:
        drawn = "images" if groups == images else "groups"
        notes.append(
            f"Few {drawn} ({groups}): intervals are rough and too narrow; a sign test of {groups} that all agree "
            f"has p = {2.0 ** (1 - groups):.2g}."
        )
    return notes


def _numbers(values: Iterable[float], form: str) -> list[str]:
    return [form.format(value) for value in values]


def _intervals(rows: pd.DataFrame, form: str) -> list[str]:
    ends = zip(rows["low"], rows["high"], strict=True)
    return ["" if pd.isna(low) else f"[{form.format(low)}, {form.format(high)}]" for low, high in ends]


def command(arguments: Sequence[str]) -> None:
    """Make and print the comparison that the arguments ask for."""
    compare(parse(Options, arguments, "python -m lowpix.compare"))


if __name__ == "__main__":
    main(command)
