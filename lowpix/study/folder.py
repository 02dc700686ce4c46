"""A study's folder: one file per finished run, written whole, and the tables made of them.

    runs/…              a file per finished run
    *.parquet, *.csv    tables of all finished runs
    study.toml          what was asked of the study, and what produced it

A `Kind` says what sets one kind of study apart from another; all else is the same for every study.
"""

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa

from lowpix.errors import InputError
from lowpix.storage import atomic, read_csv, read_parquet, write_bytes, write_parquet
from lowpix.study.settings import read_kind, read_settings, record_work, write_settings

Run = TypeVar("Run")
Tables = TypeVar("Tables", bound=tuple[pd.DataFrame, ...])
Rows = dict[str, pd.DataFrame]
"""Rows of tables, by file name."""


@dataclass(frozen=True)
class Table:
    """One table of a study: the columns of its file, and the order of its rows."""

    columns: pa.Schema | Mapping[str, str]
    """Of a parquet file its schema, of a CSV file the pandas type of each column."""
    order: tuple[str, ...]
    """Columns that rows are sorted by, so that the order of the work leaves no trace."""
    others: str | None = None
    """Of a CSV file: the pandas type of any further columns."""
    sort_key: Callable[[pd.Series], pd.Series] | None = None
    """What to sort a column by, as in `pandas.DataFrame.sort_values`."""

    def sorted(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows in their order."""
        return rows.sort_values(list(self.order), key=self.sort_key, ignore_index=True)

    def read(self, path: Path) -> pd.DataFrame:
        """Read the file, every number as it was written; InputError where it is no such table."""
        if isinstance(self.columns, pa.Schema):
            frame: pd.DataFrame = read_parquet(path, self.columns).to_pandas()
            return frame
        return read_csv(path, self.columns, "a table of a study", self.others)

    def empty(self) -> pd.DataFrame:
        """No rows."""
        if isinstance(self.columns, pa.Schema):
            frame: pd.DataFrame = self.columns.empty_table().to_pandas()
            return frame
        return pd.DataFrame(columns=list(self.columns)).astype(dict(self.columns))


class Kind(ABC, Generic[Run, Tables]):
    """What sets one kind of study apart: how a run is named and kept, and which tables follow from the runs."""

    name: ClassVar[str]
    """As `study.toml` has it."""
    key: ClassVar[Mapping[str, type]]
    """What names a run, in the order of its path: folders under `runs`, the last the file."""
    suffix: ClassVar[str] = ".parquet"
    """Of the file of a run."""
    stored: ClassVar[Mapping[str, Table]]
    """Tables with rows of runs, by file name, in the order of writing: what the last lists, the others hold."""
    derived: ClassVar[tuple[str, ...]] = ()
    """CSV tables that follow from those."""
    outputs: ClassVar[tuple[str, ...]] = ()
    """What else such a study writes, pictures and folders: a fresh start removes it."""
    extendable: ClassVar[frozenset[str]]
    """Options that may change when a study goes on."""

    @abstractmethod
    def key_of(self, run: Run) -> tuple[Any, ...]:
        """What names a run, in the order of `key`."""

    @abstractmethod
    def write(self, run: Run, path: Path) -> None:
        """Write the file of a run."""

    @abstractmethod
    def rows(self, files: Sequence[Path]) -> Rows:
        """The rows of all `stored` tables from the files of runs. Raises InputError for a file that is faulty."""

    @abstractmethod
    def tables(self, rows: Rows) -> Tables:
        """The tables, `stored` and then `derived`, of all finished runs, given those that are stored."""


class Study(Generic[Run, Tables]):
    """The folder of a study. Any number of processes may save runs to it at once; nothing is locked."""

    def __init__(self, folder: Path, kind: Kind[Run, Tables]) -> None:
        self.folder = folder
        self.kind = kind

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked of the study; an option that was None is not among them."""
        return read_settings(self.folder / "study.toml")

    def save(self, run: Run, files: Mapping[str, bytes] | None = None) -> Run:
        """Write a finished run with the files that belong to it, by name within the folder; gives the run back.

        From here on it counts as finished: its own file is the last one written.
        """
        for name, content in (files or {}).items():
            write_bytes(self.folder / name, content)
        *folders, name = (file_name(str(part)) for part in self.kind.key_of(run))
        with atomic(self.folder.joinpath("runs", *folders, f"{name}{self.kind.suffix}")) as temporary:
            self.kind.write(run, temporary)
        return run

    def finished(self) -> set[tuple[Any, ...]]:
        """Which runs need no more work, named as `Kind.key` says: those saved or in the tables."""
        listed = self._read(list(self.kind.stored)[-1])[list(self.kind.key)]
        return {*map(self._key, self._run_files()), *listed.itertuples(index=False, name=None)}

    def tables(self) -> Tables:
        """Make the tables of all finished runs: the same whatever the order of the work.

        Runs that only the tables in the folder know (where nothing else was kept) keep their rows.
        """
        files = self._run_files()
        saved, added = set(map(self._key, files)), self.kind.rows(files)
        rows = {}
        for name, table in self.kind.stored.items():
            kept = self._read(name)
            named = pd.MultiIndex.from_frame(kept[list(self.kind.key)]) if saved and len(kept) else None
            parts = [kept if named is None else kept[~named.isin(list(saved))], added[name]]
            filled = [part for part in parts if len(part)]
            rows[name] = table.sorted(pd.concat(filled)) if filled else kept
        return self.kind.tables(rows)

    def write_tables(self) -> Tables:
        """Write the tables of all finished runs, and return them."""
        tables = self.tables()
        named = dict(zip([*self.kind.stored, *self.kind.derived], tables, strict=True))
        for name in [*self.kind.derived, *self.kind.stored]:
            with atomic(self.folder / name) as temporary:
                table = self.kind.stored.get(name)
                if table is not None and isinstance(table.columns, pa.Schema):
                    write_parquet(temporary, named[name], table.columns)
                else:
                    named[name].to_csv(temporary, index=False, lineterminator="\n")
        return tables

    @contextmanager
    def at_work(self, device: str, finish: Callable[[Tables], object]) -> Iterator[None]:
        """Around the work of a study: when it ends, by Ctrl-C too, there are tables of what is finished.

        Args:
            device: where networks are trained, for `study.toml`.
            finish: is given the tables, to make pictures of them.
        """
        start = perf_counter()
        try:
            yield
        finally:
            finish(self.write_tables())
            record_work(self.folder / "study.toml", perf_counter() - start, device)

    def _run_files(self) -> list[Path]:
        folders = ["*"] * (len(self.kind.key) - 1)
        return sorted((self.folder / "runs").glob("/".join([*folders, f"[!.]*{self.kind.suffix}"])))

    def _key(self, file: Path) -> tuple[Any, ...]:
        *folders, name = file.relative_to(self.folder / "runs").parts
        parts = [*folders, name.removesuffix(self.kind.suffix)]
        return tuple(kind(unquote(part)) for part, kind in zip(parts, self.kind.key.values(), strict=True))

    def _read(self, name: str) -> pd.DataFrame:
        """A table as it stands in the folder. The last one counts: it is written after the others."""
        table, last = self.kind.stored[name], list(self.kind.stored)[-1]
        return table.read(self.folder / name) if (self.folder / last).exists() else table.empty()


def open_study(
    folder: Path,
    kind: Kind[Run, Tables],
    settings: Mapping[str, Any],
    *,
    fresh: bool = False,
    device: str = "cpu",
) -> Study[Run, Tables]:
    """Start a study of some kind in `folder`, or go on with the one that is there.

    `settings` are the options as resolved (text, numbers, truth values, paths, None, and lists of them),
    without those that name a place of this machine. They are written to `study.toml`; on an existing study
    only the kind's `extendable` ones may differ, see `write_settings`. With `fresh` all that such a study
    writes is removed first, and nothing else. Raises InputError on any other difference, on a folder whose
    contents are no study's or of another kind, and on one that cannot be written to.
    """
    record = folder / "study.toml"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a study needs a folder")
    # what names the study goes last
    outputs = ("runs", *kind.outputs, *kind.derived, *kind.stored, "study.toml")
    there = [name for name in outputs if (folder / name).exists()]
    if there and not record.exists():
        raise InputError(f"{folder}: holds {there[0]} but no study.toml, so it is no study: name another folder")
    if fresh and there and read_kind(record) == kind.name:
        for name in outputs:
            for path in (folder / name, *folder.glob(f".{name}.*.tmp")):
                _remove(path)
    try:
        write_settings(record, kind.name, settings, kind.extendable)
    except OSError as fault:
        raise InputError(f"{folder}: cannot be written to ({fault.strerror})") from None
    record_work(record, 0.0, device)
    return Study(folder, kind)


def file_name(name: str) -> str:
    """Make a name that every file system takes, and that `urllib.parse.unquote` turns back into `name`."""
    return re.sub(r'[%/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$', lambda unsafe: f"%{ord(unsafe[0]):02X}", name)


def image_file(folder: str, setting: str, seed: int, image: str, suffix: str = ".png") -> str:
    """The name, within a study's folder, of a file for each image; a name with slashes keeps its sub-folders."""
    *folders, name = map(file_name, image.split("/"))
    return "/".join([folder, file_name(setting), str(seed), *folders, f"{name}{suffix}"])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
