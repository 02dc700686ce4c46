"""A study's folder: a file for each finished run, and the tables made from these files.

    runs/…              a file for each finished run, and its seal (digests of the run's files)
    *.parquet, *.csv    tables of all finished runs; data.csv holds digests of the images
    study.toml          the settings of the study, and the versions and machines that produced it
    lowpix.sha256       the seal of tables, pictures, data.csv and study.toml

A `Kind` (in `kind.py`) describes what differs between kinds of studies.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Generic
from urllib.parse import unquote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.errors import InputError, WorkError
from lowpix.storage import UNKNOWN, csv_bytes, remove_leftovers, write_bytes
from lowpix.study.kind import Kind, Run, Tables
from lowpix.study.label_maps import parse_label_map
from lowpix.study.seal import Seal
from lowpix.study.settings import (
    begin_fresh,
    end_fresh,
    fresh_begun,
    read_kind,
    read_settings,
    record_work,
    write_settings,
)

RECORDS = ("lowpix.sha256", "study.toml", "data.csv")
"""Files that nothing but the start of a study can write."""


class Study(Generic[Run, Tables]):
    """The folder of a study. Several processes may save runs to it at the same time, without locks."""

    def __init__(self, folder: Path, kind: Kind[Run, Tables]) -> None:
        self.folder = folder
        self.kind = kind

    @property
    def settings(self) -> dict[str, Any]:
        """The options of the study; those that are None are missing."""
        return read_settings(self.folder / "study.toml")

    @property
    def seal(self) -> Seal:
        """The seal of the study's tables, pictures and settings."""
        return Seal(self.folder)

    def run_seal(self, *key: object) -> Seal:
        """The seal of a run's files; `key` is the run's key, as in `Kind.key`."""
        return Seal(self.folder, f"{self._run_name(key)}.sha256")

    def save(self, run: Run, files: Mapping[str, bytes] | None = None) -> Run:
        """Write a finished run and its further `files`, by name within the folder; return the run.

        The run's own file is written last. Once it exists, the run counts as finished.
        """
        key = self.kind.key_of(run)
        name = f"{self._run_name(key)}{self.kind.suffix}"
        self.run_seal(*key).write({**(files or {}), name: self.kind.content(run)})
        return run

    def read_label_map(self, key: Sequence[object], name: str) -> NDArray[np.uint8]:
        """A label map or confidence map of a run, `(H, W)` uint8; `name` is its name within the folder.

        Raises InputError if it cannot be read, or has changed since it was written.
        """
        try:
            return parse_label_map(self.folder / name, self.run_seal(*key).read(name))
        except OSError as fault:
            raise InputError(f"{self.folder / name}: cannot be read as a label map ({fault.strerror})") from None

    def finished(self) -> set[tuple[Any, ...]]:
        """The keys of all finished runs: those with a file, and those that the tables list."""
        return {*map(self._key, self._run_files()), *self._listed()}

    def tables(self) -> Tables:
        """Make the tables of all finished runs. They do not depend on the order of work.

        Runs that are in the folder's tables but have no file keep their rows.
        """
        files = self._run_files()
        saved = set(map(self._key, files))
        added = self.kind.rows({file: self._read_run(file) for file in files})
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
        stored, derived = self.kind.stored, self.kind.derived
        contents = {name: csv_bytes(table) for name, table in zip(derived, tables[len(stored) :], strict=True)}
        for (name, table), rows in zip(stored.items(), tables, strict=False):
            contents[name] = table.content(rows)
        self.seal.write(contents)
        return tables

    @contextmanager
    def at_work(self, device: str, pictures: Callable[[Tables], Mapping[str, bytes]]) -> Iterator[None]:
        """A context for the work of a study. At its end, also on Ctrl-C, it writes tables of all finished runs.

        Args:
            device: where networks are trained, for `study.toml`.
            pictures: makes the pictures from the tables, by file name.
        """
        start, record = perf_counter(), self.folder / "study.toml"
        for file in self._run_files():
            self._read_run(file)  # a damaged one is found now, and not after hours of work
        records = {file: file.read_bytes() for file in map(self.folder.joinpath, RECORDS) if file.exists()}
        try:
            yield
        finally:
            with suppress(OSError):  # what ended the work is told; the next start removes them, too
                remove_leftovers(self.folder, ("runs", *self.kind.outputs))  # of workers ended in mid-write
            for file, content in records.items():
                if not file.exists():
                    print(f"warning: {file}: was removed during the study; it is written again", file=sys.stderr)
                    write_bytes(file, content)
            self.seal.write(pictures(self.write_tables()))
            record_work(record, perf_counter() - start, device)
            self.warn_of_machines()
        end_fresh(record)

    def warn_of_machines(self) -> None:
        """Print a warning if the last table has runs of different kinds of machines in its column `machine`."""
        runs = self._read(list(self.kind.stored)[-1]).get("machine", pd.Series(dtype="str"))
        if runs[runs != UNKNOWN].nunique() > 1:
            counts = "; ".join(f"{count} of {kind}" for kind, count in runs.value_counts().items())
            print(
                f"warning: {self.folder}: its runs come from different kinds of machines ({counts}): compare only "
                "runs of one kind; the column `machine` of its tables tells them apart",
                file=sys.stderr,
            )

    def require_finished(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Raise WorkError if one of these runs, which have all ended, is missing: somebody removed its file."""
        finished = self.finished()
        if missing := [key for key in keys if key not in finished]:
            file = self.folder / f"{self._run_name(missing[0])}{self.kind.suffix}"
            others = f", like {len(missing) - 1} more" if len(missing) > 1 else ""
            raise WorkError(f"{file}: was removed during the study{others}")

    def remove(self) -> None:
        """Remove the files that the study wrote, and no others.

        Raises:
            InputError: a file has changed since it was written, or an older lowpix began the study without seals.
        """
        sealed = self.seal.file.exists() and not self.seal.adopted
        if not sealed or not all(map(self._is_sealed, self._run_files())):
            raise InputError(
                f"--fresh {self.folder}: an older lowpix did not record which files it wrote: "
                "remove the folder yourself, or name another --out"
            )
        names = [*self.kind.seals, *(str(file.relative_to(self.folder)) for file in self._glob(".sha256"))]
        seals = [Seal(self.folder, name) for name in names]
        for seal in (*seals, self.seal):
            seal.require_unchanged()
        self.kind.remove_states(self.folder)
        # the tables first, because they are made from the runs, and study.toml last, because it names the study
        self.seal.remove([*self.kind.derived, *reversed(list(self.kind.stored))])
        for seal in (*seals, self.seal):
            seal.remove()

    def discard(self, *key: object) -> None:
        """Remove a run: its rows in the tables first, then the files that it wrote.

        Raises InputError if one of these files has changed since.
        """
        self.run_seal(*key).require_unchanged()
        contents = {}
        for name, table in self.kind.stored.items():
            rows = self._read(name)
            own = (rows[list(self.kind.key)] == pd.Series(key, index=list(self.kind.key))).all(axis=1)
            contents[name] = table.content(rows[~own])
        self.seal.write(contents)
        self.run_seal(*key).remove()

    def _is_sealed(self, file: Path) -> bool:
        return str(file.relative_to(self.folder)) in self.run_seal(*self._key(file)).digests()

    def _listed(self) -> set[tuple[Any, ...]]:
        """The keys of the runs in the tables."""
        listed = self._read(list(self.kind.stored)[-1])[list(self.kind.key)]
        return set(listed.itertuples(index=False, name=None))

    def _run_name(self, key: Sequence[object]) -> str:
        return "/".join(["runs", *(file_name(str(part)) for part in key)])

    def _run_files(self) -> list[Path]:
        return self._glob(self.kind.suffix)

    def _glob(self, suffix: str) -> list[Path]:
        folders = ["*"] * (len(self.kind.key) - 1)
        return sorted((self.folder / "runs").glob("/".join([*folders, f"[!.]*{suffix}"])))

    def _read_run(self, file: Path) -> bytes:
        try:
            return self.run_seal(*self._key(file)).read(str(file.relative_to(self.folder)))
        except InputError as fault:
            listed = self._key(file) in self._listed()
            without = "the tables keep the run's rows" if listed else "the run is done again"
            raise InputError(f"{fault}; without this file {without}") from None
        except OSError as fault:
            raise InputError(f"{file}: cannot be read ({fault.strerror})") from None

    def _key(self, file: Path) -> tuple[Any, ...]:
        *folders, name = file.relative_to(self.folder / "runs").parts
        parts = [*folders, name.removesuffix(self.kind.suffix)]
        try:
            return tuple(kind(unquote(part)) for part, kind in zip(parts, self.kind.key.values(), strict=True))
        except ValueError:
            place = "/".join(["runs", *(f"<{part}>" for part in self.kind.key)])
            raise InputError(f"{file}: is no run of this study: must be {place}{self.kind.suffix}") from None

    def _read(self, name: str) -> pd.DataFrame:
        """A table in the folder; empty if the last stored table, which is written last, is missing."""
        table, last = self.kind.stored[name], list(self.kind.stored)[-1]
        if not (self.folder / last).exists():
            return table.empty()
        try:
            return table.read(self.folder / name, self.seal.read(name))
        except OSError as fault:
            raise InputError(f"{self.folder / name}: cannot be read as a table ({fault.strerror})") from None


def open_study(
    folder: Path,
    kind: Kind[Run, Tables],
    settings: Mapping[str, Any],
    *,
    fresh: bool = False,
    data: str = "",
    device: str = "cpu",
) -> Study[Run, Tables]:
    """Start a study in `folder`, or go on with the study that it holds.

    `settings` are the resolved options (text, numbers, truth values, paths, None, and lists of them), without
    options such as `--jobs` that do not change the tables. They are written to `study.toml`. If the folder holds a
    study, only the kind's `extendable` options may differ; see `write_settings`. `fresh` first removes what the
    study wrote, and no other files; an interrupted fresh start with the same settings and `data` (a digest of all
    images and label maps) goes on without removing anything.

    Raises InputError on any other difference, on a folder with other contents or another kind of study, and if the
    folder cannot be written to.
    """
    record, study = folder / "study.toml", Study(folder, kind)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a study needs a folder")
    if fresh:
        require_not_a_home(folder)
    outputs = ("runs", *kind.outputs, *kind.derived, *kind.stored)
    there = [name for name in (*outputs, "data.csv") if (folder / name).exists()]
    if there and not record.exists():
        raise InputError(f"{folder}: holds {there[0]} but no study.toml, so it is no study: name another folder")
    try:
        if record.exists():
            remove_leftovers(folder, ("runs", *kind.outputs))
        begins = fresh and not (record.exists() and fresh_begun(record, kind.name, settings, data))
        if begins and record.exists() and read_kind(record) == kind.name:
            study.remove()
        write_settings(record, kind.name, settings, kind.extendable, outputs)
        if begins:
            begin_fresh(record, data)
        record_work(record, 0.0, device)
    except OSError as fault:
        raise InputError(f"{folder}: cannot be written to ({fault.strerror})") from None
    return study


def require_apart(out: Path, inputs: Iterable[Path], option: str = "--out") -> None:
    """Raise InputError if folder `out` contains an input folder or lies in one. Links are resolved."""
    own = out.resolve()
    for given in inputs:
        other = given.resolve()
        if own == other or own in other.parents or other in own.parents:
            raise InputError(
                f"{option} {out}: must not contain your input {given} or lie in it: name another folder"
            )


def require_not_a_home(folder: Path) -> None:
    """Refuse to start afresh in the home folder, the current folder and those above it."""
    here = Path.cwd().resolve()
    if folder.resolve() in (here, *here.parents, Path.home().resolve()):
        raise InputError(
            f"--fresh {folder}: must not be your home, the current folder or one above it: name another --out"
        )


def file_name(name: str) -> str:
    """Escape `name` for every file system; `urllib.parse.unquote` restores it."""
    return re.sub(r'[%/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$', lambda unsafe: f"%{ord(unsafe[0]):02X}", name)


def image_file(folder: str, setting: str, seed: int, image: str, suffix: str = ".png") -> str:
    """The name of an image's file within a study's folder; an image name with slashes keeps its sub-folders."""
    *folders, name = map(file_name, image.split("/"))
    return "/".join([folder, file_name(setting), str(seed), *folders, f"{name}{suffix}"])
