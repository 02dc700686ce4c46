"""Pictures of a study: what it saw in a few images, and accuracy against revealed pixels.

`draw_*` draw on axes that they are given, for notebooks; `*_picture` save a file. Nothing touches pyplot, so
that no global state is left behind and no display is needed.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.storage import atomic
from lowpix.study.tables import KEY, pixels_to
from lowpix.study.text import setting_label

# Okabe and Ito's colours, which colour-blind readers can tell apart, but for the yellow, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
OWN_COLOUR = {"margin": COLOURS[0], "random": COLOURS[1], "error_depth": COLOURS[2], "stratified": COLOURS[6]}
"""The same in every picture; other acquisitions share what is left."""
DOTTED: Any = (0, (1, 1))
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.2)), (0, (4, 1.2, 1, 1.2)))
FEW = 4  # settings: the bands and the legend of more would hide the lines
TICKS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)  # of an axis without 0 and 1, …
ENDS = (0.005, 0.9995)  # … so that accuracies beyond are drawn here
VOID_STYLE: dict[str, Any] = {"facecolor": "#f4f4f4", "edgecolor": "#9a9a9a", "hatch": "////"}


@dataclass(frozen=True)
class Example:
    """An image with what a run made of it: all that one row of the overview shows."""

    name: str
    image: NDArray[np.uint8]  # (H, W, 3)
    truth: NDArray[np.uint8] | None  # (H, W), IGNORE for void; None where nobody knows
    prediction: NDArray[np.uint8]  # (H, W)
    rows: NDArray[np.int32]  # (n,) of the revealed pixels, in order
    columns: NDArray[np.int32]
    labels: NDArray[np.uint8]
    accuracy: float | None  # 0 to 1; None where nobody knows


class Panel(NamedTuple):
    """One panel of a row of pictures: an image, a label map, or revealed pixels over the dimmed image."""

    title: str
    image: NDArray[np.uint8] | None = None  # (H, W, 3)
    labels: NDArray[np.uint8] | None = None  # (H, W)
    revealed: Example | None = None


def overview_picture(
    path: Path, rows: Sequence[Sequence[Panel]], classes: Sequence[str], palette: NDArray[np.uint8]
) -> None:
    """Save rows of as many panels each, with the classes that they show below; `palette` is (C, 3) uint8."""
    width = 3.1  # inches of a panel
    shapes = [next(panel.image.shape for panel in row if panel.image is not None) for row in rows]
    heights = [width * height / across + 0.3 for height, across, _ in shapes]
    figure = Figure(figsize=(len(rows[0]) * width + 0.3, sum(heights) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False, height_ratios=heights)
    for axes, row in zip(grid, rows, strict=True):
        draw_panels(axes, row, palette)
    maps = [panel.labels for row in rows for panel in row if panel.labels is not None]
    class_legend(figure, set().union(*(np.unique(labels).tolist() for labels in maps)), classes, palette)
    save_figure(figure, path)


def draw_panels(axes: Sequence[Axes], panels: Sequence[Panel], palette: NDArray[np.uint8]) -> None:
    """Draw a row of panels, each on axes of its own. A panel with nothing but a title stays empty."""
    for own, panel in zip(axes, panels, strict=True):
        own.set(xticks=[], yticks=[])
        own.set_title(panel.title, fontsize=9)
        if panel.image is not None:
            own.imshow(panel.image)
        elif panel.labels is not None:
            draw_labels(own, panel.labels, palette)
        elif panel.revealed is not None:
            draw_revealed(own, panel.revealed, palette)
        else:
            own.set_axis_off()


def example_panels(example: Example) -> list[Panel]:
    """Image, truth, prediction and revealed pixels."""
    right = "" if example.accuracy is None else f": {100 * example.accuracy:.1f} % right"
    share = 100 * len(example.labels) / example.prediction.size
    return [
        Panel(example.name, image=example.image),
        Panel("truth" if example.truth is not None else "", labels=example.truth),
        Panel(f"prediction{right}", labels=example.prediction),
        Panel(f"{len(example.labels)} pixels revealed ({share:.2g} %)", revealed=example),
    ]


def draw_labels(axes: Axes, labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Draw a label map, (H, W) uint8, in the colours of `palette`, (C, 3) uint8, with void hatched."""
    colours = np.zeros((256, 4), np.uint8)
    colours[: len(palette), :3] = palette
    colours[: len(palette), 3] = 255  # all else, void, lets the hatched background through
    axes.patch.set(**VOID_STYLE)
    axes.imshow(colours[labels], interpolation="nearest")


def draw_revealed(axes: Axes, example: Example, palette: NDArray[np.uint8]) -> None:
    """Draw the revealed pixels as dots in the colours of their classes over the dimmed image."""
    axes.imshow((example.image * 0.4 + 255 * 0.6).astype(np.uint8))
    size = float(np.clip(3000 / max(len(example.labels), 1), 7, 24))  # points²: many must not hide the image
    colours = palette[example.labels] / 255
    axes.scatter(example.columns, example.rows, s=size, c=colours, edgecolors="black", linewidths=size / 40)


def curves_picture(path: Path, curves: pd.DataFrame, target: float) -> None:
    """Save accuracy against pixels and the share of runs at `target` (0 to 1), from `curves.parquet`."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    accuracy, reached = figure.subplots(1, 2)
    draw_curves(accuracy, curves, target)
    draw_reached(reached, curves, target)
    if curves["setting"].nunique() <= FEW:
        accuracy.legend(loc="lower right", fontsize=9)
    else:
        figure.legend(*accuracy.get_legend_handles_labels(), loc="outside right upper", fontsize=9, frameon=False)
    save_figure(figure, path)


def draw_curves(axes: Axes, curves: pd.DataFrame, target: float | None = None) -> None:
    """Draw accuracy against revealed pixels, from rows of `curves.parquet`, a line per setting.

    The line is the median over images (each the mean over its seeds), the band, which only a few settings
    have room for, their 10th to 90th percentile. A run that has ended keeps its last accuracy until the last
    run of its setting has, so that the line is never one of the hard images only. Privileged settings are
    dotted. The axis spreads out towards 100 %, where the differences are.
    """
    styles = _styles(curves)
    bands = len(styles) <= FEW
    for setting, style in styles.items():
        pixels, accuracy = held_accuracy(curves[curves["setting"] == setting])
        low, median, high = np.quantile(np.clip(accuracy, *ENDS), [0.1, 0.5, 0.9], axis=0)
        if bands:
            axes.fill_between(pixels, low, high, step="post", color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(pixels, median, drawstyle="steps-post", **style)
    _decorate(axes, "accuracy", f"Accuracy: median over images{', band of 10–90 %' if bands else ''}")
    axes.set_yscale("logit")
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    if target is not None:
        height = float(np.clip(target, *ENDS))
        axes.axhline(height, color="#505050", linewidth=1, linestyle=":")
        place: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "va": "bottom",
            "fontsize": 8,
            "color": "#505050",
        }
        axes.text(0.01, height, f"target {100 * target:g} %", **place)


def draw_reached(axes: Axes, curves: pd.DataFrame, target: float) -> None:
    """Draw the share of runs that needed at most so many pixels to `target`, from rows of `curves.parquet`.

    Runs whose budget ran out first count as not there yet: a line that has them ends below 100 %.
    """
    found = pixels_to(curves, target)
    for setting, style in _styles(curves).items():
        own = found[found["setting"] == setting]["pixels"]
        spent = curves[curves["setting"] == setting]["revealed"]
        pixels = [max(1, spent.min()), *sorted(own.dropna()), spent.max()]
        share = np.minimum(np.arange(len(pixels)), own.notna().sum()) / len(own)
        axes.plot(pixels, share, drawstyle="steps-post", **style)
    _decorate(axes, "share of runs", f"Runs that have reached {100 * target:g} %")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if found["pixels"].notna().any():
        axes.set_xlim(left=max(1, found["pixels"].min() / 2))  # before that all lines lie at 0


def held_accuracy(curves: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read the curves of one setting at the same numbers of revealed pixels.

    Gives those numbers, (P,) int64, rising from the first at which every run has an accuracy (at least 1),
    and the accuracies, (images, P) float64, each the mean over the image's seeds, images sorted by name. A
    run keeps its accuracy until its next round, and its last one from there on.
    """
    runs = [run for _, run in curves.sort_values([*KEY, "round"]).groupby(KEY)]
    start = max(1, *(run["revealed"].iloc[0] for run in runs))
    pixels = np.unique(np.maximum(curves["revealed"], start)).astype(np.int64)
    held = []
    for run in runs:
        latest = np.searchsorted(run["revealed"], pixels, side="right") - 1
        held.append(run["accuracy"].to_numpy()[latest])
    images = [run["image"].iloc[0] for run in runs]
    return pixels, pd.DataFrame(held).groupby(images).mean().to_numpy()


def setting_styles(privileged: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """Colour and dashes for each setting: its acquisition's own colour where it has one, else those left in turn.

    `privileged` says of each setting whether it is; those are dotted, and settings of one colour differ in dashes.
    """
    others = cycle(colour for colour in COLOURS if colour not in OWN_COLOUR.values())
    used = Counter[str]()
    styles = {}
    for name, dotted in privileged.items():
        colour = OWN_COLOUR.get(name.rpartition("-")[2]) or next(others)
        styles[name] = {"color": colour, "linestyle": DOTTED if dotted else DASHES[used[colour] % len(DASHES)]}
        used[colour] += 1
    return styles


def _styles(curves: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Give every setting its look, those that a person could use first."""
    settings = curves[["privileged", "setting"]].drop_duplicates().sort_values(["privileged", "setting"])
    privileged = dict(zip(settings["setting"], settings["privileged"], strict=True))
    return {
        name: style | {"label": setting_label(name, privileged[name]), "linewidth": 1.8}
        for name, style in setting_styles(privileged).items()
    }


def _decorate(axes: Axes, ylabel: str, title: str) -> None:
    axes.set(xscale="log", xlabel="revealed pixels per image", ylabel=ylabel, title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda pixels, _: f"{pixels:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    plain_axes(axes)


def draw_forest(
    axes: Axes, rows: pd.DataFrame, names: Sequence[str], colours: Mapping[str, str], scale: float = 1
) -> None:
    """Draw differences from top to bottom, each a mark with its interval, coloured by its verdict.

    `rows` have the columns value, low, high and verdict, and are multiplied by `scale`. Those that are privileged,
    if a column says so, stand below a line, with open marks.
    """
    privileged = rows["privileged"].to_numpy(bool) if "privileged" in rows else np.zeros(len(rows), bool)
    places = np.arange(len(rows)) + np.where(privileged, 0.4, 0.0)
    points = scale * rows[["value", "low", "high"]].to_numpy(float)
    for place, (value, low, high), found, hollow in zip(places, points, rows["verdict"], privileged, strict=True):
        colour = colours[found]
        axes.plot([low, high], [place, place], color=colour, linewidth=2, zorder=2)
        fill = "white" if hollow else colour
        axes.plot(value, place, "o", color=colour, markerfacecolor=fill, markersize=7, zorder=3)
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    if 0 < (fair := int((~privileged).sum())) < len(rows):
        axes.axhline(fair - 0.3, color="#9a9a9a", linewidth=0.8, linestyle=":")
    axes.set_yticks(places, names, fontsize=9)
    axes.set_ylim(max([*places, 0]) + 0.6, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    plain_axes(axes)


def forest_legend(figure: Figure, rows: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Name the verdicts that are among the rows of a forest plot."""
    style: dict[str, Any] = {"marker": "o", "markersize": 7, "linewidth": 2}
    found = [verdict for verdict in colours if (rows["verdict"] == verdict).any()]
    marks = [Line2D([], [], color=colours[verdict], label=verdict, **style) for verdict in found]
    if "privileged" in rows and rows["privileged"].any():
        marks.append(Line2D([], [], color="#505050", markerfacecolor="white", label="privileged", **style))
    if marks:
        figure.legend(handles=marks, loc="outside lower right", ncols=len(marks), fontsize=9, frameon=False)


def plain_axes(axes: Axes) -> None:
    """A pale grid behind what is drawn, and no frame above or to the right."""
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def class_legend(figure: Figure, shown: set[int], classes: Sequence[str], palette: NDArray[np.uint8]) -> None:
    """Name the classes that are `shown`, and void if it is, below the panels of a figure."""
    handles = [
        Patch(facecolor=palette[label] / 255, edgecolor="#808080", label=classes[label])
        for label in sorted(shown - {IGNORE})
    ]
    if IGNORE in shown:
        handles.append(Patch(**VOID_STYLE, label="void"))
    columns = math.ceil(len(handles) / math.ceil(len(handles) / 9))  # lines of like length
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as PNG, whole or not at all, the same bytes each time."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90, metadata={"Software": None})
