"""Train the data set's network on the images that are done, in a process of its own, while a person goes on."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread


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
        self._lock = Lock()
        self.line = ""
        """How far the training is, for people; empty before the first one."""

    def start(self, module: str, arguments: Sequence[str], what: str, ready: str) -> None:
        """Start the command `python -m module arguments`, unless one runs.

        Args:
            module: its module.
            arguments: its arguments.
            what: what is trained, for people.
            ready: what to say when it has ended well.
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
            self.line = f"{what} is being trained, at low priority."
            Thread(target=self._wait, args=(self._process, what, ready), daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether a training runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the training, if one runs."""
        with self._lock:
            if self._process is not None and self.running:
                self._process.terminate()
                self._process.wait()

    def _wait(self, process: subprocess.Popen[bytes], what: str, ready: str) -> None:
        code = process.wait()
        failed = f"was not trained ({self._last_line()}): see {self._log}"
        self.line = f"{what} {failed if code else ready}"
        self.ended()

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")
