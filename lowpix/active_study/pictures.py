"""Pictures of an active study: test mIoU against pixels, what was asked, and predictions."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lowpix.active_study.record import Record
from lowpix.active_study.tables import FULL, ActiveTables, prediction_name
from lowpix.data import IGNORE, Dataset, spread
from lowpix.metrics import accuracy, confusion
from lowpix.study.folder import Study
from lowpix.study.plots import (
    Example,
    Panel,
    figure_png,
    overview_picture,
    plain,
    plain_axes,
    setting_styles,
)
from lowpix.study.splits import Splits

EXAMPLES = 4
"""Number of images in a picture."""
MOST = 4
"""Largest number of settings in a picture."""


def active_pictures(study: Study[Record, ActiveTables], tables: ActiveTables, splits: Splits) -> dict[str, bytes]:
    """The files `curves.png`, `asked.png` and `overview.png`; none if no run is finished."""
    if tables.summary.empty:
        return {}
    pictures = {"curves.png": figure_png(curves_picture(tables.rounds))}
    palette, classes = splits.train.palette, splits.train.classes
    if rows := asked_rows(tables, splits.train):
        pictures["asked.png"] = figure_png(overview_picture(rows, classes, palette), photographs=True)
    if rows := _predicted_rows(study, tables, splits):
        pictures["overview.png"] = figure_png(overview_picture(rows, classes, palette), photographs=True)
    return pictures


def curves_picture(rounds: pd.DataFrame) -> Figure:
    """Draw test mIoU, the classes asked and the share near borders, from rows of `rounds.csv`."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    scores, classes, borders = figure.subplots(1, 3, width_ratios=(1, 1.25, 0.8))
    draw_miou(scores, rounds)
    draw_asked_classes(classes, rounds)
    draw_near_border(borders, rounds)
    figure.legend(
        *scores.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=9
    )
    return figure


def draw_miou(axes: Axes, rounds: pd.DataFrame) -> None:
    """Draw test mIoU against pixels asked: mean over seeds, with a band from the lowest to the highest seed."""
    _draw_rounds(axes, rounds, "miou")
    full = rounds.loc[rounds["acquisition"] == FULL, "miou"]
    if len(full):
        axes.axhline(full.mean(), color="#505050", linestyle=":", linewidth=1.4, label="full annotation")
        axes.axhspan(full.min(), full.max(), color="#505050", alpha=0.1, linewidth=0)
    axes.set(ylabel="test mIoU", title="Test mIoU, mean and range over seeds")
    axes.title.set_fontsize(10)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def draw_near_border(axes: Axes, rounds: pd.DataFrame) -> None:
    """Draw the share of the revealed pixels that lie within 2 px of a border, against pixels asked."""
    _draw_rounds(axes, rounds, "near_border")
    axes.set(ylabel="share of the revealed pixels", ylim=(0, None))
    axes.set_title("Within 2 px of a border", fontsize=10)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def draw_asked_classes(axes: Axes, rounds: pd.DataFrame) -> None:
    """Draw the share of each class among the revealed pixels of the last round; of `full`, among all pixels."""
    columns = [name for name in rounds.columns if name.startswith("revealed_")]
    last = rounds[rounds["round"] == rounds.groupby("setting")["round"].transform("max")]
    means = last.groupby("setting")[columns].mean()
    styles = _styles(rounds) | ({FULL: {"color": "#9a9a9a"}} if FULL in means.index else {})
    width = 0.8 / len(styles)
    for index, (setting, style) in enumerate(styles.items()):
        places = np.arange(len(columns)) + (index - (len(styles) - 1) / 2) * width
        axes.bar(places, means.loc[setting], width, color=style["color"])
    names = [plain(name.removeprefix("revealed_")) for name in columns]
    axes.set_xticks(range(len(columns)), names, rotation=40, ha="right", fontsize=8)
    axes.set_title("Classes of the revealed pixels (grey: of all pixels)", fontsize=10)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    plain_axes(axes)


def asked_rows(tables: ActiveTables, dataset: Dataset) -> list[list[Panel]]:
    """For a few training images: the image, its truth, and what each setting has asked of it."""
    revealed = tables.revealed[tables.revealed["seed"] == tables.revealed["seed"].min()]
    settings = _shown(tables)
    there = set(revealed["image"])
    rows = []
    for name in spread([image for image in dataset.images if image in there], EXAMPLES):
        image, truth = dataset.image(name), dataset.labels(name)
        assert truth is not None, "the oracle has answered from it"
        row = [Panel(name, image=image), Panel("truth", labels=truth)]
        for setting in settings:
            told = revealed[(revealed["setting"] == setting) & (revealed["image"] == name)]
            places = (told["row"].to_numpy(), told["column"].to_numpy(), told["label"].to_numpy())
            example = Example(name, image, truth, truth, *places, None)
            row.append(Panel(f"{setting}: {len(told)} pixels", revealed=example))
        rows.append(row)
    return rows if settings else []


def _predicted_rows(study: Study[Record, ActiveTables], tables: ActiveTables, splits: Splits) -> list[list[Panel]]:
    """For a few test images: the image, its truth, and predictions of the last networks of the first seed."""
    seed = int(tables.summary["seed"].min())
    done = set(tables.summary.loc[tables.summary["seed"] == seed, "setting"])
    settings = [name for name in (*_shown(tables), FULL) if name in done]
    rows = []
    for name in spread(splits.test_names, EXAMPLES):
        files = {setting: prediction_name(setting, seed, name) for setting in settings}
        truth = splits.test.labels(name)
        if truth is None or not all((study.folder / file).exists() for file in files.values()):
            continue
        row = [Panel(name, image=splits.test.image(name)), Panel("truth", labels=truth)]
        for setting, file in files.items():
            labels = study.read_label_map((setting, seed), file)
            right = accuracy(confusion(truth, labels, IGNORE - 1))
            row.append(Panel(f"{setting}: {100 * right:.1f} % right", labels=labels))
        rows.append(row)
    return rows if settings else []


def _shown(tables: ActiveTables) -> list[str]:
    """The settings in pictures: those with the largest test mIoU, and random."""
    asked = tables.summary[tables.summary["acquisition"] != FULL]
    best = asked.groupby("setting")["miou"].mean().sort_values(ascending=False).index
    plain_ones = [name for name in best if name.endswith("-random")]
    return [*(name for name in best if name not in plain_ones)][: MOST - len(plain_ones)] + plain_ones


def _styles(rounds: pd.DataFrame) -> dict[str, dict[str, object]]:
    names = sorted(rounds.loc[rounds["acquisition"] != FULL, "setting"].unique())
    return setting_styles(dict.fromkeys(names, False))


def _draw_rounds(axes: Axes, rounds: pd.DataFrame, column: str) -> None:
    for setting, style in _styles(rounds).items():
        by_pixels = rounds[rounds["setting"] == setting].groupby("asked")[column]
        pixels, mean = by_pixels.mean().index, by_pixels.mean()
        axes.fill_between(pixels, by_pixels.min(), by_pixels.max(), color=style["color"], alpha=0.13, linewidth=0)
        axes.plot(
            pixels,
            mean,
            "o",
            linestyle=style["linestyle"],
            color=style["color"],
            markersize=4,
            label=plain(setting),
        )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("pixels asked of a training image")
    plain_axes(axes)
