"""Units of work that the workers of a cluster can import without waiting for torch."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def tenfold(unit: int) -> Iterator[int]:
    yield 10 * unit


def slow(unit: int, folder: Path) -> Iterator[int]:
    """Says that it has begun, and takes a while."""
    (folder / f"{unit}.{os.getpid()}.begun").touch()
    time.sleep(1)
    yield 10 * unit


def mortal(unit: int) -> Iterator[int]:
    """Kills its worker at unit 2."""
    if unit == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    yield 10 * unit


def faulty(unit: int) -> Iterator[int]:
    yield 10 // unit
