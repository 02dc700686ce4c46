"""The files and tables of an order study: a file for each finished run, `order.csv`, and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import pyarrow as pa

from lowpix.storage import UNKNOWN, parquet_bytes, read_parquet
from lowpix.study.intervals import ALPHA, group_images, interval, verdict
from lowpix.study.kind import Kind, Rows, Table

ARMS: Mapping[str, str] = {
    "in_order": "the pixels in revealed order, round by round",
    "shuffled": "the same pixels in a random order, in the same rounds",
    "reversed": "the same pixels in reverse order, in the same rounds",
    "at_once": "all revealed pixels from the first step",
    "at_once_weighted": "like at_once, each pixel weighted by how often in_order draws it",
    "full": "the full label map",
    "full_plateau": "like full, but until the loss plateaus",
}
"""What each arm trains on."""

AGAINST = ("at_once", "at_once_weighted", "shuffled", "reversed", "full", "full_plateau")
"""The arms that in_order is compared with, the main question first."""

ORDER = pa.schema(
    [
        ("setting", pa.string()),  # of the image study
        ("image", pa.string()),
        ("seed", pa.int64()),  # of the initial weights and the draws
        ("study_seed", pa.int64()),  # the image study's seed that revealed the pixels
        ("arm", pa.string()),
        ("steps", pa.int64()),  # optimiser steps
        ("pixels", pa.int64()),  # labelled pixels known at the end
        ("accuracy", pa.float64()),  # accuracy and mIoU: on pixels neither revealed nor void
        ("miou", pa.float64()),
        ("seconds", pa.float64()),  # of training and prediction
        ("machine", pa.string()),  # processor and precision
    ]
)
ADDED = ("machine",)
"""Columns that the files of older studies lack."""
CSV = {field.name: str(field.type.to_pandas_dtype().__name__) for field in ORDER} | {
    field.name: "str" for field in ORDER if field.type == pa.string()
}


def _arms_in_order(column: pd.Series) -> pd.Series:
    return column.map({arm: place for place, arm in enumerate(ARMS)}) if column.name == "arm" else column


@dataclass(frozen=True)
class OrderRun:
    """A finished run and row of `order.csv`: an image's network, trained in one arm with one seed."""

    setting: str
    image: str
    seed: int
    study_seed: int
    arm: str
    steps: int
    pixels: int
    accuracy: float
    miou: float
    seconds: float
    machine: str = UNKNOWN


class OrderTables(NamedTuple):
    """The tables of an order study."""

    order: pd.DataFrame
    pairs: pd.DataFrame


class OrderStudies(Kind[OrderRun, OrderTables]):
    """The kind of an order study.

    Args:
        images: all images of the study, also unfinished ones; `group_by` must match them.
        group_by: regular expression for the bootstrap's groups, as in `group_images`.
    """

    name = "order"
    key: ClassVar[Mapping[str, type]] = {"arm": str, "seed": int, "image": str}
    stored: ClassVar[Mapping[str, Table]] = {
        "order.csv": Table(CSV, ("image", "seed", "arm"), added=ADDED, sort_key=_arms_in_order),
    }
    derived = ("order_pairs.csv",)
    outputs = ("order.png",)
    extendable = frozenset({"images", "limit", "seeds"})

    def __init__(self, images: Sequence[str] = (), group_by: str | None = None) -> None:
        self.images = images
        self.group_by = group_by

    def key_of(self, run: OrderRun) -> tuple[Any, ...]:
        return run.arm, run.seed, run.image

    def content(self, run: OrderRun) -> bytes:
        return parquet_bytes(pd.DataFrame([asdict(run)]), ORDER)

    def rows(self, files: Mapping[Path, bytes]) -> Rows:
        runs = (read_parquet(file, ORDER, content, ADDED) for file, content in files.items())
        return {"order.csv": pa.concat_tables([ORDER.empty_table(), *runs]).to_pandas()}

    def tables(self, rows: Rows) -> OrderTables:
        table = rows["order.csv"]
        return OrderTables(table, order_pairs(table, group_images([*table["image"], *self.images], self.group_by)))


def order_pairs(table: pd.DataFrame, groups: pd.Series | None = None) -> pd.DataFrame:
    """Paired differences between in_order and each other arm, from rows of `order.csv`.

    A pair shares image, pixels, initial weights and draws. Seeds are averaged within an image, and the bootstrap
    resamples images, or the groups that `groups` gives by image. The intervals hold at 95 % for all arms of a
    quantity together (Bonferroni). Returns the columns `quantity arm against value low high level images groups
    seeds wins losses verdict`: value is the mean difference over images, wins and losses count images. The verdict
    is higher, lower, or "no difference shown" if the interval holds zero or does not exist.
    """
    rows = []
    level = 1 - ALPHA / len(AGAINST)
    for quantity in ("accuracy", "miou"):
        arms = table.pivot(index=["image", "seed"], columns="arm", values=quantity).reindex(columns=list(ARMS))
        for against in AGAINST:
            pairs = (arms["in_order"] - arms[against]).dropna()
            if pairs.empty:
                continue
            by_image = pairs.groupby("image").mean()
            drawn = pd.Series(by_image.index, by_image.index) if groups is None else groups[by_image.index]
            low, high = interval(by_image, drawn, level)
            rows.append(
                {
                    "quantity": quantity,
                    "arm": "in_order",
                    "against": against,
                    "value": by_image.mean(),
                    "low": low,
                    "high": high,
                    "level": level,
                    "images": len(by_image),
                    "groups": drawn.nunique(),
                    "seeds": pairs.groupby("image").size().max(),
                    "wins": int((by_image > 0).sum()),
                    "losses": int((by_image < 0).sum()),
                    "verdict": verdict(low, high),
                }
            )
    return pd.DataFrame(rows)
