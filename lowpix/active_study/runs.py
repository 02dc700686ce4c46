"""The runs of an active study: first the shared first rounds, then every setting × seed, each saved as it ends."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lowpix.active_study.loop import Arm, Plan, Rounds, Trained
from lowpix.active_study.record import Record
from lowpix.active_study.tables import FIRST, ActiveTables, state_name
from lowpix.segmenter.training import finished_epochs
from lowpix.study.folder import Study
from lowpix.study.work import work


def run_arms(arms: Sequence[Arm], rounds: Rounds, study: Study[Record, ActiveTables], jobs: int) -> None:
    """Do these runs and save each when it ends, with a bar that counts epochs."""
    plan, folder = rounds.plan, study.folder
    images = f"{len(plan.splits.names)} images"
    print(f"{plan.splits.train.name}: {len(arms)} runs to do on {images}, {plan.rounds} rounds each", flush=True)
    seeds = list(dict.fromkeys(arm.seed for arm in arms if arm.acquisition is not None))
    new = [seed for seed in seeds if not (folder / state_name(FIRST, seed)).exists()]

    def first_done() -> float:
        return sum(finished_epochs(folder / state_name(FIRST, seed, 0)) for seed in new)

    total = len(new) * plan.first_epochs
    if new:
        for _ in work(rounds.first, new, _as_it_is, jobs, total=total, unit="epoch", done=first_done):
            pass

    def done() -> float:
        finished = study.finished()
        return sum(
            plan.epochs(arm) if (arm.setting, arm.seed) in finished else _epochs(folder, plan, arm) for arm in arms
        )

    def tell(run: Record) -> str:
        return f"{run.setting} {run.seed}: mIoU {run.rounds[-1]['miou']:.3f}"

    if arms:
        total = sum(map(plan.epochs, arms))
        for _ in work(rounds, arms, _Save(study), jobs, total=total, unit="epoch", done=done, tell=tell):
            pass


def _epochs(folder: Path, plan: Plan, arm: Arm) -> int:
    """Finished epochs of an unfinished run, from the states of its rounds."""
    if arm.acquisition is None:
        return finished_epochs(folder / state_name(arm.setting, arm.seed, 0))
    states = {number: folder / state_name(arm.setting, arm.seed, number) for number in range(1, plan.rounds + 1)}
    begun = [number for number, state in states.items() if state.exists()]
    return (begun[-1] - 1) * plan.method.recipe.epochs + finished_epochs(states[begun[-1]]) if begun else 0


def _as_it_is(record: Record) -> Record:
    """The first round is saved by its task, as it is no run of the study's tables."""
    return record


@dataclass(frozen=True)
class _Save:
    study: Study[Record, ActiveTables]

    def __call__(self, trained: Trained) -> Record:
        run = self.study.save(*trained)
        states = (self.study.folder / state_name(run.setting, run.seed)).parent
        for state in states.glob(f"{run.seed}.*"):
            state.unlink(missing_ok=True)
        with suppress(OSError):  # other seeds are at work
            states.rmdir()
        return run
