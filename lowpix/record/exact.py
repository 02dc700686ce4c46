"""Tables read back as they were written, to the last bit."""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowpix.errors import InputError


def read_csv(path: Path, kinds: Mapping[str, str], what: str, others: str | None = None) -> pd.DataFrame:
    """Read the columns `kinds`, by name and pandas type, of a CSV file; further ones, too, if these are `others`.

    Raises InputError where the file cannot be read as `what`.
    """
    try:
        if others is not None:
            kinds = {str(column): others for column in pd.read_csv(path, nrows=0).columns} | dict(kinds)
        return pd.read_csv(
            path,
            dtype={column: kind for column, kind in kinds.items() if kind != "float64"},
            # pandas' own parser may miss the last bit
            converters={column: _float for column, kind in kinds.items() if kind == "float64"},
            keep_default_na=False,  # an image may be called "null"
            na_values={column: [""] for column, kind in kinds.items() if kind == "Int64"},
        )[list(kinds)]
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(f"{path}: cannot be read as {what} ({_one_line(fault)})") from None


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a parquet file. Raises InputError where it cannot be read, or its columns are not those of `schema`."""
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as fault:
        raise InputError(f"{path}: cannot be read as a table ({_one_line(fault)})") from None
    if not table.schema.equals(schema):
        raise InputError(f"{path}: was written by another version of lowpix: its columns differ")
    return table


def _float(text: str) -> float:
    return float(text) if text else math.nan


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())
