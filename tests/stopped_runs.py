"""What the tests of stopped studies share: real processes, and what must be the same in their folders."""

import subprocess
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]


def finish(command: list[str]) -> str:
    """What the command printed, which must end well."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(out: Path, tables: tuple[str, ...], files: tuple[str, ...]) -> dict[str, bytes]:
    """Tables, but for their seconds, and files by patterns: byte for byte."""
    texts = {}
    for name in tables:
        # repr of a float is exact, so equal text is equal bits
        table = pd.read_parquet(out / name) if name.endswith(".parquet") else pd.read_csv(out / name, dtype=str)
        texts[name] = table.drop(columns="seconds", errors="ignore").to_csv(index=False).encode()
    found = sorted(path for pattern in files for path in out.glob(pattern))
    assert found, f"none of {files} in {out}"
    return texts | {str(path.relative_to(out)): path.read_bytes() for path in found}
