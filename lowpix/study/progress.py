"""What runs in progress say of themselves, for the bar: a line of each process that works on a study."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

SECONDS = 1.0  # between two lines of a worker of a cluster


@dataclass(frozen=True)
class Progress:
    """The lines of all processes on this machine: each writes to a file of its own."""

    folder: Path
    """A temporary folder."""

    def say(self, line: str) -> None:
        """Say how far this process is; an empty line if it works on no run."""
        with suppress(OSError):  # a full disk must not end a study for the sake of its bar
            (self.folder / str(os.getpid())).write_text(line, encoding="utf-8")

    def said(self) -> str:
        """The line of one run in progress, and the number of others."""
        return first_of([file.read_text(encoding="utf-8") for file in sorted(self.folder.iterdir())])


@dataclass
class Afar:
    """The lines of a cluster's workers, sent through its scheduler as events, at most one a second and worker."""

    topic: str = field(default_factory=lambda: f"lowpix-{uuid4().hex}")
    """Name of these events, because several studies may share a scheduler."""
    last: float = -SECONDS
    """When a worker last sent a line of its unit."""

    def say(self, line: str) -> None:
        """On a worker: say how far its unit is; an empty line at its end."""
        from distributed import get_worker

        if not line or monotonic() - self.last >= SECONDS:
            self.last = monotonic()
            worker = get_worker()
            worker.log_event(self.topic, {"worker": worker.address, "line": line})


@dataclass
class Heard:
    """The last line of each worker, by its address."""

    lines: dict[str, str] = field(default_factory=dict)

    def __call__(self, event: tuple[float, dict[str, Any]]) -> None:
        """Hear an event of `Afar`, with the time at which it came to the scheduler."""
        self.lines[event[1]["worker"]] = event[1]["line"]


def first_of(lines: Sequence[str]) -> str:
    """The first line that is not empty, and the number of others."""
    said = [line for line in lines if line]
    return " ".join([*said[:1], *([f"(and {len(said) - 1} more)"] if len(said) > 1 else [])])
