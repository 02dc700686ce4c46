"""The record of a run: its rounds, the pixels told and the test results. It is saved after every round."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowpix.errors import InputError
from lowpix.reveal.log import Log
from lowpix.storage import write_bytes

TOLD = ("image", "round", "row", "column", "answer")
CONFUSION = ("round", "image", "true", "predicted", "pixels")


@dataclass
class Record:
    """What a run of an active study has done so far."""

    setting: str
    seed: int
    facts: dict[str, Any] = field(default_factory=dict)
    """What is the same in all rounds, for the tables."""
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """A row for each finished round, in order."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A row for each epoch, in order."""
    told: dict[str, list[Any]] = field(default_factory=lambda: {column: [] for column in TOLD})
    """The pixels asked, with the columns TOLD, in the order of rounds."""
    confusion: dict[str, list[Any]] = field(default_factory=lambda: {column: [] for column in CONFUSION})
    """Pixels of each test image by true and predicted class, with the columns CONFUSION, without empty pairs."""

    def tell(self, image: str, number: int, log: Log, known: int) -> None:
        """Append what the log of an image was told in round `number`, after its first `known` pixels."""
        pixels, answers = log.pixels[known:].tolist(), log.answers[known:].tolist()
        for (row, column), answer in zip(pixels, answers, strict=True):
            for name, value in zip(TOLD, (image, number, row, column, answer), strict=True):
                self.told[name].append(value)

    def test(self, number: int, tested: Mapping[str, NDArray[np.int64]]) -> None:
        """Append the confusion matrix of each test image after round `number`."""
        for name, counts in tested.items():
            for true, found in zip(*np.nonzero(counts), strict=True):
                values = (number, name, int(true), int(found), int(counts[true, found]))
                for column, value in zip(CONFUSION, values, strict=True):
                    self.confusion[column].append(value)

    def logs(self, names: Sequence[str], classes: int, seeds: Mapping[str, int]) -> dict[str, Log]:
        """The log of each image, without the pixels that may be asked."""
        told: dict[str, list[tuple[int, int, int]]] = {name: [] for name in names}
        columns = (self.told[name] for name in ("image", "row", "column", "answer"))
        for image, *pixel in zip(*columns, strict=True):
            told[image].append(tuple(pixel))
        logs = {}
        for name, pixels in told.items():
            logs[name] = Log(classes, seed=seeds[name])
            rows = np.array(pixels, np.int64).reshape(-1, 3)
            logs[name].tell(rows[:, :2], rows[:, 2].astype(np.uint8))
        return logs

    def content(self) -> bytes:
        """The record as the content of a file."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def save(self, path: Path) -> None:
        """Write the record and its digest, completely or not at all."""
        content = self.content()
        write_bytes(path, content + b"\n" + hashlib.sha256(content).hexdigest().encode())

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read what `save` wrote. Raises InputError if it cannot be read, or is damaged."""
        content, _, digest = path.read_bytes().rpartition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise InputError(f"{path}: is damaged: remove it to begin this run again")
        return cls.read(path, content)

    @classmethod
    def read(cls, path: Path, content: bytes) -> "Record":
        """The record in the content of a run's file. Raises InputError if it is none."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError, RecursionError) as fault:
            raise InputError(f"{path}: cannot be read as a run ({' '.join(str(fault).split())})") from None
