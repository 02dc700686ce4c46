"""The picture of an order study: how training in the revealed order differs from every other arm."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lowpix.record.atomic import atomic
from lowpix.record.comparison import TIED
from lowpix.record.plots import plain_axes

VERDICTS = {"higher": "#0072B2", "lower": "#D55E00", TIED: "#707070"}
QUANTITIES = {"accuracy": "accuracy", "miou": "mIoU"}


def order_picture(path: Path, pairs: pd.DataFrame) -> None:
    """Save the paired differences of `order_pairs.csv` in accuracy and mIoU, in points, with their intervals."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    for axes, (quantity, name) in zip(figure.subplots(1, 2, sharey=True), QUANTITIES.items(), strict=True):
        draw_order(axes, pairs[pairs["quantity"] == quantity], name)
    style = {"marker": "o", "markersize": 7, "linewidth": 2}
    found = [verdict for verdict in VERDICTS if (pairs["verdict"] == verdict).any()]
    marks = [Line2D([], [], color=VERDICTS[verdict], label=verdict, **style) for verdict in found]  # type: ignore[arg-type]
    figure.legend(handles=marks, loc="outside lower right", ncols=len(marks), fontsize=9, frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90, metadata={"Software": None})


def draw_order(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    """Draw the rows of one quantity from top to bottom: mean difference over images and its interval."""
    points = 100 * rows[["value", "low", "high"]].to_numpy()
    for place, ((value, low, high), verdict) in enumerate(zip(points, rows["verdict"], strict=True)):
        colour = VERDICTS[verdict]
        axes.plot([low, high], [place, place], color=colour, linewidth=2, zorder=2)
        axes.plot(value, place, "o", color=colour, markersize=7, zorder=3)
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    axes.set_yticks(range(len(rows)), [f"in_order − {arm}" for arm in rows["against"]], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(f"lower  ←  difference in {name}, points  →  higher")
    level, images = 100 * rows["level"].iloc[0], rows["images"].max()
    axes.set_title(f"{name}, mean over {images} images, {level:.4g} % intervals", fontsize=10)
    plain_axes(axes)
