"""The files and tables of a data-set study.

A run is one setting × seed: a network that was trained on the setting's labels and evaluated on the test split.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import pyarrow as pa

from lowpix.dataset_study.ratios import ratios
from lowpix.errors import InputError
from lowpix.segmenter.training import machines, remove_states
from lowpix.study.folder import file_name, image_file
from lowpix.study.kind import Kind, Rows, Table

KEY = ["setting", "seed"]  # identifies a run

SUMMARY = {
    "dataset": "str",
    "setting": "str",
    "seed": "int64",
    "kind": "str",  # kind of labels: the setting's name without the budget
    "budget": "Int64",  # pixels asked of an image; empty for true label maps
    "network": "str",
    "privileged": "bool",  # the labels used the truth in a way that no annotator can
    "label_seed": "Int64",  # seed of the image study's runs that gave the labels; empty for true label maps
    "images": "int64",  # number of training images
    "pixels_per_image": "float64",  # annotated pixels, including validation maps, / images of the training split
    "annotated_fraction": "float64",  # annotated pixels, including validation maps, / pixels of that split
    "clicks": "int64",
    "maps": "int64",  # full label maps, including validation maps if they choose the checkpoint
    "hours": "float64",  # of annotation
    "accuracy": "float64",  # accuracy and mIoU, 0 to 1: on the test split, from its summed confusion matrix
    "miou": "float64",
    "label_accuracy": "float64",  # of the training labels, over labelled pixels that are not void in the truth
    "label_miou": "float64",
    "seconds": "float64",  # of training
    "machine": "str",  # processor and precision, from each epoch: "A + B" if a run went on elsewhere
}
"""Columns of `summary.csv`; the columns `iou_<class>` follow."""
HISTORY = {
    "setting": "str",
    "seed": "int64",
    "epoch": "int64",
    "learning_rate": "float64",
    "loss": "float64",
    "train_miou": "float64",
    "validation_miou": "float64",  # empty in epochs without validation
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
    """The row of `summary.csv`."""
    history: list[dict[str, Any]]
    """A row per epoch, with the columns HISTORY and `machine`; validation_miou only in epochs with validation."""
    confusion: list[tuple[str, int, int, int]]
    """(test image, true class, predicted class, pixels), without pairs of classes that have no pixels."""


class DatasetTables(NamedTuple):
    """The tables of a data-set study."""

    confusion: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    ratios: pd.DataFrame


class DatasetStudies(Kind[TrainedRun, DatasetTables]):
    """The kind of a study that trains networks for a whole data set."""

    name = "dataset"
    key: ClassVar[Mapping[str, type]] = {"setting": str, "seed": int}
    suffix = ".json"
    stored: ClassVar[Mapping[str, Table]] = {
        "confusion.parquet": Table(CONFUSION, (*KEY, "image", "true", "predicted")),
        "history.csv": Table(HISTORY, (*KEY, "epoch")),
        "summary.csv": Table(SUMMARY, tuple(KEY), others="float64", added=("machine",)),
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

    def content(self, run: TrainedRun) -> bytes:
        return json.dumps(run.__dict__).encode()

    def rows(self, files: Mapping[Path, bytes]) -> Rows:
        runs = [_read_run(file, content) for file, content in files.items()]
        if not runs:
            return {name: table.empty() for name, table in self.stored.items()}
        cells = [name for name in CONFUSION.names if name not in KEY]
        epochs = [name for name in HISTORY if name not in KEY]
        return {
            "confusion.parquet": pd.concat(_of(run, pd.DataFrame(run.confusion, columns=cells)) for run in runs),
            "history.csv": pd.concat(_of(run, pd.DataFrame(run.history).reindex(columns=epochs)) for run in runs),
            "summary.csv": pd.DataFrame([_summary(run) for run in runs]).astype(SUMMARY),
        }

    def remove_states(self, folder: Path) -> None:
        remove_states(folder)

    def tables(self, rows: Rows) -> DatasetTables:
        confusion, history, summary = rows.values()
        return DatasetTables(confusion, history, summary, ratios(summary, confusion))


DATASETS = DatasetStudies()


def model_name(setting: str, seed: int) -> str:
    """The name of the trained network's file within the study's folder."""
    return f"models/{file_name(setting)}/{seed}.safetensors"


def state_name(setting: str, seed: int) -> str:
    """The name of an unfinished run's state file within the study's folder."""
    return f"state/{file_name(setting)}/{seed}.safetensors"


def prediction_name(setting: str, seed: int, image: str) -> str:
    """The name of the predicted label map of a test image within the study's folder."""
    return image_file("predictions", setting, seed, image)


def dataset_overview(tables: DatasetTables) -> pd.DataFrame:
    """A printable table, one row of text per setting: means over seeds, and the ratio to `full`."""
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
                "label accuracy": _share(means["label_accuracy"]),
                "accuracy": _share(means["accuracy"]),
                "mIoU": _share(means["miou"]),
                "mIoU / full": against,
            }
        )
    return pd.DataFrame(rows)


def _share(value: float) -> str:
    """Empty if it is unknown: no test image has a label map."""
    return "" if pd.isna(value) else f"{value:.3f}"


def _full_first(column: pd.Series) -> pd.Series:
    return column.replace("full", "") if column.name == "kind" else column


def _summary(run: TrainedRun) -> dict[str, Any]:
    """The row of `summary.csv`; the columns `iou_<class>` are last."""
    row = run.row | {"machine": machines(run.history)}
    return {column: row[column] for column in SUMMARY} | row


def _of(run: TrainedRun, rows: pd.DataFrame) -> pd.DataFrame:
    rows.insert(0, "setting", run.row["setting"])
    rows.insert(1, "seed", run.row["seed"])
    return rows


def _read_run(path: Path, content: bytes) -> TrainedRun:
    try:
        return TrainedRun(**json.loads(content))
    except (ValueError, TypeError, RecursionError) as fault:
        raise InputError(f"{path}: cannot be read as a run ({' '.join(str(fault).split())})") from None
