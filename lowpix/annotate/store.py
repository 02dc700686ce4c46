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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from time import time
from typing import Any, Literal, NamedTuple

from lowpix.annotate.frame import Frame
from lowpix.errors import InputError, is_plain
from lowpix.reveal.log import UNSURE, VOID

FILE = "answers.sqlite"
AUDIT = 20
"""Pixels of an audit."""
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
                self._db.execute(f"PRAGMA {setting}")
            with self._all_or_nothing():
                if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
                    for statement in SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO about VALUES ('version', '1')")
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
        return dict(self._all("SELECT key, value FROM about"))

    def tell_about(self, facts: Mapping[str, str]) -> None:
        """Keep facts about the whole."""
        with self._all_or_nothing():
            self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", facts.items())

    def classes(self) -> list[tuple[str, str]]:
        """Name and key of each class, by id."""
        return self._all("SELECT name, key FROM classes ORDER BY id")

    def set_classes(self, names: Sequence[str], keys: Sequence[str]) -> None:
        """Replace names and keys of all classes. There may be more than before, never fewer."""
        with self._all_or_nothing():
            self._db.execute("DELETE FROM classes")
            rows = [(index, *pair) for index, pair in enumerate(zip(names, keys, strict=True))]
            self._db.executemany("INSERT INTO classes VALUES (?, ?, ?)", rows)

    def images(self) -> list[Image]:
        """All images, in the order of the data set."""
        return [self._image(row) for row in self._all("SELECT * FROM images ORDER BY id")]

    def image(self, number: int) -> Image:
        """An image. Raises InputError if there is none of this number."""
        rows = self._all("SELECT * FROM images WHERE id = ?", number)
        if not rows:
            raise InputError(f"image {number}: there is none of this number")
        return self._image(rows[0])

    def add_images(self, names: Sequence[str]) -> None:
        """Add those images that are not there yet."""
        with self._all_or_nothing():
            self._db.executemany("INSERT OR IGNORE INTO images (name) VALUES (?)", [(name,) for name in names])

    def answers(self, image: int) -> list[Answer]:
        """The answers to an image that stand, in order."""
        columns = ", ".join(Answer._fields)
        return [
            Answer(*row)
            for row in self._all(
                f"SELECT {columns} FROM answers WHERE image = ? AND NOT gone ORDER BY number", image
            )
        ]

    def seconds(self) -> list[float]:
        """The seconds of the last hundred answers."""
        rows = self._all("SELECT seconds FROM answers WHERE NOT gone ORDER BY number DESC LIMIT 100")
        return [row[0] for row in rows]

    def clicks(self) -> dict[int, int]:
        """Number of answers that stand, by image."""
        return dict(self._all("SELECT image, count(*) FROM answers WHERE NOT gone GROUP BY image"))

    def absent(self, image: int) -> set[int]:
        """Classes that a person said are not in an image."""
        return {row[0] for row in self._all("SELECT class FROM absent WHERE image = ?", image)}

    def looks(self, image: int) -> list[tuple[int, int, int]]:
        """For each look at audit answers: number of the last one, how many have a class, how many are right."""
        return self._all("SELECT last, asked, right FROM looks WHERE image = ? ORDER BY number", image)

    # what the engine keeps

    def set_size(self, image: int, height: int, width: int, digest: str) -> None:
        """Keep what is known once a photograph was read."""
        with self._all_or_nothing():
            given = (height, width, digest, image)
            self._db.execute("UPDATE images SET height = ?, width = ?, digest = ? WHERE id = ?", given)

    def set_fits(self, image: int, fits: Sequence[int]) -> None:
        """Keep after how many answers each fit of an image's networks ran."""
        with self._all_or_nothing():
            self._db.execute("UPDATE images SET fits = ? WHERE id = ?", (json.dumps(list(fits)), image))

    def forget_fits(self) -> None:
        """The networks of all images begin anew, because the number of classes has changed."""
        with self._all_or_nothing():
            self._db.execute("UPDATE images SET fits = '[]'")

    def add_look(self, image: int, last: int, asked: int, right: int) -> None:
        """Keep that audit answers were compared with the labels."""
        with self._all_or_nothing():
            given = (image, last, asked, right)
            self._db.execute("INSERT INTO looks (image, last, asked, right) VALUES (?, ?, ?, ?)", given)

    def set_saved(self, image: int, last: int) -> None:
        """Keep that a label map was saved, which uses the answers up to number `last`."""
        with self._all_or_nothing():
            self._db.execute("UPDATE images SET saved = ? WHERE id = ?", (last, image))

    # what a person does

    def do(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Do what the page requests, in order: all of it or, after a fault, nothing. Returns the results.

        A request has a `uid` and a `type`: answer, undo, status, absent or audit. One whose uid was seen before is
        not done again; its first result is returned.

        Raises:
            InputError: a request breaks a rule.
        """
        with self._all_or_nothing():
            return [self._once(request) for request in requests]

    def _once(self, request: Mapping[str, Any]) -> dict[str, Any]:
        uid, kind = request.get("uid"), request.get("type")
        if not isinstance(uid, str) or not 8 <= len(uid) <= 64 or not is_plain(uid):
            raise InputError("a request needs a uid of 8 to 64 characters")
        seen = self._all("SELECT result FROM requests WHERE uid = ?", uid)
        if seen:
            return dict(json.loads(seen[0][0]))
        actions = {
            "answer": self._answer,
            "undo": self._undo,
            "status": self._status,
            "absent": self._absent,
            "audit": self._audit,
        }
        if kind not in actions:
            raise InputError(f"request {kind!r}: must be one of {', '.join(actions)}")
        result = actions[str(kind)](request)
        self._db.execute("INSERT INTO requests VALUES (?, ?)", (uid, json.dumps(result)))
        return result

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        image = self.image(_whole(request, "image"))
        frame, kind = image.frame, request.get("kind")
        row, column = _whole(request, "row"), _whole(request, "column")
        answer, seconds = _whole(request, "answer"), request.get("seconds")
        if not (row < frame.height and column < frame.width):
            raise InputError(f"pixel ({row}, {column}): lies outside image {image.name}")
        if answer >= len(self.classes()) and answer not in (VOID, UNSURE):
            raise InputError(f"answer {answer}: must be a class, {VOID} for void or {UNSURE} for unsure")
        if kind not in ("asked", "shown", "audit"):
            raise InputError(f"kind {kind!r}: must be asked, shown or audit")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e7:
            raise InputError(f"seconds {seconds!r}: must be a number from 0")
        cell = frame.cell(row, column)
        known = self._all("SELECT number FROM answers WHERE image = ? AND cell = ? AND NOT gone", image.id, cell)
        if known and kind != "shown":
            return {"image": image.id, "ignored": "was answered before, perhaps in another tab"}
        for (number,) in known:
            self._db.execute("UPDATE answers SET gone = 1 WHERE number = ?", (number,))
        self._db.execute(
            "INSERT INTO answers (image, cell, row, column, answer, kind, seconds, time, replaces) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (image.id, cell, row, column, answer, kind, seconds, time(), known[0][0] if known else None),
        )
        self._db.execute("UPDATE images SET status = 'open' WHERE id = ?", (image.id,))
        return {"image": image.id, "replaced": bool(known)}

    def _undo(self, request: Mapping[str, Any]) -> dict[str, Any]:
        last = self._all(
            "SELECT number, image, row, column, answer, kind, replaces FROM answers WHERE NOT gone "
            "ORDER BY number DESC LIMIT 1"
        )
        if not last:
            return {"nothing": "there is nothing to undo"}
        number, image, row, column, answer, kind, replaces = last[0]
        self._db.execute("UPDATE answers SET gone = 1 WHERE number = ?", (number,))
        if replaces is not None:
            self._db.execute("UPDATE answers SET gone = 0 WHERE number = ?", (replaces,))
        self._db.execute("UPDATE images SET status = 'open' WHERE id = ?", (image,))
        undone = {"row": row, "column": column, "answer": answer, "kind": kind}
        return {"image": image, "undone": undone}

    def _status(self, request: Mapping[str, Any]) -> dict[str, Any]:
        image, status = self.image(_whole(request, "image")), request.get("status")
        if status not in ("open", "done", "skipped"):
            raise InputError(f"status {status!r}: must be open, done or skipped")
        if status == "done" and not any(known.answer < UNSURE for known in self.answers(image.id)):
            raise InputError(f"image {image.name}: has no answer yet: answer at least one question, or skip it")
        self._db.execute("UPDATE images SET status = ? WHERE id = ?", (status, image.id))
        return {"image": image.id, "status": status}

    def _absent(self, request: Mapping[str, Any]) -> dict[str, Any]:
        image, label = self.image(_whole(request, "image")), _whole(request, "class")
        self._db.execute("INSERT OR IGNORE INTO absent VALUES (?, ?)", (image.id, label))
        return {"image": image.id}

    def _audit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        image = self.image(_whole(request, "image"))
        told = sum(known.kind == "audit" for known in self.answers(image.id))
        if told >= image.audits:
            self._db.execute("UPDATE images SET audits = ? WHERE id = ?", (told + AUDIT, image.id))
        return {"image": image.id}

    # classes that come in mid-work

    def add_class(self, name: str, key: str) -> None:
        """Add a class. Raises InputError for a name or a key that is taken."""
        with self._all_or_nothing():
            classes = self.classes()
            self._require_free(name, key, classes)
            self._db.execute("INSERT INTO classes VALUES (?, ?, ?)", (len(classes), name, key))

    def rename_class(self, number: int, name: str) -> None:
        """Give a class another name. Raises InputError for a name that is taken, or a class that is not there."""
        with self._all_or_nothing():
            classes = self.classes()
            if not 0 <= number < len(classes):
                raise InputError(f"class {number}: there is none of this number")
            self._require_free(name, "", [known for index, known in enumerate(classes) if index != number])
            self._db.execute("UPDATE classes SET name = ? WHERE id = ?", (name, number))

    def _require_free(self, name: str, key: str, classes: Sequence[tuple[str, str]]) -> None:
        if not name.strip() or name != name.strip() or len(name) > 60 or not is_plain(name) or "," in name:
            raise InputError(f"class {name!r}: must be a name of 1 to 60 characters without commas")
        for known, used in classes:
            if known == name:
                raise InputError(f"class {name}: is there already")
            if used == key:
                raise InputError(f"key {key}: stands for {known} already")

    def _image(self, row: tuple[Any, ...]) -> Image:
        number, name, status, height, width, digest, fits, audits, saved = row
        return Image(number, name, status, height, width, digest, tuple(json.loads(fits)), audits, saved)

    def _all(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _whole(request: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 in a request."""
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InputError(f"{name} {value!r}: must be a whole number from 0")
    return value
