"""The runs of an image study, their files and their tables, for every study that reveals pixels image by image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from lowpix.reveal.log import UNSURE
from lowpix.storage import UNKNOWN, parquet_bytes, read_parquet
from lowpix.study.folder import image_file
from lowpix.study.kind import Kind, Rows, Table
from lowpix.study.tables import ADDED, CURVES, KEY, REVEALED, RUNS, SUMMARY, revealed_pixels, summarise


@dataclass(frozen=True)
class Run:
    """A finished run: one image × setting × seed, with all that the tables need.

    `rounds` has a row per round, in order, with the columns `round asked revealed fraction accuracy
    accuracy_unrevealed accuracy_off_border miou classes_missed seconds rows columns labels`. The lists `rows`,
    `columns` and `labels` hold the pixels asked in this round and their answers, including VOID and UNSURE; the
    network was then fitted once, and the accuracy was measured. `asked` is the number of pixels in the lists so
    far, `revealed` the number of answers with a class so far, and `fraction` is `revealed / pixels`. What needs a
    label map is nan for an image without one.

    Raises ValueError if the counts do not fit the lists, so that no table holds wrong counts.
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
    target: float  # an accuracy, 0 to 1; nan for an image without a label map
    classes: int | None  # number of classes in the image; None without a label map
    pixels: int  # H×W
    rounds: pd.DataFrame
    machine: str = UNKNOWN  # processor and precision

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
        """`rounds` with the columns of RUNS: each row also names its run."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rounds"}
        unknown = dict.fromkeys(ADDED & set(RUNS.names) - set(self.rounds.columns) - facts.keys())
        frame: pd.DataFrame = self.rounds.assign(**facts, **unknown)[RUNS.names]
        return frame

    @property
    def truth_known(self) -> bool:
        """Whether the image has a label map to measure by."""
        return not math.isnan(self.target)

    @property
    def pixels_to_target(self) -> float:
        """`revealed` at the first round that reaches the target; inf if none does."""
        reached = self.rounds.loc[self.rounds["accuracy"] >= self.target, "revealed"]
        return float(reached.iloc[0]) if len(reached) else math.inf


class Tables(NamedTuple):
    """The three tables of an image study, with the columns CURVES, REVEALED and SUMMARY.

    `Study(folder, IMAGES).tables()` reads those of a folder. pandas alone takes an image `001` in summary.csv for
    the number 1, unless it is told otherwise: `pd.read_csv("summary.csv", dtype={"image": str})`.
    """

    curves: pd.DataFrame
    revealed: pd.DataFrame
    summary: pd.DataFrame


class Images(Kind[Run, Tables]):
    """The kind of a study that reveals pixels image by image."""

    name = "image"
    key: ClassVar[Mapping[str, type]] = {"setting": str, "seed": int, "image": str}
    stored: ClassVar[Mapping[str, Table]] = {
        "curves.parquet": Table(CURVES, (*KEY, "round"), added=ADDED),
        "revealed.parquet": Table(REVEALED, (*KEY, "order")),
        "summary.csv": Table(SUMMARY, tuple(KEY), added=ADDED),
    }
    outputs = (
        "carry_over",
        "state",
        "pseudo_labels",
        "confidence_at",
        "pseudo_labels_at",
        "confidence",
        "overview.png",
        "curves.png",
        "comparison.csv",
        "comparison.png",
    )
    seals = ("comparison.sha256",)
    extendable = frozenset({"classes", "images", "limit", "repeats", "scene_count"}) | frozenset(
        {"acquisition", "carry_over", "grid", "network", "smoothing"}  # of which settings are made
    )

    def key_of(self, run: Run) -> tuple[Any, ...]:
        return run.setting, run.seed, run.image

    def content(self, run: Run) -> bytes:
        return parquet_bytes(run.frame(), RUNS)

    def rows(self, files: Mapping[Path, bytes]) -> Rows:
        runs = (read_parquet(file, RUNS, content, ADDED) for file, content in files.items())
        rounds = pa.concat_tables([RUNS.empty_table(), *runs]).to_pandas()
        return {
            "curves.parquet": rounds[CURVES.names],
            "revealed.parquet": revealed_pixels(rounds),
            "summary.csv": summarise(rounds),
        }

    def remove_states(self, folder: Path) -> None:
        # imported here, because reading a study needs no torch
        from lowpix.segmenter.training import remove_states

        remove_states(folder)

    def tables(self, rows: Rows) -> Tables:
        return Tables(*rows.values())


IMAGES = Images()


def setting_name(network: str, acquisition: str, smoothing: str, carry_over: str = "none", grid: int = 1) -> str:
    """The name of a setting in tables and files: the parts that differ between the settings of a study."""
    carried = carry_over if carry_over == "none" else f"carry_{carrier_name(carry_over)}"
    coarse = "none" if grid == 1 else f"grid{grid}"
    return "-".join([network, acquisition, *(part for part in (smoothing, carried, coarse) if part != "none")])


def carrier_name(carry_over: str) -> str:
    """The name of a network of --carry-over: a model of transformers is named after the end of its path or id."""
    return PurePath(carry_over.removeprefix("hf:")).name


def label_map_name(setting: str, seed: int, image: str, budget: int | None = None) -> str:
    """The name of an image's pseudo-labels within the study's folder: the last ones, or those kept at `budget`."""
    return image_file(_at("pseudo_labels", budget), setting, seed, image)


def confidence_name(setting: str, seed: int, image: str, budget: int | None = None) -> str:
    """The name of the confidence map of these pseudo-labels within the study's folder."""
    return image_file(_at("confidence", budget), setting, seed, image)


def _at(folder: str, budget: int | None) -> str:
    return folder if budget is None else f"{folder}_at/{budget}"
