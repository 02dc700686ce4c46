"""What the tests of stopped studies share: real processes, and what must be the same in their folders."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]


def finish(command: Sequence[str]) -> str:
    """What the command printed, which must end well."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stop(
    command: Sequence[str],
    how: signal.Signals,
    out: Path,
    pattern: str,
    count: int = 1,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Start a command, and send a signal to it and its workers as soon as `out` holds so many files.

    Gives the exit code, and what was printed to stderr.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(environment) if environment else None,
        start_new_session=True,  # a signal reaches its workers as Ctrl-C does in a terminal
        # a shell's background job ignores Ctrl-C, and hands that down
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            until = time.monotonic() + 240
            while len(files := list(out.glob(pattern))) < count:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < until, f"{len(files)} of {count} files after four minutes"
                time.sleep(0.002)
            os.killpg(process.pid, how)
            complaint = process.communicate(timeout=240)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, complaint


def identity(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Which file each is, to tell one that was written again."""
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def content(out: Path, tables: Sequence[str], files: Sequence[str]) -> dict[str, bytes]:
    """Tables, but for their seconds, and files by patterns: byte for byte."""
    texts = {}
    for name in tables:
        # repr of a float is exact, so equal text is equal bits
        table = pd.read_parquet(out / name) if name.endswith(".parquet") else pd.read_csv(out / name, dtype=str)
        texts[name] = table.drop(columns="seconds", errors="ignore").to_csv(index=False).encode()
    found = sorted(path for pattern in files for path in out.glob(pattern))
    assert found or not files, f"none of {files} in {out}"
    return texts | {str(path.relative_to(out)): path.read_bytes() for path in found}
