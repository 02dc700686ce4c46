"""Many runs: every image, seed and setting of a study, in stacks, in processes, each saved as it ends."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import joblib
import torch

from lowpix.data import Dataset
from lowpix.record import Run, Study, write_confidence, write_label_map
from lowpix.reveal.loop import Case, reveal
from lowpix.reveal.session import Prediction
from lowpix.reveal.setting import Setting, Unit


def run_study(
    dataset: Dataset,
    settings: Sequence[Setting],
    units: Sequence[Unit],
    study: Study,
    device: torch.device,
    stack: int,
    jobs: int,
) -> Iterator[Run]:
    """Do what is unfinished of settings × units, and yield each run after it is saved.

    All settings of a unit are worked on together and share what the network reads of the image. Which units
    share a stack depends on `units` and `stack` alone, so `jobs` changes no table.

    Args:
        dataset: where the images are read from, each as its turn comes.
        settings: they share network, schedule, target and stop.
        units: images and seeds.
        study: the folder that runs are saved to; runs that it holds are not done again.
        device: where the networks are trained.
        stack: sessions trained together.
        jobs: processes, of one thread each; 1 works in this one.
    """
    pieces = [units[start : start + stack] for start in range(0, len(units), stack)]
    work = [(dataset, settings, piece, study, device, stack) for piece in pieces]
    if jobs == 1:
        for arguments in work:
            yield from run_units(*arguments)
        return
    parallel = joblib.Parallel(jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        arrivals: Iterable[list[Run]] = parallel(joblib.delayed(_run_list)(*arguments) for arguments in work)
        for runs in arrivals:
            yield from runs


def run_units(
    dataset: Dataset,
    settings: Sequence[Setting],
    units: Sequence[Unit],
    study: Study,
    device: torch.device,
    stack: int,
) -> Iterator[Run]:
    """As `run_study`, in this process."""
    by_name = {setting.name: setting for setting in settings}
    like, finished = settings[0], study.finished()
    with one_thread():
        cases = _cases(dataset, settings, units, finished, device)
        for case in reveal(cases, like.schedule, like.target, like.stop, stack):
            run = by_name[case.setting].record(dataset, case)
            _save(study, run, case, dataset)
            yield run


def _run_list(*arguments: object) -> list[Run]:
    return list(run_units(*arguments))  # type: ignore[arg-type]  # a generator cannot leave its process


def _cases(
    dataset: Dataset,
    settings: Sequence[Setting],
    units: Sequence[Unit],
    finished: set[tuple[str, str, int]],
    device: torch.device,
) -> Iterator[Case]:
    """The unfinished runs, made one at a time."""
    for unit in units:
        first: Case | None = None
        for setting in settings:
            if (setting.name, *unit) not in finished:
                case = setting.start(dataset, unit, device, first)
                first = first or case
                yield case


def _save(study: Study, run: Run, case: Case, dataset: Dataset) -> None:
    assert case.prediction is not None
    last = Prediction(case.session.overwrite(case.prediction.labels), case.prediction.confidence)
    for budget, kept in [(None, last), *case.kept.items()]:
        place = (run.setting, run.seed, run.image, budget)
        write_label_map(study.label_map_file(*place), kept.labels, dataset.palette)
        write_confidence(study.confidence_file(*place), kept.confidence)
    study.save(run)  # last: from here on the run is finished


@contextmanager
def one_thread() -> Iterator[None]:
    """More threads change the last bits, and fight with those of other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
