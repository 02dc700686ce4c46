"""How long a person waits on the page of annotate: for the next question, and for questions of a newer network.

    python -m benchmarks.annotate

A real Chromium answers generated scenes rightly, one key every 0.9 s. The page itself takes the times: from a key
press to the next question painted, and from a key press to questions of networks that have learnt from it.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.page import answer, chromium, reads, serve
from benchmarks.report import Row, write_table
from lowpix.annotate.keys import FREE
from lowpix.command import run
from lowpix.data import open_dataset

KEYS = dict(enumerate(FREE))
SIZES = ((360, 480), (1080, 1920))
BOUNDS = {"painted": 0.05, "newer": 0.6}
"""Seconds that the 95th percentile should stay below; the baseline of the table."""


@dataclass(frozen=True)
class Options:
    """How long does a person wait on the page?"""

    answers: int = 200
    """Answers for each size."""
    pace: float = 0.9
    """Seconds between two answers."""
    smoke: bool = False
    """A few answers on small images."""
    out: Path = Path("results/benchmarks/annotate.csv")
    """The table."""


def measure(size: tuple[int, int], answers: int, pace: float) -> list[Row]:
    """The rows of one size of photographs."""
    height, width = size
    truth = open_dataset("scenes", scene_size=size, scene_count=1).labels("scene_000")
    assert truth is not None, "scenes have label maps"
    with TemporaryDirectory() as folder:
        shape = ["--scene-size", str(height), str(width), "--scene-count", "1"]
        served = serve(["--dataset", "scenes", *shape, "--out", f"{folder}/out"])
        try:
            with chromium(viewport={"width": 1280, "height": 720}) as page:
                page.goto(served.address)
                for number in range(answers + 5):
                    answer(page, lambda row, column: KEYS.get(int(truth[row, column]), "v"))
                    if number == 4:
                        reads(page, "up to date")
                        page.evaluate("() => performance.clearMeasures()")
                    page.wait_for_timeout(1000 * pace)
                reads(page, "up to date")
                found = page.evaluate(
                    "() => performance.getEntriesByType('measure').map(one => [one.name, one.duration / 1000])"
                )
        finally:
            served.stop()
    rows = []
    for name, bound in BOUNDS.items():
        seconds = [duration for kind, duration in found if kind == name]
        what = f"{name}_{height}x{width}"
        rows += [
            Row(f"{what}_median", float(np.median(seconds)), "s wall", bound),
            Row(f"{what}_95th_percentile", float(np.quantile(seconds, 0.95)), "s wall", bound),
            Row(f"{what}_answers", len(seconds), "answers"),
        ]
    return rows


def command(options: Options) -> None:
    """Measure, print and write the table."""
    sizes, answers = (((60, 80),), 6) if options.smoke else (SIZES, options.answers)
    rows = [row for size in sizes for row in measure(size, answers, 0.1 if options.smoke else options.pace)]
    write_table(options.out, rows, "a generated scene of each size")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.annotate", command)
