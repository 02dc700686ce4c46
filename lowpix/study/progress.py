"""What runs in progress say of themselves, for the bar: each process writes a line to a file of its own."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """The lines of all processes that work on a study."""

    folder: Path
    """A temporary folder."""

    def say(self, line: str) -> None:
        """Say how far this process is; an empty line if it works on no run."""
        with suppress(OSError):  # a full disk must not end a study for the sake of its bar
            (self.folder / str(os.getpid())).write_text(line, encoding="utf-8")

    def said(self) -> str:
        """The line of one run in progress, and the number of others."""
        lines = [line for file in sorted(self.folder.iterdir()) if (line := file.read_text(encoding="utf-8"))]
        return " ".join([*lines[:1], *([f"(and {len(lines) - 1} more)"] if len(lines) > 1 else [])])
