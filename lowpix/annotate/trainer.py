"""Train the data set's network on the images that are done, in a process of its own, while a person goes on."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread

from lowpix.errors import InputError


class Trainer:
    """At most one training at a time.

    Args:
        log: file for what the training prints.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self.ended: Callable[[], None] = lambda: None
        """Is called when a training ends, from a thread."""
        self._process: subprocess.Popen[bytes] | None = None
        self.running = False
        """Whether a training runs, or what it made is being kept."""
        self._lock = Lock()
        self.line = ""
        """How far the training is, for people; empty before the first one."""

    def start(
        self, module: str, arguments: Sequence[str], what: str, ready: str, keep: Callable[[], None]
    ) -> None:
        """Start the command `python -m module arguments`, unless one runs.

        Args:
            module: its module.
            arguments: its arguments.
            what: what is trained, for people.
            ready: what to say when it has ended well.
            keep: keeps what was trained, once it has ended well.
        """
        with self._lock:
            if self.running:
                return
            command = [sys.executable, "-m", "lowpix.annotate.background", str(os.getpid()), module, *arguments]
            with self._log.open("wb") as log:
                # in a session of its own, so that Ctrl-C ends the server first
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
                )
            self.running = True
            self.line = f"{what} is being trained, at low priority."
            Thread(target=self._wait, args=(self._process, what, ready, keep), daemon=True).start()

    def close(self) -> None:
        """End the training, if one runs."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                self._process.wait()

    def _wait(self, process: subprocess.Popen[bytes], what: str, ready: str, keep: Callable[[], None]) -> None:
        if process.wait():
            self.line = f"{what} was not trained ({self._last_line()}): see {self._log}"
        else:
            try:
                keep()
                self.line = f"{what} {ready}"
            except (InputError, OSError) as fault:
                self.line = f"{what} could not be kept ({fault})"
        self.running = False
        self.ended()

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")
