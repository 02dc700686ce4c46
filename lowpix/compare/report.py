"""The results of a comparison as text."""

from collections.abc import Iterable

import pandas as pd

from lowpix.compare.comparison import ENOUGH, Comparison
from lowpix.study.intervals import FEW, TIED
from lowpix.study.text import Bound, as_text

NONE = "none shown"


def describe(found: Comparison, curves: pd.DataFrame) -> str:
    """The comparison as text; `curves` are all given rows, to report what was left out."""
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
        f"Runs that do not reach a target within {found.budget:,} pixels count as {found.budget:,} in the mean.",
        "",
        *_block(_needs(found), table),
        "",
        "Accuracy, mIoU, and runs without an answer of some class (missed), in percent, @ revealed pixels",
        *_block(_at_budgets(found), table),
    ]
    if len(pairs):
        several = f" (95 % for all {found.comparisons} comparisons together)" if found.comparisons > 1 else ""
        lines += [
            "",
            f"Against {found.baseline}, in pairs: mean difference over images, {100 * found.level:.5g} % "
            f"intervals{several}, one quantity at a time",
            *_block(_pixel_pairs(found), table),
            "",
            f"The same for area, accuracy and mIoU, in points ({NONE}: the interval holds zero)",
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
            f"Left out: {given - used} of {given} image × seed, {gone} images whole, which not all settings hold."
        )
    return lines


def _block(rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The rows as aligned lines, with a heading above privileged settings."""
    header, *lines = as_text(rows).splitlines()
    privileged = rows["setting"].map(table.groupby("setting")["privileged"].first())
    fair = int((~privileged).sum())
    heading = ["privileged: chooses with the true label map"] if fair < len(lines) else []
    return [header, *lines[:fair], *heading, *lines[fair:]]


def _rows(found: Comparison, kind: str, quantity: str, budget: int | None = None) -> pd.DataFrame:
    """The rows of a quantity by setting; at the headline target if the quantity has targets."""
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
            "wall s/image": _numbers(seconds["value"], "{:.1f}"),
        }
    )


def _at_budgets(found: Comparison) -> pd.DataFrame:
    columns = {
        f"{name}@{budget}": _numbers(100 * rows["value"], "{:.1f}")
        for quantity, name in (("accuracy", "acc"), ("miou", "mIoU"), ("missed", "missed"))
        for budget in _budgets(found)
        if len(rows := _rows(found, "setting", quantity, budget))
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
    notes = ["p: sign test of wins against losses; images count as independent; not adjusted for several tests."]
    if groups < images:
        notes.append(
            f"Intervals draw whole groups, {groups} of them ({images} images), so they hold for sequences like "
            "these. CamVid's frames come from a few drives."
        )
    else:
        notes.append(
            "Intervals hold for images like these. If images of a sequence are near-copies, as in CamVid's few "
            "drives, intervals are too narrow for other sequences: use --group-by."
        )
    if groups < FEW:
        drawn = "images" if groups == images else "groups"
        notes.append(
            f"Few {drawn} ({groups}): intervals are rough and too narrow. Even if all {groups} agree, the sign "
            f"test has p = {2.0 ** (1 - groups):.2g}."
        )
    return notes


def _numbers(values: Iterable[float], form: str) -> list[str]:
    return [form.format(value) for value in values]


def _intervals(rows: pd.DataFrame, form: str) -> list[str]:
    ends = zip(rows["low"], rows["high"], strict=True)
    return ["" if pd.isna(low) else f"[{form.format(low)}, {form.format(high)}]" for low, high in ends]
