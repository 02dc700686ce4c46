"""The results of an order study as text."""

from collections.abc import Iterable

import pandas as pd

from lowpix.order_study.options import Options
from lowpix.order_study.pictures import QUANTITIES
from lowpix.order_study.tables import AGAINST, ARMS
from lowpix.study.intervals import FEW
from lowpix.study.text import as_text


def describe(table: pd.DataFrame, pairs: pd.DataFrame, options: Options) -> str:
    """The results as text: each arm, and in_order against each other arm."""
    images, runs = table["image"].nunique(), len(table[["image", "seed"]].drop_duplicates())
    count = f"{images} image{'s' if images > 1 else ''}, {runs} run{'s' if runs > 1 else ''} an arm"
    lines = [
        f"{table['setting'].iloc[0]}: {count}, {options.batch} pixels a step in every arm",
        "Percent, on the pixels that are neither revealed nor void, means over images",
        as_text(_arm_rows(table)),
        *_plateau(table, options.plateau_cap),
    ]
    if pairs.empty:
        return "\n".join(lines)
    lines += [
        "",
        f"in_order minus each other arm, in pairs: points, mean over images, {100 * pairs['level'].iloc[0]:.5g} % "
        f"intervals (95 % for all {len(AGAINST)} comparisons of a quantity together)",
        as_text(_pair_rows(pairs)),
    ]
    groups = int(pairs["groups"].min())
    if groups < FEW:
        lines.append(
            f"Few images or groups ({groups}): intervals are rough and too narrow. A single one has no interval."
        )
    lines += ["", "The paper's claim, at second hand: order surpasses all annotated pixels without order. Here:"]
    for against, reading in (("at_once", "all revealed pixels"), ("full", "the full label map")):
        for _, row in pairs[(pairs["quantity"] == "accuracy") & (pairs["against"] == against)].iterrows():
            lines.append(
                f"  in order, against {reading} without order: accuracy {_difference(row)}, {row['verdict']}"
            )
    return "\n".join(lines)


def _arm_rows(table: pd.DataFrame) -> pd.DataFrame:
    columns = ["accuracy", "miou", "steps", "pixels"]
    means = table.groupby(["arm", "image"])[columns].mean().groupby("arm").mean()
    means = means.loc[[arm for arm in ARMS if arm in means.index]]
    return pd.DataFrame(
        {
            "arm": _left(means.index),
            "accuracy": [f"{100 * value:.2f}" for value in means["accuracy"]],
            "mIoU": [f"{100 * value:.2f}" for value in means["miou"]],
            "steps": [f"{value:,.0f}" for value in means["steps"]],
            "pixels known": [f"{value:,.0f}" for value in means["pixels"]],
            " trained on": _left(ARMS[arm] for arm in means.index),
        }
    )


def _plateau(table: pd.DataFrame, cap: int) -> list[str]:
    steps = table.pivot(index=["image", "seed"], columns="arm", values="steps")
    if "full_plateau" not in steps or "full" not in steps:
        return []
    both = steps[["full", "full_plateau"]].dropna()
    capped = int((both["full_plateau"] >= cap * both["full"]).sum())
    return [
        f"full_plateau: {len(both) - capped} of {len(both)} runs ended before {cap} times the steps of other arms."
    ]


def _pair_rows(pairs: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, list[str]] = {}
    for quantity, name in QUANTITIES.items():
        rows = pairs[pairs["quantity"] == quantity]
        columns["against"] = _left(rows["against"])
        columns[name] = [_difference(row) for _, row in rows.iterrows()]
        columns[f"{name} shown"] = list(rows["verdict"])
        columns["+/−" if name == "accuracy" else "+/− "] = [
            f"{row.wins}/{row.losses}" for row in rows.itertuples()
        ]
    return pd.DataFrame(columns)


def _difference(row: pd.Series) -> str:
    value, low, high = (100 * float(row[name]) for name in ("value", "low", "high"))
    return f"{value:+.2f}" if pd.isna(low) else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _left(texts: Iterable[str]) -> list[str]:
    """Pad texts on the right to one width, because `as_text` aligns columns to the right."""
    listed = list(texts)
    return [text.ljust(max(map(len, listed))) for text in listed]
