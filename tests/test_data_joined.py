"""Several splits of a data set as one."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_samples import write
from refusals import refused

from lowpix.data import open_dataset
from lowpix.data.check import check
from lowpix.data.options import reopen
from lowpix.image_study import Options, image_study


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three splits, of which two have an image 001."""
    root = tmp_path / "photos"
    draw = np.random.default_rng(0)
    for place in ("train/{}/001", "train/{}/002", "val/{}/001", "test/{}/003"):
        write(root / f"{place.format('images')}.png", draw.integers(0, 256, (12, 16, 3)))
        write(root / f"{place.format('labels')}.png", draw.integers(0, 2, (12, 16)))
    (root / "classes.json").write_text(json.dumps({"classes": ["a", "b"], "ignore_index": None}))
    return root


def test_images_and_labels_are_those_of_their_splits(photos: Path) -> None:
    joined = open_dataset("folder", photos, "val,train")
    assert joined.images == ("val/001", "train/001", "train/002")
    for name in joined.images:
        split, own = name.split("/")
        alone = open_dataset("folder", photos, split)
        np.testing.assert_array_equal(joined.image(name), alone.image(own))
        np.testing.assert_array_equal(joined.labels(name), alone.labels(own))
        assert joined.image_file(name) == alone.image_file(own)
        assert joined.label_file(name) == alone.label_file(own)
    assert not check(joined, joined.images).faults


def test_all_joins_the_splits_of_a_folder(photos: Path) -> None:
    joined = open_dataset("folder", photos, "all")
    assert joined.images == ("test/003", "train/001", "train/002", "val/001")
    assert reopen(joined.settings, photos).images == joined.images
    with pytest.raises(ValueError, match="no such image"):
        joined.image("001")


def test_a_folder_without_splits_is_all_by_itself(photos: Path) -> None:
    assert open_dataset("folder", photos / "train", "all").images == ("001", "002")


def test_faults_of_any_split_are_found(photos: Path) -> None:
    write(photos / "val/labels/001.png", np.full((12, 16), 7))
    joined = open_dataset("folder", photos, "all")
    (fault,) = check(joined, joined.images).faults
    assert "val/labels/001.png" in fault
    assert "label 7" in fault


def test_an_unknown_split_is_refused_by_name(photos: Path) -> None:
    with refused("--split tests", "test, train, val"):
        open_dataset("folder", photos, "train,tests")


def test_a_study_of_several_splits(photos: Path, tmp_path: Path, undrawn_images: None) -> None:
    options = Options("folder", photos, "train,val", max_pixels=6, stop="budget", out=tmp_path / "out")
    tables = image_study(options).tables()
    assert set(tables.summary["image"]) == {"train/001", "train/002", "val/001"}
    assert (tmp_path / "out/pseudo_labels/mlp-facility-edges/0/val/001.png").exists()
    image_study(options)  # goes on
