"""The tables of benchmarks: the columns `what value unit baseline ratio`, and the machine and versions."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time

import pandas as pd
import torch


@dataclass(frozen=True)
class Row:
    """A measurement of ours, `value`, and of what a user would do instead, `baseline`."""

    what: str
    value: float
    unit: str
    baseline: float | None = None


@dataclass
class Spent:
    """CPU seconds and wall seconds of this process. Other programs make the wall time longer."""

    cpu: float = 0
    wall: float = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time of the `with` body."""
        cpu, wall = process_time(), perf_counter()
        yield
        self.cpu += process_time() - cpu
        self.wall += perf_counter() - wall


def seconds(what: str, ours: Spent, theirs: Spent) -> list[Row]:
    """The rows of a time: CPU time and wall time."""
    return [Row(what, ours.cpu, "s CPU", theirs.cpu), Row(what, ours.wall, "s wall", theirs.wall)]


def write_table(path: Path, rows: Iterable[Row], images: str) -> None:
    """Print and write the means of rows with the same `what` and `unit`; the file also has machine and versions.

    `ratio` is baseline / value, only for times and memory. It is a ratio of means, so long measurements weigh
    more.
    """
    groups = pd.DataFrame(list(rows)).groupby(["what", "unit"], sort=False)
    table = groups[["value", "baseline"]].mean().reset_index()
    spent = table["unit"].str.match("s |MB")
    table["ratio"] = (table["baseline"] / table["value"]).where(spent)
    table = table[["what", "value", "unit", "baseline", "ratio"]]
    print(table.to_string(index=False, float_format="%.4g", na_rep=""))
    table["measurements"] = groups.size().to_numpy()
    table["images"] = images
    table = table.assign(**measured_on())
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g")


def measured_on() -> dict[str, str]:
    """Machine, torch version, commit and date, for the last columns of a table."""
    return {
        "machine": f"{_processor()}, one thread a process",
        "torch": torch.__version__,
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


def _commit() -> str:
    """The commit that is checked out, with `+` if lowpix or the benchmarks are modified."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "lowpix", "benchmarks")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a checkout
