"""A study's folder: one file per finished run, written whole, and the tables made of them."""

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lowpix.errors import InputError
from lowpix.record.atomic import atomic
from lowpix.record.exact import read_csv, read_parquet
from lowpix.record.run import Run
from lowpix.record.settings import EXTENDABLE, read_settings, record_work, write_settings
from lowpix.record.tables import CURVES, KEY, REVEALED, RUNS, SUMMARY, revealed_pixels, summarise

# All that a study writes, and so all that a fresh start removes; what names the study goes last.
OUTPUTS = (
    "runs",
    "pseudo_labels",
    "confidence_at",
    "pseudo_labels_at",
    "confidence",
    "curves.parquet",
    "summary.csv",
    "revealed.parquet",
    "overview.png",
    "curves.png",
    "comparison.csv",
    "comparison.png",
    "order.csv",
    "order_pairs.csv",
    "order.png",
    "study.toml",
)


class Tables(NamedTuple):
    """The three tables of a study; the columns are those of CURVES, SUMMARY and REVEALED."""

    curves: pd.DataFrame
    summary: pd.DataFrame
    revealed: pd.DataFrame


class Study:
    """The folder of a study. Any number of processes may save runs to it at once; nothing is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def label_map_file(self, setting: str, seed: int, image: str, budget: int | None = None) -> Path:
        """Where the pseudo-labels of an image go; a name with slashes keeps its sub-folders.

        With `budget`: those that were kept when so many pixels were asked.
        """
        return self._picture("pseudo_labels", setting, seed, image, budget)

    def confidence_file(self, setting: str, seed: int, image: str, budget: int | None = None) -> Path:
        """Where the confidence of these pseudo-labels goes."""
        return self._picture("confidence", setting, seed, image, budget)

    def save(self, run: Run) -> None:
        """Write a finished run. From here on it counts as finished, so write its pictures first."""
        name = f"{file_name(run.image)}.parquet"
        with atomic(self.folder / "runs" / file_name(run.setting) / str(run.seed) / name) as temporary:
            _write_parquet(temporary, run.frame(), RUNS)

    def finished(self) -> set[tuple[str, str, int]]:
        """Tell which runs need no more work, as (setting, image, seed): those saved or in the tables."""
        in_tables = self._old_tables().summary[KEY].itertuples(index=False, name=None)
        return {*map(_key, self._run_files()), *in_tables}

    def tables(self) -> Tables:
        """Make the tables of all finished runs, sorted: the same whatever the order of the work.

        Runs that only the tables in the folder know (where nothing else was kept) keep their rows.
        """
        files = self._run_files()
        rounds = pa.concat_tables([RUNS.empty_table(), *map(_read_run, files)]).to_pandas()
        new = Tables(rounds[CURVES.names], summarise(rounds), revealed_pixels(rounds))
        keys = set(map(_key, files))
        old = self._old_tables()
        return Tables(
            _merged(_without(old.curves, keys), new.curves, "round"),
            _merged(_without(old.summary, keys), new.summary),
            _merged(_without(old.revealed, keys), new.revealed, "order"),
        )

    def write_tables(self) -> Tables:
        """Write the tables of all finished runs, and return them."""
        tables = self.tables()
        with atomic(self.folder / "curves.parquet") as temporary:
            _write_parquet(temporary, tables.curves, CURVES)
        with atomic(self.folder / "revealed.parquet") as temporary:
            _write_parquet(temporary, tables.revealed, REVEALED)
        with atomic(self.folder / "summary.csv") as temporary:  # last: what it lists, the other two hold
            tables.summary.to_csv(temporary, index=False, lineterminator="\n")
        return tables

    def record_work(self, seconds: float, device: str = "cpu") -> None:
        """Add wall time to the entry in `study.toml` of this version on this machine and device."""
        record_work(self.folder / "study.toml", seconds, device)

    def _picture(self, kind: str, setting: str, seed: int, image: str, budget: int | None) -> Path:
        if budget is not None:
            kind = f"{kind}_at/{budget}"
        *folders, name = map(file_name, image.split("/"))
        return self.folder.joinpath(kind, file_name(setting), str(seed), *folders, f"{name}.png")

    def _run_files(self) -> list[Path]:
        return sorted((self.folder / "runs").glob("*/[0-9]*/*.parquet"))

    def _old_tables(self) -> Tables:
        if not (self.folder / "summary.csv").exists():
            return Tables(
                CURVES.empty_table().to_pandas(),
                pd.DataFrame(columns=list(SUMMARY)).astype(SUMMARY),
                REVEALED.empty_table().to_pandas(),
            )
        return Tables(
            read_parquet(self.folder / "curves.parquet", CURVES).to_pandas(),
            read_summary(self.folder / "summary.csv"),
            read_parquet(self.folder / "revealed.parquet", REVEALED).to_pandas(),
        )


def open_study(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    extendable: Collection[str] = EXTENDABLE,
    outputs: Collection[str] = OUTPUTS,
    fresh: bool = False,
    device: str = "cpu",
) -> Study:
    """Start a study in `folder`, or go on with the one that is there.

    `settings` are the options as resolved (text, numbers, truth values, paths, None, and lists of them),
    without those that name a place of this machine. They are written to `study.toml`; on an existing study
    only the `extendable` ones may differ, see `write_settings`. With `fresh` all that a study writes,
    `outputs`, is removed first, and nothing else. Raises InputError on any other difference, on a folder whose
    contents are no study's, and on one that cannot be written to.
    """
    record = folder / "study.toml"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a study needs a folder")
    there = [name for name in outputs if (folder / name).exists()]
    if there and not record.exists():
        raise InputError(f"{folder}: holds {there[0]} but no study.toml, so it is no study: name another folder")
    if there and study_kind(read_settings(record)) != study_kind(settings):
        raise InputError(f"{folder}: holds another kind of study: name another folder")
    if fresh and there:
        for name in outputs:
            for path in (folder / name, *folder.glob(f".{name}.*.tmp")):
                _remove(path)
    try:
        write_settings(record, settings, extendable)
    except OSError as fault:
        raise InputError(f"{folder}: cannot be written to ({fault.strerror})") from None
    study = Study(folder)
    study.record_work(0.0, device)
    return study


def study_kind(settings: Mapping[str, Any]) -> str:
    """Tell what a `study.toml` is of, from a setting that only one kind has: `image`, `dataset` or `order`."""
    marks = {"plateau_cap": "order", "epochs": "dataset"}
    return next((kind for mark, kind in marks.items() if mark in settings), "image")


def file_name(name: str) -> str:
    """Make a name that every file system takes, and that `urllib.parse.unquote` turns back into `name`."""
    return re.sub(r'[%/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$', lambda unsafe: f"%{ord(unsafe[0]):02X}", name)


def read_summary(path: Path) -> pd.DataFrame:
    """Read a `summary.csv` with the types of SUMMARY, every number as it was written.

    Raises InputError if it cannot be read as one.
    """
    return read_csv(path, SUMMARY, "a summary")


def _key(run_file: Path) -> tuple[str, str, int]:
    return unquote(run_file.parts[-3]), unquote(run_file.stem), int(run_file.parts[-2])


def _without(table: pd.DataFrame, keys: set[tuple[str, str, int]]) -> pd.DataFrame:
    return table[~pd.MultiIndex.from_frame(table[KEY]).isin(list(keys))] if keys else table


def _merged(kept: pd.DataFrame, added: pd.DataFrame, *within: str) -> pd.DataFrame:
    return pd.concat([kept, added]).sort_values([*KEY, *within], ignore_index=True)


def _read_run(path: Path) -> pa.Table:
    return read_parquet(path, RUNS)


def _write_parquet(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
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


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
