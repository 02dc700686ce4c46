"""The rounds of a run: ask, train, measure, until the budget is spent.

A run is one setting × seed. It goes on at the last epoch that it finished: the record is saved after each
round, and the state of the training after each epoch. The first round of a seed is trained once, for all its
settings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.active_study.asking import Asking
from lowpix.active_study.measure import labelled_pixels, round_row, total
from lowpix.active_study.record import Record
from lowpix.active_study.tables import FIRST, FULL, model_name, prediction_name, state_name
from lowpix.data import IGNORE, spread
from lowpix.metrics import accuracy, miou
from lowpix.reveal.acquisition import find_acquisition
from lowpix.reveal.log import Log
from lowpix.reveal.schedule import Schedule
from lowpix.seeds import seed_for
from lowpix.segmenter.evaluation import label_images
from lowpix.segmenter.method import Method
from lowpix.segmenter.model import Model, Segmenter, model_file
from lowpix.study.label_maps import label_map_png
from lowpix.study.splits import Splits

EXAMPLES = 4
"""Number of test images whose predictions are kept."""

Trained = tuple[Record, dict[str, bytes]]
"""A finished run, and its model and predictions by file name within the study's folder."""


@dataclass(frozen=True)
class Arm:
    """A run to do."""

    setting: str
    acquisition: str | None
    """None for the true label maps."""
    seed: int


@dataclass(frozen=True)
class Plan:
    """What all runs of a study share."""

    method: Method
    first_epochs: int
    warm: bool
    retrain: bool
    keep_rounds: bool
    asking: Asking
    schedule: Schedule
    splits: Splits

    @property
    def counts(self) -> list[int]:
        """Number of pixels asked of an image in each round."""
        ends = self.schedule.asked()
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.counts)

    @property
    def total_epochs(self) -> int:
        """Epochs that the last network of an arm was trained for, in all its rounds if they are warm."""
        later = self.method.recipe.epochs
        return self.first_epochs + (self.rounds - 1) * later if self.warm or self.rounds == 1 else later

    @property
    def whole(self) -> Method:
        """The method of a network that is trained for all epochs at once: milestones come later in proportion."""
        recipe = self.method.recipe
        later = tuple(round(end * self.total_epochs / recipe.epochs) for end in recipe.milestones)
        return replace(self.method, recipe=replace(recipe, milestones=later))

    def epochs(self, arm: Arm) -> int:
        """Epochs of a whole run, without its first round, which is shared."""
        if arm.acquisition is None:
            return self.total_epochs
        return (self.rounds - 1) * self.method.recipe.epochs + (self.total_epochs if self.retrain else 0)


@dataclass(frozen=True)
class Labels:
    """Labels to train on: of single pixels, or the true label maps."""

    splits: Splits
    logs: Mapping[str, Log] | None

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the training images."""
        return self.splits.names

    @property
    def sparse(self) -> bool:
        """Whether only single pixels are labelled."""
        return self.logs is not None

    def read(self, name: str) -> tuple[NDArray[np.uint8], None]:
        """Labels (H, W) of an image, IGNORE elsewhere; all weigh 1."""
        truth = self.splits.train.labels(name)
        assert truth is not None, "checked before the study"
        if self.logs is None:
            return truth, None
        labels = np.full_like(truth, IGNORE)
        pixels, classes = self.logs[name].labelled()
        labels[tuple(pixels.T)] = classes
        return labels, None


@dataclass(frozen=True)
class Rounds:
    """Does a run, or goes on with it."""

    plan: Plan
    folder: Path
    device: torch.device

    def sent(self, seed: int, splits: Splits) -> "Rounds":
        """The same for runs of a seed on a machine that sees none of our files, with `splits.sent()`."""
        method = self.plan.method.sent(self._seed(seed, "initial weights"))
        return replace(self, plan=replace(self.plan, splits=splits, method=method))

    def first(self, seed: int) -> Iterator[Record]:
        """Do the first round of a seed, and save its record. It stays, for settings that are added later."""
        path = self.folder / state_name(FIRST, seed)
        if path.exists():
            return
        record = Record(FIRST, seed)
        self._round(record, self._logs(record), None, "random")
        record.save(path)
        yield record

    def __call__(self, arm: Arm) -> Iterator[Trained]:
        """Do a run, and give it with its models and example predictions."""
        record, network = self._full(arm) if arm.acquisition is None else self._asked(arm, arm.acquisition)
        splits, scale = self.plan.splits, self.plan.method.scale
        files = {model_name(arm.setting, arm.seed): self._model(arm, network)}
        if self.plan.keep_rounds:
            for number in range(len(record.rounds) - 1):
                files[model_name(arm.setting, arm.seed, number)] = self._model(arm, self._of(record, number))
        examples = spread(splits.test_names, EXAMPLES)
        for name, labels, _ in label_images(network, splits.test, examples, scale, self.device):
            files[prediction_name(arm.setting, arm.seed, name)] = label_map_png(labels, splits.train.palette)
        yield record, files

    def _model(self, arm: Arm, network: Segmenter) -> bytes:
        """The content of a model's file."""
        train, median_size = self.plan.splits.train, self.plan.splits.median_size(1)
        model = Model(network, train.classes, train.palette, self.plan.method.scale, median_size)
        return model_file(model, {"dataset": train.name, "setting": arm.setting, "seed": str(arm.seed)})

    def _full(self, arm: Arm) -> tuple[Record, Segmenter]:
        record = Record(arm.setting, arm.seed, self._facts(arm))
        network = self._fresh(arm.seed)
        seconds = self._train(record, network, None, 0, self.plan.total_epochs, self.plan.whole)
        self._measure(record, network, None)
        record.rounds[0]["seconds"] = seconds
        return record, network

    def _asked(self, arm: Arm, acquisition: str) -> tuple[Record, Segmenter]:
        saved = self.folder / state_name(arm.setting, arm.seed)
        shared = Record.load(self.folder / state_name(FIRST, arm.seed))
        record = Record.load(saved) if saved.exists() else replace(shared, setting=arm.setting)
        record.facts = self._facts(arm)
        logs = self._logs(record)
        network = self._of(record, len(record.rounds) - 1)
        while len(record.rounds) < self.plan.rounds:
            next_network = self._round(record, logs, network, acquisition)
            if next_network is None:
                break
            network = next_network
            record.save(saved)
            before = len(record.rounds) - 2
            if before > 0 and not self.plan.keep_rounds:  # the first round's state stays
                self._state(record, before).unlink(missing_ok=True)
        if self.plan.retrain:
            again = self._fresh(arm.seed)
            self._train(record, again, logs, len(record.rounds), self.plan.total_epochs, self.plan.whole)
            counts = total(self._test(again))
            record.facts |= {"accuracy_again": accuracy(counts), "miou_again": miou(counts)}
        return record, network

    def _of(self, record: Record, number: int) -> Segmenter:
        """The network of a finished round. Its state holds it: training, which has ended there, loads it."""
        network = self._fresh(record.seed)
        self._train(record, network, self._logs(record), number, self._epochs(number))
        return network

    def _round(
        self, record: Record, logs: dict[str, Log], network: Segmenter | None, acquisition: str
    ) -> Segmenter | None:
        """Do the next round, append it to the record, and return its network; None if no pixel is left to ask."""
        start, number, plan = perf_counter(), len(record.rounds), self.plan
        before = {name: log.asked for name, log in logs.items()}
        plan.asking.ask(
            plan.splits.train,
            logs,
            plan.counts[number],
            find_acquisition(acquisition),
            network,
            self._seed(record.seed, "round", number),
            self.device,
        )
        if all(log.asked == before[name] for name, log in logs.items()):
            return None
        for name, log in logs.items():
            record.tell(name, number, log, before[name])
        asking = perf_counter() - start
        if network is None or not plan.warm:
            network = self._fresh(record.seed)
        seconds = self._train(record, network, logs, number, self._epochs(number))
        self._measure(record, network, logs)
        earlier = record.rounds[-2]["seconds"] if number else 0.0
        record.rounds[-1]["seconds"] = earlier + asking + seconds
        return network

    def _train(
        self,
        record: Record,
        network: Segmenter,
        logs: Mapping[str, Log] | None,
        number: int,
        epochs: int,
        method: Method | None = None,
    ) -> float:
        """Train a network in place for a round, or for the rest of it. Returns the seconds that the round took."""
        plan, seed = self.plan, self._seed(record.seed, "training", number)
        history = (method or plan.method).train(
            network,
            plan.splits.train,
            Labels(plan.splits, logs),
            labelled_pixels(plan.splits, logs) if plan.method.class_weights else None,
            seed,
            self.device,
            self._state(record, number),
            epochs=epochs,
            validation=plan.splits.validation,
            validation_names=plan.splits.validation_names,
        )
        if not any(row["round"] == number for row in record.history):
            record.history += [{"round": number, **row} for row in history]
        return float(history[-1]["seconds"])

    def _measure(self, record: Record, network: Segmenter, logs: Mapping[str, Log] | None) -> None:
        """Append the row of a round to the record, without seconds, and its test results."""
        number, splits = len(record.rounds), self.plan.splits
        tested = self._test(network)
        record.test(number, tested)
        record.rounds.append({"round": number, **round_row(splits, tested, logs)})

    def _test(self, network: Segmenter) -> dict[str, NDArray[np.int64]]:
        """The confusion matrix of each test image."""
        splits, scale = self.plan.splits, self.plan.method.scale
        found = label_images(network, splits.test, splits.test_names, scale, self.device)
        return {name: counts for name, _, counts in found if counts is not None}

    def _fresh(self, seed: int) -> Segmenter:
        """The network with its first weights."""
        network = self.plan.method.fresh(self._seed(seed, "initial weights"))
        if network.head is not None:
            network.body.dropout = self.plan.asking.dropout
        return network

    def _epochs(self, number: int) -> int:
        return self.plan.method.recipe.epochs if number else self.plan.first_epochs

    def _logs(self, record: Record) -> dict[str, Log]:
        splits = self.plan.splits
        seeds = {name: self._seed(record.seed, name, "log") for name in splits.names}
        return record.logs(splits.names, len(splits.train.classes), seeds)

    def _facts(self, arm: Arm) -> dict[str, Any]:
        plan, asks = self.plan, arm.acquisition is not None
        found = find_acquisition(arm.acquisition) if arm.acquisition is not None else None
        return {
            "dataset": plan.splits.train.name,
            "network": plan.method.fresh.network,
            "acquisition": found.name if found else FULL,
            "selection": plan.asking.selection_name(found) if found else "every pixel",
            "oracle": plan.asking.oracle_name if asks else "label map",
            "void": "asked" if plan.asking.ask_void and asks else "never asked",
            "images": len(plan.splits.names),
            "pixels": plan.splits.pixels,
        }

    def _state(self, record: Record, number: int) -> Path:
        """The file of the state of a round's training."""
        shared = number == 0 and record.setting != FULL
        return self.folder / state_name(FIRST if shared else record.setting, record.seed, number)

    def _seed(self, seed: int, *purpose: object) -> int:
        return seed_for(seed, self.plan.splits.train.name, "active", *purpose)
