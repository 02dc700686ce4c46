"""Files that are there whole or not at all, and tables that are read back to the last bit."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowpix.errors import InputError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; at the end it becomes `path`, on an error it goes.

    Folders are made as needed. The temporary name begins with a dot and ends in `.tmp`, so that no search for
    results finds what a killed process left, and holds the process id, so that two processes never share one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else, after a power cut, the new name may stand for an empty file
        temporary.replace(path)
    except BaseException:  # Ctrl-C as well
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


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
    try:
        return table.cast(schema).replace_schema_metadata(table.schema.metadata)  # long strings are strings, too
    except (pa.ArrowException, ValueError):
        raise InputError(f"{path}: was written by another version of lowpix: its columns differ") from None


def write_parquet(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write a table so that the same rows give the same bytes."""
    # Without the metadata that pandas adds, so that its version leaves no trace in the file.
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata()
    # Floats hardly repeat: their bytes, stored by place, take a third less room than a dictionary of them.
    floats = [column.name for column in schema if pa.types.is_floating(column.type)]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[column.name for column in schema if column.name not in floats],
        use_byte_stream_split=floats,
    )


def _float(text: str) -> float:
    return float(text) if text else math.nan


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())
