"""One finished run: an image that was revealed pixel by pixel in one setting with one seed."""

import math
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from lowpix.data import IGNORE
from lowpix.record.tables import RUNS


@dataclass(frozen=True)
class Run:
    """All that the tables need to know of one image × setting × seed.

    `rounds` has a row per round, in order, with the columns `round asked revealed fraction accuracy
    accuracy_unrevealed miou seconds rows columns labels`. A row states how things stood when its accuracy was
    measured, so its lists hold the pixels told since the row before (those of row 0 are the first pixels),
    with IGNORE as the answer for void; refused pixels are in no list. Hence `revealed` is the number of
    labels other than IGNORE in the lists so far, and `fraction` is `revealed / pixels`.

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
    target: float  # an accuracy, 0 to 1
    classes: int  # how many the image holds
    pixels: int  # H×W
    rounds: pd.DataFrame

    def __post_init__(self) -> None:
        rounds, name = self.rounds, f"run {self.setting}/{self.seed}/{self.image}"
        if len(rounds) == 0 or list(rounds["round"]) != list(range(len(rounds))):
            raise ValueError(f"{name}: rounds must count 0, 1, 2, …, not {list(rounds['round'])}")
        lengths = [rounds[column].map(len).to_numpy() for column in ("rows", "columns", "labels")]
        if not (lengths[0] == lengths[1]).all() or not (lengths[0] == lengths[2]).all():
            raise ValueError(f"{name}: rows, columns and labels of a round differ in number")
        with_class = np.cumsum([np.count_nonzero(np.asarray(told) != IGNORE) for told in rounds["labels"]])
        if list(rounds["revealed"]) != list(with_class):
            raise ValueError(f"{name}: `revealed` {list(rounds['revealed'])}, but labels {list(with_class)}")
        if (rounds["asked"] < np.cumsum(lengths[0])).any():
            raise ValueError(f"{name}: fewer pixels asked than told")
        if not np.allclose(rounds["fraction"] * self.pixels, rounds["revealed"]):
            raise ValueError(f"{name}: `fraction` is not `revealed` / {self.pixels}")

    def frame(self) -> pd.DataFrame:
        """Give `rounds` with the columns of RUNS: every row says which run it belongs to."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rounds"}
        frame: pd.DataFrame = self.rounds.assign(**facts)[RUNS.names]
        return frame

    @property
    def pixels_to_target(self) -> float:
        """`revealed` at the first round that reaches the target; inf where none does."""
        reached = self.rounds.loc[self.rounds["accuracy"] >= self.target, "revealed"]
        return float(reached.iloc[0]) if len(reached) else math.inf
