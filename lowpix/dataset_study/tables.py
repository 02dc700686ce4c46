"""A data-set study's folder: one file per finished run, and the tables made of them.

A run is one setting × seed: a network that was trained on the labels of that setting and judged on the test split.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import pyarrow as pa

from lowpix.dataset_study.ratios import ratios
from lowpix.errors import InputError
from lowpix.study.folder import Kind, Rows, Table, file_name, image_file

KEY = ["setting", "seed"]  # what names a run

SUMMARY = {
    "dataset": "str",
    "setting": "str",
    "seed": "int64",
    "kind": "str",  # of the labels: the setting's name without the budget
    "budget": "Int64",  # pixels that were asked of an image; empty for true label maps
    "network": "str",
    "privileged": "bool",  # its labels used the truth as no annotator could
    "label_seed": "Int64",  # of the image study's runs that the labels come from; empty for true label maps
    "images": "int64",  # that the network is trained on
    "pixels_per_image": "float64",  # annotated, over all images of the training split
    "annotated_fraction": "float64",  # of the pixels of that split; validation maps that choose count on top
    "clicks": "int64",
    "maps": "int64",  # drawn in full, those for choosing a checkpoint included
    "hours": "float64",  # of annotation
    "accuracy": "float64",  # this and what follows, 0 to 1: on the test split, from its summed confusion matrix
    "miou": "float64",
    "label_accuracy": "float64",  # of the labels that the network is trained on, where they and the truth have one
    "label_miou": "float64",
    "seconds": "float64",  # of training
}
"""Columns of `summary.csv`; `iou_<class>` follow."""
HISTORY = {
    "setting": "str",
    "seed": "int64",
    "epoch": "int64",
    "learning_rate": "float64",
    "loss": "float64",
    "train_miou": "float64",
    "validation_miou": "float64",  # empty where it was not looked at
    "seconds": "float64",
}
CONFUSION = pa.schema(
    [
        ("setting", pa.string()),
        ("seed", pa.int64()),
        ("image", pa.string()),
        ("true", pa.int64()),
        ("predicted", pa.int64()),
        ("pixels", pa.int64()),
    ]
)


@dataclass(frozen=True)
class TrainedRun:
    """A finished run."""

    row: dict[str, Any]
    """Of `summary.csv`."""
    history: list[dict[str, float]]
    """A row per epoch, with HISTORY; validation_miou only where it was looked at."""
    confusion: list[tuple[str, int, int, int]]
    """(test image, true class, predicted class, pixels), pairs without pixels left out."""


class DatasetTables(NamedTuple):
    """The tables of a data-set study."""

    confusion: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    ratios: pd.DataFrame


class DatasetStudies(Kind[TrainedRun, DatasetTables]):
    """A study that trains networks for a whole data set."""

    name = "dataset"
    key: ClassVar[Mapping[str, type]] = {"setting": str, "seed": int}
    suffix = ".json"
    stored: ClassVar[Mapping[str, Table]] = {
        "confusion.parquet": Table(CONFUSION, (*KEY, "image", "true", "predicted")),
        "history.csv": Table(HISTORY, (*KEY, "epoch")),
        "summary.csv": Table(SUMMARY, tuple(KEY), others="float64"),
    }
    derived = ("ratios.csv",)
    outputs = (
        "state",
        "models",
        "predictions",
        "walker",
        "history.png",
        "costs.png",
        "overview.png",
    )
    extendable = frozenset({"settings", "budgets", "repeats"})

    def key_of(self, run: TrainedRun) -> tuple[Any, ...]:
        return run.row["setting"], run.row["seed"]

    def write(self, run: TrainedRun, path: Path) -> None:
        path.write_text(json.dumps(run.__dict__), encoding="utf-8")

    def rows(self, files: Sequence[Path]) -> Rows:
        runs = [_read_run(file) for file in files]
        if not runs:
            return {name: table.empty() for name, table in self.stored.items()}
        cells = [name for name in CONFUSION.names if name not in KEY]
        epochs = [name for name in HISTORY if name not in KEY]
        return {
            "confusion.parquet": pd.concat(_of(run, pd.DataFrame(run.confusion, columns=cells)) for run in runs),
            "history.csv": pd.concat(_of(run, pd.DataFrame(run.history).reindex(columns=epochs)) for run in runs),
            "summary.csv": pd.concat(pd.DataFrame([run.row]) for run in runs).astype(SUMMARY),
        }

    def tables(self, rows: Rows) -> DatasetTables:
        confusion, history, summary = rows.values()
        return DatasetTables(confusion, history, summary, ratios(summary, confusion))


DATASETS = DatasetStudies()


def model_name(setting: str, seed: int) -> str:
    """The trained network, as a file within the study's folder."""
    return f"models/{file_name(setting)}/{seed}.safetensors"


def state_name(setting: str, seed: int) -> str:
    """What a run that is under way needs to go on, likewise."""
    return f"state/{file_name(setting)}/{seed}.safetensors"


def prediction_name(setting: str, seed: int, image: str) -> str:
    """The labels of a test image, likewise."""
    return image_file("predictions", setting, seed, image)


def dataset_overview(tables: DatasetTables) -> pd.DataFrame:
    """Give one row of text per setting, ready to be shown: means over seeds, and the ratio to `full`."""
    ratio = tables.ratios.set_index("setting")
    rows = []
    in_order = tables.summary.sort_values(["kind", "budget"], key=_full_first, na_position="first")
    for setting, runs in in_order.groupby("setting", sort=False):
        means = runs.select_dtypes("number").mean()
        against = ""
        if setting in ratio.index:
            value, low, high = (float(ratio[column][setting]) for column in ("ratio", "low", "high"))
            against = f"{value:.3f}" + ("" if math.isnan(low) else f" [{low:.3f}, {high:.3f}]")
        rows.append(
            {
                "setting": f"{setting}{' (privileged)' if runs['privileged'].any() else ''}",
                "runs": str(len(runs)),
                "pixels/image": f"{means['pixels_per_image']:,.0f}",
                "annotated": f"{100 * means['annotated_fraction']:.3g} %",
                "hours": f"{means['hours']:.3g}",
                "label accuracy": f"{means['label_accuracy']:.3f}",
                "accuracy": f"{means['accuracy']:.3f}",
                "mIoU": f"{means['miou']:.3f}",
                "mIoU / full": against,
            }
        )
    return pd.DataFrame(rows)


def _full_first(column: pd.Series) -> pd.Series:
    return column.replace("full", "") if column.name == "kind" else column


def _of(run: TrainedRun, rows: pd.DataFrame) -> pd.DataFrame:
    rows.insert(0, "setting", run.row["setting"])
    rows.insert(1, "seed", run.row["seed"])
    return rows


def _read_run(path: Path) -> TrainedRun:
    try:
        return TrainedRun(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as fault:
        raise InputError(f"{path}: cannot be read as a run ({' '.join(str(fault).split())})") from None
