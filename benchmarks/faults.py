"""How lowpix copes with faults: kill -9 at random times, flipped bits, truncated files, and invalid options.

    python -m benchmarks.faults                # about an hour on two cores
    python -m benchmarks.faults --smoke        # checks that the benchmark runs

Writes results/benchmarks/faults.csv: how often each fault was tried, and how often each outcome occurred. *equal*:
the result is the same as without the fault. *clear*: the fault is reported in one line. *wrong*: another result
without a message, a traceback, or a command that does not end.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import tyro
from tqdm import tqdm

from benchmarks.report import measured_on
from lowpix.dataset_study.tables import DATASETS
from lowpix.errors import InputError
from lowpix.order_study.tables import OrderStudies
from lowpix.reveal.log import Log
from lowpix.reveal.session import ImageSession, fit
from lowpix.segmenter.model import load_model
from lowpix.study.data import read_data
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.kind import Kind
from lowpix.study.source import Source

SCENES = ["--scene-size", "48", "64", "--scene-count", "3", "--scene-classes", "4"]
STUDIES = {
    "image_study": [*SCENES, "--acquisition", "margin", "random", "--max-pixels", "40"],
    "order_study": ["--seeds", "1", "--batch", "32", "--plateau-cap", "1"],
    "dataset_study": [*SCENES, "--epochs", "4", "--width", "4", "--batch", "2", "--settings", "full", "pseudo"],
}
KINDS: dict[str, Kind[Any, Any]] = {
    "image_study": IMAGES,
    "order_study": OrderStudies(),
    "dataset_study": DATASETS,
}
SECONDS = 600  # a command that takes longer counts as not ending; a busy machine needs minutes


@dataclass(frozen=True)
class Options:
    """How often each fault is tried."""

    kills: int = 200
    """Number of kill -9, for all studies, --jobs 1 and 2, and process group, main process and worker in turn."""
    flips: int = 2000
    """Number of flipped bits, in all files that a study writes and reads."""
    cuts: int = 500
    """Number of truncated files."""
    fuzz: int = 2000
    """Number of random values of options."""
    seed: int = 0
    """Seed of all random choices."""
    smoke: bool = False
    """Try each fault a few times, to check that the benchmark runs. Overrides the numbers above."""
    out: Path = Path("results/benchmarks/faults.csv")
    """File of the table."""


def main(options: Options) -> None:
    """Try all faults, and write the table."""
    if options.smoke:
        options = replace(options, kills=3, flips=40, cuts=10, fuzz=40)
    draw, counts = random.Random(options.seed), Counts()
    try:
        _count(counts, "option", _fuzz(options.fuzz, draw), options.fuzz)
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            for name in STUDIES:
                _finish(name, home / name, home, 1)
            _count(counts, "flipped bit", _spoilt(home, options.flips, draw, _flip), options.flips)
            _count(counts, "cut file", _spoilt(home, options.cuts, draw, _cut), options.cuts)
            _count(counts, "kill -9", _kills(home, options.kills, draw), options.kills)
    finally:  # Ctrl-C leaves a table of what was tried
        rows = [(what, c.total(), c["equal"], c["clear"], c["wrong"]) for what, c in sorted(counts.items())]
        table = pd.DataFrame(rows, columns=["what", "tried", "equal", "clear", "wrong"])
        print(table.to_string(index=False))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        table.assign(**measured_on()).to_csv(options.out, index=False)


Counts = dict[str, Counter[str]]
"""Outcomes by what was tried."""


def _count(counts: Counts, what: str, outcomes: Iterator[tuple[str, str]], total: int) -> None:
    for of, outcome in tqdm(outcomes, what, total):
        counts.setdefault(f"{what}: {of}", Counter())[outcome] += 1
        if outcome == "wrong":
            print(f"WRONG: {what}, {of}", flush=True)


# kill -9


def _kills(home: Path, kills: int, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Start a study, kill it, and start it again until it ends. Compare it with a study that was never killed."""
    cases = [(name, jobs, whom) for whom in ("group", "main", "worker") for name in STUDIES for jobs in (1, 2)]
    cases = [(name, jobs, whom) for name, jobs, whom in cases if jobs == 2 or whom != "worker"]
    done = 0
    for name, jobs, whom in cycle(cases):
        if done >= kills:
            return
        out = home / "killed"
        shutil.rmtree(out, ignore_errors=True)
        struck = 0
        while struck < 3 and done + struck < kills and _killed(name, out, home, jobs, whom, draw):
            struck += 1
        outcome = "equal" if _finish(name, out, home, jobs) and _same(name, home / name, out) else "wrong"
        for _ in range(max(struck, 1)):
            yield f"{name}, --jobs {jobs}, {whom}", outcome
        done += max(struck, 1)


def _command(name: str, out: Path, home: Path, jobs: int) -> list[str]:
    command = [sys.executable, "-m", f"lowpix.{name}", *STUDIES[name], "--jobs", str(jobs), "--out", str(out)]
    if name != "order_study":
        return command
    source = home / "source"
    if not source.exists():
        budget = [*SCENES, "--stop", "budget", "--max-pixels", "40", "--out", str(source)]
        subprocess.run([sys.executable, "-m", "lowpix.image_study", *budget], check=True, capture_output=True)
    return [*command, "--image-study", str(source)]


def _finish(name: str, out: Path, home: Path, jobs: int) -> bool:
    """Run a study to its end; return whether it ended without an error."""
    command = _command(name, out, home, jobs)
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    if ended.returncode:
        print(ended.stderr, flush=True)
    return ended.returncode == 0


def _killed(name: str, out: Path, home: Path, jobs: int, whom: str, draw: random.Random) -> bool:
    """Kill a study at a random time; return False if it had already ended."""
    process = subprocess.Popen(
        _command(name, out, home, jobs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(draw.uniform(1, 10))
    if process.poll() is not None:
        return False
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "loky" in " ".join(child.cmdline())]
    if whom == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif whom == "main":
        process.kill()
    elif workers:
        draw.choice(workers).kill()
        process.wait(SECONDS)  # the study goes on without this worker
        return True
    else:
        process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    for child in alive:
        print(f"WRONG: a worker of {name} is still alive", flush=True)
        child.kill()
    return True


def _same(name: str, one: Path, other: Path) -> bool:
    """Whether the tables of two studies are equal in all columns except seconds."""
    try:
        tables = [Study(folder, KINDS[name]).tables() for folder in (one, other)]
    except InputError as fault:
        print(fault, flush=True)
        return False
    return all(
        a.drop(columns="seconds", errors="ignore").equals(b.drop(columns="seconds", errors="ignore"))
        for a, b in zip(*tables, strict=True)
    )


# damaged files


def _spoilt(
    home: Path, times: int, draw: random.Random, spoil: Callable[[bytes, random.Random], bytes]
) -> Iterator[tuple[str, str]]:
    """Damage a file of a finished study, read the study, and restore the file."""
    for name in STUDIES:  # also a copy with only the tables, like the folders in results/
        (home / f"{name}_tables").mkdir(exist_ok=True)
        for file in (home / name).iterdir():
            if file.is_file():
                shutil.copy2(file, home / f"{name}_tables")
    folders = {home / f"{name}{part}": name for name in STUDIES for part in ("", "_tables")}
    _save_session(home / "session")
    folders[home / "session"] = "session"
    files = [
        (folder, file)
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in NEVER_READ and "image_study" not in file.relative_to(folder).parts
    ]
    expected = {folder: _all_that_is_read(folder, name) for folder, name in folders.items()}
    for _ in range(times):
        folder, file = draw.choice(files)
        before = file.read_bytes()
        file.write_bytes(spoil(before, draw))
        try:
            outcome = "equal" if _equal(_all_that_is_read(folder, folders[folder]), expected[folder]) else "wrong"
        except InputError:
            outcome = "clear"
        except Exception as fault:  # any other exception would be a traceback
            print(f"{file}: {type(fault).__name__}: {fault}", flush=True)
            outcome = "wrong"
        finally:
            file.write_bytes(before)
        kind = file.name if file.parent == folder else f"{file.relative_to(folder).parts[0]}/*{file.suffix}"
        yield kind, outcome


# files that people read but lowpix does not
NEVER_READ = (
    *("overview.png", "curves.png", "history.png", "costs.png", "order.png"),
    *("ratios.csv", "order_pairs.csv"),
)


def _save_session(folder: Path) -> None:
    """Write the log and the networks of a session."""
    session = _session()
    for _ in range(3):
        question = session.ask(5)
        session.tell(question, (question.sum(1) % 3).astype(np.uint8))
        fit([session])
    session.log.save(folder / "log.parquet")
    session.save_networks(folder / "networks.safetensors")


def _session() -> ImageSession:
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    return ImageSession(image, np.ones(image.shape[:2], np.bool_), 3)


def _flip(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _all_that_is_read(folder: Path, name: str) -> list[Any]:
    """Everything that lowpix reads from the folder of a study or a session."""
    if name == "session":
        session = _session()
        session.restore(Log.load(folder / "log.parquet"), folder / "networks.safetensors")
        weights = session.learner.parameters.values()
        return [session.log.pixels, session.log.answers, session.log.fits, session.learner.step, *weights]
    study = Study(folder, KINDS[name])
    found: list[Any] = [study.settings, read_data(folder), *study.tables()]
    if name == "image_study" and (folder / "runs").exists():
        source = Source(folder)
        images = sorted(source.tables.summary["image"].unique())
        for labels in source.labels(("margin", "random"), [0], source.budgets, images).values():
            found += [labels.labels(image) for image in images] + [labels.confidence(image) for image in images]
    if name == "dataset_study":
        for model in sorted(folder.glob("models/*/*.safetensors")):
            read = load_model(model)
            found += [read.classes, read.palette, read.scale, *read.network.state_dict().values()]
        for setting, seed in sorted(study.finished()) if (folder / "runs").exists() else ():
            predictions = folder / "predictions" / setting / str(seed)
            for file in sorted(predictions.glob("*.png")):
                found.append(study.read_label_map((setting, seed), str(file.relative_to(folder))))
    return found


def _equal(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    def same(one: Any, other: Any) -> bool:
        if isinstance(one, pd.DataFrame):
            return one.equals(other)
        if hasattr(one, "shape"):
            return one.shape == other.shape and bool((one == other).all())
        return bool(one == other)

    return len(found) == len(expected) and all(map(same, found, expected))


# options


def _fuzz(times: int, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Give a random option of a random command a random value, which is mostly invalid."""
    values: list[Any] = [
        float("nan"), float("inf"), float("-inf"), -1, 0, 10**30, -(10**30), 1e308, 5e-324, "", "\0", "x" * 5000,
        "$\\frac$", "--fresh", (), (-1,), (float("nan"), 1.0), ("", ""), None, True, "ü/../..",
    ]  # fmt: skip
    commands = ["image_study", "dataset_study", "order_study", "compare", "predict", "doctor"]
    for _ in range(times):
        command = draw.choice(commands)
        kind = import_module(f"lowpix.{command}").Options
        given: dict[str, object] = {"studies": (Path("x"),)} if command == "compare" else {}
        given |= {"photos": Path("x"), "model": Path("x")} if command == "predict" else {}
        name = draw.choice([field.name for field in fields(kind)])
        try:
            kind(**given | {name: draw.choice(values)}).check()
            yield command, "equal"
        except InputError as fault:
            yield command, "clear" if "\n" not in str(fault) else "wrong"
        except Exception as fault:
            print(f"{command} {name}: {type(fault).__name__}: {fault}", flush=True)
            yield command, "wrong"


if __name__ == "__main__":
    main(tyro.cli(Options))
