"""The tables of benchmarks: `what value unit baseline ratio`, and what they were measured on."""

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
    """One measurement of ours, `value`, and of what a user would do instead, `baseline`."""

    what: str
    value: float
    unit: str
    baseline: float | None = None


@dataclass
class Spent:
    """Seconds of this process on its cores, and on the clock, which other programs make longer."""

    cpu: float = 0
    wall: float = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add what the body takes."""
        cpu, wall = process_time(), perf_counter()
        yield
        self.cpu += process_time() - cpu
        self.wall += perf_counter() - wall


def seconds(what: str, ours: Spent, theirs: Spent) -> list[Row]:
    """The rows of a time: on the cores, and on the clock."""
    return [Row(what, ours.cpu, "s CPU", theirs.cpu), Row(what, ours.wall, "s wall", theirs.wall)]


def write_table(path: Path, rows: Iterable[Row], images: str) -> None:
    """Write and print the means of rows that share `what` and `unit`, and what they were measured on.

    `ratio` is baseline / value, of times and memory alone; of means, so that long measurements weigh more.
    """
    groups = pd.DataFrame(list(rows)).groupby(["what", "unit"], sort=False)
    table = groups[["value", "baseline"]].mean().reset_index()
    spent = table["unit"].str.match("s |MB")
    table["ratio"] = (table["baseline"] / table["value"]).where(spent)
    table = table[["what", "value", "unit", "baseline", "ratio"]]
    print(table.to_string(index=False, float_format="%.4g", na_rep=""))
    table["measurements"] = groups.size().to_numpy()
    table["images"] = images
    table["machine"] = f"{_processor()}, one thread a process"
    table["torch"] = torch.__version__
    table["commit"] = _commit()
    table["date"] = datetime.now(UTC).date().isoformat()
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


def _commit() -> str:
    """The commit that is checked out, with `+` where lowpix or the benchmarks differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "lowpix", "benchmarks")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a checkout
