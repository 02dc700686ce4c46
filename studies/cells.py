"""How a cell of a table is written."""

import pandas as pd

from lowpix.compare.comparable import JOIN


def signed(value: float, low: float, high: float, digits: int) -> str:
    """A difference with its interval, bold if that excludes zero."""
    text = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]".replace("-", "−")
    return f"**{text}**" if low > 0 or high < 0 else text


def pair_of(
    table: pd.DataFrame, setting: str, quantity: str, target: float | None = None, budget: int | None = None
) -> tuple[float, pd.Series | None]:
    """The mean of a setting, and its row against the baseline, if it is not the baseline itself."""
    own = table["setting"].map(lambda names: setting in names.split(JOIN))  # settings with equal runs share a row
    rows = table[own & (table["quantity"] == quantity)]
    rows = rows[rows["target"] == target] if target is not None else rows[rows["budget"] == budget]
    pairs = rows[rows["kind"] == "pair"]
    mean = rows.loc[rows["kind"] == "setting", "value"].iloc[0]
    return float(mean), pairs.iloc[0] if len(pairs) else None


def interval_of(row: pd.Series, digits: int, scale: float = 1) -> str:
    """A difference with its interval, bold if that excludes zero."""
    value, low, high = (scale * row[name] for name in ("value", "low", "high"))
    return signed(value, low, high, digits)
