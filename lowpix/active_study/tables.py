"""The files and tables of an active study.

A run is one setting × seed: the rounds in which one network asked for pixels, or one training on full label maps.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from lowpix.active_study.pairs import pairs
from lowpix.active_study.record import CONFUSION as CELLS
from lowpix.active_study.record import Record
from lowpix.metrics import accuracy, miou
from lowpix.reveal.log import UNSURE
from lowpix.segmenter.training import FORMAT, machines
from lowpix.study.folder import file_name, image_file
from lowpix.study.kind import Kind, Rows, Table
from lowpix.study.tables import ADDED, CURVES, REVEALED
from lowpix.weights import read_weights

FULL = "full"
"""The setting that learns from the true label maps."""
FIRST = "first"
"""Stands for a setting where all settings of a seed share the first round."""

ROUNDS = {
    "dataset": "str",
    "setting": "str",
    "seed": "int64",
    "network": "str",
    "acquisition": "str",
    "selection": "str",
    "oracle": "str",
    "void": "str",
    "images": "int64",  # number of training images
    "round": "int64",
    "asked": "float64",  # pixels asked of an image so far, mean over images
    "revealed": "float64",  # of these, with a class as answer
    "annotated_fraction": "float64",  # revealed pixels and those of validation maps / pixels of the training split
    "accuracy": "float64",  # accuracy and mIoU, 0 to 1: on the test split, from its summed confusion matrix
    "miou": "float64",
    "near_border": "float64",  # share of the revealed pixels with another true class within 2 px
    "seconds": "float64",  # since the run began, with the shared first round
}
"""Columns of `rounds.csv`. `iou_<class>` and `revealed_<class>`, the share of the revealed pixels, follow."""
SUMMARY = {
    "dataset": "str",
    "setting": "str",
    "seed": "int64",
    "network": "str",
    "acquisition": "str",
    "images": "int64",
    "pixels_per_image": "float64",  # annotated pixels, including validation maps, / images of the training split
    "annotated_fraction": "float64",
    "accuracy": "float64",
    "miou": "float64",
    "accuracy_again": "float64",  # of a network that was trained again from the first weights, with --retrain
    "miou_again": "float64",
    "seconds": "float64",
    "machine": "str",  # processor and precision, from each epoch: "A + B" if a run went on elsewhere
}
"""Columns of `summary.csv`, at the last round; `iou_<class>` follow."""
HISTORY = {
    "setting": "str",
    "seed": "int64",
    "round": "int64",  # with --retrain, one more than the last round for the training from the first weights
    "epoch": "int64",
    "learning_rate": "float64",
    "loss": "float64",
    "train_miou": "float64",
    "validation_miou": "float64",  # empty in epochs without validation
    "seconds": "float64",  # since the round's training began
}
CONFUSION = pa.schema(
    [
        ("setting", pa.string()),
        ("seed", pa.int64()),
        ("round", pa.int32()),
        ("image", pa.string()),
        ("true", pa.int64()),
        ("predicted", pa.int64()),
        ("pixels", pa.int64()),
    ]
)
KEY = ("setting", "seed")  # identifies a run


class ActiveTables(NamedTuple):
    """The tables of an active study."""

    curves: pd.DataFrame
    """A row for each test image, setting, seed and round, without `full`: what `lowpix.compare` reads.
    `asked`, `revealed` and `fraction` are those of a training image."""
    revealed: pd.DataFrame
    confusion: pd.DataFrame
    history: pd.DataFrame
    rounds: pd.DataFrame
    summary: pd.DataFrame
    pairs: pd.DataFrame


class ActiveStudies(Kind[Record, ActiveTables]):
    """The kind of a study in which one network for the data set asks."""

    name = "active"
    key: ClassVar[Mapping[str, type]] = {"setting": str, "seed": int}
    suffix = ".json"
    stored: ClassVar[Mapping[str, Table]] = {
        "curves.parquet": Table(CURVES, (*KEY, "round", "image"), added=ADDED),
        "revealed.parquet": Table(REVEALED, (*KEY, "image", "order")),
        "confusion.parquet": Table(CONFUSION, (*KEY, "round", "image", "true", "predicted")),
        "history.csv": Table(HISTORY, (*KEY, "round", "epoch")),
        "rounds.csv": Table(ROUNDS, (*KEY, "round"), others="float64"),
        "summary.csv": Table(SUMMARY, KEY, others="float64", added=("machine",)),
    }
    derived = ("pairs.csv",)
    outputs = (
        "state",
        "models",
        "predictions",
        "curves.png",
        "overview.png",
        "asked.png",
        "comparison.csv",
        "comparison.png",
    )
    seals = ("comparison.sha256",)
    extendable = frozenset({"acquisition", "repeats", "full"})

    def key_of(self, run: Record) -> tuple[Any, ...]:
        return run.setting, run.seed

    def content(self, run: Record) -> bytes:
        return run.content()

    def rows(self, files: Mapping[Path, bytes]) -> Rows:
        runs = [Record.read(path, content) for path, content in files.items()]
        if not runs:
            return {name: table.empty() for name, table in self.stored.items()}
        asked = [run for run in runs if run.facts["acquisition"] != FULL]
        histories = [_of(run, pd.DataFrame(run.history, columns=list(HISTORY)[2:])) for run in runs]
        rounds = pd.concat([_of(run, pd.DataFrame(run.rounds).assign(**_facts(run))) for run in runs])
        classes = [name for name in rounds.columns if name.startswith(("iou_", "revealed_"))]
        return {
            "curves.parquet": _joined([pd.DataFrame(_curves(run)) for run in asked], CURVES),
            "revealed.parquet": _joined([_revealed(run) for run in asked], REVEALED),
            "confusion.parquet": pd.concat([_of(run, pd.DataFrame(run.confusion)) for run in runs]),
            "history.csv": pd.concat(histories).astype(HISTORY),
            "rounds.csv": rounds[[*ROUNDS, *classes]].astype(ROUNDS),
            "summary.csv": pd.DataFrame([_summary(run) for run in runs]).astype(SUMMARY),
        }

    def remove_states(self, folder: Path) -> None:
        states, records = list(folder.glob("state/*/*.safetensors")), list(folder.glob("state/*/*.json"))
        for file in states:
            read_weights(file, FORMAT)  # raises InputError for a file that is not a state, or is damaged
        for file in records:
            Record.load(file)
        for file in (*states, *records):
            file.unlink()
        for place in (*folder.glob("state/*"), folder / "state"):
            with suppress(OSError):  # not empty
                place.rmdir()

    def tables(self, rows: Rows) -> ActiveTables:
        curves, revealed, confusion, history, rounds, summary = rows.values()
        return ActiveTables(curves, revealed, confusion, history, rounds, summary, pairs(rounds, confusion))


ACTIVE = ActiveStudies()


def model_name(setting: str, seed: int, number: int | None = None) -> str:
    """The name within the study's folder of the last network's file, or of that of an earlier round."""
    return f"models/{file_name(setting)}/{seed}" + ("" if number is None else f".{number}") + ".safetensors"


def state_name(setting: str, seed: int, number: int | None = None) -> str:
    """The name within the study's folder of an unfinished run's record, or of the state of a round."""
    return f"state/{file_name(setting)}/{seed}" + (".json" if number is None else f".{number}.safetensors")


def prediction_name(setting: str, seed: int, image: str) -> str:
    """The name of the last network's label map of a test image within the study's folder."""
    return image_file("predictions", setting, seed, image)


def _of(run: Record, rows: pd.DataFrame) -> pd.DataFrame:
    rows.insert(0, "setting", run.setting)
    rows.insert(1, "seed", run.seed)
    return rows


def _facts(run: Record) -> dict[str, Any]:
    return {name: value for name, value in run.facts.items() if name in ROUNDS}


def _joined(parts: list[pd.DataFrame], schema: pa.Schema) -> pd.DataFrame:
    table = pa.Table.from_pandas(pd.concat(parts), schema, preserve_index=False) if parts else schema.empty_table()
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _summary(run: Record) -> dict[str, Any]:
    last = run.rounds[-1]
    row = {
        "setting": run.setting,
        "seed": run.seed,
        "accuracy_again": None,
        "miou_again": None,
        **run.facts,
        **last,
        "machine": machines(run.history),
    }
    row["pixels_per_image"] = last["annotated_fraction"] * run.facts["pixels"] / run.facts["images"]
    kept = [*SUMMARY, *(name for name in last if name.startswith("iou_"))]
    return {name: row[name] for name in kept}


def _curves(run: Record) -> Iterator[dict[str, Any]]:
    """The rows of `curves.parquet`: accuracy and mIoU of each test image in each round."""
    cells = pd.DataFrame(run.confusion, columns=list(CELLS))
    classes = int(cells[["true", "predicted"]].to_numpy().max()) + 1
    named = {
        name: run.facts[name] for name in ("dataset", "network", "acquisition", "selection", "oracle", "void")
    }
    kinds = machines(run.history)
    for (_, image), tested in cells.groupby(["round", "image"]):
        counts = np.zeros((classes, classes + 1), np.int64)
        counts[tested["true"], tested["predicted"]] = tested["pixels"]
        number = int(tested["round"].iloc[0])
        row = run.rounds[number]
        right = accuracy(counts)
        yield {
            **named,
            "setting": run.setting,
            "seed": run.seed,
            "image": image,
            "privileged": False,
            "stop": "budget",
            "round": number,
            "asked": round(row["asked"]),
            **dict.fromkeys(ADDED & set(CURVES.names)),
            "revealed": round(row["revealed"]),
            "fraction": row["revealed"] * run.facts["images"] / run.facts["pixels"],
            "accuracy": right,
            "accuracy_unrevealed": right,  # no pixel of a test image is revealed
            "miou": miou(counts),
            "seconds": row["seconds"],
            "machine": kinds,
        }


def _revealed(run: Record) -> pd.DataFrame:
    """The rows of `revealed.parquet`: answers without a class are left out."""
    told = _of(run, pd.DataFrame(run.told)).rename(columns={"answer": "label"})
    told = told[told["label"] < UNSURE].reset_index(drop=True)
    return told.assign(order=told.groupby("image").cumcount())
