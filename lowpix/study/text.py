"""How numbers and tables are written for a person."""

import math
from typing import NamedTuple

import pandas as pd


class Bound(NamedTuple):
    """A number, or, where budgets ran out before it was known, one that it is larger than (`censored`)."""

    value: float
    censored: bool

    def text(self, scale: float = 1, digits: int = 0) -> str:
        """Write it as `137` or `>1000`, and nothing if it is nan."""
        number = "" if math.isnan(self.value) else f"{self.value * scale:.{digits}f}"
        return f">{number}" if self.censored else number


def setting_label(setting: str, privileged: bool) -> str:
    """Name a setting for readers: one whose choice of pixels used the truth always says so."""
    return f"{setting} (privileged)" if privileged else setting


def as_text(table: pd.DataFrame) -> str:
    """Lay out the table of `overview` in aligned columns: names to the left, numbers to the right."""
    columns = []
    for name in table.columns:
        cells = [str(name), *table[name]]
        width = max(map(len, cells))
        names = name in ("data set", "setting")
        columns.append([cell.ljust(width) if names else cell.rjust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def clock(seconds: float) -> str:
    """A duration as a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
