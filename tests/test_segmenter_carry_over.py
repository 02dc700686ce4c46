"""A network that has learned from finished images, and its probabilities of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from refusals import refused

from lowpix.data import Dataset, open_dataset
from lowpix.segmenter import evaluation, method, training
from lowpix.segmenter.carry_over import Finished, carried_model, fresh, prior_of
from lowpix.segmenter.evaluation import class_probabilities, label_image
from lowpix.segmenter.model import Model, Segmenter
from lowpix.segmenter.training import Recipe

CPU = torch.device("cpu")
SHORT = Recipe(epochs=3, steps=4, learning_rate=0.002, weight_decay=0.01)


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return open_dataset("scenes", scene_size=(32, 48), scene_count=4)


def truth(dataset: Dataset, name: str) -> NDArray[np.uint8]:
    labels = dataset.labels(name)
    assert labels is not None
    return labels


def trained(scenes: Dataset, folder: Path, recipe: Recipe = SHORT, seed: int = 0, count: int = 2) -> Model:
    finished = Finished(scenes.images[:count], lambda name: truth(scenes, name))
    return carried_model(scenes, finished, "unet", seed, CPU, folder / "state.safetensors", recipe)[0]


def same(one: Segmenter, other: Segmenter) -> bool:
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in states)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_likeliest_class_is_the_label(scenes: Dataset, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and in tiles, of which each pixel has its own."""
    network = fresh("unet", len(scenes.classes))(0).eval()
    image = scenes.image(scenes.images[0])
    for tile, margin in ((1536, 128), (20, 4)):
        monkeypatch.setattr(evaluation, "TILE", tile)
        monkeypatch.setattr(evaluation, "MARGIN", margin)
        found = class_probabilities(network, image, scale, CPU)
        assert (found.shape, found.dtype) == ((*image.shape[:2], len(scenes.classes)), np.float32)
        np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)
        np.testing.assert_array_equal(found.argmax(2), label_image(network, image, scale, CPU, tile, margin))


def test_it_learns_the_label_maps_that_it_is_given(scenes: Dataset, tmp_path: Path) -> None:
    """Here that of an image, and of nothing else."""
    name = scenes.images[0]
    model = trained(scenes, tmp_path, Recipe(1, 40, 0.004, 0.01), count=1)
    found = prior_of(model, scenes.image(name), CPU).argmax(2)
    labelled = truth(scenes, name) != 255
    before = fresh("unet", len(scenes.classes))(0).eval()
    untaught = label_image(before, scenes.image(name), 1.0, CPU)
    right, at_first = (np.mean(labels[labelled] == truth(scenes, name)[labelled]) for labels in (found, untaught))
    assert right > 0.75 > at_first + 0.2


def test_a_stopped_training_ends_with_the_same_bits(
    scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = trained(scenes, tmp_path / "never")
    keep = training._keep

    def keep_and_stop(*state: Any) -> None:
        keep(*state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_keep", keep_and_stop)
        with pytest.raises(KeyboardInterrupt):
            trained(scenes, tmp_path / "stopped")
    assert training.finished_epochs(tmp_path / "stopped" / "state.safetensors") == 1
    assert same(trained(scenes, tmp_path / "stopped").network, never.network)
    assert not same(trained(scenes, tmp_path / "other", seed=1).network, never.network)


@pytest.mark.parametrize(("size", "scale"), [((32, 48), 1.0), ((360, 480), 0.5), ((1, 200), 1.0)])
def test_large_images_are_made_smaller(
    size: tuple[int, int], scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain(Dataset):
        name, split, classes = "plain", "train", ("one", "two")
        palette = np.zeros((2, 3), np.uint8)
        images = ("a", "b")

        def image(self, name: str) -> NDArray[np.uint8]:
            return np.full((*size, 3), 9, np.uint8)

        def labels(self, name: str) -> NDArray[np.uint8]:
            return np.zeros(size, np.uint8)

    monkeypatch.setattr(method, "train", lambda *rest, **named: [{"seconds": 0.0}])
    model = trained(Plain(), tmp_path)
    assert model.scale == pytest.approx(scale)
    assert model.size == (max(16, size[0]), size[1])
    assert prior_of(model, Plain().image("a"), CPU).shape == (*size, 2)


def test_an_unknown_network_is_refused() -> None:
    with refused("resnet", "unet", "hf:"):
        fresh("resnet", 3)(0)
