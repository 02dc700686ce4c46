"""Files that are there whole or not at all, whenever the process is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; at the end it becomes `path`, on an error it goes.

    Folders are made as needed. The temporary name begins with a dot and ends in `.tmp`, so that no search for
    results finds what a killed process left, and holds the process id, so that two processes never share one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else, after a power cut, the new name may stand for an empty file
        temporary.replace(path)
    except BaseException:  # Ctrl-C as well
        temporary.unlink(missing_ok=True)
        raise
