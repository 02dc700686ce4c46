"""A setting: all that may differ between two rows of a comparison, and how a run in it starts and is recorded."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import pandas as pd
import torch

from lowpix.data import IGNORE, Dataset
from lowpix.record import Run
from lowpix.reveal.acquisition import find_acquisition
from lowpix.reveal.loop import Case
from lowpix.reveal.oracle import LabelMapOracle
from lowpix.reveal.seeds import seed_for
from lowpix.reveal.session import ImageSession, Selection
from lowpix.reveal.stopping import Schedule

Unit = tuple[str, int]
"""An image's name and a seed."""


@dataclass(frozen=True)
class Setting:
    """How an image is revealed. The fields are those of `lowpix.image_study.Options`."""

    network: str
    members: int
    dropout: float
    samples: int
    acquisition: str
    selection: Selection
    schedule: Schedule
    target: float
    stop: str
    ask_void: bool = False
    oracle_noise: float = 0
    oracle_refusal: float = 0

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        return f"{self.network}-{find_acquisition(self.acquisition).name}"

    def start(self, dataset: Dataset, unit: Unit, device: torch.device, like: Case | None = None) -> Case:
        """A run that is about to begin; `like` is another of the same image and network, to share its inputs."""
        start = perf_counter()
        name, seed = unit
        truth = dataset.labels(name)
        assert truth is not None, "checked before the study"
        classes = len(dataset.classes)
        # seeds never depend on the setting: all settings share first pixels, initial weights and mistakes
        session = ImageSession(
            dataset.image(name),
            np.ones(truth.shape, np.bool_) if self.ask_void else truth != IGNORE,
            classes,
            network=self.network,
            members=self.members,
            dropout=self.dropout,
            samples=self.samples,
            acquisition=self.acquisition,
            selection=self.selection,
            seed=seed_for(seed, dataset.name, name, "session"),
            truth=truth if find_acquisition(self.acquisition).privileged else None,
            device=device,
            inputs=like.session.inputs if like else None,
        )
        oracle_seed = seed_for(seed, dataset.name, name, "oracle")
        oracle = LabelMapOracle(truth, classes, self.oracle_noise, self.oracle_refusal, oracle_seed)
        # shared inputs are charged to every run: alone it would have to make them
        preparation = like.preparation if like else perf_counter() - start
        return Case(self.name, unit, session, oracle, truth, self.schedule.keep_at, preparation)

    def record(self, dataset: Dataset, case: Case) -> Run:
        """What the tables keep of a run that has ended."""
        name, seed = case.unit
        oracle = "label map"
        if self.oracle_noise or self.oracle_refusal:
            oracle += f", {self.oracle_noise:g} wrong, {self.oracle_refusal:g} refused"
        return Run(
            dataset=dataset.name,
            setting=self.name,
            image=name,
            network=self.network,
            acquisition=case.session.acquisition.name,
            selection=case.session.selection_name,
            oracle=oracle,
            privileged=case.session.acquisition.privileged,
            stop=self.stop,
            void="asked" if self.ask_void else "never asked",
            seed=seed,
            target=self.target,
            classes=len(np.setdiff1d(case.truth, [IGNORE])),
            pixels=case.truth.size,
            rounds=pd.DataFrame(case.rounds),
        )
