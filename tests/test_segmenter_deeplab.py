"""DeepLabV3+ on backbones of transformers, and Monte-Carlo samples of the last layer."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_runs import save_tiny_mobilenet, save_tiny_segformer
from torch.nn import functional

from lowpix.segmenter.deeplab import dilate
from lowpix.segmenter.model import Model, Segmenter, build, load_model, save_model
from lowpix.segmenter.sampling import kept_channels, probabilities

CPU = torch.device("cpu")
DROPOUT = 0.4


def save_tiny_resnet(folder: Path) -> Path:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 2], layer_type="basic"
    )
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("backbones")
    return {"mobilenet": save_tiny_mobilenet(root / "mobilenet"), "resnet": save_tiny_resnet(root / "resnet")}


def network(name: str, folders: dict[str, Path], seed: int = 0) -> Segmenter:
    """In eval mode, with running statistics that are not those of the beginning."""
    made = build("unet" if name == "unet" else f"hf:{folders[name]}", 3, 6, False, seed)
    with torch.no_grad():
        made(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255)
    return made.eval()


@pytest.mark.parametrize("name", ["mobilenet", "resnet"])
@pytest.mark.parametrize("size", [(64, 96), (50, 70), (17, 33)])
def test_logits_come_at_stride_4_and_as_large_as_the_image(
    name: str, size: tuple[int, int], folders: dict[str, Path]
) -> None:
    made, images = network(name, folders), torch.rand(2, 3, *size) * 255
    assert made.features(images).shape == (2, 6, -(-size[0] // 4), -(-size[1] // 4))
    assert made(images).shape == (2, 3, *size)
    body: Any = made.body
    assert body._hidden(torch.zeros(1, 3, 64, 96))[-1].shape[-2:] == (4, 6)  # stride 16


@pytest.mark.parametrize("name", ["mobilenet", "resnet"])
def test_the_backbone_has_the_saved_weights_and_all_parts_learn(name: str, folders: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    saved = transformers.AutoModel.from_pretrained(folders[name]).state_dict()
    made = build(f"hf:{folders[name]}", 3, 6, False, 0)
    body: Any = made.body
    own = body.backbone.state_dict()
    weights = [key for key in own if key.endswith("weight")]
    assert len(weights) > 10
    assert all(torch.equal(own[key], saved[key]) for key in weights)
    scratch: Any = build(f"hf:{folders[name]}", 3, 6, True, 0).body
    assert not torch.equal(scratch.backbone.state_dict()[weights[0]], saved[weights[0]])
    made.train()
    made(torch.rand(1, 3, 32, 32) * 255).square().mean().backward()  # type: ignore[no-untyped-call]
    assert [key for key, value in made.named_parameters() if value.grad is None] == []
    assert {id(value) for value in made.backbone()} == {id(value) for value in body.backbone.parameters()}


@pytest.mark.parametrize("name", ["mobilenet", "resnet"])
def test_new_weights_follow_from_the_seed_and_a_model_comes_back_from_its_file(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    made, again, other = (build(f"hf:{folders[name]}", 3, 6, False, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(made.state_dict()["body.head.weight"], again.state_dict()["body.head.weight"])
    assert not torch.equal(made.state_dict()["body.head.weight"], other.state_dict()["body.head.weight"])
    made, palette = network(name, folders), np.zeros((3, 3), np.uint8)
    save_model(tmp_path / "a.safetensors", Model(made, ("a", "b", "c"), palette, 1.0, (24, 32)))
    read = load_model(tmp_path / "a.safetensors").network
    images = torch.rand(1, 3, 40, 56) * 255
    torch.testing.assert_close(read(images), made(images), rtol=0, atol=0)


def test_a_saved_segmentation_head_is_kept(tmp_path: Path) -> None:
    made = build(f"hf:{save_tiny_mobilenet(tmp_path / 'head', 3)}", 3, 6, False, 0)
    assert made.head is None
    assert made.body.description["network"] == "hf"


def test_a_dilated_stage_sees_the_same_pixels_on_a_finer_grid(folders: dict[str, Path]) -> None:
    """Every second row and column of its features are those of the stage with its stride."""
    transformers = pytest.importorskip("transformers")
    stage = transformers.AutoModel.from_pretrained(folders["resnet"]).eval().encoder.stages[-1]
    finer = copy.deepcopy(stage)
    dilate(finer)
    features = torch.randn(1, 16, 12, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = finer(features), stage(features)
    assert found.shape[-2:] == (12, 16)
    torch.testing.assert_close(found[..., ::2, ::2], expected)


# Monte-Carlo samples of the last layer


@pytest.mark.parametrize(("name", "stride"), [("unet", 1), ("unet", 4), ("mobilenet", 4), ("mobilenet", 2)])
def test_samples_are_the_whole_network_run_once_for_each(
    name: str, stride: int, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the network run from the image on, with the weights of dropped channels at zero."""
    monkeypatch.setattr("lowpix.networks.device.multiplies_bfloat16", lambda _: False)
    made = network(name, folders)
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    kept = kept_channels(made, 5, DROPOUT, seed=3)
    found = probabilities(made, image, 1.0, stride, CPU, kept)
    assert found.shape == (5, 3, 48 // stride, 64 // stride)
    given = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    body: Any = made.body
    weight = body.head.weight.detach().clone()
    for sample in range(5):
        with torch.no_grad():
            body.head.weight.copy_(weight * kept[sample])
            logits = body((given - made.mean) / made.std)
            expected = functional.interpolate(logits, found.shape[-2:], mode="bilinear").softmax(1)[0]
        torch.testing.assert_close(found[sample], expected, rtol=1e-4, atol=1e-5)
    body.head.weight.data.copy_(weight)
    plain = probabilities(made, image, 1.0, stride, CPU)
    assert plain.shape == (1, 3, 48 // stride, 64 // stride)
    assert (found - plain).abs().max() > 1e-3


def test_the_mean_of_many_samples_is_that_of_dropout_in_training(folders: dict[str, Path]) -> None:
    """Torch's own dropout, called by the network itself."""
    made = network("mobilenet", folders)
    body: Any = made.body
    body.dropout = DROPOUT
    image = np.random.default_rng(1).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    many = probabilities(made, image, 1.0, 4, CPU, kept_channels(made, 4000, DROPOUT, seed=0))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        features = made.features(torch.from_numpy(image).permute(2, 0, 1)[None].float())
        dropped = functional.dropout2d(features.expand(4000, -1, -1, -1), DROPOUT, training=True)
        expected = body.head(dropped).softmax(1)
    torch.testing.assert_close(many.mean(0), expected.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(many.std(0), expected.std(0), rtol=0, atol=0.01)


def test_dropout_thins_the_last_layer_in_training_alone(folders: dict[str, Path]) -> None:
    for name in ("unet", "mobilenet"):
        made, images = network(name, folders), torch.rand(1, 3, 32, 32) * 255
        made.body.dropout = 0.999999  # type: ignore[assignment]
        body: Any = made.body
        with torch.no_grad():
            made.train()
            nothing = made(images)
            made.eval()
            whole = made(images)
        bias = body.head.bias.detach().view(1, -1, 1, 1)
        torch.testing.assert_close(nothing, bias.expand_as(nothing))
        assert (whole - bias).abs().max() > 1e-3


def test_a_network_that_hides_its_last_layer_gives_one_member(tmp_path: Path) -> None:
    made = build(f"hf:{save_tiny_segformer(tmp_path, 3)}", 3, 6, False, 0).eval()
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    found = probabilities(made, image, 0.5, 2, CPU)
    assert found.shape == (1, 3, 16, 24)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 16, 24))
