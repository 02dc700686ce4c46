"""The tables of an image study: their columns, and how they are computed from the rounds of runs.

A run is one image × setting × seed. Its rounds are rows of RUNS: the columns of `curves.parquet`, the pixels asked
in the round, and columns for the other two tables. All functions here take the rounds of any number of runs in one
frame.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from lowpix.reveal.log import UNSURE

KEY = ["setting", "image", "seed"]  # identifies a run

CURVES = pa.schema(
    [
        ("dataset", pa.string()),
        ("setting", pa.string()),
        ("image", pa.string()),
        ("network", pa.string()),
        ("acquisition", pa.string()),
        ("selection", pa.string()),
        ("oracle", pa.string()),
        ("privileged", pa.bool_()),  # the choice of pixels used the true label map
        ("stop", pa.string()),
        ("void", pa.string()),
        ("seed", pa.int64()),
        ("round", pa.int32()),
        ("asked", pa.int32()),  # pixels asked so far, whatever the answer
        ("revealed", pa.int32()),  # answers with a class so far: the labelled pixels of this round's fit
        ("fraction", pa.float64()),  # revealed, as a share of H×W
        ("accuracy", pa.float64()),  # of the pseudo-label map over the non-void pixels
        ("accuracy_unrevealed", pa.float64()),
        ("accuracy_off_border", pa.float64()),  # without pixels within 2 pixels of another true label
        ("miou", pa.float64()),  # over the classes that the image holds
        ("classes_missed", pa.int32()),  # classes that the image holds and no answer had so far
        ("seconds", pa.float64()),  # since the run began
        ("machine", pa.string()),  # processor and precision: runs of different kinds are not the same bit for bit
    ]
)
RUNS = pa.schema(
    [
        *CURVES,
        ("target", pa.float64()),
        ("classes", pa.int32()),  # number of classes in the image
        ("pixels", pa.int64()),  # H×W
        ("rows", pa.list_(pa.int32())),  # rows and columns of the pixels asked in this round, in order
        ("columns", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.uint8())),  # their answers, including VOID and UNSURE
    ]
)
REVEALED = pa.schema(
    [
        ("setting", pa.string()),
        ("image", pa.string()),
        ("seed", pa.int64()),
        ("order", pa.int32()),  # 0 for the first pixel of the run
        ("round", pa.int32()),
        ("row", pa.int32()),
        ("column", pa.int32()),
        ("label", pa.uint8()),
    ]
)
SUMMARY = {
    "dataset": "str",
    "setting": "str",
    "image": "str",
    "network": "str",
    "acquisition": "str",
    "selection": "str",
    "oracle": "str",
    "privileged": "bool",
    "stop": "str",
    "void": "str",
    "seed": "int64",
    "target": "float64",
    "pixels_to_target": "Int64",  # empty if the run did not reach the target
    "fraction_to_target": "float64",  # likewise
    "censored": "bool",
    "pixels_to_stay": "Int64",  # empty also if the run stops at the target
    "revealed": "int64",  # this column and all below: at the last round
    "fraction": "float64",
    "accuracy": "float64",
    "accuracy_off_border": "float64",
    "miou": "float64",
    "classes_missed": "Int64",
    "classes": "Int64",  # number of classes in the image; empty without a label map
    "seconds": "float64",
    "machine": "str",
}
ADDED = frozenset({"accuracy_off_border", "classes_missed", "pixels_to_stay", "machine"})
"""Columns that the files of older studies lack; their values are unknown."""
CURVE_COLUMNS = tuple(CURVES.names)
REVEALED_COLUMNS = tuple(REVEALED.names)
SUMMARY_COLUMNS = tuple(SUMMARY)


def pixels_to(curves: pd.DataFrame, target: float | pd.Series) -> pd.DataFrame:
    """The revealed pixels that each run needed for an accuracy of `target` (0 to 1, or one value per row).

    `curves` are rows of `curves.parquet`. Returns one row per run, sorted, with KEY, `pixels` (nullable Int64),
    `fraction` (of H×W) and `censored`. Pixels and fraction are those at the first round that reaches the target.
    If no round reaches it, they are empty and `censored` is true.
    """
    in_order = curves.assign(reached=curves["accuracy"] >= target).sort_values([*KEY, "round"])
    first = in_order[in_order["reached"]].groupby(KEY)[["revealed", "fraction"]].first()
    runs = pd.MultiIndex.from_frame(in_order[KEY].drop_duplicates())
    found = first.reindex(runs).rename(columns={"revealed": "pixels"}).reset_index()
    return found.assign(pixels=found["pixels"].astype("Int64"), censored=found["pixels"].isna())


def pixels_to_stay(curves: pd.DataFrame, target: float | pd.Series) -> pd.DataFrame:
    """The revealed pixels from which on each run is at an accuracy of `target` in every round.

    Arguments and result are as in `pixels_to`, with KEY and `pixels`. Noisy curves fall below a target again after
    they first reach it. A run that stops at its target cannot tell: its `pixels` are empty.
    """
    in_order = curves.assign(reached=curves["accuracy"] >= target)
    in_order = in_order.sort_values([*KEY, "round"], ignore_index=True)
    in_order["stays"] = in_order[::-1].groupby(KEY)["reached"].cummin()
    told = in_order[in_order["stays"] & (in_order["stop"] == "budget")]
    runs = pd.MultiIndex.from_frame(in_order[KEY].drop_duplicates())
    found = told.groupby(KEY)["revealed"].first().reindex(runs).rename("pixels").reset_index()
    return found.assign(pixels=found["pixels"].astype("Int64"))


def summarise(rounds: pd.DataFrame) -> pd.DataFrame:
    """The rows of `summary.csv`, one per run, sorted, from rounds with the columns of RUNS."""
    last = rounds.sort_values([*KEY, "round"]).groupby(KEY, sort=True).tail(1).reset_index(drop=True)
    reached = pixels_to(rounds, rounds["target"])
    summary = last.assign(
        pixels_to_target=reached["pixels"],
        fraction_to_target=reached["fraction"],
        censored=reached["censored"],
        pixels_to_stay=pixels_to_stay(rounds, rounds["target"])["pixels"],
    )
    return summary[list(SUMMARY)].astype(SUMMARY)


def revealed_pixels(rounds: pd.DataFrame) -> pd.DataFrame:
    """The rows of `revealed.parquet`, one per revealed pixel in order, from rounds with the columns of RUNS.

    Answers without a class, VOID and UNSURE, are left out.
    """
    told = rounds.sort_values([*KEY, "round"], ignore_index=True)
    each = told[[*KEY, "round"]].loc[told.index.repeat(told["labels"].map(len))].reset_index(drop=True)
    for field, lists in (("row", "rows"), ("column", "columns"), ("label", "labels")):
        dtype = REVEALED.field(field).type.to_pandas_dtype()
        each[field] = np.concatenate([np.empty(0, dtype), *told[lists]], dtype=dtype)
    each = each[each["label"] < UNSURE].reset_index(drop=True)
    each["order"] = each.groupby(KEY).cumcount().astype("int32")
    return each[list(REVEALED_COLUMNS)]
