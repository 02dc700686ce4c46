"""A data-set study's folder: one file per finished run, and the tables made of them.

A run is one setting × seed: a network that was trained on the labels of that setting and judged on the test split.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pandas as pd

from lowpix.errors import InputError
from lowpix.record.atomic import atomic
from lowpix.record.dataset_ratios import ratios
from lowpix.record.exact import read_csv
from lowpix.record.settings import record_work
from lowpix.record.store import file_name

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
HISTORY = ["epoch", "learning_rate", "loss", "train_miou", "validation_miou", "seconds"]
HISTORY_KINDS = {"setting": "str", "seed": "int64", "epoch": "int64"} | dict.fromkeys(HISTORY[1:], "float64")
CONFUSION = ["image", "true", "predicted", "pixels"]

# All that a data-set study writes; what names the study goes last.
OUTPUTS = (
    "runs",
    "state",
    "models",
    "predictions",
    "walker",
    "stratified",
    "confusion.parquet",
    "history.csv",
    "ratios.csv",
    "summary.csv",
    "history.png",
    "costs.png",
    "overview.png",
    "study.toml",
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

    summary: pd.DataFrame
    ratios: pd.DataFrame
    history: pd.DataFrame
    confusion: pd.DataFrame


class DatasetStudy:
    """The folder of a data-set study. Any number of processes may save runs to it at once; nothing is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model_file(self, setting: str, seed: int) -> Path:
        """Where the trained network goes."""
        return self.folder / "models" / file_name(setting) / f"{seed}.safetensors"

    def state_file(self, setting: str, seed: int) -> Path:
        """Where a run that is under way keeps what it needs to go on."""
        return self.folder / "state" / file_name(setting) / f"{seed}.safetensors"

    def prediction_file(self, setting: str, seed: int, image: str) -> Path:
        """Where the labels of a test image go; a name with slashes keeps its sub-folders."""
        *folders, name = map(file_name, image.split("/"))
        return self.folder.joinpath("predictions", file_name(setting), str(seed), *folders, f"{name}.png")

    def save(self, run: TrainedRun) -> None:
        """Write a finished run. From here on it counts as finished, so write its model and pictures first."""
        name = f"{run.row['seed']}.json"
        with atomic(self.folder / "runs" / file_name(run.row["setting"]) / name) as temporary:
            temporary.write_text(json.dumps(run.__dict__), encoding="utf-8")

    def finished(self) -> set[tuple[str, int]]:
        """Tell which runs need no more work, as (setting, seed): those saved or in the tables."""
        in_tables = self._old().summary[KEY].itertuples(index=False, name=None)
        return {*map(_key, self._run_files()), *in_tables}

    def tables(self) -> DatasetTables:
        """Make the tables of all finished runs, sorted: the same whatever the order of the work.

        Runs that only the tables in the folder know keep their rows.
        """
        files = self._run_files()
        runs = [_read_run(path) for path in files]
        old, keys = self._old(), set(map(_key, files))
        summary = _merged(old.summary, keys, [pd.DataFrame([run.row]) for run in runs], []).astype(SUMMARY)
        history = [_of(run, pd.DataFrame(run.history).reindex(columns=HISTORY)) for run in runs]
        confusion = [_of(run, pd.DataFrame(run.confusion, columns=CONFUSION)) for run in runs]
        cells = _merged(old.confusion, keys, confusion, CONFUSION[:-1])
        return DatasetTables(
            summary,
            ratios(summary, cells),
            _merged(old.history, keys, history, ["epoch"]),
            cells,
        )

    def write_tables(self) -> DatasetTables:
        """Write the tables of all finished runs, and return them."""
        tables = self.tables()
        with atomic(self.folder / "confusion.parquet") as temporary:
            tables.confusion.to_parquet(temporary, index=False, compression="zstd")
        for name in ("history", "ratios", "summary"):  # the summary last: what it lists, the others hold
            with atomic(self.folder / f"{name}.csv") as temporary:
                getattr(tables, name).to_csv(temporary, index=False, lineterminator="\n")
        return tables

    def record_work(self, seconds: float, device: str = "cpu") -> None:
        """Add wall time to the entry in `study.toml` of this version on this machine and device."""
        record_work(self.folder / "study.toml", seconds, device)

    def _run_files(self) -> list[Path]:
        return sorted((self.folder / "runs").glob("*/[0-9]*.json"))

    def _old(self) -> DatasetTables:
        if not (self.folder / "summary.csv").exists():
            return DatasetTables(
                pd.DataFrame(columns=list(SUMMARY)).astype(SUMMARY),
                pd.DataFrame(),
                pd.DataFrame(columns=[*KEY, *HISTORY]),
                pd.DataFrame(columns=[*KEY, *CONFUSION]),
            )
        history = read_csv(self.folder / "history.csv", HISTORY_KINDS, "a table")
        try:
            confusion = pd.read_parquet(self.folder / "confusion.parquet")
        except (OSError, ValueError) as fault:
            raise InputError(f"{self.folder / 'confusion.parquet'}: cannot be read as a table ({fault})") from None
        summary = read_csv(self.folder / "summary.csv", SUMMARY, "a table", others="float64")
        return DatasetTables(summary, pd.DataFrame(), history, confusion)


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


def _merged(
    old: pd.DataFrame, keys: set[tuple[str, int]], added: Sequence[pd.DataFrame], within: list[str]
) -> pd.DataFrame:
    kept = old[[key not in keys for key in old[KEY].itertuples(index=False, name=None)]]
    parts = [part for part in (kept, *added) if len(part)]
    if not parts:
        return old
    return pd.concat(parts).sort_values([*KEY, *within], ignore_index=True)


def _of(run: TrainedRun, rows: pd.DataFrame) -> pd.DataFrame:
    rows.insert(0, "setting", run.row["setting"])
    rows.insert(1, "seed", run.row["seed"])
    return rows


def _read_run(path: Path) -> TrainedRun:
    try:
        return TrainedRun(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as fault:
        raise InputError(f"{path}: cannot be read as a run ({' '.join(str(fault).split())})") from None


def _key(run_file: Path) -> tuple[str, int]:
    return unquote(run_file.parent.name), int(run_file.stem)
