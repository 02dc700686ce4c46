"""The trainer of a data set's network, and what it is shown, against plain numpy and PyTorch."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_runs import save_tiny_mobilenet
from torch.nn import functional

from lowpix.data import IGNORE, open_dataset
from lowpix.dataset_study.labels import Annotation, Material, full
from lowpix.segmenter.augment import Augmentation, Sample, blurred, recolour, resize_labels
from lowpix.segmenter.batches import Batches
from lowpix.segmenter.model import build
from lowpix.segmenter.training import Recipe, class_weights, train, weighted_cross_entropy

CPU = torch.device("cpu")
SCENES = open_dataset("scenes", scene_size=(24, 32), scene_count=3, scene_classes=4)
LEARN = Augmentation((24, 32), zoom=(0.5, 2), flip=True, colour=0.3)


# The loss


def test_loss_is_the_mean_over_labelled_pixels_and_void_has_no_say() -> None:
    draw = np.random.default_rng(0)
    logits = torch.from_numpy(draw.normal(size=(2, 4, 5, 6)).astype(np.float32)).requires_grad_()
    labels = draw.integers(0, 4, (2, 5, 6)).astype(np.uint8)
    labels[draw.random(labels.shape) < 0.4] = IGNORE
    loss = weighted_cross_entropy(logits, torch.from_numpy(labels), torch.ones(2, 5, 6))
    values = logits.detach().numpy()
    by_hand = []
    for b, row, column in np.argwhere(labels != IGNORE):
        pixel = values[b, :, row, column].astype(np.float64)
        by_hand.append(np.log(np.exp(pixel).sum()) - pixel[labels[b, row, column]])
    assert float(loss.detach()) == pytest.approx(np.mean(by_hand), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    gradient = logits.grad.abs().sum(1).numpy()
    assert not gradient[labels == IGNORE].any()
    assert (gradient[labels != IGNORE] > 0).all()


def test_class_weights_are_those_of_pytorch() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 5, generator=draw), torch.randint(0, 3, (2, 4, 5), generator=draw)
    weights = torch.tensor([0.2, 1.0, 3.0])
    ours = weighted_cross_entropy(logits, labels.to(torch.uint8), torch.ones(2, 4, 5), weights)
    assert float(ours) == pytest.approx(float(functional.cross_entropy(logits, labels, weights)), rel=1e-5)


def test_a_batch_without_labels_teaches_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8), torch.ones(1, 4, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_weights_of_classes_follow_their_share() -> None:
    pixels = np.array([900, 90, 10, 0])
    weights = class_weights(pixels).double().numpy()
    plain = 1 / np.log(1.02 + pixels / 1000)
    assert weights[3] == 0
    np.testing.assert_allclose(weights[:3] / weights[0], plain[:3] / plain[0], rtol=1e-6)
    assert (weights * pixels / 1000).sum() == pytest.approx(1)


def test_learning_rate_rises_and_falls_to_nothing() -> None:
    recipe = Recipe(epochs=10, steps=20, learning_rate=0.1, weight_decay=0)
    rates = [recipe.rate(step) for step in range(200)]
    assert rates[0] == pytest.approx(0.01)  # ten steps of warm-up
    assert max(rates) == rates[9]
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[100] == pytest.approx(0.1 * 0.5**0.9)
    assert 0 < rates[-1] < 0.001


def test_milestones_divide_the_rate_by_ten() -> None:
    recipe = Recipe(epochs=5, steps=3, learning_rate=0.2, weight_decay=0, milestones=(2, 4))
    expected = [0.2] * 6 + [0.02] * 6 + [0.002] * 3
    np.testing.assert_allclose([recipe.rate(step) for step in range(15)], expected)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_the_backbone_learns_more_slowly(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step against torch's own optimisers, each with the parameters of one part alone."""
    monkeypatch.setattr("lowpix.networks.device.multiplies_bfloat16", lambda _: False)
    folder = save_tiny_mobilenet(tmp_path / "tiny")

    def batches(step: int) -> Sample:
        draw = torch.Generator().manual_seed(step)
        labels = torch.randint(0, 3, (2, 32, 32), generator=draw).to(torch.uint8)
        return Sample(torch.rand(2, 3, 32, 32, generator=draw) * 255, labels, torch.ones(2, 32, 32))

    network, plain = (build(f"hf:{folder}", 3, 4, False, 0) for _ in range(2))
    for made in (network, plain):
        made.body.dropout = 0  # type: ignore[assignment]
    recipe = Recipe(1, 1, 0.01, 0.1, optimiser=kind, backbone=0.25, milestones=(1,))
    train(network, batches, recipe, 0, CPU, tmp_path / "state")
    sample = batches(0)
    logits = plain.train()(sample.image)
    functional.cross_entropy(logits, sample.labels.long()).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(plain.parameters(), 5)
    backbone = {id(parameter) for parameter in plain.backbone()}
    assert 10 < len(backbone) < len(list(plain.parameters()))
    optimiser = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
    for slow, rate in ((True, 0.0025), (False, 0.01)):
        chosen = [parameter for parameter in plain.parameters() if (id(parameter) in backbone) == slow]
        optimiser(chosen, lr=rate, weight_decay=0.1).step()
    ours, expected = dict(network.named_parameters()), dict(plain.named_parameters())
    apart = [(ours[name] - expected[name]).abs() > 1e-4 for name in ours]
    # the first step of Adam is as long for a tiny gradient, whose sign rounding may turn
    assert torch.cat([values.flatten() for values in apart]).float().mean() < 0.01


# What the network is shown


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_labels_stay_on_their_pixels(sparse: bool, scale: float) -> None:
    """In an image whose colours are its labels, every labelled pixel still has its own colour."""
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((16, 16))).astype(np.uint8)
    image = np.repeat(20 * labels[:, :, None], 3, axis=2)
    weights = labels.astype(np.float32)
    told = labels
    if sparse:
        told = np.full_like(labels, IGNORE)
        told[8::16, 8::16] = labels[8::16, 8::16]
    augmentation = Augmentation((30, 44), scale, zoom=(0.5, 2), flip=True)
    right = seen = 0
    for seed in range(40):
        sample = augmentation(image, told, weights, sparse, np.random.default_rng(seed))
        assert sample.image.shape == (3, 30, 44)
        assert sample.labels.shape == sample.weights.shape == (30, 44)
        shown, kept = sample.labels.numpy(), sample.labels.numpy() != IGNORE
        colours = sample.image.numpy().mean(0)[kept] / 20
        right += np.count_nonzero(np.abs(colours - shown[kept]) < 0.5)  # not so on a border, where colours mix
        seen += np.count_nonzero(kept)
        if not sparse:
            np.testing.assert_array_equal(sample.weights.numpy()[kept], shown[kept])
    assert seen > 100
    assert right > (0.99 if sparse else 0.85) * seen


def test_a_window_larger_than_the_image_holds_all_of_it() -> None:
    image, labels = np.full((10, 12, 3), 200, np.uint8), np.ones((10, 12), np.uint8)
    sample = Augmentation((24, 24), zoom=(1, 1))(image, labels, None, False, np.random.default_rng(1))
    assert np.count_nonzero(sample.labels == 1) == 120
    assert (sample.image.numpy()[:, sample.labels == 1] == 200).all()
    assert (sample.image.numpy()[:, sample.labels == IGNORE] == 127).all()


def test_without_options_a_sample_is_the_image() -> None:
    image, labels = SCENES.image("scene_000"), SCENES.labels("scene_000")
    assert labels is not None
    sample = Augmentation((24, 32))(image, labels, None, False, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), image)
    np.testing.assert_array_equal(sample.labels.numpy(), labels)
    assert (sample.weights == 1).all()


@pytest.mark.parametrize("zoom", [0.5, 1, 2])
def test_sparse_labels_teach_as_much_at_every_zoom_as_dense_ones(zoom: float) -> None:
    draw, image, share = np.random.default_rng(0), np.zeros((60, 80, 3), np.uint8), 0.01
    size = (15, 20) if zoom == 0.5 else (24, 32)  # a window that is no larger than the image
    augmentation = Augmentation(size, scale=0.5, zoom=(zoom, zoom))
    taught = []
    for _ in range(1000):
        labels = np.where(draw.random((60, 80)) < share, 1, IGNORE).astype(np.uint8)
        sample = augmentation(image, labels, None, True, draw)
        taught.append(float(sample.weights[sample.labels != IGNORE].sum()) / np.prod(size))
    # at half the resolution a pixel of the window stands for four; fewer where two labels go to one place
    assert np.mean(taught) == pytest.approx(4 * share, rel=0.1)


@pytest.mark.parametrize("size", [(10, 15), (20, 30), (33, 47)])
def test_sparse_labels_survive_resizing(size: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    labels = np.full((20, 30), IGNORE, np.uint8)
    rows, columns = np.arange(0, 20, 4), np.arange(0, 30, 6)
    labels[rows, columns] = draw.integers(0, 9, 5)
    resized = resize_labels(labels, size, sparse=True)
    for row, column in zip(rows, columns, strict=True):
        at = int((row + 0.5) * size[0] / 20), int((column + 0.5) * size[1] / 30)
        assert resized[at] == labels[row, column]
    assert np.count_nonzero(resized != IGNORE) == 5


def test_colour_factors_of_one_change_nothing() -> None:
    image = torch.rand(3, 4, 5) * 255
    torch.testing.assert_close(recolour(image, 1, 1, 1), image)
    grey = recolour(image, 1, 1, 0)
    torch.testing.assert_close(grey[0], grey[2])
    assert float(recolour(image, 0.5, 1, 1).mean()) == pytest.approx(float(image.mean()) / 2, rel=1e-4)


def batches(annotation: Annotation | None = None, seed: int = 0) -> Batches:
    annotation = annotation or full(Material(SCENES, SCENES.images, 0))
    return Batches(SCENES, annotation, LEARN, 2, seed)


def test_a_batch_depends_on_its_number_and_the_seed_alone() -> None:
    one, other = batches(), batches()
    other(7)
    other(3)
    for step in (3, 0):
        for a, b in zip(one(step), other(step), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(one(0).image, one(1).image)
    assert not torch.equal(one(0).image, batches(seed=1)(0).image)


def test_every_pass_shows_every_image_once() -> None:
    def place(name: str) -> tuple[np.ndarray, None]:
        return np.full((24, 32), SCENES.images.index(name), np.uint8), None

    seen = batches(Annotation(SCENES.images, place))
    samples = [labels for step in range(6) for labels in seen(step).labels]
    shown = [int(labels[labels != IGNORE].unique()) for labels in samples]  # one number each
    for start in range(0, 12, 3):
        assert sorted(shown[start : start + 3]) == [0, 1, 2]


# Training


def trained(state: Path, recipe: Recipe, stop_after: int = 0, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    network = build("unet", 4, 4, True, seed=1)

    def after(row: dict[str, float]) -> None:
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    history = train(network, batches(), recipe, 5, CPU, state, after_epoch=after, **options)
    return network.state_dict(), [{**row, "seconds": 0} for row in history]


@pytest.mark.parametrize("validated", [False, True])
def test_resumed_is_never_stopped_to_the_bit(tmp_path: Path, validated: bool) -> None:
    recipe = Recipe(3, 2, 0.01, 0.01, validate_every=1 if validated else 0)
    scores = [0.3, 0.6, 0.5]

    def options() -> dict[str, Any]:
        left = iter(scores)
        return {
            "class_weights": torch.tensor([1.0, 2, 1, 1]),
            "validate": (lambda _: next(left)) if validated else None,
        }

    whole, history = trained(tmp_path / "whole", recipe, **options())
    for stop in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "parts", recipe, stop, **options())
        if validated:
            del scores[0]
    torch.manual_seed(99)  # nothing may hang on it
    parts, again = trained(tmp_path / "parts", recipe, **options())
    assert history == again
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
    if validated:
        assert [row["validation_miou"] for row in history] == [0.3, 0.6, 0.5]


def test_the_best_checkpoint_is_that_of_its_epoch(tmp_path: Path) -> None:
    seen = []

    def validate(network: torch.nn.Module) -> float:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return [0.1, 0.9, 0.4][len(seen) - 1]

    best, _ = trained(tmp_path / "state", Recipe(3, 1, 0.01, 0, validate_every=1), validate=validate)
    for name, value in seen[1].items():
        assert torch.equal(value, best[name])
    assert not torch.equal(best["body.head.weight"], seen[2]["body.head.weight"])


def test_training_leaves_global_generators_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index,union-attr]
    trained(tmp_path / "state", Recipe(1, 1, 0.01, 0))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # type: ignore[index,call-overload]
    assert before[2] == random.getstate()


def test_loading_threads_change_nothing(tmp_path: Path) -> None:
    recipe = Recipe(2, 3, 0.01, 0)
    alone, _ = trained(tmp_path / "alone", recipe)
    ahead, _ = trained(tmp_path / "ahead", recipe, loaders=2)
    assert all(torch.equal(value, ahead[name]) for name, value in alone.items())


def test_it_learns(tmp_path: Path) -> None:
    _, history = trained(tmp_path / "state", Recipe(12, 5, 0.01, 0))
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["train_miou"] > history[0]["train_miou"]


def test_grey_and_blur_are_drawn_for_their_share_of_the_samples() -> None:
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    labels = np.zeros((24, 32), np.uint8)
    samples = [
        Augmentation((24, 32), grey=0.3, blur=0.6)(image, labels, None, False, np.random.default_rng(seed)).image
        for seed in range(400)
    ]
    grey = [bool((sample.std(0) < 0.01).all()) for sample in samples]
    given = torch.from_numpy(image).permute(2, 0, 1).float()
    rough = [float((sample[:, 1:] - sample[:, :-1]).abs().mean()) for sample in samples]
    own = [float((given.mean(0) if is_grey else given).diff(dim=-2).abs().mean()) for is_grey in grey]
    assert np.mean(grey) == pytest.approx(0.3, abs=0.07)
    # a blur of under a third of a pixel is hardly one: it is drawn from 0.1 to 2 pixels
    softer = np.array(rough) < 0.98 * np.array(own)
    assert 0.35 < softer.mean() < 0.67


def test_a_blur_is_a_gaussian() -> None:
    """A single bright pixel becomes the product of two bells of the given deviation."""
    image = torch.zeros(3, 31, 31)
    image[:, 15, 15] = 1
    bell = np.exp(-0.5 * (np.arange(-15, 16) / 1.5) ** 2)
    bell[np.abs(np.arange(-15, 16)) > 5] = 0  # cut at about three deviations
    bell /= bell.sum()
    np.testing.assert_allclose(blurred(image, 1.5)[0].numpy(), np.outer(bell, bell), atol=1e-3)
