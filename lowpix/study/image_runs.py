"""What is kept of an image that was revealed pixel by pixel: a run, its files, and the tables of many runs.

Whoever reveals pixels of single images leaves this behind, so that all that learns from such a study can read it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from lowpix.reveal.log import UNSURE
from lowpix.storage import read_parquet, write_parquet
from lowpix.study.folder import Kind, Rows, Table, image_file
from lowpix.study.tables import CURVES, KEY, REVEALED, RUNS, SUMMARY, revealed_pixels, summarise


@dataclass(frozen=True)
class Run:
    """All that the tables need to know of one image × setting × seed.

    `rounds` has a row per round, in order, with the columns `round asked revealed fraction accuracy
    accuracy_unrevealed miou seconds rows columns labels`. A row states how things stood when its accuracy was
    measured, so its lists hold the pixels asked since the row before (those of row 0 are the first pixels),
    with their answers, VOID and UNSURE included: after each row the networks were fitted once. Hence `asked` is
    the number of pixels in the lists so far, `revealed` that of the answers that carry a class, and `fraction`
    is `revealed / pixels`. Where the image has no label map, accuracies and mIoU are nan.

    Raises ValueError where that does not hold: a study that miscounts its pixels must not end in a table.
    """

    dataset: str
    setting: str
    image: str
    network: str
    acquisition: str
    selection: str
    oracle: str
    privileged: bool  # the choice of pixels used the true label map
    stop: str
    void: str
    seed: int
    target: float  # an accuracy, 0 to 1; nan where no label map says what is right
    classes: int | None  # how many the image holds, if that is known
    pixels: int  # H×W
    rounds: pd.DataFrame

    def __post_init__(self) -> None:
        rounds, name = self.rounds, f"run {self.setting}/{self.seed}/{self.image}"
        if len(rounds) == 0 or list(rounds["round"]) != list(range(len(rounds))):
            raise ValueError(f"{name}: rounds must count 0, 1, 2, …, not {list(rounds['round'])}")
        lengths = [rounds[column].map(len).to_numpy() for column in ("rows", "columns", "labels")]
        if not (lengths[0] == lengths[1]).all() or not (lengths[0] == lengths[2]).all():
            raise ValueError(f"{name}: rows, columns and labels of a round differ in number")
        with_class = np.cumsum([np.count_nonzero(np.asarray(told) < UNSURE) for told in rounds["labels"]])
        if list(rounds["revealed"]) != list(with_class):
            raise ValueError(f"{name}: `revealed` {list(rounds['revealed'])}, but labels {list(with_class)}")
        if list(rounds["asked"]) != list(np.cumsum(lengths[0])):
            raise ValueError(f"{name}: `asked` {list(rounds['asked'])}, but {list(np.cumsum(lengths[0]))} pixels")
        if not np.allclose(rounds["fraction"] * self.pixels, rounds["revealed"]):
            raise ValueError(f"{name}: `fraction` is not `revealed` / {self.pixels}")

    def frame(self) -> pd.DataFrame:
        """Give `rounds` with the columns of RUNS: every row says which run it belongs to."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rounds"}
        frame: pd.DataFrame = self.rounds.assign(**facts)[RUNS.names]
        return frame

    @property
    def truth_known(self) -> bool:
        """Whether the image has a label map to measure by."""
        return not math.isnan(self.target)

    @property
    def pixels_to_target(self) -> float:
        """`revealed` at the first round that reaches the target; inf where none does."""
        reached = self.rounds.loc[self.rounds["accuracy"] >= self.target, "revealed"]
        return float(reached.iloc[0]) if len(reached) else math.inf


class Tables(NamedTuple):
    """The three tables of a study of images; the columns are those of CURVES, REVEALED and SUMMARY."""

    curves: pd.DataFrame
    revealed: pd.DataFrame
    summary: pd.DataFrame


class Images(Kind[Run, Tables]):
    """A study that reveals the pixels of each image for itself."""

    name = "image"
    key: ClassVar[Mapping[str, type]] = {"setting": str, "seed": int, "image": str}
    stored: ClassVar[Mapping[str, Table]] = {
        "curves.parquet": Table(CURVES, (*KEY, "round")),
        "revealed.parquet": Table(REVEALED, (*KEY, "order")),
        "summary.csv": Table(SUMMARY, tuple(KEY)),
    }
    outputs = (
        "pseudo_labels",
        "confidence_at",
        "pseudo_labels_at",
        "confidence",
        "overview.png",
        "curves.png",
        "comparison.csv",
        "comparison.png",
    )
    extendable = frozenset({"acquisition", "images", "limit", "repeats", "scene_count"})

    def key_of(self, run: Run) -> tuple[Any, ...]:
        return run.setting, run.seed, run.image

    def write(self, run: Run, path: Path) -> None:
        write_parquet(path, run.frame(), RUNS)

    def rows(self, files: Sequence[Path]) -> Rows:
        rounds = pa.concat_tables([RUNS.empty_table(), *(read_parquet(file, RUNS) for file in files)]).to_pandas()
        return {
            "curves.parquet": rounds[CURVES.names],
            "revealed.parquet": revealed_pixels(rounds),
            "summary.csv": summarise(rounds),
        }

    def tables(self, rows: Rows) -> Tables:
        return Tables(*rows.values())


IMAGES = Images()


def label_map_name(setting: str, seed: int, image: str, budget: int | None = None) -> str:
    """The pseudo-labels of an image, as a file within the study's folder.

    With `budget`: those that were kept when so many pixels were asked.
    """
    return image_file(_at("pseudo_labels", budget), setting, seed, image)


def confidence_name(setting: str, seed: int, image: str, budget: int | None = None) -> str:
    """The confidence of these pseudo-labels, likewise."""
    return image_file(_at("confidence", budget), setting, seed, image)


def _at(folder: str, budget: int | None) -> str:
    return folder if budget is None else f"{folder}_at/{budget}"
