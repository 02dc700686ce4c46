"""How long a person waits on the page of annotate: for the next question, and for questions of a newer network.

    python -m benchmarks.annotate

A real Chromium answers photographs of generated scenes rightly, one key every 0.9 s. The page itself takes the
times: from a key press to the next question painted, and to questions of networks that have learnt from it. All is
done twice: the second time a network for the data set trains beside the page, and again whenever it is ready.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.page import answer, chromium, reads, serve
from benchmarks.report import Row, write_table
from lowpix.annotate.keys import FREE
from lowpix.command import run
from lowpix.data import Dataset, open_dataset

KEYS = dict(enumerate(FREE))
SIZES = ((360, 480), (1080, 1920))
BOUNDS = {"painted": 0.05, "newer": 0.6}
"""Seconds that the 95th percentile should stay below; the baseline of the table."""
TRAINS = "being trained"  # in what the page says of the network


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


def measure(size: tuple[int, int], answers: int, pace: float, training: bool) -> list[Row]:
    """The rows of one size of photographs. With `training`, another photograph is labelled first, to train on."""
    height, width = size
    scenes = open_dataset("scenes", scene_size=size, scene_count=1 + training)
    with TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for name in scenes.images:
            Image.fromarray(scenes.image(name)).save(photos / f"{name}.png")
        served = serve([str(photos), "--classes", ",".join(scenes.classes), "--out", f"{folder}/out"])
        try:
            with chromium(viewport={"width": 1280, "height": 720}) as page:
                page.goto(served.address)
                if training:
                    for _ in range(5):
                        answer(page, key_of(scenes, 0))
                    page.keyboard.press("Enter")
                    reads(page, "1 of 2 images done")
                    reads(page, scenes.images[1])
                for number in range(answers + 5):
                    while training and TRAINS not in page.inner_text("#network"):
                        page.keyboard.press("m")
                        page.wait_for_timeout(1000)
                    answer(page, key_of(scenes, int(training)))
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
        what = f"{name}_{height}x{width}{'_while_training' * training}"
        rows += [
            Row(f"{what}_median", float(np.median(seconds)), "s wall", bound),
            Row(f"{what}_95th_percentile", float(np.quantile(seconds, 0.95)), "s wall", bound),
            Row(f"{what}_answers", len(seconds), "answers"),
        ]
    return rows


def key_of(scenes: Dataset, image: int) -> Callable[[int, int], str]:
    """The key that answers for a pixel of an image rightly."""
    truth = scenes.labels(scenes.images[image])
    assert truth is not None, "scenes have label maps"
    return lambda row, column: KEYS.get(int(truth[row, column]), "v")


def command(options: Options) -> None:
    """Measure, print and write the table."""
    sizes, answers = (((60, 80),), 6) if options.smoke else (SIZES, options.answers)
    pace = 0.1 if options.smoke else options.pace
    rows = [row for training in (False, True) for size in sizes for row in measure(size, answers, pace, training)]
    write_table(options.out, rows, "a generated scene of each size")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.annotate", command)
