"""From photographs to a model, as a new user would: nuclei without their labels, the page, and two commands.

    python -m benchmarks.walkthrough --data-root DATA

A real Chromium answers on the page; the hidden labels tell it what to press. It answers when the questions follow
its last answer, as they do for a person at 0.9 s an answer on an idle machine. Then a network for the data set is
trained on the label maps that came out, and labels the test images. Both are compared with the hidden labels.
"""

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.page import answer, chromium, follow, reads, serve
from benchmarks.report import Row, write_table
from lowpix.annotate.output import SETTING
from lowpix.command import run
from lowpix.data import Dataset, open_dataset, spread
from lowpix.metrics import accuracy, confusion, miou

AUDIT = 20


@dataclass(frozen=True)
class Options:
    """From photographs to a model, with hidden labels."""

    data_root: Path = Path("../shared/data")
    """Folder that holds nuclei."""
    images: int = 10
    """Photographs to label."""
    answers: int = 40
    """Answers for each photograph, without audits."""
    epochs: int = 60
    """Of the network for the data set."""
    smoke: bool = False
    """Two photographs, few answers and epochs."""
    out: Path = Path("results/benchmarks/walkthrough.csv")
    """The table."""


def label(photos: Path, dataset: Dataset, names: list[str], options: Options) -> float:
    """Label all photographs on the page; returns the seconds that it took."""
    served = serve([str(photos), "--classes", "background,nucleus"])
    start = perf_counter()
    try:
        with chromium(viewport={"width": 1280, "height": 720}) as page:
            page.goto(served.address)
            for name in names:
                reads(page, name)
                truth = dataset.labels(name)
                assert truth is not None

                def key(row: int, column: int) -> str:
                    return "12"[truth[row, column]]  # noqa: B023

                for _ in range(options.answers):
                    answer(page, key)
                    follow(page)
                page.keyboard.press("a")
                audits = 0
                while audits < AUDIT:
                    audits += answer(page, key) == "audit"
                reads(page, "95 % interval")
                page.keyboard.press("Enter")
            reads(page, "All images are done")
            seconds = perf_counter() - start
            reads(page, f"{len(names)} of {len(names)} images done")
    finally:
        print(served.stop())
    return seconds


def measure(options: Options) -> list[Row]:
    """The rows of the table."""
    root = options.data_root / "nuclei"
    dataset, test = open_dataset("folder", root, "train"), open_dataset("folder", root, "test")
    names = sorted(spread(dataset.images, options.images))
    with TemporaryDirectory() as folder:
        photos, out = Path(folder) / "photos", Path(folder) / "photos_labelled"
        photos.mkdir()
        for name in names:
            shutil.copy(dataset.image_file(name) or "", photos)
        seconds = label(photos, dataset, names, options)
        maps = {name: out / f"pseudo_labels/{SETTING}/0/{name}.png" for name in names}
        rows = scores("label maps", dataset, maps)
        print(*rows, sep="\n", flush=True)
        study = f"--dataset folder --data-root {photos} --classes background,nucleus --image-study {out}"
        model = f"{folder}/model/models/pseudo-1000/0.safetensors"
        start = perf_counter()
        command(f"lowpix.dataset_study {study} --settings pseudo --epochs {options.epochs} --out {folder}/model")
        trained = perf_counter() - start
        command(f"lowpix.predict {root} --split test --model {model} --out {folder}/labels")
        found = {name: Path(folder) / f"labels/{name}.png" for name in test.images}
        summary = pd.read_csv(f"{folder}/model/summary.csv").iloc[0]
        clicks = len(pd.read_csv(out / "answers.csv"))
        rows += scores("model on the test images", test, found)
    return [
        Row("answers an image, audits included", clicks / len(names), "answers"),
        Row("minutes at 0.9 s an answer, all images", clicks * 0.9 / 60, "minutes"),
        Row("labelling on the page, all images", seconds, "s wall"),
        Row("training", trained, "s wall"),
        *rows,
        Row("label maps on audit answers: accuracy", float(summary["label_accuracy"]), "share"),
    ]


def scores(what: str, dataset: Dataset, files: dict[str, Path]) -> list[Row]:
    """Accuracy and mIoU of label maps against hidden labels, over all images together."""
    total = np.zeros((2, 3), np.int64)
    for name, file in files.items():
        truth = dataset.labels(name)
        assert truth is not None
        with Image.open(file) as picture:
            total += confusion(truth, np.array(picture), 2)
    return [Row(f"{what}: accuracy", accuracy(total), "share"), Row(f"{what}: mIoU", miou(total), "share")]


def command(line: str) -> None:
    """Run a command of lowpix, and show it."""
    print(f"python -m {line}", flush=True)
    subprocess.run([sys.executable, "-m", *shlex.split(line)], check=True)


def main(options: Options) -> None:
    """Walk through, print and write the table."""
    if options.smoke:
        options = Options(options.data_root, images=2, answers=8, epochs=1, out=options.out)
    write_table(options.out, measure(options), f"{options.images} train and all test images of nuclei")


if __name__ == "__main__":
    run(Options, "python -m benchmarks.walkthrough", main)
