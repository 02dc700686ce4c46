"""Which way of asking is cheapest for a person: keys to the machine's questions, clicks on mistakes, or a mixture?

    python -m benchmarks.asking --data-root ../shared/data

A simulated person (`benchmarks/person.py`) labels every image in each of WAYS. `rounds.parquet` keeps what each
round cost, and a run that is stopped goes on with the same command. The seconds of a key and of a click are
assumptions, given as options.
"""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.person import Progress, Way, label
from lowpix.command import run
from lowpix.data import Dataset, open_dataset, spread
from lowpix.reveal.schedule import Schedule
from lowpix.storage import atomic, csv_bytes, write_bytes
from lowpix.study.threads import one_thread

STUDIES = {"camvid": Path("studies/defaults_camvid.toml"), "nuclei": Path("studies/nuclei_image.toml")}
"""The images of these studies, by the data set's folder."""
ANSWERS = 300
SCHEDULE = Schedule(first=5, per_round="10%", budget=ANSWERS)
KEYS = "keys"
WAYS = {
    KEYS: Way(range(0)),
    "keys by margin": Way(range(0), "margin"),
    "clicks": Way(range(5, ANSWERS)),
    "clicks to 20, then keys": Way(range(5, 20)),
    "keys to 80, then clicks": Way(range(80, ANSWERS)),
    "every fourth a click": Way(range(8, ANSWERS, 4)),
}
"""The first five answers are keys: before them no mistake is seen. 80 is where facility location ends."""
TARGETS = (0.9, 0.95, 0.98)
NOC = ((0.85, 20), (0.85, 300), (0.9, 20), (0.9, 300))
"""mIoU of an image, and the cap: numbers of clicks that readers of interactive segmentation compare."""
LEVEL = 1 - 0.05 / (len(WAYS) - 1)
"""Confidence of each ratio to KEYS, so that all ratios of a study and target together hold with 95 %."""
RESAMPLES = 9_999
ONE = ["study", "image", "way"]
"""The columns that name a run."""


@dataclass(frozen=True)
class Options:
    """Which way of asking is cheapest for a person?"""

    data_root: Path = Path("../shared/data")
    """Folder that holds camvid and nuclei."""
    limit: int | None = None
    """Number of images of each, spread evenly; if not given, all."""
    seconds_per_key: float = 0.9
    """Seconds for an answer by key, where the machine has chosen the pixel.
    Bearman et al. (arXiv 1506.02106) measured 0.9 s for a further point of a class, which the annotator chose.
    A key for a marked pixel was not measured."""
    seconds_per_click: float = 2.4
    """Seconds to find a mistake, click it and name its class: theirs for the first point of a class."""
    out: Path = Path("results/annotate_simulated")
    """Folder of the tables."""


def until_right(rounds: Iterable[Progress]) -> Iterator[Progress]:
    """The rounds up to the first at which all targets were reached, of accuracy and of mIoU."""
    accuracy = miou = 0.0
    for progress in rounds:
        yield progress
        accuracy, miou = max(accuracy, progress.accuracy), max(miou, progress.miou)
        if accuracy >= max(TARGETS) and miou >= max(miou for miou, _ in NOC):
            return


def label_all(path: Path, data_root: Path, limit: int | None = None) -> pd.DataFrame:
    """Label each image in each way, unless its rounds are in the file already; gives and keeps all rounds."""
    rounds = [pd.read_parquet(path)] if path.exists() else []
    done = {key for table in rounds for key in table[ONE].itertuples(index=False, name=None)}
    for study, dataset, image in _in_turn(data_root, limit):
        for way in WAYS:
            if (study, image, way) in done:
                continue
            found = pd.DataFrame(map(asdict, until_right(label(dataset, image, WAYS[way], SCHEDULE))))
            rounds.append(found.assign(**dict(zip(ONE, (study, image, way), strict=True))))
            with atomic(path) as temporary:
                pd.concat(rounds, ignore_index=True).to_parquet(temporary)
            last = found.iloc[-1]
            print(f"{study} {image}, {way}: {last['keys']:.0f} keys, {last['clicks']:.0f} clicks", flush=True)
    return pd.concat(rounds, ignore_index=True)


def _in_turn(data_root: Path, limit: int | None) -> Iterator[tuple[str, Dataset, str]]:
    """The images of all studies in turn, each study's in an order of which any beginning is spread evenly."""
    queues = []
    for study, file in STUDIES.items():
        given = tomllib.loads(file.read_text(encoding="utf-8"))
        dataset = open_dataset(given["dataset"], data_root / study, given["split"])
        queues.append(
            [(study, dataset, name) for name in spread(given.get("images", dataset.images), None)][:limit]
        )
    for several in zip_longest(*queues):
        yield from filter(None, several)


def seconds_to(rounds: pd.DataFrame, target: float, options: Options) -> pd.DataFrame:
    """Seconds of each image `(image × way)` to an accuracy; inf if it was not reached."""
    spent = rounds["keys"] * options.seconds_per_key + rounds["clicks"] * options.seconds_per_click
    reached = spent.where(rounds["accuracy"] >= target, np.inf)
    return reached.groupby([rounds["image"], rounds["way"]]).min().unstack()


def costs(rounds: pd.DataFrame, target: float, options: Options) -> Iterator[dict[str, Any]]:
    """A row for each way: median seconds over images to an accuracy, and the median ratio to those by keys.

    A ratio counts as 1 if neither way reached the accuracy.
    """
    seconds = seconds_to(rounds, target, options)
    for way in WAYS:
        spent, by_keys = seconds[way].to_numpy(), seconds[KEYS].to_numpy()
        with np.errstate(invalid="ignore"):
            ratio = np.where(np.isinf(spent) & np.isinf(by_keys), 1, spent / by_keys)
        row = {"way": way, "target": target, "images": len(spent), "reached": np.isfinite(spent).mean()}
        row |= dict(zip(("seconds", "low", "high"), median(spent, 0.95), strict=True))
        if way != KEYS:
            row |= dict(zip(("ratio", "ratio_low", "ratio_high"), median(ratio, LEVEL), strict=True))
        yield row


def median(values: NDArray[np.float64], level: float) -> tuple[float, float, float]:
    """The median of `values` (n,), which may be inf, with the ends of its bootstrap interval."""
    draw = np.random.default_rng(0)  # the same images for each way
    medians = np.sort(np.median(values[draw.integers(0, len(values), (RESAMPLES, len(values)))], axis=1))
    cut = round((1 - level) / 2 * RESAMPLES)
    return float(np.median(values)), float(medians[cut]), float(medians[-1 - cut])


def clicks_to_miou(rounds: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """NoC: the mean number of answers, keys and clicks, to an image's mIoU, at most the cap; of whole images."""
    answers = rounds["keys"] + rounds["clicks"]
    for share, cap in NOC:
        needed = answers.where(rounds["miou"] >= share, np.inf).groupby([rounds["way"], rounds["image"]]).min()
        for way in WAYS:
            of_way = needed[way]
            yield {
                "way": way,
                "miou": share,
                "cap": cap,
                "noc": of_way.clip(upper=cap).mean(),
                "failed": (of_way > cap).mean(),
                "images": len(of_way),
            }


def command(options: Options) -> None:
    """Label what is left, then write and print both tables, of images that are labelled in every way."""
    with one_thread():
        rounds = label_all(options.out / "rounds.parquet", options.data_root, options.limit)
    ways = rounds.groupby(["study", "image"])["way"].transform("nunique")
    tables: dict[str, list[dict[str, Any]]] = {"seconds": [], "noc": []}
    for study, own in rounds[ways == len(WAYS)].groupby("study"):
        tables["seconds"] += [{"study": study, **row} for at in TARGETS for row in costs(own, at, options)]
        tables["noc"] += [{"study": study, **row} for row in clicks_to_miou(own)]
    for name, rows in tables.items():
        table = pd.DataFrame(rows).round(3)
        print(table.to_string(index=False))
        write_bytes(options.out / f"{name}.csv", csv_bytes(table))


if __name__ == "__main__":
    run(Options, "python -m benchmarks.asking", command)
