"""Numbers and tables as text for people."""

import math
from typing import NamedTuple

import pandas as pd


class Bound(NamedTuple):
    """A number, or, if `censored`, a lower bound for a number that is unknown because budgets ran out."""

    value: float
    censored: bool

    def text(self, scale: float = 1, digits: int = 0) -> str:
        """The number as `137`, or the bound as `>1000`; empty if it is nan."""
        number = "" if math.isnan(self.value) else f"{self.value * scale:.{digits}f}"
        return f">{number}" if self.censored else number


def setting_label(setting: str, privileged: bool) -> str:
    """The name of a setting for readers, with "(privileged)" if its choice of pixels used the true label map."""
    return f"{setting} (privileged)" if privileged else setting


def as_text(table: pd.DataFrame) -> str:
    """A table of texts in aligned columns: names of data sets and settings to the left, the rest to the right."""
    columns = []
    for name in table.columns:
        cells = [str(name), *table[name]]
        width = max(map(len, cells))
        names = name in ("data set", "setting")
        columns.append([cell.ljust(width) if names else cell.rjust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def clock(seconds: float) -> str:
    """A duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
