"""Write files completely or not at all, and write tables so that every bit is read back."""

import math
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowpix.errors import InputError

UNKNOWN = "unknown"
"""A text that an older version did not write."""
HOST = re.sub(r"[^\w]", "_", socket.gethostname())


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary file name next to `path`. At the end it is renamed to `path`; on an error it is removed.

    Missing folders are made. The temporary name begins with a dot and ends in `.tmp`, so a search for results does
    not find what a killed process left. It holds the host and the process id, so two processes never share a name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{HOST}-{os.getpid()}.tmp")  # at most 255 bytes
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # otherwise the renamed file may be empty after a power cut
            temporary.replace(path)
    except BaseException:  # including Ctrl-C
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError that names no file, such as that of a full disk, name `path`."""
    try:
        yield
    except OSError as fault:
        fault.filename = fault.filename or str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read_csv(
    path: Path,
    kinds: Mapping[str, str],
    what: str,
    others: str | None = None,
    content: bytes | None = None,
    added: Collection[str] = (),
) -> pd.DataFrame:
    """Read columns of a CSV file; `kinds` maps their names to pandas types.

    With `others`, all further columns are read as that type. `content` is the content of the file, if it was read
    before. Columns named in `added` may be missing, because an older version wrote the file. Their numbers are
    then empty, and their texts UNKNOWN.

    Raises InputError if the file cannot be read as `what`.
    """
    try:
        content = path.read_bytes() if content is None else content
        if others is not None:
            kinds = {str(column): others for column in pd.read_csv(BytesIO(content), nrows=0).columns} | dict(
                kinds
            )
        table = pd.read_csv(
            BytesIO(content),
            dtype={column: kind for column, kind in kinds.items() if kind != "float64"},
            # pandas' parser can get the last bit wrong
            converters={column: _float for column, kind in kinds.items() if kind == "float64"},
            keep_default_na=False,  # an image may have the name "null"
            na_values={column: [""] for column, kind in kinds.items() if kind == "Int64"},
        )
        for column in set(added) & kinds.keys() - set(table.columns):
            missing = {"Int64": pd.NA, "str": UNKNOWN}.get(kinds[column], math.nan)
            table[column] = pd.Series(missing, table.index, kinds[column])
        return table[list(kinds)]
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(f"{path}: cannot be read as {what} ({_one_line(fault)})") from None


def read_parquet(
    path: Path, schema: pa.Schema, content: bytes | None = None, added: Collection[str] = ()
) -> pa.Table:
    """Read a parquet file; `content` is its content, if it was read before.

    Columns named in `added` may be missing, because an older version wrote the file. Their values are then null,
    and their texts UNKNOWN.

    Raises InputError if it cannot be read, or its columns are not those of `schema`.
    """
    try:
        table = pq.ParquetFile(path if content is None else pa.BufferReader(content)).read()
    except (OSError, ValueError, pa.ArrowException) as fault:
        raise InputError(f"{path}: cannot be read as a table ({_one_line(fault)})") from None
    lacks = [column for column in schema if column.name in added and column.name not in table.column_names]
    for column in lacks:
        missing = pa.scalar(UNKNOWN if pa.types.is_string(column.type) else None, column.type)
        table = table.append_column(column, pa.repeat(missing, len(table)))
    if set(table.column_names) == set(schema.names):
        table = table.select(schema.names)
    try:
        return table.cast(schema).replace_schema_metadata(table.schema.metadata)  # large_string becomes string
    except (pa.ArrowException, ValueError):
        raise InputError(f"{path}: was written by another version of lowpix: its columns differ") from None


def parquet_bytes(frame: pd.DataFrame, schema: pa.Schema) -> bytes:
    """A table as a parquet file; the same rows give the same bytes."""
    # pandas' metadata is dropped, because it holds the pandas version
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata()
    # floats rarely repeat: byte-stream split makes them a third smaller than a dictionary does
    floats = [column.name for column in schema if pa.types.is_floating(column.type)]
    buffer = BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=[column.name for column in schema if column.name not in floats],
        use_byte_stream_split=floats,
    )
    return buffer.getvalue()


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as a CSV file; the same rows give the same bytes."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a section of code that reads a file in `folder`, changes it and writes it.

    The system lifts the lock when the process ends, however it ends. Where folders cannot be locked, as on some
    network drives, there is no lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = None
    try:
        with suppress(ImportError, OSError):
            import fcntl  # not on Windows

            opened = os.open(folder, os.O_RDONLY)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        if opened is not None:
            os.close(opened)


def remove_leftovers(folder: Path, within: Iterable[str] = ()) -> None:
    """Remove temporary files that killed processes of this machine left.

    They are searched for in `folder` itself, and in and below its sub-folders `within`.
    """
    pattern = ".*.tmp"
    for path in [*folder.glob(pattern), *(path for name in within for path in (folder / name).rglob(pattern))]:
        named = re.fullmatch(rf"\..*\.(?:{HOST}-)?(\d+)\.tmp", path.name, re.DOTALL)
        if named and not _runs(int(named[1])):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's process
        return True
    return True


def _float(text: str) -> float:
    return float(text) if text else math.nan


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())
