"""A setting is all that may differ between the rows of a comparison. It starts and records runs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.errors import InputError, choose
from lowpix.image_study.carry import Asker
from lowpix.image_study.loop import Case
from lowpix.networks import find_network
from lowpix.networks.device import machine
from lowpix.reveal.acquisition import find_acquisition
from lowpix.reveal.lattice import Lattice
from lowpix.reveal.oracle import LabelMapOracle, Oracle
from lowpix.reveal.schedule import Schedule
from lowpix.reveal.selection import Selection
from lowpix.reveal.session import ImageSession
from lowpix.reveal.smoothing import SMOOTHINGS
from lowpix.seeds import seed_for
from lowpix.study.image_runs import Run, setting_name

Unit = tuple[str, int]
"""An image's name and a seed."""
FindPrior = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], float]]
"""Gives the probabilities of an image by a network of other images, and its share of that network's seconds."""


@dataclass(frozen=True)
class Shared:
    """What the sessions of one image share, whatever their settings: each is computed once, when it is needed."""

    made: dict[str, tuple[Any, float]] = field(default_factory=dict)
    """Values by name, with the seconds that they took."""

    def get(self, name: str, make: Callable[[], Any]) -> tuple[Any, float]:
        """The value of this name and its seconds."""
        if name not in self.made:
            start = perf_counter()
            self.made[name] = make(), perf_counter() - start
        return self.made[name]


@dataclass(frozen=True)
class Setting:
    """How the pixels of an image are revealed. The fields are explained in `lowpix.image_study.Options`."""

    network: str
    smoothing: str
    members: int | None
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
    carry_over: str = "none"
    grid: int = 1
    given: Mapping[Unit, NDArray[np.int64]] | None = None
    """The pixels to ask, if an earlier study chose them."""
    asker: Asker | None = None
    """What asked for them, if it helps."""

    @property
    def name(self) -> str:
        """The setting's name in tables and files."""
        acquisition = find_acquisition(self.acquisition).name
        return setting_name(self.network, acquisition, self.smoothing, self.carry_over, self.grid)

    def start(
        self,
        dataset: Dataset,
        unit: Unit,
        device: torch.device,
        shared: Shared | None = None,
        oracles: Callable[[str], Oracle] | None = None,
        find_prior: FindPrior | None = None,
    ) -> Case:
        """Start a run.

        Args:
            dataset: the data set of the image.
            unit: image and seed.
            device: where the networks are trained.
            shared: what runs of this image share, if there are several.
            oracles: gives the oracle of an image by name; by default the label map answers.
            find_prior: gives what a network of other images makes of an image; it helps.

        Raises:
            InputError: the image has no label map, and the oracle, the target or the acquisition needs it.
        """
        start = perf_counter()
        name, seed = unit
        image, truth = dataset.image(name), dataset.labels(name)
        if truth is None:
            self.require_without_truth(name, oracles)
        classes = len(dataset.classes)
        shared = shared or Shared()
        find_edges = choose("--smoothing", self.smoothing, SMOOTHINGS)
        before = perf_counter() - start
        inputs, in_inputs = shared.get(self.network, lambda: find_network(self.network).inputs(image, device))
        edges, in_edges = shared.get("edges", lambda: find_edges(image, device)) if find_edges else (None, 0.0)
        start = perf_counter()
        prior, in_training = find_prior(image) if find_prior else (None, 0.0)
        # seeds do not depend on the setting: all settings share first pixels, initial weights and wrong answers
        session = ImageSession(
            image,
            np.ones(image.shape[:2], np.bool_) if self.ask_void or truth is None else truth != IGNORE,
            classes,
            network=self.network,
            members=self.members,
            dropout=self.dropout,
            samples=self.samples,
            acquisition=self.acquisition,
            selection=self.selection,
            smoothing=self.smoothing,
            seed=seed_for(seed, dataset.name, name, "session"),
            truth=truth if find_acquisition(self.acquisition).privileged else None,
            device=device,
            inputs=inputs,
            edges=edges,
            prior=prior,
        )
        oracle_seed = seed_for(seed, dataset.name, name, "oracle")
        if oracles is not None:
            oracle = oracles(name)
        else:
            assert truth is not None, "refused above"
            oracle = LabelMapOracle(truth, classes, self.oracle_noise, self.oracle_refusal, oracle_seed)
        # what is shared counts for each run, because a single run would have to compute it
        preparation = before + in_inputs + in_edges + in_training + perf_counter() - start
        given = None if self.given is None else self.given[unit]
        return Case(self.name, unit, session, oracle, truth, self.schedule.keep_at, given, self.grid, preparation)

    def require_without_truth(self, name: str, oracles: Callable[[str], Oracle] | None) -> None:
        """Raise InputError for an option that needs the missing label map of an image."""
        lacks = f"image {name} has no label map"
        if oracles is None:
            raise InputError(f"{lacks}, so the oracle cannot answer")
        if self.stop == "target":
            raise InputError(f"--stop target: needs the accuracy, but {lacks}: use --stop budget")
        if find_acquisition(self.acquisition).privileged:
            raise InputError(f"--acquisition {self.acquisition}: needs the true labels, but {lacks}")

    def record(self, dataset: Dataset, case: Case) -> Run:
        """The finished run, for the tables."""
        name, seed = case.unit
        oracle = "label map" if isinstance(case.oracle, LabelMapOracle) else "another"
        if self.oracle_noise or self.oracle_refusal:
            oracle += f", {self.oracle_noise:g} wrong, {self.oracle_refusal:g} refused"
        return Run(
            dataset=dataset.name,
            setting=self.name,
            image=name,
            network=self.network,
            acquisition=case.session.acquisition.name,
            selection=self._selection(case),
            oracle=oracle,
            privileged=case.session.acquisition.privileged,
            stop=self.stop,
            void="asked" if self.ask_void or case.truth is None else "never asked",
            seed=seed,
            target=self.target if case.truth is not None else math.nan,
            classes=len(np.setdiff1d(case.truth, [IGNORE])) if case.truth is not None else None,
            pixels=math.prod(case.session.shape),
            rounds=pd.DataFrame([row | told for row, told in zip(case.rounds, case.told(), strict=True)]),
            machine=machine(case.session.device),
        )

    def _selection(self, case: Case) -> str:
        """How pixels were chosen from scores, as written in tables."""
        if self.given is not None:
            return "as in an earlier study"
        session = case.session
        whole = Lattice.of_round(session.shape, self.grid, 0, 0) is None  # the image is small
        anywhere = whole or session.acquisition.privileged or session.acquisition.spread
        return session.selection_name + ("" if anywhere else f", on a grid of {self.grid}")
