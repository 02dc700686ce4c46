"""Does the network that the page trains beside itself make the next images cheaper?

    python -m benchmarks.carrying --data-root ../shared/data

CamVid train images, spread over the drives, are labelled as on the page; the label map answers. The page's own
network learns from some of them, and others are labelled without it and with it, in pairs. `--work` keeps what is
done, so a run that is stopped goes on with the same command.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.report import measured_on
from lowpix.annotate import Options as PageOptions
from lowpix.annotate import Project
from lowpix.annotate.bench import Bench
from lowpix.annotate.carried import carried_over
from lowpix.annotate.engine import NETWORK, Engine
from lowpix.annotate.frame import Frame
from lowpix.annotate.requests import do
from lowpix.annotate.stop import Stop
from lowpix.annotate.store import Answer, Store
from lowpix.annotate.teacher import Trained, network_file
from lowpix.command import run
from lowpix.data import Dataset, open_dataset, spread
from lowpix.errors import WorkError
from lowpix.metrics import accuracy, confusion, miou
from lowpix.networks import find_network
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.smoothing import Edges
from lowpix.seeds import seed_for
from lowpix.storage import atomic, csv_bytes, write_bytes
from lowpix.study.intervals import interval
from lowpix.study.threads import one_thread

FIRST = 10
"""Images before those that are labelled without and with a network, in an order that is spread over the drives."""
TARGET = 0.9
AT = (5, 10, 20, 60)
"""Numbers of answers at which accuracies are compared."""
LEVEL = 0.95
STOP = Stop("person", 1000, 0.9)


@dataclass(frozen=True)
class Options:
    """Does the page's own network make the next images cheaper?"""

    data_root: Path = Path("../shared/data")
    """Folder that holds camvid."""
    done: tuple[int, ...] = (10, 20)
    """Images that a network learns from; each number is another network."""
    images: int = 12
    """Other images, labelled without a network and with each."""
    answers: int = 60
    """Answers for each image."""
    work: Path | None = None
    """Folder for what is done; if not given, a temporary one."""
    out: Path = Path("results/benchmarks/carrying.csv")
    """The table."""


@contextmanager
def training(
    names: list[str], count: int, dataset: Dataset, answers: int, work: Path
) -> Iterator[Callable[[], Trained]]:
    """Label the first `count` of these images on the page's engine, and have its network trained meanwhile.

    The body of the `with` gets a function that waits for the network.
    """
    photos, classes = work / "photos", len(dataset.classes)
    photos.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(dataset.image_file(name) or "", photos)
    given = PageOptions(photos=photos, classes=",".join(dataset.classes), browser=False, carry_over=False)
    project = Project(given)
    engine = Engine(project.store, project.dataset(), project.out, STOP, project.save, lambda image: None)
    engine.start()
    try:
        for image in project.store.images():
            if image.status != "done" and image.name in names[:count]:
                truth = dataset.labels(image.name)
                assert truth is not None
                _label(engine, project.store, image.id, truth, answers)
                print(f"{image.name} is labelled", flush=True)
        engine.finish()
        network = Trained(count, network_file(project.out, classes, count))
        if not network.file.exists():
            project.train()

        def wait() -> Trained:
            while project.teacher.running:
                time.sleep(0.5)
            if not network.file.exists():
                raise WorkError(project.teacher.trainer.line)
            return network

        yield wait
    finally:
        project.teacher.trainer.close()
        engine.close()
        project.store.close()


def _label(engine: Engine, store: Store, image: int, truth: NDArray[np.uint8], answers: int) -> None:
    """Answer an image's questions, each round when the networks have learnt from the one before."""
    schedule = Schedule(1, "10%", answers)
    engine.look_at(image)
    while count := schedule.next(len(store.answers(image))):
        while (view := engine.view(image))["work"] != "ready":
            time.sleep(0.01)
        for row, column, kind in view["questions"][:count]:
            told = {"image": image, "row": row, "column": column, "answer": int(truth[row, column]), "kind": kind}
            do(store, [{"uid": f"answer {image} {row} {column}", "type": "answer", "seconds": 0.9, **told}])
        engine.changed(image)
    do(store, [{"uid": f"image {image} is done", "type": "status", "image": image, "status": "done"}])
    engine.changed(image)


def rounds(dataset: Dataset, name: str, answers: int, network: Trained | None) -> Iterator[dict[str, float]]:
    """Label an image as on the page, with a network or without; a row after each round."""
    photo, truth = dataset.image(name), dataset.labels(name)
    assert truth is not None
    frame, classes, device = Frame(*photo.shape[:2]), len(dataset.classes), torch.device("cpu")
    small, told = frame.shrink(photo), list[Answer]()
    with TemporaryDirectory() as folder:
        carried = carried_over(Path(folder) / "kept", False, network, frame, small)
    bench = Bench(frame, small, seed_for(0, dataset.name, name, "session"))
    inputs = find_network(NETWORK).inputs(small, device)
    bench.begin(inputs, Edges.of(small, device), classes, [], [], Path("none"), carried)
    schedule = Schedule(1, "10%", answers)
    while count := schedule.next(len(told)):
        bench.ask(told, classes, 0, answers)
        for cell, kind in bench.questions[:count]:
            row, column = frame.pixel(cell)
            told.append(Answer(len(told), cell, row, column, int(truth[row, column]), kind, 0.9, 0.0))
        bench.round(told)
        bench.label()
        found = confusion(truth, bench.labels if bench.labels is not None else truth * 0, classes)
        yield {"answers": len(told), "accuracy": accuracy(found), "miou": miou(found)}


def compare(table: pd.DataFrame, answers: int) -> pd.DataFrame:
    """The rows of the table: means without and with each network, and their difference in pairs."""
    reached = table["answers"].where(table["accuracy"] >= TARGET, answers + 1)
    keys = ["image", "learned_from"]
    measures = {
        f"answers to {TARGET:.0%} accuracy, at most {answers + 1}": reached.groupby(
            [table[key] for key in keys]
        ).min()
    }
    for count in AT:
        at = table[table["answers"] <= count].groupby(keys).last()
        measures |= {f"{measure} at {count} answers, %": 100 * at[measure] for measure in ("accuracy", "miou")}
    rows = []
    for what, values in measures.items():
        by_network = values.unstack()
        for learned_from in by_network.columns.drop([0]):
            pair = by_network[[0, learned_from]].dropna()
            more = pair[learned_from] - pair[0]
            low, high = interval(more, pd.Series(more.index, more.index), LEVEL)
            means = {"without": pair[0].mean(), "with": pair[learned_from].mean(), "difference": more.mean()}
            rows.append(
                {
                    "what": what,
                    "learned_from": learned_from,
                    **means,
                    "low": low,
                    "high": high,
                    "images": len(more),
                }
            )
    return pd.DataFrame(rows).round(2)


def measure(options: Options, dataset: Dataset, work: Path) -> pd.DataFrame:
    """Label what is not yet labelled, and give the table."""
    names = list(spread(dataset.images, FIRST + options.images + max(options.done)))
    tested = names[FIRST : FIRST + options.images]
    others = [name for name in names if name not in tested]
    path = work / "rounds.parquet"
    tables = [pd.read_parquet(path)] if path.exists() else []

    def label_all(network: Trained | None) -> None:
        learned_from = network.images if network else 0
        known = {pair for table in tables for pair in zip(table["image"], table["learned_from"], strict=True)}
        for name in tested:
            if (name, learned_from) in known:
                continue
            table = pd.DataFrame(rounds(dataset, name, options.answers, network))
            tables.append(table.assign(image=name, learned_from=learned_from))
            with atomic(path) as temporary:
                pd.concat(tables, ignore_index=True).to_parquet(temporary)
            print(f"{name} after {learned_from} images: {table['accuracy'].iloc[-1]:.3f}", flush=True)

    with one_thread():
        for count in sorted(options.done):
            with training(others[: max(options.done)], count, dataset, options.answers, work) as wait:
                label_all(None)
                label_all(wait())
    return compare(pd.concat(tables, ignore_index=True), options.answers)


def command(options: Options) -> None:
    """Measure, print and write the table."""
    dataset = open_dataset("camvid", options.data_root / "camvid", "train")
    with TemporaryDirectory() as folder:
        table = measure(options, dataset, options.work or Path(folder))
    print(table.to_string(index=False))
    write_bytes(options.out, csv_bytes(table.assign(**measured_on())))


if __name__ == "__main__":
    run(Options, "python -m benchmarks.carrying", command)
