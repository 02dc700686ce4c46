"""The tables of a study: their columns, and how each follows from the rounds of its runs.

A run is one image × setting × seed. Its rounds are rows of RUNS: what `curves.parquet` shows of a round, the
pixels that were told in it, and what the other two tables need. All functions here take the rounds of any
number of runs in one frame.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from lowpix.reveal.log import UNSURE

KEY = ["setting", "image", "seed"]  # what names a run

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
        (
            "revealed",
            pa.int32(),
        ),  # answers so far that carry a class: what the round's network has learned from
        ("fraction", pa.float64()),  # revealed, as a share of H×W
        ("accuracy", pa.float64()),  # of the pseudo-label map over the non-void pixels
        ("accuracy_unrevealed", pa.float64()),
        ("miou", pa.float64()),  # over the classes that the image holds
        ("seconds", pa.float64()),  # since the run began
    ]
)
RUNS = pa.schema(
    [
        *CURVES,
        ("target", pa.float64()),
        ("classes", pa.int32()),  # how many the image holds
        ("pixels", pa.int64()),  # H×W
        ("rows", pa.list_(pa.int32())),  # the pixels asked since the round before, in order …
        ("columns", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.uint8())),  # … and their answers, VOID and UNSURE included
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
    "pixels_to_target": "Int64",  # empty where the budget ran out first
    "fraction_to_target": "float64",  # likewise
    "censored": "bool",
    "revealed": "int64",  # this and what follows: at the last round
    "fraction": "float64",
    "accuracy": "float64",
    "miou": "float64",
    "classes": "Int64",  # that the image holds; empty where it has no label map
    "seconds": "float64",
}
CURVE_COLUMNS = tuple(CURVES.names)
REVEALED_COLUMNS = tuple(REVEALED.names)
SUMMARY_COLUMNS = tuple(SUMMARY)


def pixels_to(curves: pd.DataFrame, target: float | pd.Series) -> pd.DataFrame:
    """Tell how many revealed pixels every run needed to an accuracy of `target` (0 to 1, or one per row).

    Takes rows of `curves.parquet`; gives one row per run, in sorted order, with KEY, `pixels` (nullable
    Int64), `fraction` (of H×W) at the first round that is at least as accurate as the target, both empty
    where no round is, and `censored` to say so.
    """
    in_order = curves.assign(reached=curves["accuracy"] >= target).sort_values([*KEY, "round"])
    first = in_order[in_order["reached"]].groupby(KEY)[["revealed", "fraction"]].first()
    runs = pd.MultiIndex.from_frame(in_order[KEY].drop_duplicates())
    found = first.reindex(runs).rename(columns={"revealed": "pixels"}).reset_index()
    return found.assign(pixels=found["pixels"].astype("Int64"), censored=found["pixels"].isna())


def summarise(rounds: pd.DataFrame) -> pd.DataFrame:
    """Make the rows of `summary.csv`, one per run in sorted order, from rounds with the columns of RUNS."""
    last = rounds.sort_values([*KEY, "round"]).groupby(KEY, sort=True).tail(1).reset_index(drop=True)
    reached = pixels_to(rounds, rounds["target"])
    summary = last.assign(
        pixels_to_target=reached["pixels"],
        fraction_to_target=reached["fraction"],
        censored=reached["censored"],
    )
    return summary[list(SUMMARY)].astype(SUMMARY)


def revealed_pixels(rounds: pd.DataFrame) -> pd.DataFrame:
    """Make the rows of `revealed.parquet`, one per revealed pixel in order, from rounds as in RUNS.

    Answers that carry no class, VOID and UNSURE, are left out.
    """
    told = rounds.sort_values([*KEY, "round"], ignore_index=True)
    each = told[[*KEY, "round"]].loc[told.index.repeat(told["labels"].map(len))].reset_index(drop=True)
    for field, lists in (("row", "rows"), ("column", "columns"), ("label", "labels")):
        dtype = REVEALED.field(field).type.to_pandas_dtype()
        each[field] = np.concatenate([np.empty(0, dtype), *told[lists]], dtype=dtype)
    each = each[each["label"] < UNSURE].reset_index(drop=True)
    each["order"] = each.groupby(KEY).cumcount().astype("int32")
    return each[list(REVEALED_COLUMNS)]
