"""An order study's folder and tables: a file per finished run, `order.csv`, and the paired differences."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowpix.errors import InputError
from lowpix.record.atomic import atomic
from lowpix.record.comparable import group_images
from lowpix.record.comparison import ALPHA, TIED
from lowpix.record.exact import read_parquet
from lowpix.record.measures import interval
from lowpix.record.store import file_name

ARMS: Mapping[str, str] = {
    "in_order": "the revealed order, warm from round to round",
    "shuffled": "the same pixels in a random order, the same rounds",
    "reversed": "the same pixels, the last one first, the same rounds",
    "at_once": "all revealed pixels from the first step",
    "at_once_weighted": "as at_once, each pixel as often as in_order draws it",
    "full": "the full label map",
    "full_plateau": "as full, and on until the loss plateaus",
}
"""What each arm trains on."""

AGAINST = ("at_once", "at_once_weighted", "shuffled", "reversed", "full", "full_plateau")
"""What in_order is compared with, the question itself first."""

ORDER = pa.schema(
    [
        ("setting", pa.string()),  # of the image study
        ("image", pa.string()),
        ("seed", pa.int64()),  # of the initial weights and the draws
        ("study_seed", pa.int64()),  # the image study's seed whose pixels these are
        ("arm", pa.string()),
        ("steps", pa.int64()),  # of the optimiser
        ("pixels", pa.int64()),  # that it knew at the end
        ("accuracy", pa.float64()),  # this and mIoU: on pixels neither revealed nor void
        ("miou", pa.float64()),
        ("seconds", pa.float64()),  # training and prediction
    ]
)


@dataclass(frozen=True)
class OrderRun:
    """One row of `order.csv`: an image's network, trained in one arm with one seed."""

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


class OrderStudy:
    """The folder of an order study. Any number of processes may save runs to it at once; nothing is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, run: OrderRun) -> None:
        """Write a finished run: from here on it counts as finished."""
        path = self.folder / "runs" / run.arm / str(run.seed) / f"{file_name(run.image)}.parquet"
        with atomic(path) as temporary:
            pq.write_table(pa.Table.from_pylist([asdict(run)], schema=ORDER), temporary)

    def finished(self) -> set[tuple[str, str, int]]:
        """Which runs need no more work, as (image, arm, seed): those saved or in `order.csv`."""
        in_table = self._old_table()[["image", "arm", "seed"]].itertuples(index=False, name=None)
        return {*map(_key, self._files()), *in_table}

    def table(self) -> pd.DataFrame:
        """A row per finished run with the columns of ORDER, sorted, whatever the order of the work."""
        files = self._files()
        new = pa.concat_tables([ORDER.empty_table(), *(read_parquet(file, ORDER) for file in files)]).to_pandas()
        old = self._old_table()
        keys = pd.MultiIndex.from_frame(old[["image", "arm", "seed"]])
        both = pd.concat([old[~keys.isin(list(map(_key, files)))], new])
        place = both["arm"].map({arm: place for place, arm in enumerate(ARMS)})
        table: pd.DataFrame = both.assign(place=place).sort_values(["image", "seed", "place"], ignore_index=True)
        return table[list(ORDER.names)]

    def write_tables(
        self, images: Iterable[str] = (), group_by: str | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write `order.csv` and `order_pairs.csv`, and return both.

        `images` are those that may still come, so that `group_by`, as in `group_images`, fits before they do.
        """
        table = self.table()
        groups = group_images([*table["image"], *images], group_by)
        pairs = order_pairs(table, groups)
        for name, rows in (("order_pairs.csv", pairs), ("order.csv", table)):
            with atomic(self.folder / name) as temporary:
                rows.to_csv(temporary, index=False, lineterminator="\n")
        return table, pairs

    def _files(self) -> list[Path]:
        return sorted((self.folder / "runs").glob("*/[0-9]*/*.parquet"))

    def _old_table(self) -> pd.DataFrame:
        empty: pd.DataFrame = ORDER.empty_table().to_pandas()
        path = self.folder / "order.csv"
        if not path.exists():
            return empty
        try:
            read = pd.read_csv(path, dtype=str, keep_default_na=False)  # numbers as written, to the last bit
            return read[list(ORDER.names)].astype(empty.dtypes.to_dict())
        except (OSError, ValueError, KeyError) as fault:
            raise InputError(
                f"{path}: cannot be read as the table of an order study ({' '.join(str(fault).split())})"
            ) from None


def order_pairs(table: pd.DataFrame, groups: pd.Series | None = None) -> pd.DataFrame:
    """in_order against every other arm, in pairs: same image, pixels, initial weights and draws.

    Takes rows of `order.csv`. Seeds are averaged within an image, and the bootstrap draws images, or the groups
    that `groups` names by image. The intervals hold at 95 % for all arms together (Bonferroni), one quantity at a
    time. Gives the columns `quantity arm against value low high level images groups seeds wins losses verdict`:
    value is the mean difference over images, wins and losses count images; the verdict is higher, lower, or
    "no difference shown" where the interval holds zero or there is none.
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


def verdict(low: float, high: float) -> str:
    """What an interval of a difference shows."""
    if math.isnan(low) or low <= 0 <= high:
        return TIED
    return "higher" if low > 0 else "lower"


def _key(file: Path) -> tuple[str, str, int]:
    return unquote(file.stem), file.parts[-3], int(file.parts[-2])
