"""A study of one's own on what all studies share: how bright is an image, judged by a few of its pixels?

All that it has to say for itself stands above `if __name__`; the rest of the file checks what it gets for that.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from refusals import refused
from stopped_runs import ROOT, content, identity, stop

from lowpix.command import run
from lowpix.data import Dataset
from lowpix.data.options import DataOptions, open_data
from lowpix.options import at_least, check_options
from lowpix.study.folder import Study, open_study
from lowpix.study.kind import Kind, Rows, Table
from lowpix.study.options import RepeatOptions, RunOptions, settings_of
from lowpix.study.work import work


@dataclass(frozen=True)
class Options(DataOptions, RepeatOptions, RunOptions):
    """How bright is an image, judged by a few of its pixels?"""

    pixels: Annotated[int, at_least(1)] = 10
    """So many are looked at."""


class ToyTables(NamedTuple):
    guesses: pd.DataFrame
    means: pd.DataFrame


Guess = dict[str, Any]


class Toy(Kind[Guess, ToyTables]):
    name = "toy"
    key = {"seed": int, "image": str}  # noqa: RUF012
    suffix = ".json"
    stored = {  # noqa: RUF012
        "guesses.csv": Table({"seed": "int64", "image": "str", "guess": "float64"}, ("image", "seed"))
    }
    derived = ("means.csv",)
    outputs = ("patches", "best.txt")
    extendable = frozenset({"repeats", "scene_count"})

    def key_of(self, run: Guess) -> tuple[int, str]:
        return run["seed"], run["image"]

    def content(self, run: Guess) -> bytes:
        return json.dumps(run).encode()

    def rows(self, files: Mapping[Path, bytes]) -> Rows:
        runs = [json.loads(content) for content in files.values()]
        return {"guesses.csv": pd.DataFrame(runs, columns=["seed", "image", "guess"])}

    def tables(self, rows: Rows) -> ToyTables:
        guesses = rows["guesses.csv"]
        return ToyTables(guesses, guesses.groupby("image", as_index=False)["guess"].mean())


def task(dataset: Dataset, pixels: int, unit: tuple[int, str]) -> Iterator[Guess]:
    seed, name = unit
    drawn = np.random.default_rng(seed).choice(dataset.image(name).ravel(), pixels)
    yield {"seed": seed, "image": name, "guess": float(drawn.mean())}


def save(study: Study[Guess, ToyTables], guess: Guess) -> Guess:
    return study.save(guess, {f"patches/{guess['seed']}/{guess['image']}.txt": str(guess["guess"]).encode()})


def toy_study(options: Options) -> Study[Guess, ToyTables]:
    check_options(options)
    dataset, out = open_data(options, seed=options.seed), options.out or Path("results/toy")
    study = open_study(out, Toy(), settings_of(options, dataset), fresh=options.fresh)
    seeds, finished = range(options.seed, options.seed + options.repeats), study.finished()
    units = [(seed, name) for seed in seeds for name in dataset.images if (seed, name) not in finished]
    with study.at_work("cpu", lambda tables: {"best.txt": f"{tables.means['guess'].max():.1f}".encode()}):
        todo = partial(task, dataset, options.pixels)
        for _ in work(todo, units, partial(save, study), options.jobs, total=len(units), unit="image"):
            pass
    return study


if __name__ == "__main__":
    run(Options, "toy", lambda options: print(toy_study(options).folder))


# What it gets for that

SMALL: dict[str, Any] = {"scene_size": (32, 48), "scene_count": 50}
RUNS = "runs/*/*.json"


def small(out: Path, **options: Any) -> ToyTables:
    return toy_study(Options(**SMALL | {"out": out} | options)).tables()


def everything(out: Path) -> dict[str, bytes]:
    return content(out, ("guesses.csv", "means.csv"), ("patches/**/*.txt", "best.txt"))


COMMAND = [sys.executable, __file__, "--scene-size", "32", "48", "--scene-count", "50", "--repeats", "2", "--out"]
PATHS = os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("never_stopped")
    small(out, repeats=2)
    return out


@pytest.mark.slow
def test_killed_with_two_workers_it_goes_on_and_ends_as_if_never_stopped(
    tmp_path: Path, never_stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, bar = stop([*COMMAND, str(tmp_path), "--jobs", "2"], signal.SIGKILL, tmp_path, RUNS, 5, PATHS)
    assert code == -signal.SIGKILL
    assert "/100 [" in bar
    finished = list(tmp_path.glob(RUNS))
    assert 5 <= len(finished) < 100
    assert not (tmp_path / "guesses.csv").exists()
    written = identity(finished)
    small(tmp_path, repeats=2)
    assert f"{100 - len(finished)}/{100 - len(finished)} [" in capsys.readouterr().err
    assert everything(tmp_path) == everything(never_stopped)
    assert identity(finished) == written  # not done again


@pytest.mark.slow
def test_two_processes_in_one_folder_end_as_one(tmp_path: Path, never_stopped: Path) -> None:
    """Neither knows of the other; runs may be done twice, and each replaces what the other wrote."""
    command = [*COMMAND, str(tmp_path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=PATHS) for _ in range(2)]
    complaints = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], complaints
    assert everything(tmp_path) == everything(never_stopped)
    assert not list(tmp_path.rglob("*.tmp"))
    small(tmp_path, repeats=2, fresh=True)  # both kept the seals whole
    assert everything(tmp_path) == everything(never_stopped)


def test_its_tables_are_those_of_a_plain_loop(never_stopped: Path) -> None:
    options = Options(**SMALL)
    dataset = open_data(options)
    loop = {
        name: [np.random.default_rng(seed).choice(dataset.image(name).ravel(), 10).mean() for seed in (0, 1)]
        for name in dataset.images
    }
    guesses, means = pd.read_csv(never_stopped / "guesses.csv"), pd.read_csv(never_stopped / "means.csv")
    assert list(guesses["image"]) == [name for name in loop for _ in range(2)]
    assert list(guesses["guess"]) == [guess for guesses in loop.values() for guess in guesses]
    np.testing.assert_allclose(means["guess"], [np.mean(guesses) for guesses in loop.values()])
    assert (never_stopped / "best.txt").read_text() == f"{means['guess'].max():.1f}"


def test_it_is_extended_and_refuses_any_other_change(tmp_path: Path) -> None:
    few = small(tmp_path, scene_count=2)
    more = small(tmp_path, scene_count=3, repeats=2)
    assert (len(few.guesses), len(more.guesses)) == (2, 6)
    before = everything(tmp_path)
    with refused(tmp_path, "pixels was 10, now 20"):
        small(tmp_path, scene_count=3, pixels=20)
    with refused(tmp_path, "scene_size was [32, 48], now [16, 16]"):
        small(tmp_path, scene_count=3, scene_size=(16, 16))
    with refused("--pixels 0"):
        small(tmp_path, pixels=0)
    assert everything(tmp_path) == before


def test_fresh_removes_its_own_outputs_alone(tmp_path: Path) -> None:
    small(tmp_path, scene_count=3, repeats=2)
    (tmp_path / "notes.txt").write_text("mine")
    small(tmp_path, scene_count=1, pixels=20, fresh=True)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    own = [
        "best.txt",
        "guesses.csv",
        "lowpix.sha256",
        "means.csv",
        "patches/0/scene_000.txt",
        "runs/0/scene_000.json",
        "runs/0/scene_000.sha256",
        "study.toml",
    ]
    assert files == sorted([*own, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_error_leaves_tables_of_what_was_finished(tmp_path: Path) -> None:
    """As Ctrl-C does."""
    small(tmp_path, scene_count=1)
    (tmp_path / "patches/0/scene_002.txt").mkdir()  # cannot be written to
    with pytest.raises(OSError, match="scene_002"):
        small(tmp_path, scene_count=4)
    assert list(pd.read_csv(tmp_path / "guesses.csv")["image"]) == ["scene_000", "scene_001"]
