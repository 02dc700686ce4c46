"""Pictures of a study: a few example images, accuracy against revealed pixels, and forest plots.

`draw_*` draw on given axes, for notebooks; `*_picture` return a figure. pyplot is not used, because it keeps
global state and may need a display.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lowpix.data import IGNORE
from lowpix.study.tables import KEY, pixels_to
from lowpix.study.text import setting_label

# Okabe and Ito's colours, which colour-blind readers can tell apart, without yellow, which is too pale on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DARK = ("#882255", "#999933", "#332288")  # of Tol's, for more settings
OWN_COLOUR = {"margin": COLOURS[0], "random": COLOURS[1], "error_depth": COLOURS[2], "stratified": COLOURS[6]}
OWN_COLOUR["facility"] = COLOURS[5]
"""The colours of these acquisitions in every picture; other acquisitions share the remaining colours."""
DOTTED: Any = (0, (1, 1))
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.2)), (0, (4, 1.2, 1, 1.2)))
FEW = 4  # with more settings, bands and a legend would hide the lines
TICKS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
ENDS = (0.005, 0.9995)  # accuracies are clipped to this, because a logit axis has no 0 and 1
PANEL = 3.1  # width of a panel in inches
DPI = 90
DISTINCT = 20  # colours of the default palette that the eye can tell apart
LONGEST = 40  # characters of a name above a panel or in the legend of classes
VOID_STYLE: dict[str, Any] = {"facecolor": "#f4f4f4", "edgecolor": "#9a9a9a", "hatch": "////"}


@dataclass(frozen=True)
class Example:
    """An image and the result of a run on it: one row of the overview."""

    name: str
    image: NDArray[np.uint8]  # (H, W, 3)
    truth: NDArray[np.uint8] | None  # (H, W), IGNORE for void; None if unknown
    prediction: NDArray[np.uint8]  # (H, W)
    rows: NDArray[np.int32]  # (n,) rows, columns and labels of the revealed pixels, in order
    columns: NDArray[np.int32]
    labels: NDArray[np.uint8]
    accuracy: float | None  # 0 to 1; None if unknown


class Panel(NamedTuple):
    """One panel of a row of pictures: an image, a label map, or revealed pixels over the dimmed image."""

    title: str
    image: NDArray[np.uint8] | None = None  # (H, W, 3)
    labels: NDArray[np.uint8] | None = None  # (H, W)
    revealed: Example | None = None


def overview_picture(
    rows: Sequence[Sequence[Panel]], classes: Sequence[str], palette: NDArray[np.uint8], full_size: bool = False
) -> Figure:
    """Draw rows of panels, equally many per row, and below them a legend of the classes shown.

    `palette` is (C, 3) uint8. With more classes than colours that the eye can tell apart, regions are numbered.
    Panels are about 280 pixels wide, or with `full_size` as wide as the widest image, if that is more.
    """
    shapes = [next(panel.image.shape for panel in row if panel.image is not None) for row in rows]
    width = max(PANEL, max(across for _, across, _ in shapes) / DPI) if full_size else PANEL
    heights = [width * height / across + 0.3 for height, across, _ in shapes]
    maps = [panel.labels for row in rows for panel in row if panel.labels is not None]
    shown: set[int] = set().union(*(np.unique(labels).tolist() for labels in maps))
    size = (
        len(rows[0]) * width + 0.3,
        sum(heights) + 0.3 + 0.2 * _legend_rows(shown, classes, len(rows[0]) * width),
    )
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False, height_ratios=heights)
    for axes, row in zip(grid, rows, strict=True):
        draw_panels(axes, row, palette, numbered=len(shown) > DISTINCT)
    class_legend(figure, shown, classes, palette)
    return figure


def draw_panels(
    axes: Sequence[Axes], panels: Sequence[Panel], palette: NDArray[np.uint8], numbered: bool = False
) -> None:
    """Draw a row of panels, one on each of `axes`. A panel with only a title stays empty.

    If `numbered`, the ids of classes stand in their largest regions.
    """
    for place, panel in zip(axes, panels, strict=True):
        place.set(xticks=[], yticks=[])
        place.set_title(plain(panel.title, LONGEST), fontsize=9)
        if panel.image is not None:
            place.imshow(panel.image)
        elif panel.labels is not None:
            draw_labels(place, panel.labels, palette)
            if numbered:
                number_regions(place, panel.labels)
        elif panel.revealed is not None:
            draw_revealed(place, panel.revealed, palette)
        else:
            place.set_axis_off()


def example_panels(example: Example) -> list[Panel]:
    """The panels of an example: image, truth, prediction and revealed pixels."""
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
    colours[: len(palette), 3] = 255  # void stays transparent and shows the hatched background
    axes.patch.set(**VOID_STYLE)
    axes.imshow(colours[labels], interpolation="nearest")


def number_regions(axes: Axes, labels: NDArray[np.uint8]) -> None:
    """Write the id of each class of a label map `(H, W)` where its regions are thickest, if there is room."""
    for label in np.setdiff1d(labels, [IGNORE]):
        depth = ndimage.distance_transform_cdt(np.pad(labels == label, 1), "chessboard")[1:-1, 1:-1]
        row, column = divmod(int(depth.argmax()), depth.shape[1])
        if depth[row, column] * 2 > labels.shape[1] / 40:
            text = axes.text(column, row, str(label), size=7, ha="center", va="center", color="black")
            text.set_path_effects([Stroke(linewidth=1.5, foreground="white"), Normal()])


def draw_revealed(axes: Axes, example: Example, palette: NDArray[np.uint8]) -> None:
    """Draw the revealed pixels as dots in the colours of their classes on the dimmed image."""
    axes.imshow((example.image * 0.4 + 255 * 0.6).astype(np.uint8))
    size = float(np.clip(3000 / max(len(example.labels), 1), 7, 24))  # points²; many dots must be small
    colours = palette[example.labels] / 255
    axes.scatter(example.columns, example.rows, s=size, c=colours, edgecolors="black", linewidths=size / 40)


def curves_picture(curves: pd.DataFrame, target: float) -> Figure:
    """Draw accuracy against pixels, and the share of runs at `target` (0 to 1), from rows of `curves.parquet`."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    accuracy, reached = figure.subplots(1, 2)
    draw_curves(accuracy, curves, target)
    draw_reached(reached, curves, target)
    if curves["setting"].nunique() <= FEW:
        accuracy.legend(loc="lower right", fontsize=9)
    else:
        figure.legend(*accuracy.get_legend_handles_labels(), loc="outside right upper", fontsize=9, frameon=False)
    return figure


def draw_curves(axes: Axes, curves: pd.DataFrame, target: float | None = None) -> None:
    """Draw accuracy against revealed pixels, from rows of `curves.parquet`, a line per setting.

    The line is the median over images, after the mean over each image's seeds. The band is the 10th to 90th
    percentile; it is drawn for at most 4 settings. A run that has ended keeps its last accuracy up to the largest
    number of pixels of its setting; otherwise the line would end with the hard images only. Privileged settings
    are dotted. The accuracy axis is logit, which spreads out accuracies near 100 %.
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
        axes.text(0.01, height, f"{100 * target:g} %", **place)


def draw_reached(axes: Axes, curves: pd.DataFrame, target: float) -> None:
    """Draw the share of runs that have reached `target` against revealed pixels, from rows of `curves.parquet`.

    Runs that spend their budget without reaching the target keep the line below 100 %.
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
        axes.set_xlim(left=max(1, found["pixels"].min() / 2))  # all lines are at 0 further left


def held_accuracy(curves: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The accuracies of one setting's runs, all read at the same numbers of revealed pixels.

    Returns these numbers, (P,) int64, rising from the smallest at which every run has an accuracy (at least 1),
    and the accuracies, (images, P) float64: means over an image's seeds, images sorted by name. A run keeps its
    accuracy until its next round, and keeps its last accuracy after its end.
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
    """Colour and dashes of each setting; `privileged` says for each setting whether it is privileged.

    An acquisition in OWN_COLOUR has its own colour; the others take the remaining colours in turn. Privileged
    settings are dotted. Other settings with the same colour differ in their dashes.
    """
    others = cycle(colour for colour in (*COLOURS, *DARK) if colour not in OWN_COLOUR.values())
    used = Counter[str]()
    styles = {}
    for name, dotted in privileged.items():
        own = (OWN_COLOUR[part] for part in name.split("-") if part in OWN_COLOUR)
        colour = next(own, None) or next(others)
        styles[name] = {"color": colour, "linestyle": DOTTED if dotted else DASHES[used[colour] % len(DASHES)]}
        used[colour] += 1
    return styles


def _styles(curves: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The label and style of each setting, privileged settings last."""
    settings = curves[["privileged", "setting"]].drop_duplicates().sort_values(["privileged", "setting"])
    privileged = dict(zip(settings["setting"], settings["privileged"], strict=True))
    return {
        name: style | {"label": plain(setting_label(name, privileged[name])), "linewidth": 1.8}
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
    """Draw a forest plot: each row's difference and interval, from top to bottom, coloured by verdict.

    `rows` have the columns value, low, high and verdict; the numbers are multiplied by `scale`. If there is a
    column privileged, privileged rows must come last: they are drawn below a line, with open marks.
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
    axes.set_yticks(places, list(map(plain, names)), fontsize=9)
    axes.set_ylim(max([*places, 0]) + 0.6, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    plain_axes(axes)


def forest_legend(figure: Figure, rows: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Add a legend of the verdicts that occur in `rows` of a forest plot."""
    style: dict[str, Any] = {"marker": "o", "markersize": 7, "linewidth": 2}
    found = [verdict for verdict in colours if (rows["verdict"] == verdict).any()]
    marks = [Line2D([], [], color=colours[verdict], label=verdict, **style) for verdict in found]
    if "privileged" in rows and rows["privileged"].any():
        marks.append(Line2D([], [], color="#505050", markerfacecolor="white", label="privileged", **style))
    if marks:
        figure.legend(handles=marks, loc="outside lower right", ncols=len(marks), fontsize=9, frameon=False)


def plain(text: str, longest: int | None = None) -> str:
    """Text that matplotlib draws as it is; otherwise a `$` in a name would begin mathematics.

    Of a text with more than `longest` characters, the beginning and the end are kept.
    """
    if longest is not None and len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-(longest // 2) :]}"
    return text.replace("$", r"\$")


def plain_axes(axes: Axes) -> None:
    """Draw a pale grid in the background, and no frame at the top and on the right."""
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def class_legend(figure: Figure, shown: set[int], classes: Sequence[str], palette: NDArray[np.uint8]) -> None:
    """Add a legend of the class ids `shown`, with void if it is among them, below the panels of a figure."""
    handles = [
        Patch(facecolor=palette[label] / 255, edgecolor="#808080", label=name)
        for label, name in _legend_names(shown, classes).items()
    ]
    if IGNORE in shown:
        handles.append(Patch(**VOID_STYLE, label="void"))
    rows = _legend_rows(shown, classes, figure.get_figwidth())
    columns = math.ceil(len(handles) / rows)  # rows of similar length
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def legend_picture(classes: Sequence[str], palette: NDArray[np.uint8]) -> Figure:
    """A legend of all classes alone."""
    shown, width = set(range(len(classes))), 2 * PANEL
    figure = Figure(figsize=(width, 0.3 + 0.22 * _legend_rows(shown, classes, width)), layout="constrained")
    class_legend(figure, shown, classes, palette)
    return figure


def _legend_names(shown: set[int], classes: Sequence[str]) -> dict[int, str]:
    """What the legend says of each class shown: with many of them, also the id."""
    number = len(shown) > DISTINCT
    return {
        label: plain(f"{label} {classes[label]}" if number else classes[label], LONGEST)
        for label in sorted(shown - {IGNORE})
    }


def _legend_rows(shown: set[int], classes: Sequence[str], width: float) -> int:
    """Rows of the legend of classes in a figure of `width` inches."""
    longest = max((len(name) for name in _legend_names(shown, classes).values()), default=4)
    across = int(np.clip(width / (0.6 + 0.08 * longest), 1, 9 if width < 4.5 * PANEL else 18))
    return max(1, math.ceil(len(shown) / across))


def figure_png(figure: Figure, photographs: bool = False) -> bytes:
    """A figure as PNG; the same figure gives the same bytes.

    A figure of `photographs` is written with 256 colours, which takes about half of the space or less.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return few_colours(buffer.getvalue()) if photographs else buffer.getvalue()


def few_colours(png: bytes) -> bytes:
    """A PNG with at most 256 colours."""
    buffer = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(256).save(buffer, "png", optimize=True)
    return buffer.getvalue()
