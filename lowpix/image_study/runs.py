"""The runs of an image study: every image, seed and setting, in stacks, each saved as it ends."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lowpix.data import Dataset
from lowpix.data.sent import Sent
from lowpix.image_study.carry import Carrier, Lesson
from lowpix.image_study.loop import Case, reveal
from lowpix.image_study.setting import FindPrior, Setting, Shared, Unit
from lowpix.reveal.judging import Prediction
from lowpix.reveal.oracle import Oracle
from lowpix.study.cluster import Cluster
from lowpix.study.folder import Study
from lowpix.study.image_runs import Run, Tables, confidence_name, label_map_name
from lowpix.study.label_maps import confidence_png, label_map_png
from lowpix.study.progress import Afar, Progress
from lowpix.study.replay import ASKER
from lowpix.study.work import work

Prepared = dict[str, Shared]
"""What the runs of an image share, by image."""
Finished = tuple[Run, dict[str, bytes]]
"""A run that has ended, with its pictures by name within the study's folder."""


def run_study(
    dataset: Dataset,
    settings: Sequence[Setting],
    units: Sequence[Unit],
    study: Study[Run, Tables],
    device: torch.device,
    stack: int = 1,
    jobs: int = 1,
    oracles: Callable[[str], Oracle] | None = None,
    total: int | None = None,
    tell: Callable[[Run], str] | None = None,
    cluster: str | None = None,
    before: Sequence[str] = (),
    prepared: Prepared | None = None,
) -> Iterator[Run]:
    """Do the unfinished runs of settings × units, and yield each run after it is saved.

    The settings of a unit are worked on together and share the network's input features of the image. Which units
    share a stack depends only on `units` and `stack`, so `jobs` does not change the tables.

    Args:
        dataset: holds the images. Each is read when its turn comes.
        settings: the settings; network, schedule, target and stop must be the same.
        units: images and seeds.
        study: the folder that runs are saved to. Runs in it are not done again.
        device: where the networks are trained.
        stack: number of sessions trained together.
        jobs: number of processes, each with one thread; 1 works in this process.
        oracles: gives the oracle of an image by name; by default the label map answers.
        total: number of runs to do, for the bar.
        tell: text that the bar shows after a run.
        cluster: address of a cluster that does the runs instead; images are sent to it.
        before: the images of earlier blocks, all finished. Settings with carry-over learn from them first.
        prepared: what runs of an image share, by image, if it was made before. It is used up, in this process.
    """
    pieces = [units[start : start + stack] for start in range(0, len(units), stack)]
    task = _Task(dataset, settings, device, stack, study, oracles, before=before)
    task.learn(units, jobs)
    total = len(settings) * len(units) if total is None else total
    if cluster is not None:
        finished = study.finished()
        pieces = [piece for piece in pieces if any(map(partial(task.left, finished), piece))]
        acquisitions = tuple(setting.acquisition for setting in settings)
        lines = Afar()
        send = partial(_sent, replace(task, progress=lines), finished)
        others = Cluster(cluster, send, lines=lines, acquisitions=acquisitions)
        yield from work(task, pieces, _Save(study), jobs, total=total, tell=tell, cluster=others)
        return
    with TemporaryDirectory(prefix="lowpix-") as folder:
        progress = Progress(Path(folder))
        task = replace(task, progress=progress, prepared=prepared if jobs == 1 else None)
        yield from work(task, pieces, _Save(study), jobs, total=total, tell=tell, within=progress.said)


def _sent(
    task: "_Task", finished: set[tuple[Any, ...]], units: Sequence[Unit]
) -> Callable[[], Iterator[Finished]]:
    """The work on some units, with their images."""
    images = Sent(task.dataset, [name for name, _ in units])
    done = {(setting.name, seed, name) for setting in task.settings for name, seed in units} & finished
    return partial(replace(task, dataset=images, study=None, done=done), units)


@dataclass(frozen=True)
class _Task:
    """Makes the runs of some units."""

    dataset: Dataset
    settings: Sequence[Setting]
    device: torch.device
    stack: int
    study: Study[Run, Tables] | None
    """The folder that tells which runs are finished; None on a machine that does not see it."""
    oracles: Callable[[str], Oracle] | None
    done: Collection[tuple[Any, ...]] = ()
    """Further finished runs."""
    before: Sequence[str] = ()
    """The images of earlier blocks."""
    progress: Progress | Afar | None = None
    prepared: Prepared | None = None

    def learn(self, units: Sequence[Unit], jobs: int) -> None:
        """Train the networks of earlier images that unfinished runs of these units need."""
        if self.study is None or not self.before:
            return
        finished = self.study.finished()
        needed = [self._lesson(setting, unit) for unit in units for setting in self.left(finished, unit)]
        lessons = list(dict.fromkeys(lesson for lesson in needed if lesson))
        Carrier(self.dataset, self.study, self.device).train(lessons, jobs)

    def left(self, finished: Collection[tuple[Any, ...]], unit: Unit) -> list[Setting]:
        """The settings of a unit that are not finished."""
        name, seed = unit
        return [setting for setting in self.settings if (setting.name, seed, name) not in finished]

    def __call__(self, units: Sequence[Unit]) -> Iterator[Finished]:
        by_name = {setting.name: setting for setting in self.settings}
        like = self.settings[0]
        for case in reveal(self._cases(units), like.schedule, like.target, like.stop, self.stack, self._show):
            run = by_name[case.setting].record(self.dataset, case)
            yield run, _pictures(run, case, self.dataset)
        self._say("")

    def _show(self, case: Case) -> None:
        last, name = case.rounds[-1], case.unit[0]
        right = "" if case.truth is None else f", {100 * last['accuracy']:.1f} % right"
        self._say(f"{name}: round {last['round']}, {last['asked']} pixels{right}")

    def _say(self, line: str) -> None:
        if self.progress is not None:
            self.progress.say(line)

    def _cases(self, units: Sequence[Unit]) -> Iterator[Case]:
        """The unfinished runs of these units, started one at a time."""
        finished = self.done if self.study is None else self.study.finished()
        for unit in units:
            shared = (self.prepared or {}).pop(unit[0], None) or Shared()
            for setting in self.left(finished, unit):
                find_prior = self._find_prior(setting, unit)
                yield setting.start(self.dataset, unit, self.device, shared, self.oracles, find_prior)

    def _find_prior(self, setting: Setting, unit: Unit) -> FindPrior | None:
        """Gives what a network of other images makes of the image of a run; None without carry-over."""
        if setting.asker:
            return partial(setting.asker.prior, unit[1], self.device)
        if self.study and (lesson := self._lesson(setting, unit)):
            return partial(Carrier(self.dataset, self.study, self.device).prior, lesson)
        return None

    def _lesson(self, setting: Setting, unit: Unit) -> Lesson | None:
        """The network of earlier images that a run needs; None without carry-over, and in the first block."""
        if setting.carry_over in ("none", ASKER) or not self.before:
            return None
        return Lesson(setting.name, setting.carry_over, unit[1], tuple(self.before))


@dataclass(frozen=True)
class _Save:
    study: Study[Run, Tables]

    def __call__(self, finished: Finished) -> Run:
        return self.study.save(*finished)


def _pictures(run: Run, case: Case, dataset: Dataset) -> dict[str, bytes]:
    assert case.prediction is not None
    last = Prediction(case.session.log.overwrite(case.prediction.labels), case.prediction.confidence)
    pictures = {}
    for budget, kept in [(None, last), *case.kept.items()]:
        place = (run.setting, run.seed, run.image, budget)
        pictures[label_map_name(*place)] = label_map_png(kept.labels, dataset.palette)
        pictures[confidence_name(*place)] = confidence_png(kept.confidence)
    return pictures
