"""The picture of a comparison: the accuracy of each setting, and its difference to the baseline."""

from itertools import pairwise
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from lowpix.compare.comparable import JOIN
from lowpix.compare.comparison import Comparison
from lowpix.study.intervals import TIED
from lowpix.study.plots import (
    ENDS,
    TICKS,
    draw_forest,
    forest_legend,
    held_accuracy,
    plain,
    plain_axes,
    setting_styles,
)
from lowpix.study.text import setting_label

VERDICTS = {"fewer pixels": "#0072B2", "more pixels": "#D55E00", TIED: "#707070"}
LINE = 0.17  # height of a line of a label in inches
LONGEST = 34  # characters of a line of a label


def comparison_picture(comparison: Comparison) -> Figure:
    """Draw each setting's accuracy against pixels, and its paired difference to the baseline."""
    settings = len(comparison.settings)
    figure = Figure(figsize=(14, max(5.0, 2.2 + 0.4 * settings)), layout="constrained")
    curves, forest = figure.subplots(1, 2, width_ratios=(1, 1))
    draw_accuracies(curves, comparison)
    draw_differences(forest, comparison)
    forest_legend(figure, _headline_pairs(comparison), VERDICTS)
    return figure


def draw_accuracies(axes: Axes, comparison: Comparison) -> None:
    """Draw the mean accuracy over images against revealed pixels, a line per setting with its name at the end.

    Privileged settings are dotted. The pixel axis is logarithmic; the accuracy axis is logit.
    """
    ends: list[float] = []
    styles = _styles(comparison)
    for setting in comparison.settings:
        curves = comparison.curves[comparison.curves["setting"] == setting]
        pixels, accuracy = held_accuracy(curves)
        mean = np.clip(accuracy.mean(axis=0), *ENDS)
        within = (pixels >= comparison.start) & (pixels <= comparison.budget)
        axes.plot(pixels[within], mean[within], drawstyle="steps-post", **styles[setting])
        ends.append(float(mean[within][-1]))
    axes.set(xscale="log", yscale="logit", xlabel="revealed pixels per image", ylabel="accuracy")
    axes.set_title("Accuracy, mean over images", fontsize=11)
    axes.set_xlim(max(comparison.start, 1), comparison.budget)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    plain_axes(axes)
    _name_ends(axes, comparison, ends, styles)


def draw_differences(axes: Axes, comparison: Comparison) -> None:
    """Draw each setting's mean difference to the baseline in pixels to the headline target, with its interval.

    Colours show the verdict. Privileged settings are below a line and have open marks.
    """
    rows = _headline_pairs(comparison)
    if rows.empty:
        axes.set_axis_off()
        return
    labels = _labels(comparison)
    draw_forest(axes, rows, [labels[setting] for setting in rows["setting"]], VERDICTS)
    axes.set_xlabel(f"fewer  ←  difference in pixels to {100 * comparison.headline:g} %  →  more")
    level = f"mean over images, {100 * comparison.level:.5g} % intervals"
    axes.set_title(f"In pairs against {plain(labels[comparison.baseline])}:\n{level}", fontsize=11)


def _headline_pairs(comparison: Comparison) -> pd.DataFrame:
    table = comparison.table
    return table[(table["kind"] == "pair") & (table["quantity"] == "pixels") & table["headline"]]


def _styles(comparison: Comparison) -> dict[str, dict[str, Any]]:
    privileged = comparison.curves.groupby("setting")["privileged"].first()
    styles = setting_styles({setting: privileged[setting] for setting in comparison.settings})
    for setting, style in styles.items():
        style["linewidth"] = 2.6 if setting == comparison.baseline else 1.4
    return styles


def _labels(comparison: Comparison) -> dict[str, str]:
    """Short labels of the settings, without the shared start of their names; joined names take several lines."""
    privileged = comparison.curves.groupby("setting")["privileged"].first()
    parts = {setting: setting.split(JOIN) for setting in comparison.settings}
    beginnings = {name.rpartition("-")[0] for names in parts.values() for name in names}
    common = f"{beginnings.pop()}-" if len(beginnings) == 1 and "" not in beginnings else ""
    shown = {setting: " =\n".join(name.removeprefix(common) for name in names) for setting, names in parts.items()}
    labels = {setting: setting_label(name, privileged[setting]) for setting, name in shown.items()}
    return {setting: _broken(label) for setting, label in labels.items()}


def _broken(label: str) -> str:
    """A long label in several lines, broken at hyphens, so that it leaves room for the panels."""
    lines = (wrap(line, LONGEST, break_long_words=False) for line in label.splitlines())
    return "\n".join(part for parts in lines for part in parts)


def _name_ends(axes: Axes, comparison: Comparison, ends: list[float], styles: dict[str, dict[str, Any]]) -> None:
    """Write each setting's name at the end of its line; names that would overlap are moved apart."""
    labels = _labels(comparison)
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = np.array([to_axes.transform((comparison.budget, end))[1] for end in ends])
    lines = np.array([1 + labels[setting].count("\n") for setting in comparison.settings])
    places = _apart(heights, LINE / axes.get_window_extent().height * axes.figure.dpi * lines)
    for setting, height, place in zip(comparison.settings, heights, places, strict=True):
        colour = styles[setting]["color"]
        bold = "bold" if setting == comparison.baseline else "normal"
        axes.annotate(
            plain(labels[setting]),
            (1, height),
            (1.06, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=colour,
            fontsize=9,
            fontweight=bold,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _apart(heights: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move labels of these sizes apart without changing their order, and keep them below 1."""
    order = np.argsort(heights, kind="stable")
    placed = heights.copy()
    for _ in range(200):
        placed[order[-1]] = min(placed[order[-1]], 1 - sizes[order[-1]] / 2)
        for below, above in pairwise(order):
            overlap = (sizes[below] + sizes[above]) / 2 - (placed[above] - placed[below])
            if overlap > 0:
                placed[below] -= overlap / 2
                placed[above] += overlap / 2
    return placed
