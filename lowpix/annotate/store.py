"""The answers of a person, in one SQLite file: each is on disk before it is acknowledged.

    images      status, size, and after which answer each fit of the networks ran
    classes     name and key
    answers     every answer in order, also those that were taken back or replaced
    requests    what was done already, by the page's own id: a request that is sent again changes nothing
    absent      classes that a person said are not in an image
    looks       each time that audit answers were compared with the labels

A question belongs to a *cell*: a pixel of the image at the size at which it is worked on. Answers are kept in the
photograph's own coordinates; `lowpix.annotate.frame` maps one to the other.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Literal, NamedTuple

from lowpix.annotate.frame import Frame
from lowpix.errors import InputError, is_plain

FILE = "answers.sqlite"
Kind = Literal["asked", "shown", "audit"]
Status = Literal["open", "done", "skipped"]
SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE classes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, status TEXT NOT NULL DEFAULT 'open',
    height INTEGER, width INTEGER, digest TEXT, fits TEXT NOT NULL DEFAULT '[]', audits INTEGER NOT NULL DEFAULT 0,
    saved INTEGER
);
CREATE TABLE answers (
    number INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES images, cell INTEGER NOT NULL,
    row INTEGER NOT NULL, column INTEGER NOT NULL, answer INTEGER NOT NULL, kind TEXT NOT NULL,
    seconds REAL NOT NULL, time REAL NOT NULL, gone INTEGER NOT NULL DEFAULT 0, replaces INTEGER
);
CREATE UNIQUE INDEX one_answer_a_cell ON answers (image, cell) WHERE NOT gone;
CREATE TABLE requests (uid TEXT PRIMARY KEY, result TEXT NOT NULL);
CREATE TABLE absent (image INTEGER NOT NULL, class INTEGER NOT NULL, PRIMARY KEY (image, class));
CREATE TABLE looks (
    number INTEGER PRIMARY KEY, image INTEGER NOT NULL, last INTEGER NOT NULL, asked INTEGER NOT NULL,
    right INTEGER NOT NULL
);
"""


class Answer(NamedTuple):
    """An answer that stands."""

    number: int
    cell: int
    row: int
    column: int
    answer: int
    kind: Kind
    seconds: float
    time: float


@dataclass(frozen=True)
class Image:
    """An image, as the store knows it. Its size and digest are unknown until it was read once."""

    id: int
    name: str
    status: Status
    height: int | None
    width: int | None
    digest: str | None
    fits: tuple[int, ...]
    audits: int
    """Number of audit pixels that a person wanted to be asked."""
    saved: int | None
    """Number of the last answer that the saved label map uses."""

    @property
    def frame(self) -> Frame:
        """Raises InputError if the image was never read."""
        if self.height is None or self.width is None:
            raise InputError(f"image {self.name}: was not read yet")
        return Frame(self.height, self.width)


class Store:
    """The file `answers.sqlite` of a folder; several threads may use it, but only one process.

    Raises:
        InputError: another process has opened it, or it is no such file.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._lock = RLock()
        try:
            self._db = sqlite3.connect(self.path, timeout=0.2, check_same_thread=False, isolation_level=None)
            # exclusive: a second server finds the file locked; the lock of a killed process is gone at once
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                self.execute(f"PRAGMA {setting}")
            with self.all_or_nothing():
                if not self.rows("SELECT 1 FROM sqlite_master WHERE name = 'about'"):
                    for statement in SCHEMA.split(";"):
                        self.execute(statement)
                    self.execute("INSERT INTO about VALUES ('version', '1')")
        except sqlite3.DatabaseError as fault:
            if "locked" in str(fault):
                raise InputError(f"{folder}: another annotate works on this folder: stop it first") from None
            raise InputError(f"{self.path}: cannot be read as answers ({fault})") from None

    def close(self) -> None:
        """Give the file back to other processes."""
        with self._lock:
            self._db.close()

    # what is there

    def about(self) -> dict[str, str]:
        """Facts about the whole: the data set, for example."""
        return dict(self.rows("SELECT key, value FROM about"))

    def tell_about(self, facts: Mapping[str, str]) -> None:
        """Keep facts about the whole."""
        with self.all_or_nothing():
            self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", facts.items())

    def classes(self) -> list[tuple[str, str]]:
        """Name and key of each class, by id."""
        return self.rows("SELECT name, key FROM classes ORDER BY id")

    def set_classes(self, names: Sequence[str], keys: Sequence[str]) -> None:
        """Replace names and keys of all classes. There may be more than before, never fewer."""
        with self.all_or_nothing():
            self.execute("DELETE FROM classes")
            rows = [(index, *pair) for index, pair in enumerate(zip(names, keys, strict=True))]
            self._db.executemany("INSERT INTO classes VALUES (?, ?, ?)", rows)

    def images(self) -> list[Image]:
        """All images, in the order of the data set; those that came in later stand at the end."""
        return [self._image(row) for row in self.rows("SELECT * FROM images ORDER BY id")]

    def image(self, number: int) -> Image:
        """An image. Raises InputError if there is none of this number."""
        rows = self.rows("SELECT * FROM images WHERE id = ?", number)
        if not rows:
            raise InputError(f"image {number}: there is none of this number")
        return self._image(rows[0])

    def add_images(self, names: Sequence[str]) -> None:
        """Add those images that are not there yet."""
        with self.all_or_nothing():
            self._db.executemany("INSERT OR IGNORE INTO images (name) VALUES (?)", [(name,) for name in names])

    def remove_images(self, names: Collection[str]) -> None:
        """Remove those of these images to which there was never an answer."""
        unanswered = "name = ? AND id NOT IN (SELECT image FROM answers)"
        with self.all_or_nothing():
            for name in names:
                self.execute(
                    f"DELETE FROM absent WHERE image IN (SELECT id FROM images WHERE {unanswered})", (name,)
                )
                self.execute(f"DELETE FROM images WHERE {unanswered}", (name,))

    def answers(self, image: int) -> list[Answer]:
        """The answers to an image that stand, in order."""
        columns = ", ".join(Answer._fields)
        return [
            Answer(*row)
            for row in self.rows(
                f"SELECT {columns} FROM answers WHERE image = ? AND NOT gone ORDER BY number", image
            )
        ]

    def seconds(self) -> list[float]:
        """The seconds of the last hundred answers."""
        rows = self.rows("SELECT seconds FROM answers WHERE NOT gone ORDER BY number DESC LIMIT 100")
        return [row[0] for row in rows]

    def clicks(self) -> dict[int, int]:
        """Number of answers that stand, by image."""
        return dict(self.rows("SELECT image, count(*) FROM answers WHERE NOT gone GROUP BY image"))

    def absent(self, image: int) -> set[int]:
        """Classes that a person said are not in an image."""
        return {row[0] for row in self.rows("SELECT class FROM absent WHERE image = ?", image)}

    def looks(self, image: int) -> list[tuple[int, int, int]]:
        """For each look at audit answers: number of the last one, how many have a class, how many are right."""
        return self.rows("SELECT last, asked, right FROM looks WHERE image = ? ORDER BY number", image)

    # what the engine keeps

    def set_size(self, image: int, height: int, width: int, digest: str) -> None:
        """Keep what is known once a photograph was read."""
        with self.all_or_nothing():
            given = (height, width, digest, image)
            self.execute("UPDATE images SET height = ?, width = ?, digest = ? WHERE id = ?", given)

    def set_fits(self, image: int, fits: Sequence[int]) -> None:
        """Keep after how many answers each fit of an image's networks ran."""
        with self.all_or_nothing():
            self.execute("UPDATE images SET fits = ? WHERE id = ?", (json.dumps(list(fits)), image))

    def forget_fits(self) -> None:
        """The networks of all images begin anew, because the number of classes has changed."""
        with self.all_or_nothing():
            self.execute("UPDATE images SET fits = '[]'")

    def add_look(self, image: int, last: int, asked: int, right: int) -> None:
        """Keep that audit answers were compared with the labels."""
        with self.all_or_nothing():
            given = (image, last, asked, right)
            self.execute("INSERT INTO looks (image, last, asked, right) VALUES (?, ?, ?, ?)", given)

    def set_saved(self, image: int, last: int | None) -> None:
        """Keep that a label map was saved, which uses the answers up to number `last`; None if it was removed."""
        with self.all_or_nothing():
            self.execute("UPDATE images SET saved = ? WHERE id = ?", (last, image))

    # classes that come in mid-work

    def add_class(self, name: str, key: str) -> None:
        """Add a class. Raises InputError for a name or a key that is taken."""
        with self.all_or_nothing():
            classes = self.classes()
            self._require_free(name, key, classes)
            self.execute("INSERT INTO classes VALUES (?, ?, ?)", (len(classes), name, key))

    def rename_class(self, number: int, name: str) -> None:
        """Give a class another name. Raises InputError for a name that is taken, or a class that is not there."""
        with self.all_or_nothing():
            classes = self.classes()
            if not 0 <= number < len(classes):
                raise InputError(f"class {number}: there is none of this number")
            self._require_free(name, "", [known for index, known in enumerate(classes) if index != number])
            self.execute("UPDATE classes SET name = ? WHERE id = ?", (name, number))

    def _require_free(self, name: str, key: str, classes: Sequence[tuple[str, str]]) -> None:
        if not name.strip() or name != name.strip() or len(name) > 60 or not is_plain(name) or "," in name:
            raise InputError(f"class {name!r}: must be a name of 1 to 60 characters without commas")
        if name[-2:-1] == ":":
            raise InputError(
                f"class {name!r}: {name[-2:]!r} at its end would be read as a key: choose another name"
            )
        for known, used in classes:
            if known == name:
                raise InputError(f"class {name}: is there already")
            if used == key:
                raise InputError(f"key {key}: stands for {known} already")

    def _image(self, row: tuple[Any, ...]) -> Image:
        number, name, status, height, width, digest, fits, audits, saved = row
        return Image(number, name, status, height, width, digest, tuple(json.loads(fits)), audits, saved)

    def rows(self, statement: str, *values: object) -> list[Any]:
        """The rows that a statement selects."""
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        """Change something, within `all_or_nothing`."""
        self._db.execute(statement, values)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """A transaction: at its end all changes are on disk, or, after an exception, none."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
