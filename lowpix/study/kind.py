"""What differs between kinds of studies: how runs are named, and which tables are made from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd
import pyarrow as pa

from lowpix.storage import csv_bytes, parquet_bytes, read_csv, read_parquet

Run = TypeVar("Run")
Tables = TypeVar("Tables", bound=tuple[pd.DataFrame, ...])
Rows = dict[str, pd.DataFrame]
"""Rows of tables, by file name."""


@dataclass(frozen=True)
class Table:
    """One table of a study: the columns of its file, and the order of its rows."""

    columns: pa.Schema | Mapping[str, str]
    """The schema of a parquet file, or the pandas type of each column of a CSV file."""
    order: tuple[str, ...]
    """Columns that the rows are sorted by, so that the table does not depend on the order of work."""
    others: str | None = None
    """The pandas type of further columns of a CSV file."""
    added: Collection[str] = ()
    """Columns that older files lack."""
    sort_key: Callable[[pd.Series], pd.Series] | None = None
    """`key` of `pandas.DataFrame.sort_values`."""

    def sorted(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows, sorted."""
        return rows.sort_values(list(self.order), key=self.sort_key, ignore_index=True)

    def read(self, path: Path, content: bytes) -> pd.DataFrame:
        """Read a file's content, with every number exactly as written. Raises InputError for another table."""
        if isinstance(self.columns, pa.Schema):
            frame: pd.DataFrame = read_parquet(path, self.columns, content, self.added).to_pandas()
            return frame
        return read_csv(path, self.columns, "a table of a study", self.others, content, self.added)

    def content(self, rows: pd.DataFrame) -> bytes:
        """The rows as the content of a file."""
        return parquet_bytes(rows, self.columns) if isinstance(self.columns, pa.Schema) else csv_bytes(rows)

    def empty(self) -> pd.DataFrame:
        """The table without rows."""
        if isinstance(self.columns, pa.Schema):
            frame: pd.DataFrame = self.columns.empty_table().to_pandas()
            return frame
        return pd.DataFrame(columns=list(self.columns)).astype(dict(self.columns))


class Kind(ABC, Generic[Run, Tables]):
    """A kind of study: how its runs are named and saved, and which tables are made from them."""

    name: ClassVar[str]
    """The name in `study.toml`."""
    key: ClassVar[Mapping[str, type]]
    """The parts of a run's key, with their types. They form its path under `runs`; the last is the file name."""
    suffix: ClassVar[str] = ".parquet"
    """Suffix of a run's file."""
    stored: ClassVar[Mapping[str, Table]]
    """Tables with the rows of runs, by file name, in the order of writing: a run in the last table is in all."""
    derived: ClassVar[tuple[str, ...]] = ()
    """CSV tables that are computed from the stored ones."""
    outputs: ClassVar[tuple[str, ...]] = ()
    """Other files and folders that the study writes, such as pictures."""
    seals: ClassVar[tuple[str, ...]] = ()
    """Seals of what other commands write to the folder; `--fresh` also removes these files."""
    extendable: ClassVar[frozenset[str]]
    """Options that may change when an existing study is extended."""

    @abstractmethod
    def key_of(self, run: Run) -> tuple[Any, ...]:
        """The key of a run, in the order of `key`."""

    @abstractmethod
    def content(self, run: Run) -> bytes:
        """The content of a run's file."""

    @abstractmethod
    def rows(self, files: Mapping[Path, bytes]) -> Rows:
        """The rows of all `stored` tables, from the files of runs. Raises InputError for a faulty file."""

    @abstractmethod
    def tables(self, rows: Rows) -> Tables:
        """The `stored` tables with these rows, followed by the `derived` tables."""

    def remove_states(self, folder: Path) -> None:  # most kinds have no states
        """Remove the states of unfinished runs. They change too often to be in a seal."""
