"""The picture of an order study: the differences between training in the revealed order and the other arms."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowpix.study.intervals import TIED
from lowpix.study.plots import draw_forest, forest_legend

VERDICTS = {"higher": "#0072B2", "lower": "#D55E00", TIED: "#707070"}
QUANTITIES = {"accuracy": "accuracy", "miou": "mIoU"}


def order_picture(pairs: pd.DataFrame) -> Figure:
    """Draw the paired differences in accuracy and mIoU, in points, with intervals, from `order_pairs.csv`."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    for axes, (quantity, name) in zip(figure.subplots(1, 2, sharey=True), QUANTITIES.items(), strict=True):
        draw_order(axes, pairs[pairs["quantity"] == quantity], name)
    forest_legend(figure, pairs, VERDICTS)
    return figure


def draw_order(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    """Draw the rows of one quantity from top to bottom: the mean difference over images and its interval."""
    draw_forest(axes, rows, [f"in_order − {arm}" for arm in rows["against"]], VERDICTS, scale=100)
    axes.set_xlabel(f"lower  ←  difference in {name}, points  →  higher")
    level, images = 100 * rows["level"].iloc[0], rows["images"].max()
    axes.set_title(f"{name}, mean over {images} images, {level:.4g} % intervals", fontsize=10)
