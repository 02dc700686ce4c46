"""Pictures of a data-set study: predictions for a few test images, training curves and costs."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset, spread
from lowpix.dataset_study.annotated import Audited
from lowpix.dataset_study.tables import DatasetTables, TrainedRun, prediction_name
from lowpix.study.folder import Study
from lowpix.study.plots import COLOURS, Panel, figure_png, overview_picture, plain, plain_axes

EXAMPLES = 4
"""Number of images in the overview."""
KIND_COLOURS = {
    "full": COLOURS[6],
    "pseudo": COLOURS[0],
    "pseudo_stratified": COLOURS[4],
    "sparse": COLOURS[1],
    "sparse_random": COLOURS[5],
    "few_full": COLOURS[2],
    "full_degraded_flips": "#999999",
    "full_degraded_borders": "#555555",
    "pseudo_walker": COLOURS[3],
}
BUDGET_DASHES = ("-", "--", ":", "-.")  # for the budgets of one kind, the smallest first


def dataset_pictures(
    study: Study[TrainedRun, DatasetTables], tables: DatasetTables, test: Dataset, names: Sequence[str]
) -> dict[str, bytes]:
    """The files `history.png`, `costs.png`, and `overview.png`: truth, full and pseudo for a few test images."""
    if not len(tables.summary):
        return {}
    pictures = {"history.png": figure_png(history_picture(tables.history))}
    if tables.summary["miou"].notna().any():  # without audit answers, nothing of a person's labels is scored
        pictures["costs.png"] = figure_png(costs_picture(tables.summary))
    summary = tables.summary.sort_values("pixels_per_image", kind="stable")
    settings = list(dict.fromkeys(summary["setting"]))
    pseudo = list(summary["setting"][summary["kind"] == "pseudo"])
    shown = [*(["full"] if "full" in settings else []), *pseudo[-1:]] or settings[:1]
    seed = int(summary["seed"].min())
    rows = []
    for name in spread(names, EXAMPLES):
        files = {setting: study.folder / prediction_name(setting, seed, name) for setting in shown}
        maps = {
            setting: study.read_label_map((setting, seed), prediction_name(setting, seed, name))
            for setting, file in files.items()
            if file.exists()
        }
        truth = test.labels(name)
        if len(maps) == len(shown) and truth is not None:
            known = [] if isinstance(test, Audited) else [Panel("truth", labels=truth)]
            rows.append([Panel(name, image=test.image(name)), *known, *_panels(maps, truth, test)])
    if rows:
        pictures["overview.png"] = figure_png(overview_picture(rows, test.classes, test.palette), photographs=True)
    return pictures


def _panels(maps: Mapping[str, NDArray[np.uint8]], truth: NDArray[np.uint8], test: Dataset) -> Iterator[Panel]:
    """A panel for each prediction, with its accuracy, or with the few audit pixels that it is known of."""
    for setting, labels in maps.items():
        right, known = np.count_nonzero((labels == truth)[truth != IGNORE]), np.count_nonzero(truth != IGNORE)
        share = f"{right} of {known} audit pixels" if isinstance(test, Audited) else f"{100 * right / known:.1f} %"
        yield Panel(f"{setting}: {share} right", labels=labels)


def costs_picture(summary: pd.DataFrame) -> Figure:
    """Draw test mIoU against annotated fraction and hours of annotation, from rows of `summary.csv`."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    fraction, hours = figure.subplots(1, 2, sharey=True)
    draw_costs(fraction, summary, "annotated_fraction")
    draw_costs(hours, summary, "hours")
    fraction.set(ylabel="test mIoU", xlabel="annotated share of the training pixels")
    hours.set(xlabel="hours of annotation")
    fraction.legend(fontsize=9, frameon=False)
    return figure


def draw_costs(axes: Axes, summary: pd.DataFrame, cost: str) -> None:
    """Draw test mIoU against a cost column of `summary.csv`: a line per kind, with error bars over seeds."""
    for kind in sorted(set(summary["kind"]), key=[*KIND_COLOURS, *summary["kind"]].index):
        runs, colour = summary[summary["kind"] == kind].groupby("setting"), _colour(kind)
        points = runs["miou"].agg(["mean", "min", "max"]).assign(cost=runs[cost].mean()).sort_values("cost")
        below, above = points["mean"] - points["min"], points["max"] - points["mean"]
        ends = (below.clip(lower=0), above.clip(lower=0))  # rounding of the mean can make these negative
        axes.errorbar(points["cost"], points["mean"], ends, fmt="o-", color=colour, markersize=4, label=kind)
        if kind == "full":
            axes.axhline(points["mean"].iloc[0], color=colour, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    plain_axes(axes)


def draw_classes(axes: Axes, summary: pd.DataFrame, settings: Sequence[str]) -> None:
    """Draw the test IoU of each class, mean over seeds, as bars: the settings are side by side."""
    columns = [name for name in summary.columns if name.startswith("iou_")]
    means = summary.groupby("setting")[columns].mean()
    width = 0.8 / len(settings)
    for index, setting in enumerate(settings):
        places = np.arange(len(columns)) + (index - (len(settings) - 1) / 2) * width
        axes.bar(places, means.loc[setting], width, color=_colour(_kind(setting)), label=setting)
    axes.set_xticks(
        range(len(columns)), [plain(name.removeprefix("iou_")) for name in columns], rotation=30, ha="right"
    )
    axes.set_ylabel("IoU on the test split")
    plain_axes(axes)


def history_picture(history: pd.DataFrame) -> Figure:
    """Draw loss and mIoU against epochs, from rows of `history.csv`: a colour per setting, a line per seed.

    The mIoU is measured on training minibatches against the setting's own labels, so it does not compare settings.
    Dots are mIoU on the validation split, if it was used.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    loss, score = figure.subplots(1, 2)
    draw_history(loss, history, "loss")
    draw_history(score, history, "train_miou")
    loss.set(yscale="log", ylabel="training loss")
    score.set(ylabel="mIoU on the setting's own training labels", ylim=(0, 1))
    figure.legend(*loss.get_legend_handles_labels(), loc="outside right center", fontsize=9, frameon=False)
    return figure


def draw_history(axes: Axes, history: pd.DataFrame, column: str) -> None:
    """Draw a column of `history.csv` against epochs."""
    dashes: dict[str, Iterator[str]] = {}
    by_budget = sorted(set(history["setting"]), key=lambda name: (_kind(name), len(name), name))
    for setting in by_budget:
        runs, colour = history[history["setting"] == setting], _colour(_kind(setting))
        style = next(dashes.setdefault(colour, cycle(BUDGET_DASHES)))
        for number, (_, run) in enumerate(runs.groupby("seed")):
            label = setting if number == 0 else None
            axes.plot(run["epoch"], run[column], style, color=colour, linewidth=1.2, label=label)
            if column == "train_miou":
                axes.plot(run["epoch"], run["validation_miou"], "o", color=colour, markersize=3)
    axes.set_xlabel("epoch")
    plain_axes(axes)


def _colour(kind: str) -> str:
    return KIND_COLOURS.get(kind, "#bbbbbb")


def _kind(setting: str) -> str:
    """The kind in a setting's name, which is followed by a hyphen and the budget."""
    return setting.partition("-")[0]
