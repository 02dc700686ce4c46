"""The results of an active study as text."""

import math

import pandas as pd

from lowpix.active_study.tables import ActiveTables
from lowpix.study.text import as_text


def describe(tables: ActiveTables) -> str:
    """The results as text: test mIoU by setting and pixels, and the differences at the last round."""
    if tables.summary.empty:
        return "no run is finished yet"
    summary = tables.summary
    seeds, tested = summary["seed"].nunique(), tables.confusion["image"].nunique()
    images = f"{summary['images'].iloc[0]} training and {tested} test images"
    lines = [
        f"{images}, {seeds} seed{'s' if seeds > 1 else ''}; test mIoU by pixels asked an image, mean over seeds",
        as_text(_miou_rows(tables.rounds)),
    ]
    last = tables.pairs[tables.pairs["round"] == tables.pairs.groupby("setting")["round"].transform("max")]
    if len(last):
        lines += [
            "",
            "Test mIoU at the last round, in pairs with the same seed: points, with 95 % intervals.",
            "An interval that holds 0 shows no difference.",
            as_text(_pair_rows(last)),
        ]
    return "\n".join(lines)


def _miou_rows(rounds: pd.DataFrame) -> pd.DataFrame:
    asked = rounds[rounds["acquisition"] != "full"]
    means = asked.groupby(["setting", "asked"])["miou"].mean().unstack()
    text = means.map(lambda share: "" if math.isnan(share) else f"{100 * share:.1f}")
    text.columns = [f"{pixels:,.0f}" for pixels in means.columns]
    table = text.reset_index()
    table.insert(1, "seeds", asked.groupby("setting")["seed"].nunique().astype(str).to_numpy())
    full = rounds.loc[rounds["acquisition"] == "full", "miou"]
    if len(full):
        row = dict.fromkeys(table.columns, "") | {"setting": "full", "seeds": str(len(full))}
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        table["all"] = ["" if name != "full" else f"{100 * full.mean():.1f}" for name in table["setting"]]
    return table


def _pair_rows(last: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "setting": [f"{row.setting} − {row.against}" for row in last.itertuples()],
            "points": [f"{100 * value:+.1f}" for value in last["difference"]],
            "over seeds": _intervals(last["low"], last["high"]),
            "over test images": _intervals(last["images_low"], last["images_high"]),
            "ratio": [f"{value:.3f}" for value in last["ratio"]],
        }
    )


def _intervals(low: pd.Series, high: pd.Series) -> list[str]:
    ends = zip(100 * low, 100 * high, strict=True)
    return ["" if math.isnan(start) else f"[{start:+.1f}, {end:+.1f}]" for start, end in ends]
