"""A study knows its data: other images, label maps and class names are never taken for those it began with.

Image and data-set studies of small folders, whose real files change between two calls.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import write, write_folder
from dataset_runs import SMALL, without_pictures
from PIL import Image
from refusals import refused, unsealed
from stopped_runs import ROOT, identity

from lowpix.dataset_study import Options as DatasetOptions
from lowpix.dataset_study import dataset_study
from lowpix.image_study import Options, image_study
from lowpix.reveal.oracle import Oracle
from lowpix.study.data import read_data
from lowpix.study.image_runs import Tables
from lowpix.study.source import Source

pytestmark = pytest.mark.usefixtures("undrawn")
RUNS = "runs/*/*/*.parquet"


def study(data: Path, out: Path | None, oracles: Callable[[str], Oracle] | None = None, **options: Any) -> Tables:
    """An image study of a folder, of six pixels an image."""
    given = {"data_root": data, "out": out, "max_pixels": 6, "stop": "budget"}
    return image_study(Options("folder", **given | options), oracles).tables()


def everything(folder: Path) -> dict[str, bytes]:
    """All files, but for the record of when and where it was worked on."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    record = ("study.toml", "lowpix.sha256")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in record}


def assert_same(one: Tables, other: Tables) -> None:
    """Bit for bit in every column but `seconds`."""
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(
            a.drop(columns="seconds", errors="ignore"),
            b.drop(columns="seconds", errors="ignore"),
            check_exact=True,
        )


# Changes to a folder; each tells what a refusal must name


def mend(data: Path, labels: str = "labels/b.png") -> Path:
    """Another class at one pixel of a label map."""
    mended = np.array(Image.open(data / labels))
    mended[2, 3] = 1 - mended[2, 3]
    return write(data / labels, mended)


def retouch(data: Path, image: str = "images/b.png") -> Path:
    """Another colour at one pixel of an image."""
    retouched = np.array(Image.open(data / image))
    retouched[2, 3, 1] += 1
    return write(data / image, retouched)


def enlarge(data: Path) -> Path:
    """The same photographs and label maps at twice their size."""
    for path in data.glob("*/*.png"):
        write(path, np.array(Image.open(path)).repeat(2, axis=0).repeat(2, axis=1))
    return data / "images/a.png"


def replace_all(data: Path) -> Path:
    """Other images of the same names."""
    for name in "ab":
        write(data / f"images/{name}.png", np.full((6, 8, 3), 91))
    return data / "images/a.png"


def rename_classes(data: Path) -> str:
    (data / "classes.json").write_text(json.dumps({"classes": ["over", "under"]}))
    return "classes was ['up', 'down'], now ['over', 'under']"


def add_class(data: Path) -> str:
    (data / "classes.json").write_text(json.dumps({"classes": ["up", "down", "beside"]}))
    return "classes was ['up', 'down'], now ['up', 'down', 'beside']"


# Image studies


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished image study, and its data."""
    root = tmp_path_factory.mktemp("done")
    with without_pictures():
        study(write_folder(root / "data"), root / "out")
    return root


@pytest.mark.parametrize("change", [mend, retouch, enlarge, replace_all, rename_classes, add_class])
def test_an_image_study_refuses_other_data(
    tmp_path: Path, done: Path, change: Callable[[Path], Path | str]
) -> None:
    """In the same folder, or in another --data-root; afresh, it is a study of these data."""
    root = Path(shutil.copytree(done, tmp_path / "copy"))
    data, out = root / "data", root / "out"
    other = Path(shutil.copytree(data, root / "other"))
    there = everything(out)
    for folder in (other, data):
        named = change(folder)
        for options in ({}, {"repeats": 2}, {"acquisition": ("margin", "random")}):
            with refused(named if isinstance(named, Path) else out / "study.toml", named, "--fresh"):
                study(folder, out, **options)
            assert everything(out) == there
    again = study(data, out, fresh=True)
    assert_same(again, study(data, tmp_path / "new"))
    assert_same(again, study(data, out))  # it goes on


def test_other_class_names_leave_the_settings_as_they_were(tmp_path: Path, done: Path) -> None:
    """They are looked at before anything is written."""
    root = Path(shutil.copytree(done, tmp_path / "copy"))
    before = (root / "out/study.toml").read_bytes()
    rename_classes(root / "data")
    with refused(root / "out/study.toml", "classes was"):
        study(root / "data", root / "out", acquisition=("margin", "random"), repeats=3)
    assert (root / "out/study.toml").read_bytes() == before


def test_a_folder_of_the_same_name_and_classes_but_other_images_is_refused(tmp_path: Path, done: Path) -> None:
    """Two folders may have one name, and so one default --out. A part of the images is enough to know it again."""
    root = Path(shutil.copytree(done, tmp_path / "copy"))
    there = everything(root / "out")
    other = write_folder(tmp_path / "other/data", ("c", "d"))
    with refused(root / "out", "other images, such as a", "--fresh", "--out"):
        study(other, root / "out")
    assert everything(root / "out") == there
    assert len(study(other, root / "out", fresh=True).summary) == 2
    (other / "images/c.png").unlink()
    (other / "labels/c.png").unlink()
    write_folder(other, ("e",))
    assert len(study(other, root / "out").summary) == 3


def test_void_is_known_by_what_it_means(tmp_path: Path) -> None:
    """The files of the label maps stay the same, and other pixels are void."""
    data, out = write_folder(tmp_path / "data"), tmp_path / "out"
    declared = {"classes": ["up", "down", "in"]}
    for name in "ab":
        write(data / f"labels/{name}.png", np.tile([0, 1, 2, 2], (6, 2)))
    (data / "classes.json").write_text(json.dumps(declared))
    study(data, out)
    (data / "classes.json").write_text(json.dumps(declared | {"ignore_index": 2}))
    with refused(data / "labels/a.png", "labels have changed"):
        study(data, out)


def test_the_same_data_in_other_files_are_the_same(
    tmp_path: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moved, and written anew by another program."""
    data, out = done / "data", Path(shutil.copytree(done / "out", tmp_path / "out"))
    first = Source(out).tables
    moved = Path(shutil.copytree(data, tmp_path / "moved"))
    for path in moved.glob("*/*.png"):
        with Image.open(path) as image:
            image.load()
        image.save(path, compress_level=0)
    assert (moved / "images/a.png").read_bytes() != (data / "images/a.png").read_bytes()
    capsys.readouterr()
    assert_same(study(moved, out), first)
    printed = capsys.readouterr()
    assert "2 runs, 0 of them to do" in printed.out
    assert "warning" not in printed.err


def test_more_images_extend_a_study(tmp_path: Path, done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(shutil.copytree(done, tmp_path / "copy"))
    data, out = root / "data", root / "out"
    written = identity(list(out.glob(RUNS)))
    write_folder(data, ("c",))
    capsys.readouterr()
    tables = study(data, out)
    assert "3 runs, 1 of them to do" in capsys.readouterr().out
    assert identity(list(written)) == written
    assert_same(tables, study(data, tmp_path / "new"))
    with refused(retouch(data, "images/c.png"), "image has changed"):  # the new one is known, too
        study(data, out)


def test_only_images_of_the_study_are_looked_at(tmp_path: Path) -> None:
    data, out = write_folder(tmp_path / "data"), tmp_path / "out"
    study(data, out, images=("a",))
    mend(data)  # b, which comes in as it is now
    assert_same(study(data, out), study(data, tmp_path / "new"))


def test_a_study_of_a_part_says_what_it_left_out(tmp_path: Path) -> None:
    """And takes in what is labelled later."""
    data, out = write_folder(tmp_path / "data", ("a", "b", "c")), tmp_path / "out"
    (data / "labels/c.png").rename(tmp_path / "c.png")
    write(data / "labels/b.png", np.full((6, 8), 255))
    declared = {"classes": ["up", "down"], "ignore_index": 255}
    (data / "classes.json").write_text(json.dumps(declared))
    with refused(data / "labels/b.png", "no labelled pixel"):
        study(data, out)
    with refused(data / "images/c.png", "no label map"):  # it was asked for by name
        study(data, out, images=("c",))
    assert not out.exists()
    assert list(study(data, out, skip_faulty=True).summary["image"]) == ["a"]
    left_out = tomllib.loads((out / "study.toml").read_text())["left_out"]["images"]
    assert [line.split(": ")[0] for line in left_out] == [str(data / "images/c.png"), str(data / "labels/b.png")]
    (tmp_path / "c.png").rename(data / "labels/c.png")
    write_folder(data, ("b",))
    assert_same(study(data, out), study(data, tmp_path / "new"))
    assert "left_out" not in tomllib.loads((out / "study.toml").read_text())


def test_a_label_map_that_only_measures_is_known(tmp_path: Path) -> None:
    """Where somebody else answers, it still tells the accuracy. One that is drawn later is welcome."""
    data, out = write_folder(tmp_path / "data"), tmp_path / "out"
    (data / "labels/b.png").rename(tmp_path / "b.png")
    truth = np.repeat([[0], [1]], 3, axis=0) * np.ones((1, 8), np.uint8)

    def oracles(name: str) -> Oracle:
        return lambda pixels: truth[tuple(pixels.T)].astype(np.uint8)

    study(data, out, oracles)
    (tmp_path / "b.png").rename(data / "labels/b.png")
    study(data, out, oracles)
    assert read_data(out)["labels_sha256"].ne("").all()
    for name in "ab":
        with refused(mend(data, f"labels/{name}.png"), "labels have changed"):
            study(data, out, oracles)
        mend(data, f"labels/{name}.png")  # as it was
    study(data, out, oracles)


def test_an_older_study_goes_on_and_says_what_it_cannot_know(
    tmp_path: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once: from then on it knows."""
    root = Path(shutil.copytree(done, tmp_path / "copy"))
    data, out = root / "data", root / "out"
    first = Source(out).tables
    record = unsealed(out) / "study.toml"
    record.write_text(record.read_text().partition("[data]")[0])
    assert_same(Source(out).tables, first)  # as other studies read it
    capsys.readouterr()
    assert_same(study(data, out), first)
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert str(out) in warnings[0]
    assert "no digests" in warnings[0]
    assert_same(study(data, out), first)
    assert "warning" not in capsys.readouterr().err
    with refused(mend(data), "labels have changed"):
        study(data, out)


@pytest.mark.parametrize("name", ["camvid_speed", "nuclei_labels"])
def test_published_studies_stay_readable(name: str) -> None:
    source = Source(ROOT / "results" / name)
    assert len(source.tables.summary) == len(pd.read_csv(source.folder / "summary.csv")) > 0
    assert read_data(source.folder).empty


# Data-set studies


def write_splits(root: Path) -> Path:
    """A folder with two training and two test images of 16×24 pixels."""
    for split, names in (("train", ("a", "b")), ("test", ("t", "u"))):
        write_folder(root, names, split)
        for path in (root / split).glob("*/*.png"):
            write(path, np.array(Image.open(path)).repeat(3, axis=0).repeat(3, axis=1)[:16])
    return root


def train_on(data: Path, out: Path | None, settings: tuple[str, ...], **options: Any) -> pd.DataFrame:
    """A data-set study of a folder, of one epoch; gives its summary without seconds."""
    given = {"dataset": "folder", "data_root": data, "settings": settings, "epochs": 1, "budgets": (6,)}
    made = dataset_study(DatasetOptions(**SMALL | given | {"out": out} | options))
    return made.tables().summary.drop(columns="seconds")


BOTH = ("full", "pseudo")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data-set study with pseudo-labels, and its data."""
    root = tmp_path_factory.mktemp("trained")
    with without_pictures():
        train_on(write_splits(root / "data"), root / "out", BOTH)
    return root


@pytest.mark.parametrize("change", [mend, retouch])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_data_set_study_refuses_other_images(
    tmp_path: Path, trained: Path, split: str, change: Callable[[Path, str], Path]
) -> None:
    """Of training and of test, though there is nothing left to do."""
    root = Path(shutil.copytree(trained, tmp_path / "copy"))
    kind = "labels" if change is mend else "images"
    changed = change(root / "data", f"{split}/{kind}/{'b' if split == 'train' else 'u'}.png")
    there = everything(root / "out")
    for options in ({}, {"repeats": 2}):
        with refused(changed, "changed"):
            train_on(root / "data", root / "out", BOTH, **options)
        assert everything(root / "out") == there


def test_afresh_a_data_set_study_is_one_of_its_data(tmp_path: Path, trained: Path) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "copy"))
    mend(root / "data", "test/labels/u.png")
    images = identity(list((root / "out/image_study").rglob("*.png")))
    again = train_on(root / "data", root / "out", BOTH, fresh=True)
    pd.testing.assert_frame_equal(again, train_on(root / "data", tmp_path / "new", BOTH), check_exact=True)
    assert identity(list(images)) == images  # the image study saw no test image, and stays


def test_a_data_set_study_refuses_other_class_names(tmp_path: Path, trained: Path) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "copy"))
    there = everything(root / "out")
    with refused(root / "out/study.toml", rename_classes(root / "data"), "--fresh"):
        train_on(root / "data", root / "out", BOTH)
    assert everything(root / "out") == there


def test_nothing_is_learned_from_pseudo_labels_of_other_images(tmp_path: Path, trained: Path) -> None:
    """A data-set study in a new folder has not seen the data yet, but its image study has."""
    root = Path(shutil.copytree(trained, tmp_path / "copy"))
    images, changed = root / "out/image_study", mend(root / "data", "train/labels/b.png")
    with refused(changed, images):
        train_on(root / "data", tmp_path / "new", ("pseudo",), image_study=images)
    assert not (tmp_path / "new").exists()


# The folder


def test_the_default_folder_carries_the_name_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cities, woods = (write_folder(tmp_path / "photos" / name) for name in ("cities", "woods"))
    write_folder(cities, split="train")
    study(cities, None)
    study(Path("photos/woods"), None)
    train_on(write_splits(tmp_path / "streets"), None, ("full",))
    assert sorted(os.listdir("results")) == ["cities_train", "streets_dataset", "woods_all"]
    monkeypatch.chdir(woods)
    study(Path(), None)  # the folder has a name, too
    assert os.listdir("results") == ["woods_all"]
