"""Seals: digests of the files that a study wrote. A file that has changed since is not read, replaced or removed.

A seal is a text file with lines as `sha256sum` writes them; names are relative to the study's folder. A line is
appended before its file is written. So each file that the program wrote has a line, even after a kill, and no lock
is needed. A file that was written several times has several lines, and each of them is valid.

Folders of older versions have no seals. Their files are read without a check, until they are written again. The
lines of files that such a folder held when it was gone on with have `*` before the name.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from lowpix.errors import InputError
from lowpix.storage import naming, write_bytes


class Seal:
    """The digests of some files in a folder.

    Args:
        folder: the folder of the files; their names are relative to it.
        name: name of the seal's file within it; the default is the seal of tables, pictures and settings.
    """

    def __init__(self, folder: Path, name: str = "lowpix.sha256") -> None:
        self.folder = folder
        self.file = folder / name

    def digests(self) -> dict[str, set[str]]:
        """The valid digests of each file, by name, in the order in which the files were first written.

        Incomplete lines, which a kill can leave, and names outside the folder are skipped.
        """
        found: dict[str, set[str]] = {}
        for line in self._lines():
            mark, name = line[64:66], line[66:]
            path = PurePosixPath(name)
            inside = not path.is_absolute() and ".." not in path.parts
            if mark in ("  ", " *") and name and inside and "\0" not in name:
                found.setdefault(name, set()).add(line[:64])
        return found

    @property
    def adopted(self) -> bool:
        """Whether the seal was begun with files of an older version."""
        return any(line[64:66] == " *" for line in self._lines())

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files in the given order, each completely or not at all.

        Raises:
            InputError: an existing file was not written by the program, or has changed since, and its content is
                not the new one.
        """
        for name, content in files.items():
            self._require_own(name, content)
        self._append(files)
        for name, content in files.items():
            write_bytes(self.folder / name, content)

    def adopt(self, names: Iterable[str]) -> None:
        """Begin a seal with existing files, which an older version wrote without one. An existing seal is kept."""
        if not self.file.exists():
            there = {name: path.read_bytes() for name in names if _is_file(path := self.folder / name)}
            if there:
                self._append(there, mark="*")

    def read(self, name: str) -> bytes:
        """The content of a file. A file that the seal does not list is not checked.

        Raises:
            InputError: the file has changed since it was written.
            OSError: it cannot be read.
        """
        content = (self.folder / name).read_bytes()
        known = self.digests().get(name)
        if known is not None and digest(content) not in known:
            raise InputError(f"{self.folder / name}: has changed since lowpix wrote it, or is damaged")
        return content

    def require_unchanged(self) -> None:
        """Raise InputError if a file has changed since it was written."""
        for name in self.digests():
            if _is_file(self.folder / name):  # an incomplete line can name a folder
                self._require_own(name)

    def remove(self, names: Iterable[str] | None = None) -> None:
        """Remove the files, the file that was written first at the end, empty folders, and the seal.

        If `names` are given, only these files are removed, in this order, and the seal is kept.

        Raises:
            InputError: a file has changed since it was written; then nothing is removed.
        """
        self.require_unchanged()
        written = list(self.digests())
        for name in reversed(written) if names is None else [name for name in names if name in written]:
            path = self.folder / name
            if _is_file(path):
                path.unlink(missing_ok=True)
            _remove_empty(path.parent, self.folder)
        if names is None:
            self.file.unlink(missing_ok=True)
            _remove_empty(self.file.parent, self.folder)

    def _lines(self) -> list[str]:
        try:
            return self.file.read_bytes().decode(errors="replace").split("\n")
        except FileNotFoundError:
            return []

    def _append(self, files: Mapping[str, bytes], mark: str = " ") -> None:
        """Add the lines of files."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{digest(content)} {mark}{name}\n" for name, content in files.items()).encode()
        with (
            naming(self.file),
            self.file.open("ab", buffering=0) as seal,
        ):  # in one write, so that lines of two processes never mix
            # a kill left the last line incomplete, or another process is writing it: then an empty line results
            if seal.tell() and _last_byte(self.file) != b"\n":
                lines = b"\n" + lines
            while lines:  # a full disk can cut a write short
                lines = lines[seal.write(lines) :]
            os.fsync(seal.fileno())

    def _require_own(self, name: str, new: bytes | None = None) -> None:
        """Raise InputError if a file exists, with a content that is neither in the seal nor `new`."""
        path = self.folder / name
        try:
            there = path.read_bytes()
        except FileNotFoundError:
            return
        # the seal is read after the file: if another process has just written the file, it wrote the line before
        if there != new and digest(there) not in self.digests().get(name, set()):
            raise InputError(
                f"{path}: was not written by lowpix, or has changed since: move it, or name another folder"
            )


def digest(content: bytes) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _last_byte(file: Path) -> bytes:
    with file.open("rb") as seal:
        seal.seek(-1, os.SEEK_END)
        return seal.read(1)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for example a name that is too long
        return False


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and its parents up to `top`, exclusive, while they are empty."""
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
