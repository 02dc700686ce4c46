"""Generated scenes: the same for a seed, right in form for any size and classes, worth labelling."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from lowpix.data import IGNORE, open_dataset
from lowpix.data.options import DataOptions, open_data
from lowpix.data.scenes import CLASSES, Scenes
from lowpix.errors import InputError


@settings(max_examples=30)
@given(
    st.integers(16, 150),
    st.integers(16, 150),
    st.integers(2, len(CLASSES)),
    st.integers(0, 2**63),
    st.integers(0, 999),
)
def test_any_size_and_number_of_classes(height: int, width: int, classes: int, seed: int, index: int) -> None:
    scenes = Scenes(size=(height, width), count=1000, classes=classes, seed=seed)
    name = scenes.images[index]
    image, labels = scenes.image(name), scenes.labels(name)
    assert image.shape == (height, width, 3)
    assert labels.shape == (height, width)
    assert image.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*range(classes), IGNORE}
    assert scenes.classes == CLASSES[:classes]
    assert len(np.unique(scenes.palette, axis=0)) == classes


def test_same_seed_same_scene_and_others_differ() -> None:
    first, again = Scenes(seed=3), Scenes(seed=3, count=40)
    assert first.images == again.images[:8]
    for name in first.images[:2]:
        np.testing.assert_array_equal(first.image(name), again.image(name))
        np.testing.assert_array_equal(first.labels(name), again.labels(name))
    others = [
        Scenes(seed=4).labels("scene_000"),
        Scenes("test", seed=3).labels("scene_000"),
        first.labels("scene_001"),
    ]
    for other in others:
        assert (first.labels("scene_000") != other).mean() > 0.05


def test_defaults_hold_large_and_thin_regions() -> None:
    scenes = open_dataset("scenes")
    assert len(scenes.images) == 8
    labels = np.stack([scenes.labels(name) for name in scenes.images])
    assert labels.shape == (8, 120, 160)
    shares = np.array([(labels == label).mean() for label in range(6)])
    assert shares[:3].min() > 0.1  # sky, building, road
    assert 0.002 < shares[5] < 0.05  # pole
    assert all((labels == label).any((1, 2)).mean() > 0.8 for label in range(6))
    assert 0 < (labels == IGNORE).mean() < 0.05


def test_all_classes_occur() -> None:
    scenes = Scenes(size=(96, 128), classes=50, count=24)
    seen = np.unique([scenes.labels(name) for name in scenes.images])
    assert set(seen) >= set(range(50))


def test_neither_trivial_nor_impossible() -> None:
    # Labelled by its colour alone a pixel is often wrong, yet far better than by chance: nearest class mean.
    scenes = open_dataset("scenes", seed=1)
    for name in scenes.images[:4]:
        image, labels = scenes.image(name).reshape(-1, 3).astype(float), scenes.labels(name)
        assert labels is not None
        labels, kept = labels.ravel(), labels.ravel() != IGNORE
        means = [image[labels == label].mean(0) if (labels == label).any() else [1e9] * 3 for label in range(6)]
        guess = ((image[:, None] - np.array(means)) ** 2).sum(-1).argmin(1)
        assert 0.3 < (guess == labels)[kept].mean() < 0.9


def test_a_scene_takes_under_50_ms() -> None:
    scenes = Scenes()
    seconds = []
    for name in scenes.images:
        start = time.process_time()
        scenes.image(name)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"scene_size": (8, 160)}, "--scene-size 8 160: height and width must be 16 to"),
        ({"scene_count": 0}, "--scene-count 0: must be at least 1"),
        ({"scene_classes": 1}, "--scene-classes 1: must be 2 to 50"),
        ({"scene_classes": 51}, "--scene-classes 51: must be 2 to 50"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
    ],
)
def test_options_out_of_range(option: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset("scenes", **option)
    with pytest.raises(InputError, match="--images scene_8: scenes are named scene_000 to scene_007"):
        open_dataset("scenes").image("scene_8")


def test_a_folder_that_would_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--data-root {tmp_path}: scenes are generated: name --dataset folder"):
        open_data(DataOptions(data_root=tmp_path))


def test_a_misspelt_split_is_refused() -> None:
    with refused("--split tset: scenes has train, val, test"):
        Scenes("tset")
