"""The networks of a data set: ours, those of transformers, their files, and labels of images of any size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_runs import WEIGHTS, save_tiny_mobilenet, save_tiny_segformer
from safetensors.torch import save_file

from lowpix.errors import InputError
from lowpix.segmenter.evaluation import label_image
from lowpix.segmenter.model import FORMAT, Model, build, load_model, save_model, tensors

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_segformer(tmp_path_factory.mktemp("segformer"), 3)


@pytest.mark.parametrize("size", [(32, 48), (17, 33), (5, 3)])
def test_unet_gives_a_logit_per_pixel_and_class(size: tuple[int, int]) -> None:
    logits = build("unet", 7, 4, False, 0)(torch.rand(2, 3, *size) * 255)
    assert logits.shape == (2, 7, *size)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_initial_weights_follow_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (build("unet", 3, 4, True, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["body.head.weight"], other["body.head.weight"])


def test_a_model_of_transformers_gives_logits_of_the_images_size(tiny: Path) -> None:
    before = torch.get_rng_state()
    network = build(f"hf:{tiny}", 3, 0, False, 0).eval()
    assert torch.equal(before, torch.get_rng_state())
    assert network(torch.rand(1, 3, 20, 70) * 255).shape == (1, 3, 20, 70)
    images = torch.rand(2, 3, 72, 88) * 255
    logits = network(images)
    assert logits.shape == (2, 3, 72, 88)
    import transformers

    plain = transformers.SegformerForSemanticSegmentation.from_pretrained(tiny).eval()
    coarse = plain(pixel_values=(images - 127.5) / 127.5).logits  # the documented default
    torch.testing.assert_close(
        logits, torch.nn.functional.interpolate(coarse, (72, 88), mode="bilinear"), rtol=1e-4, atol=1e-5
    )


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_mobilenet(tmp_path_factory.mktemp("mobilenet"), 3)


def test_batch_norms_of_a_pretrained_model_remember_more_than_the_last_minibatch(mobilenet: Path) -> None:
    """Running means by hand, a tenth from each new minibatch: transformers' own would keep 0.3 % of all before."""
    network = build(f"hf:{mobilenet}", 3, 0, False, 0).train()
    stem: Any = next(m for m in network.modules() if hasattr(m, "normalization") and hasattr(m, "convolution"))
    seen: list[torch.Tensor] = []
    stem.convolution.register_forward_hook(lambda _, __, output: seen.append(output.mean((0, 2, 3))))
    expected = stem.normalization.running_mean.clone()
    for shade in (0, 200, 90):
        network(torch.rand(2, 3, 64, 64) * 50 + shade)
        expected = 0.9 * expected + 0.1 * seen[-1]
    torch.testing.assert_close(stem.normalization.running_mean, expected)
    assert {m.momentum for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_pretrained_model_keeps_most_channels_before_its_classifier(from_scratch: bool, mobilenet: Path) -> None:
    """MobileNetV2 declares 0.8, TensorFlow's share to keep, which torch takes as the share to drop."""
    declared = json.loads((mobilenet / "config.json").read_text())["classifier_dropout_prob"]
    network = build(f"hf:{mobilenet}", 3, 0, from_scratch, 0)
    rates = {m.p for m in network.modules() if isinstance(m, torch.nn.Dropout | torch.nn.Dropout2d)}
    assert declared == 0.8
    assert rates == {0.2}


def test_a_pretrained_model_is_trained_on_single_images(mobilenet: Path) -> None:
    """Its image pooling has one value per channel, which torch's batch norm refuses."""
    network = build(f"hf:{mobilenet}", 3, 0, False, 0).train()
    network(torch.rand(1, 3, 64, 64) * 255).square().mean().backward()  # type: ignore[no-untyped-call]
    pooled: Any = next(
        module for name, module in network.named_modules() if name.endswith("conv_pool.convolution")
    )
    assert pooled.weight.grad.abs().sum() > 0


def test_normalisation_is_that_of_the_models_preprocessor(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    declared = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 1], "rescale_factor": 1 / 255}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(declared))
    network = build(f"hf:{tmp_path}", 3, 0, False, 0)
    np.testing.assert_allclose(network.mean.flatten(), np.array([0.1, 0.2, 0.3]) * 255, rtol=1e-5)
    np.testing.assert_allclose(network.std.flatten(), np.array([0.5, 0.25, 1]) * 255, rtol=1e-5)


def test_a_model_may_want_no_normalisation_and_blue_before_red(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    plain = build(f"hf:{tmp_path}", 3, 0, False, 0).eval()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_flip_channel_order": True}))
    flipped = build(f"hf:{tmp_path}", 3, 0, False, 0).eval()
    images = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        expected = plain(images.flip(1) + 0)
        # (x − 127.5) / 127.5 of the one is x / 255 of the other
        np.testing.assert_allclose(flipped((images - 127.5) * 2), expected, atol=1e-4)


def test_a_truncated_file_of_weights_is_named(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 2000 if file.suffix == ".safetensors" else None])
    with pytest.raises(InputError, match="no segmentation model here"):
        build(f"hf:{tmp_path}", 3, 0, False, 0)


def test_a_new_head_and_weights_from_scratch_follow_from_the_seed(tiny: Path) -> None:
    saved = build(f"hf:{tiny}", 3, 0, False, 0).state_dict()
    more = build(f"hf:{tiny}", 5, 0, False, 1).state_dict()  # another head, the same body
    again = build(f"hf:{tiny}", 5, 0, False, 1).state_dict()
    scratch = build(f"hf:{tiny}", 3, 0, True, 1).state_dict()
    head = next(name for name in saved if name.endswith("decode_head.classifier.weight"))
    body = next(name for name in saved if name.endswith("proj.weight"))
    assert more[head].shape[0] == 5
    assert torch.equal(saved[body], more[body])
    assert torch.equal(more[head], again[head])
    assert not torch.equal(saved[body], scratch[body])


@pytest.mark.parametrize("network", ["resnet", "hf:", "hf:no/such-model"])
def test_an_unknown_network_is_named(network: str) -> None:
    if network == "hf:no/such-model":
        pytest.importorskip("transformers")
    with pytest.raises(InputError, match=f"--network {network}: ") as fault:
        build(network, 3, 4, False, 0)
    assert "\n" not in str(fault.value)


def test_without_transformers_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(InputError, match=r"needs transformers: pip install 'lowpix\[pretrained\]'"):
        build("hf:some/model", 3, 4, False, 0)


@pytest.mark.parametrize("kind", ["unet", "hf"])
def test_a_model_comes_back_from_its_file(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    name = "unet" if kind == "unet" else f"hf:{request.getfixturevalue('tiny')}"
    network = build(name, 3, 4, False, 0)
    network(torch.rand(2, 3, 32, 32) * 255)  # moves the running statistics, which must come back as well
    palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    file = tmp_path / "models" / "0.safetensors"
    save_model(file, Model(network, ("a", "b", "c"), palette, 0.5, (24, 32)), {"setting": "pseudo"})
    model = load_model(file)
    assert (model.classes, model.scale) == (("a", "b", "c"), 0.5)
    np.testing.assert_array_equal(model.palette, palette)
    network.eval()
    images = torch.rand(1, 3, 20, 24) * 255
    torch.testing.assert_close(model.network(images), network(images), rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_file_that_is_no_model_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors: cannot be read") as fault:
        load_model(file)
    assert "\n" not in str(fault.value)


def test_a_model_that_tells_too_little_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    description = {"network": "unet", "classes": 3, "width": 4}
    save_file(tensors(build("unet", 3, 4, False, 0)), file, {FORMAT: json.dumps({"description": description})})
    with pytest.raises(InputError, match=r"x\.safetensors: cannot be read .*'classes'"):
        load_model(file)


class ByColour(torch.nn.Module):
    """Class 1 where red is high: what the right label of every pixel is, whatever the tiles."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([images[:, 1], images[:, 0]], 1)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_tiles_change_no_label(scale: float) -> None:
    draw = np.random.default_rng(0)
    image = np.kron(draw.integers(0, 255, (15, 12, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    network: Any = ByColour()
    whole = label_image(network, image, scale, CPU)
    assert whole.shape == (90, 72)
    assert ((whole == 1) == (image[:, :, 0] > image[:, :, 1])).mean() > (0.99 if scale == 1 else 0.8)
    np.testing.assert_array_equal(label_image(network, image, scale, CPU, tile=24, margin=6), whole)


@pytest.mark.slow
def test_pretrained_weights_of_imagenet_are_read() -> None:
    pytest.importorskip("transformers")
    if not WEIGHTS.is_dir():
        pytest.skip(f"{WEIGHTS} is not there")
    network = build(f"hf:{WEIGHTS}", 11, 8, False, 0).eval()
    body: Any = network.body
    assert body.description["network"] == "deeplab"
    assert body.description["config"]["output_stride"] == 16
    images = torch.rand(1, 3, 360, 480) * 255
    with torch.no_grad():
        assert body((images - 127.5) / 127.5).shape == (1, 11, 90, 120)
        assert network(images).shape == (1, 11, 360, 480)
    np.testing.assert_allclose(network.mean.flatten(), 127.5)
    scratch = build(f"hf:{WEIGHTS}", 11, 8, True, 0).state_dict()
    stem = next(name for name in scratch if "conv_stem" in name and name.endswith("weight"))
    assert not torch.equal(scratch[stem], network.state_dict()[stem])
