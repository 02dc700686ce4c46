"""Fresh starts and the user's files: what was begun is gone on with, and only the program's own files are lost."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import write, write_folder
from dataset_runs import SCENES, SMALL, without_pictures
from dataset_runs import study as dataset_tables
from numpy.typing import NDArray
from PIL import Image
from refusals import refused
from stopped_runs import content, identity, stop

from lowpix.data import open_dataset
from lowpix.image_study import Options, image_study
from lowpix.reveal.oracle import Oracle
from lowpix.storage import HOST, write_bytes
from lowpix.study.image_runs import Tables

pytestmark = pytest.mark.usefixtures("undrawn")
RUNS = "runs/*/*/*.parquet"
TWO: dict[str, Any] = {"acquisition": ("margin", "random")}
Identity = dict[Path, tuple[int, int]]


class Answers:
    """From the label maps of a folder, until Ctrl-C is pressed after some rounds."""

    def __init__(self, data: Path, rounds: float) -> None:
        self.dataset, self.left = open_dataset("folder", data), rounds

    def __call__(self, name: str) -> Oracle:
        labels = self.dataset.labels(name)
        assert labels is not None

        def answer(pixels: NDArray[np.int64]) -> NDArray[np.uint8]:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            told: NDArray[np.uint8] = labels[tuple(pixels.T)]
            return told

        return answer


def study(data: Path, out: Path, rounds: float = np.inf, **options: Any) -> Tables:
    """An image study of a folder: 5 and 6 pixels of an image are revealed, in two rounds."""
    plain = {"acquisition": ("margin",), "smoothing": ("none",)}
    given = plain | {"data_root": data, "out": out, "max_pixels": 6, "stop": "budget"}
    return image_study(Options("folder", **given | options), Answers(data, rounds)).tables()


def stopped(data: Path, out: Path, rounds: int, **options: Any) -> Identity:
    """A study that Ctrl-C stops after some rounds; gives the runs that are finished."""
    with pytest.raises(KeyboardInterrupt):
        study(data, out, rounds, **options)
    return runs(out)


def runs(out: Path) -> Identity:
    return identity(sorted(out.glob(RUNS)))


def everything(folder: Path) -> dict[str, bytes]:
    """All files."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_same(one: Tables, other: Tables) -> None:
    """Bit for bit in every column but `seconds`."""
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(
            a.drop(columns="seconds", errors="ignore"),
            b.drop(columns="seconds", errors="ignore"),
            check_exact=True,
        )


# Fresh starts


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a finished study `out`, and `begun`: one that was finished, started afresh and then stopped."""
    root = tmp_path_factory.mktemp("folders")
    data = write_folder(root / "data")
    with without_pictures():
        study(data, root / "out")
        study(data, root / "begun", **TWO)
        before = runs(root / "begun")
        done = stopped(data, root / "begun", 5, fresh=True, **TWO)
    assert (len(before), len(done)) == (4, 2)
    assert not before.items() & done.items()
    return root


@pytest.fixture
def begun(folders: Path, tmp_path: Path) -> tuple[Path, Path, Identity]:
    """Copies of the data and of the study that was begun, and its finished runs."""
    data, out = (Path(shutil.copytree(folders / name, tmp_path / name)) for name in ("data", "begun"))
    return data, out, runs(out)


@pytest.fixture
def finished(folders: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the data and of the finished study."""
    data, out = (Path(shutil.copytree(folders / name, tmp_path / name)) for name in ("data", "out"))
    return data, out


@pytest.mark.parametrize("fresh", [True, False])
def test_a_fresh_start_that_was_stopped_is_gone_on_with(
    tmp_path: Path, begun: tuple[Path, Path, Identity], fresh: bool
) -> None:
    """By the same command, and without `--fresh`; after its end, `--fresh` starts anew."""
    data, out, done = begun
    more = stopped(data, out, 3, fresh=fresh, **TWO)
    assert done.items() < more.items()
    tables = study(data, out, fresh=fresh, **TWO)
    every = runs(out)
    assert more.items() < every.items()
    assert_same(tables, study(data, tmp_path / "new", **TWO))
    assert_same(study(data, out, fresh=True, **TWO), tables)
    assert runs(out).keys() == every.keys()
    assert not runs(out).items() & every.items()


def other_labels(data: Path) -> None:
    write(data / "labels/b.png", np.repeat([[0], [1]], [2, 4], axis=0) * np.ones((1, 8)))


def other_names(data: Path) -> None:
    (data / "classes.json").write_text('{"classes": ["over", "under"]}')


@pytest.mark.parametrize(
    "change",
    [{"target": 0.9}, {"repeats": 2}, other_labels, other_names],
    ids=["target", "repeats", "labels", "names"],
)
def test_a_fresh_start_with_other_settings_or_data_starts_anew(
    tmp_path: Path, begun: tuple[Path, Path, Identity], change: dict[str, Any] | Callable[[Path], None]
) -> None:
    data, out, done = begun
    options = TWO | (change if isinstance(change, dict) else {})
    if not isinstance(change, dict):
        change(data)
    tables = study(data, out, fresh=True, **options)
    assert not done.items() & runs(out).items()
    assert_same(tables, study(data, tmp_path / "new", **options))


@pytest.mark.slow
def test_a_fresh_start_that_was_killed_is_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over another study: nothing of that one is left, and what was done is not done again."""
    out = tmp_path / "out"
    plain = {"acquisition": ("margin",), "smoothing": ("none",)}
    options: dict[str, Any] = SCENES | plain | {"stop": "budget", "max_pixels": 6}
    image_study(Options(**options, out=out))
    options |= {"acquisition": ("random",), "max_pixels": 25, "pixels_per_round": "1"}
    command = [sys.executable, "-m", "lowpix.image_study", "--out", str(out), "--fresh"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    code, _ = stop(command, signal.SIGKILL, out, "runs/mlp-random/*/*.parquet")
    assert code == -signal.SIGKILL
    assert not list(out.rglob("*mlp-margin*"))
    done = runs(out)
    assert 1 <= len(done) < 3
    image_study(Options(**options, out=out, fresh=True))
    assert f"3 runs, {3 - len(done)} of them to do" in capsys.readouterr().out
    assert done.items() < runs(out).items()
    image_study(Options(**options, out=tmp_path / "new"))
    names = ("curves.parquet", "revealed.parquet", "summary.csv"), ("pseudo_labels/**/*.png",)
    assert content(out, *names) == content(tmp_path / "new", *names)


# The user's files in the folder of a study


def test_other_files_in_the_folder_of_a_study_survive(finished: tuple[Path, Path]) -> None:
    data, out = finished
    mine = ["notes.txt", "runs/notes.txt", "pseudo_labels/mlp-margin/0/a (1).png", "models/mine.safetensors"]
    for name in mine:
        write_bytes(out / name, b"mine")
    study(data, out, repeats=2)
    study(data, out, target=0.5, fresh=True)
    assert {(out / name).read_bytes() for name in mine} == {b"mine"}


@pytest.mark.parametrize(
    "name", ["pseudo_labels/mlp-margin/0/a.png", "confidence/mlp-margin/0/b.png", "summary.csv", "study.toml"]
)
def test_what_the_user_corrected_is_not_removed(finished: tuple[Path, Path], name: str) -> None:
    """A label map, for example: nothing is removed then, and the file is named."""
    data, out = finished
    if name.endswith(".png"):
        write(out / name, 1 - np.array(Image.open(out / name)))
    else:
        (out / name).write_text((out / name).read_text() + "\n")
    there = everything(out)
    with refused(out / name):
        study(data, out, fresh=True)
    assert everything(out) == there


@pytest.mark.parametrize("name", ["pseudo_labels/mlp-margin/1/a.png", "runs/mlp-margin/1/b.parquet"])
def test_a_file_of_the_user_where_a_run_writes_is_not_replaced(finished: tuple[Path, Path], name: str) -> None:
    data, out = finished
    mine = np.random.default_rng(0).bytes(100)
    write_bytes(out / name, mine)
    done = runs(out)
    with refused(out / name):
        study(data, out, repeats=2)
    assert (out / name).read_bytes() == mine
    assert done.items() <= runs(out).items()
    (out / name).rename(out / "mine")  # as the message says: then it goes on
    assert len(study(data, out, repeats=2).summary) == 4


@pytest.mark.parametrize("name", ["curves.png", "summary.csv", "data.csv"])
def test_a_file_of_the_user_where_a_study_writes_is_not_replaced(
    finished: tuple[Path, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a folder that is to be a new study, nor in that of a study, which goes on without it."""
    data, out = finished
    new = out.with_name("new")
    write_bytes(new / name, b"mine")
    with refused(new, name, "no study.toml"):
        study(data, new)
    assert everything(new) == {name: b"mine"}
    monkeypatch.setattr("lowpix.image_study.study.image_pictures", lambda *_, **__: {"curves.png": b"drawn"})
    (out / name).write_bytes(b"mine")
    with refused(out / name):
        study(data, out, repeats=2)
    assert (out / name).read_bytes() == b"mine"
    (out / name).unlink()
    assert len(study(data, out, repeats=2).summary) == 4


# Where no study may start afresh, and where none may be written


@pytest.mark.parametrize("studied", [False, True], ids=["empty", "a study"])
@pytest.mark.parametrize("place", [".", "..", "../..", "~", "link"])
def test_no_fresh_start_at_home_or_above_the_current_folder(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, studied: bool
) -> None:
    """Whether or not a study is there; under any name. On copies."""
    data, home = folders / "data", tmp_path / "home"
    here = home / "work/here"
    here.mkdir(parents=True)
    (here / "link").symlink_to(home)
    out = home if place == "~" else Path(os.path.normpath(here / place))
    if studied:
        shutil.copytree(folders / "out", out, dirs_exist_ok=True)
    write_bytes(out / "notes.txt", b"mine")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path if place in ("~", "link") else here)
    there = everything(tmp_path)
    with refused("--fresh", "home", "current folder"):
        study(data, home if place == "~" else here / "link" if place == "link" else Path(place), fresh=True)
    assert everything(tmp_path) == there
    if place == "." and not studied:
        assert len(study(data, here / "out", fresh=True).summary) == 2  # within these it may


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    "place",
    ["", "train", "train/images", "train/labels", "train/images/new", "test/images", "linked", "linked/new"],
)
def test_no_study_is_written_among_its_images(tmp_path: Path, place: str, fresh: bool) -> None:
    """Above them, below them and among those of other splits; links are followed."""
    data = write_folder(write_folder(tmp_path / "data", split="train"), split="test")
    write_folder(data, ("deep/c",), split="train")
    write(data / "train/images/deep/c.png", np.full((6, 8, 3), 90))
    (tmp_path / "linked").symlink_to(data / "train/labels")
    out = tmp_path / place if place.startswith("linked") else data / place
    there = everything(tmp_path)
    with refused("--out", out, "input"):
        study(data, out, fresh=fresh)
    with refused("--out", out, "input"):
        dataset_tables(out, dataset="folder", data_root=data, fresh=fresh)
    assert everything(tmp_path) == there
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "linked"]


def test_photographs_without_label_maps_are_kept_apart_too(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write(photos / "a.png", np.full((6, 8, 3), 90))
    (photos / "classes.json").write_text('{"classes": ["up", "down"]}')

    def oracles(name: str) -> Oracle:
        return lambda pixels: (pixels[:, 0] > 2).astype(np.uint8)

    for out in (photos, photos / "out"):
        with refused("--out", out, photos):
            image_study(Options("folder", photos, stop="budget", max_pixels=6, out=out), oracles)
    assert sorted(os.listdir(photos)) == ["a.png", "classes.json"]


def test_beside_its_images_a_study_may_lie(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data")
    study(data, data / "results")
    study(data, data / "results", repeats=2)  # and does not spoil them
    assert open_dataset("folder", data).images == ("a", "b")


# What a kill leaves behind


def test_the_next_start_removes_what_a_killed_process_was_writing(finished: tuple[Path, Path]) -> None:
    data, out = finished
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    dead, living = f".a.{HOST}-{process.pid}.tmp", f".a.{HOST}-{os.getppid()}.tmp"
    folders = ["", "runs/mlp-margin/0/", "pseudo_labels/mlp-margin/0/", "confidence/"]
    for folder in (*folders, "mine/"):
        for name in (dead, living):
            write_bytes(out / folder / name, b"half")
    study(data, out)
    left = {name for name in everything(out) if name.endswith(".tmp")}
    assert left == {f"mine/{dead}", *(f"{folder}{living}" for folder in (*folders, "mine/"))}


def test_pictures_of_an_image_study_that_ended_before_a_kill_are_still_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data-set study goes on after the last run of its image study, of which nothing was drawn."""
    out, drawn = tmp_path / "out", []

    def draw(study: Any, *_: Any, **__: Any) -> Mapping[str, bytes]:
        drawn.append(study.folder)
        return {"curves.png": b"drawn"}

    image_study(Options(**SCENES, stop="budget", max_pixels=8, out=out / "image_study"))
    assert not (out / "image_study/curves.png").exists()
    monkeypatch.setattr("lowpix.image_study.study.image_pictures", draw)
    for _ in range(2):
        dataset_tables(out, ("pseudo",), epochs=1, test_limit=1)
        assert drawn == [out / "image_study"]
    assert SMALL["budgets"] == (8,)
