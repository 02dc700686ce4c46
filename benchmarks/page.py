"""The page of annotate on a real server in a process of its own, in a real Chromium, answered from true labels."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowpix.errors import WorkError

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    address: str

    def stop(self) -> str:
        """End it by Ctrl-C; returns what it printed."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=300)[0]


def serve(arguments: Sequence[str]) -> Served:
    """Start `python -m lowpix.annotate` on a free port, unless the arguments name one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lowpix.annotate", "--no-browser", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"(http://\S+/)", line)
    if not found:
        process.kill()
        raise WorkError(f"{line}{process.stdout.read()}".strip())
    return Served(process, found[1])


@contextmanager
def chromium(**context: Any) -> Iterator[Any]:
    """A new window of Chromium, as Playwright drives it."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise WorkError("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_context(**context).new_page()
        browser.close()


def asked(page: Any) -> tuple[int, int, str]:
    """Wait for a question; returns its row, column and kind."""
    page.wait_for_function("() => window.lowpix?.question()", timeout=60_000)
    row, column, kind = page.evaluate("() => window.lowpix.question()")
    return row, column, kind


def answer(page: Any, key: Callable[[int, int], str]) -> str:
    """Press the key for the question on the page; returns the kind of the question."""
    row, column, kind = asked(page)
    page.keyboard.press(key(row, column))
    return kind


def follow(page: Any) -> None:
    """Wait until the questions follow all answers."""
    page.wait_for_function("() => window.lowpix.unlearnt === 0", polling=50, timeout=120_000)


def reads(page: Any, words: str) -> None:
    """Wait until the page shows these words."""
    page.wait_for_function("words => document.body.innerText.includes(words)", arg=words, timeout=120_000)
