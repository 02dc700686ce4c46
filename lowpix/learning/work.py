"""Many runs of a data-set study, one after another or in processes, and how far they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import joblib
import torch
from tqdm import tqdm

from lowpix.learning.labels import Material
from lowpix.learning.run import Job, Plan, finished_epochs, run_job
from lowpix.record.dataset_tables import DatasetStudy, TrainedRun


def run_jobs(
    jobs: Sequence[Job],
    materials: dict[Job, Material],
    plan: Plan,
    study: DatasetStudy,
    device: torch.device,
    processes: int,
) -> None:
    """Do these runs, each saved as it ends, with a bar that counts epochs; `processes` of one thread each."""
    print(f"{plan.splits.train.name}: {len(jobs)} networks to train, {plan.recipe.epochs} epochs each", flush=True)
    if not jobs:
        return
    bar: tqdm[Any]
    with tqdm(total=len(jobs) * plan.recipe.epochs, unit="epoch", smoothing=0.1) as bar:
        files = [study.state_file(job.setting, job.seed) for job in jobs]
        bar.update(sum(map(finished_epochs, files)))
        bar.initial = bar.n  # what an earlier process did says nothing about this one's speed
        if processes == 1:
            for job in jobs:
                _tell(bar, run_job(job, materials[job], plan, study, device, lambda _: _step(bar)))
            return
        parallel = joblib.Parallel(processes, return_as="generator_unordered", pre_dispatch=processes)
        calls = (joblib.delayed(run_job)(job, materials[job], plan, study, device) for job in jobs)
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1), _watched(bar, jobs, plan, study):
            for run in parallel(calls):
                _tell(bar, run)


def _step(bar: "tqdm[Any]") -> None:
    bar.update()


def _tell(bar: "tqdm[Any]", run: TrainedRun) -> None:
    bar.set_postfix_str(f"{run.row['setting']} {run.row['seed']}: mIoU {run.row['miou']:.3f}", refresh=True)


@contextmanager
def _watched(bar: "tqdm[Any]", jobs: Sequence[Job], plan: Plan, study: DatasetStudy) -> Iterator[None]:
    """Keep the bar at what workers in other processes have written down."""
    done = Event()

    def look() -> None:
        while not done.wait(2):
            finished = study.finished()
            epochs = [
                plan.recipe.epochs
                if (job.setting, job.seed) in finished
                else finished_epochs(study.state_file(job.setting, job.seed))
                for job in jobs
            ]
            bar.update(sum(epochs) - bar.n)

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
