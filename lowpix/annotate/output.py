"""What comes out: the folder of an image study whose oracle is a person, and pictures of the labels."""

import math
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from lowpix.annotate.bench import FIRST
from lowpix.annotate.engine import NETWORK, Finished
from lowpix.annotate.frame import read_photo
from lowpix.annotate.store import Answer, Store
from lowpix.data import IGNORE, Dataset
from lowpix.data.check import require_sound
from lowpix.metrics import accuracy, confusion, miou
from lowpix.networks.device import machine
from lowpix.reveal.log import UNSURE
from lowpix.storage import csv_bytes
from lowpix.study.data import keep_data
from lowpix.study.folder import Study, file_name, open_study
from lowpix.study.image_runs import IMAGES, Run, Tables, confidence_name, label_map_name, setting_name
from lowpix.study.label_maps import confidence_png, label_map_png
from lowpix.study.settings import read_settings, replace_section
from lowpix.study.source import ANSWER_COLUMNS, ANSWERS

ACQUISITION, SMOOTHING = "facility", "edges"
SETTING = setting_name(NETWORK, ACQUISITION, SMOOTHING)
CHANGEABLE = ("stop", "max_pixels")
"""Settings that a person may change from day to day. study.toml keeps the first; runs have their own stop."""
PAUSE = 60.0
"""Seconds. A longer time before an answer was a pause, and counts as this much in `seconds` of the tables."""
SIDE = 320  # pixels of the longer side of a picture on the contact sheet
COLUMNS = 4  # of the contact sheet
SHEET = 800  # pictures on the contact sheet, at most: a JPEG has no more than 65,500 rows
OVERLAY_SIDE = 1600  # pixels of the longer side of an overlay picture
FILL = 0.4  # opacity of a class's colour in overlays


class Output:
    """The folder of the study.

    Args:
        folder: where the study is.
        dataset: the photographs; their class names may be older than those of the store.
        store: answers and class names.
        settings: options of the annotation, for `study.toml`.
        oracle: who answers.
        seed: seed of the runs.
    """

    def __init__(
        self,
        folder: Path,
        dataset: Callable[[], Dataset],
        store: Store,
        settings: dict[str, Any],
        oracle: str,
        seed: int,
    ) -> None:
        self.folder, self._dataset, self._store = folder, dataset, store
        self._settings, self._oracle, self._seed = settings, oracle, seed

    def save(self, finished: Finished) -> None:
        """Write label map, confidence, overlay and run of a finished image."""
        dataset = self._dataset()
        study, name, frame = self._study(dataset, finished.name), finished.name, finished.frame
        photo = read_photo(dataset, name)
        predicted, confidence = frame.enlarge(finished.probabilities, photo)
        learnt = [answer for answer in finished.answers if answer.kind != "audit"]
        labels = predicted.copy()
        for answer in learnt:
            if answer.answer != UNSURE:
                labels[answer.row, answer.column] = answer.answer
        run = self._run(dataset, finished, learnt, predicted, labels)
        place = (SETTING, self._seed, name)
        palette = dataset.palette
        files = {
            label_map_name(*place): label_map_png(labels, palette),
            confidence_name(*place): confidence_png(confidence),
            _overlay_name(name): _jpeg(overlay(photo, labels, palette, OVERLAY_SIDE)),
        }
        study.save(run, files)

    def write(self) -> Study[Run, Tables] | None:
        """Write the tables, class shares and contact sheet of all finished images; None if there are none yet."""
        dataset = self._dataset()
        if not (self.folder / "study.toml").exists():
            return None
        study = self._study(dataset)
        self._discard(study)

        def pictures(tables: Tables) -> dict[str, bytes]:
            names = list(tables.summary["image"])
            shares, tiles = [], []
            for left, name in zip(range(len(names), 0, -1), names, strict=True):
                labels = self.label_map(study, name)
                shares.append(_shares(dataset, name, labels))
                if left <= SHEET:
                    tiles.append(overlay(read_photo(dataset, name), labels, dataset.palette, SIDE))
            return {
                "class_shares.csv": csv_bytes(pd.DataFrame(shares)),
                ANSWERS: csv_bytes(self._answers()),
                **({"contact_sheet.jpg": _contact_sheet(tiles)} if tiles else {}),
            }

        with study.at_work("cpu", pictures):
            pass
        return study

    def label_map(self, study: Study[Run, Tables], name: str) -> NDArray[np.uint8]:
        """The label map of a finished image, `(H, W)`."""
        place = (SETTING, self._seed, name)
        return study.read_label_map(place, label_map_name(*place))

    def _discard(self, study: Study[Run, Tables]) -> None:
        """Remove what was saved of images that have been skipped since, or have lost all their answers."""
        for image in self._store.images():
            rejected = image.status == "skipped" or not self._store.answers(image.id)
            if image.saved is not None and rejected:
                study.discard(SETTING, self._seed, image.name)
                self._store.set_saved(image.id, None)

    def _study(self, dataset: Dataset, *names: str) -> Study[Run, Tables]:
        """The study, with the digests of these images."""
        record = self.folder / "study.toml"
        begun = read_settings(record) if record.exists() else {}
        kept = {name: begun[name] for name in CHANGEABLE if name in begun}
        study = open_study(self.folder, IMAGES, {**dataset.settings, **self._settings, **kept})
        classes = {"classes": list(dataset.classes)}
        replace_section(self.folder / "study.toml", "data", classes)
        keep_data(study, {dataset: require_sound(dataset, names, labelled=False)})
        return study

    def _run(
        self,
        dataset: Dataset,
        finished: Finished,
        learnt: list[Answer],
        predicted: NDArray[np.uint8],
        labels: NDArray[np.uint8],
    ) -> Run:
        """The run of a finished image: a round for each fit."""
        pixels, ends = labels.size, [*finished.fits]
        if not ends or ends[-1] < len(learnt):
            ends.append(len(learnt))
        starts, spent = [0, *ends[:-1]], np.cumsum([min(answer.seconds, PAUSE) for answer in learnt])
        rounds: list[dict[str, Any]] = []
        revealed = 0
        for start, end in zip(starts, ends, strict=True):
            told = learnt[start:end]
            revealed += sum(answer.answer < UNSURE for answer in told)
            rounds.append(
                {
                    "round": len(rounds),
                    "asked": end,
                    "revealed": revealed,
                    "fraction": revealed / pixels,
                    **dict.fromkeys(("accuracy", "accuracy_unrevealed", "miou"), math.nan),
                    "seconds": float(spent[end - 1]),
                    "rows": np.array([answer.row for answer in told], np.int32),
                    "columns": np.array([answer.column for answer in told], np.int32),
                    "labels": np.array([answer.answer for answer in told], np.uint8),
                }
            )
        truth = dataset.labels(finished.name)
        if truth is not None:
            rounds[-1] |= _scores(truth, predicted, labels, learnt, len(dataset.classes))
        shown = ", or shown by the person" if any(answer.kind == "shown" for answer in learnt) else ""
        helped = f", helped by a network of {finished.helped_by} images" if finished.helped_by else ""
        return Run(
            dataset=dataset.name,
            setting=SETTING,
            image=finished.name,
            network=NETWORK,
            acquisition=ACQUISITION,
            selection=f"{finished.selection}{shown}{helped}",
            oracle=self._oracle,
            privileged=False,
            stop=self._settings["stop"],
            void="asked",
            seed=self._seed,
            target=math.nan,
            classes=None if truth is None else len(np.setdiff1d(truth, [IGNORE])),
            pixels=pixels,
            rounds=pd.DataFrame(rounds),
            machine=machine(torch.device("cpu")),
        )

    def _answers(self) -> pd.DataFrame:
        """The rows of `answers.csv`: each answer that stands, of all images, in order."""
        rows = [
            (image.name, order, a.row, a.column, a.answer, a.kind, round(a.seconds, 3), round(a.time, 3))
            for image in self._store.images()
            for order, a in enumerate(self._store.answers(image.id))
        ]
        return pd.DataFrame(rows, columns=list(ANSWER_COLUMNS)).astype(ANSWER_COLUMNS)


def settings_of(seed: int, stop: str, most: int) -> dict[str, Any]:
    """The settings of an image study in which a person answers, as `study.toml` keeps them."""
    return {
        "network": [NETWORK],
        "smoothing": [SMOOTHING],
        "members_from": "ensemble",
        "acquisition": [ACQUISITION],
        "oracle_noise": 0.0,
        "oracle_refusal": 0.0,
        "stop": stop,
        "max_pixels": most,
        "ask_void": True,
        "pixels_per_round": "as answered",
        "first_pixels": FIRST,
        "spacing": 10,
        "seed": seed,
        "repeats": 1,
        "oracles": True,
    }


def overlay(
    photo: NDArray[np.uint8], labels: NDArray[np.uint8], palette: NDArray[np.uint8], side: int
) -> NDArray[np.uint8]:
    """A photograph `(H, W, 3)` with its labels' colours over it and outlines between them, at most `side` long."""
    height, width = labels.shape
    shrink = min(1, side / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    picture = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX)).astype(np.float32)
    small = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    colours = np.full((256, 3), 255, np.float32)
    colours[: len(palette)] = palette
    known = (small != IGNORE)[..., None] * FILL
    mixed = picture * (1 - known) + colours[small] * known
    edge = np.zeros(small.shape, bool)
    edge[:, 1:] |= small[:, 1:] != small[:, :-1]
    edge[1:] |= small[1:] != small[:-1]
    mixed[edge] = colours[small][edge]
    rounded: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return rounded


def _contact_sheet(tiles: Sequence[NDArray[np.uint8]]) -> bytes:
    """Pictures of finished images side by side in one picture."""
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    columns = min(COLUMNS, len(tiles))
    sheet = np.full((-(-len(tiles) // columns) * height, columns * width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = index // columns * height, index % columns * width
        sheet[row : row + tile.shape[0], column : column + tile.shape[1]] = tile
    return _jpeg(sheet)


def _overlay_name(name: str) -> str:
    *folders, last = map(file_name, name.split("/"))
    return "/".join(["overlays", *folders, f"{last}.jpg"])


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="jpeg", quality=90)
    return buffer.getvalue()


def _shares(dataset: Dataset, name: str, labels: NDArray[np.uint8]) -> dict[str, Any]:
    """A row of `class_shares.csv`: the share of an image's pixels that each class has."""
    counts = np.bincount(labels.ravel(), minlength=256) / labels.size
    shares = {label: round(float(counts[index]), 6) for index, label in enumerate(dataset.classes)}
    return {"image": name, **shares}


def _scores(
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    learnt: list[Answer],
    classes: int,
) -> dict[str, float]:
    """Accuracies and mIoU of the last round, where the true label map is known."""
    asked = tuple(np.array([(answer.row, answer.column) for answer in learnt]).T)
    hidden = truth.copy()
    hidden[asked] = IGNORE
    whole = confusion(truth, labels, classes)
    return {
        "accuracy": accuracy(whole),
        "accuracy_unrevealed": accuracy(confusion(hidden, predicted, classes)),
        "miou": miou(whole),
    }
