"""The runs of an active study: first the shared first rounds, then every setting × seed, each saved as it ends."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lowpix.active_study.loop import Arm, Plan, Rounds, Trained
from lowpix.active_study.record import Record
from lowpix.active_study.tables import FIRST, ActiveTables, state_name
from lowpix.segmenter.training import finished_epochs
from lowpix.storage import write_bytes
from lowpix.study.cluster import Away, Cluster
from lowpix.study.folder import Study
from lowpix.study.splits import Splits
from lowpix.study.work import work

First = dict[str, bytes]
"""The files of a first round that was done elsewhere, by name within the study's folder."""


def run_arms(
    arms: Sequence[Arm],
    rounds: Rounds,
    study: Study[Record, ActiveTables],
    jobs: int,
    cluster: str | None = None,
) -> None:
    """Do these runs and save each when it ends, with a bar that counts epochs.

    `cluster` is the address of a cluster that does them instead. All images travel with each run, and its epochs
    are counted when it ends.
    """
    plan, folder = rounds.plan, study.folder
    images = f"{len(plan.splits.names)} images"
    print(f"{plan.splits.train.name}: {len(arms)} runs to do on {images}, {plan.rounds} rounds each", flush=True)
    seeds = list(dict.fromkeys(arm.seed for arm in arms if arm.acquisition is not None))
    new = [seed for seed in seeds if not (folder / state_name(FIRST, seed)).exists()]

    def first_done() -> float:
        return sum(finished_epochs(folder / state_name(FIRST, seed, 0)) for seed in new)

    firsts: Cluster[int, First] | None = None
    others: Cluster[Arm, Trained] | None = None
    if cluster is not None:
        splits = plan.splits.sent()
        firsts = Cluster(cluster, partial(_first_sent, rounds, splits))
        acquisitions = tuple(arm.acquisition for arm in arms if arm.acquisition is not None)
        send = partial(_arm_sent, rounds, splits)
        others = Cluster(cluster, send, acquisitions=acquisitions)
    total = len(new) * plan.first_epochs
    if new:
        first, keep = partial(_first, rounds), partial(_keep, folder)
        for _ in work(first, new, keep, jobs, total=total, unit="epoch", done=first_done, cluster=firsts):
            pass

    def done() -> float:
        finished = study.finished()
        return sum(
            plan.epochs(arm) if (arm.setting, arm.seed) in finished else _epochs(folder, plan, arm) for arm in arms
        )

    def tell(run: Record) -> str:
        return f"{run.setting} {run.seed}: mIoU {run.rounds[-1]['miou']:.3f}"

    if arms:
        save, total = _Save(study), sum(map(plan.epochs, arms))
        for _ in work(rounds, arms, save, jobs, total=total, unit="epoch", done=done, tell=tell, cluster=others):
            pass


def _epochs(folder: Path, plan: Plan, arm: Arm) -> int:
    """Finished epochs of an unfinished run, from the states of its rounds."""
    if arm.acquisition is None:
        return finished_epochs(folder / state_name(arm.setting, arm.seed, 0))
    states = {number: folder / state_name(arm.setting, arm.seed, number) for number in range(1, plan.rounds + 1)}
    begun = [number for number, state in states.items() if state.exists()]
    return (begun[-1] - 1) * plan.method.recipe.epochs + finished_epochs(states[begun[-1]]) if begun else 0


def _first(rounds: Rounds, seed: int) -> Iterator[First]:
    """Do the first round of a seed. It saves its files itself, as it is no run of the study's tables."""
    for _ in rounds.first(seed):
        yield {}


def _first_sent(rounds: Rounds, splits: Splits, seed: int) -> Away[First]:
    """The first round of a seed on another machine."""
    states = Away.states_in(rounds.folder, state_name(FIRST, seed, 0))
    return Away(partial(_first_in, rounds.sent(seed, splits), seed), states)


def _first_in(rounds: Rounds, seed: int, folder: Path) -> Iterator[First]:
    for _ in replace(rounds, folder=folder).first(seed):
        yield Away.states_in(folder, *_shared(seed))


def _keep(folder: Path, files: First) -> None:
    """Write the files of a first round that was done elsewhere."""
    for name, content in files.items():
        write_bytes(folder / name, content)


def _arm_sent(rounds: Rounds, splits: Splits, arm: Arm) -> Away[Trained]:
    """A run on another machine."""
    own = f"{state_name(arm.setting, arm.seed).removesuffix('json')}*"
    states = Away.states_in(rounds.folder, *_shared(arm.seed), own)
    return Away(partial(_arm_in, rounds.sent(arm.seed, splits), arm), states)


def _arm_in(rounds: Rounds, arm: Arm, folder: Path) -> Iterator[Trained]:
    yield from replace(rounds, folder=folder)(arm)


def _shared(seed: int) -> tuple[str, str]:
    """The files of a first round: the network, and last the record, without which the round is not done."""
    return state_name(FIRST, seed, 0), state_name(FIRST, seed)


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
