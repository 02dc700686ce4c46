"""Training, validation and test images of a study: disjoint, sound, and the same until its end."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import write, write_folder
from refusals import refused

from lowpix.active_study import Options as ActiveOptions
from lowpix.active_study import active_study
from lowpix.dataset_study import Options as DatasetOptions
from lowpix.dataset_study import dataset_study

SMALL: dict[str, Any] = {"epochs": 2, "batch": 2, "width": 4, "crop": (16, 16)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three splits of three images each."""
    for split in ("train", "val", "test"):
        root = write_folder(tmp_path / "photos", (f"{split}_a", f"{split}_b", f"{split}_c"), split)
    return root


def of_dataset(photos: Path, out: Path, **more: Any) -> DatasetOptions:
    options = DatasetOptions("folder", photos, settings=("full",), out=out, **SMALL)
    return replace(options, **more)


def of_active(photos: Path, out: Path, **more: Any) -> ActiveOptions:
    asking: dict[str, Any] = {"first_pixels": 4, "pixels_per_round": "4", "max_pixels": 8, "full": False}
    options = ActiveOptions("folder", photos, acquisition=("random",), out=out, **asking, **SMALL)
    return replace(options, **more)


@pytest.mark.parametrize("split", ["all", "train,test", "test"])
def test_no_network_is_tested_on_images_that_it_learned_from(photos: Path, tmp_path: Path, split: str) -> None:
    with refused(f"--split {split}", "tested on itself"):
        dataset_study(of_dataset(photos, tmp_path / "out", split=split))
    with refused(f"--split {split}", "tested on itself"):
        active_study(of_active(photos, tmp_path / "out", split=split))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("validation", ["val", "val,test"])
def test_no_checkpoint_is_chosen_by_images_of_another_purpose(
    photos: Path, tmp_path: Path, validation: str
) -> None:
    split = "train,val" if validation == "val" else "train"
    options = of_dataset(photos, tmp_path / "out", split=split, select="validation", validation_split=validation)
    with refused(f"--validation-split {validation}"):
        dataset_study(options)


def test_faulty_images_of_every_split_are_left_out(photos: Path, tmp_path: Path) -> None:
    """And cost nothing: neither maps nor pixels."""
    write(photos / "val/labels/val_b.png", np.full((6, 8), 9))
    write(photos / "train/labels/train_b.png", np.full((6, 8), 255))
    (photos / "test/images/test_b.png").write_bytes(b"no picture")
    classes = '{"classes": ["up", "down"], "ignore_index": 255}'
    (photos / "classes.json").write_text(classes)
    options = of_dataset(photos, tmp_path / "out", select="validation", validation_split="val", skip_faulty=True)
    row = dataset_study(options).tables().summary.iloc[0]
    assert (row["images"], row["maps"]) == (2, 2 + 2)
    assert row["annotated_fraction"] == 2
    rounds = active_study(of_active(photos, tmp_path / "active", skip_faulty=True)).tables().rounds
    assert list(rounds["revealed"]) == [4, 8]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", ["dataset", "active"])
def test_images_that_come_in_or_go_are_told(photos: Path, tmp_path: Path, split: str, kind: str) -> None:
    """One network learns from all images, so runs on other images cannot be compared."""

    def run(**more: Any) -> pd.DataFrame:
        if kind == "dataset":
            return dataset_study(of_dataset(photos, tmp_path / "out", **more)).tables().summary
        return active_study(of_active(photos, tmp_path / "out", **more)).tables().summary

    run()
    for part in ("images", "labels"):
        shutil.copy(photos / split / part / f"{split}_a.png", photos / split / part / f"{split}_d.png")
    with refused("study.toml", f"images: {split}", "3 images", "4 images", "--fresh"):
        run(repeats=2)
    for part in ("images", "labels"):
        (photos / split / part / f"{split}_d.png").unlink()
    assert list(run(repeats=2)["seed"]) == [0, 1]
    for part in ("images", "labels"):
        (photos / split / part / f"{split}_a.png").unlink()
    with refused("study.toml", f"images: {split}", "3 images", "2 images"):
        run(repeats=3)


def test_an_own_function_that_has_changed_is_told(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an image study."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "changing_scores.py"
    file.write_text("def score(p):\n    return p.mean(0)[:, 0]\n")
    options = of_active(photos, tmp_path / "out", acquisition=("changing_scores:score",))
    active_study(options)
    assert len(active_study(replace(options, repeats=2)).tables().summary) == 2
    monkeypatch.delitem(__import__("sys").modules, "changing_scores")
    file.write_text("def score(p):\n    return -p.mean(0)[:, 0]  # the other way round\n")
    __import__("linecache").clearcache()
    __import__("importlib").invalidate_caches()
    with refused("acquisition_sources", "changing_scores.score"):
        active_study(replace(options, repeats=3))


def test_a_network_that_learns_all_at_once_lowers_its_rate_as_late(photos: Path, tmp_path: Path) -> None:
    """Milestones are epochs of a round; those of `full` come as late in all rounds together."""
    options = of_active(
        photos, tmp_path / "out", full=True, start="warm", epochs=4, milestones=(2,), optimiser="adam"
    )
    history = active_study(options).tables().history
    rates = history[history["setting"] == "full"]["learning_rate"].to_numpy()
    np.testing.assert_allclose(rates / rates[0], [1] * 4 + [0.1] * 4)
