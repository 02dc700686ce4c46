"""Digests of what a study wrote: what has changed since is found on reading, and is never replaced or removed.

A seal is a text file of lines as `sha256sum` writes them, names relative to the study's folder. A line is appended before
its file is written: so a file of the program's always has one, whenever the process is killed, and no lock is needed. A
file that is written anew has several lines, any of which may be its own.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from lowpix.errors import InputError
from lowpix.storage import write_bytes


class Seal:
    """The digests of some files of a folder.

    Args:
        folder: that names are relative to.
        name: of the seal's own file within it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.file = folder / name

    def digests(self) -> dict[str, set[str]]:
        """The digests that each file may have, by name. Lines that a kill or a fault cut short are passed over."""
        try:
            lines = self.file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        found: dict[str, set[str]] = {}
        for line in lines:
            digest, _, name = line.partition("  ")
            if len(digest) == 64 and name:
                found.setdefault(name, set()).add(digest)
        return found

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole, in order.

        Raises:
            InputError: one would replace a file that is not the program's, or that has changed since.
        """
        known = self.digests()
        for name in files:
            self._require_own(name, known)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{digest(content)}  {name}\n" for name, content in files.items())
        with self.file.open("ab+") as seal:
            if seal.tell() and _last_byte(self.file) != b"\n":  # a kill cut the last line short
                lines = f"\n{lines}"
            seal.write(lines.encode())
            seal.flush()
            os.fsync(seal.fileno())
        for name, content in files.items():
            write_bytes(self.folder / name, content)

    def read(self, name: str) -> bytes:
        """The content of a file; one that the seal does not list is taken as it is.

        Raises:
            InputError: it has changed since it was written.
            OSError: it cannot be read.
        """
        content = (self.folder / name).read_bytes()
        known = self.digests().get(name)
        if known is not None and digest(content) not in known:
            raise InputError(f"{self.folder / name}: has changed since lowpix wrote it, or is damaged")
        return content

    def require_unchanged(self) -> None:
        """Raise InputError if one of the files has changed since it was written."""
        known = self.digests()
        for name in known:
            self._require_own(name, known)

    def remove(self) -> None:
        """Remove the files, the folders that they leave empty, and the seal. Raises InputError as above."""
        self.require_unchanged()
        for name in self.digests():
            path = self.folder / name
            path.unlink(missing_ok=True)
            _remove_empty(path.parent, self.folder)
        self.file.unlink(missing_ok=True)
        _remove_empty(self.file.parent, self.folder)

    def _require_own(self, name: str, known: Mapping[str, set[str]]) -> None:
        path = self.folder / name
        if path.exists() and digest(path.read_bytes()) not in known.get(name, set()):
            raise InputError(f"{path}: was not written by lowpix, or has changed since: move it, or name another folder")


def digest(content: bytes) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _last_byte(file: Path) -> bytes:
    with file.open("rb") as seal:
        seal.seek(-1, os.SEEK_END)
        return seal.read(1)


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and those above it, below `top`, while they are empty."""
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
