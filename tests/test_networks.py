"""What every registered network owes the reveal loop, and each network against plain PyTorch modules."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from network_samples import tolerance
from numpy.typing import NDArray
from refusals import refused
from torch import nn

from lowpix.networks import NETWORKS, MixedNetwork, Network, Parameters, Solver, find_network
from lowpix.networks.features import FEATURES, SEGMENT_SCALES, pixel_features
from lowpix.networks.learner import Learner, Solution, train

CLASSES, MEMBERS = 3, 2
CPU = torch.device("cpu")
SIZES = [(37, 53), (16, 16), (59, 71), (1, 40), (23, 1), (1, 1)]  # odd, of several tiles, and as thin as it gets

SINGLE = [network for network in NETWORKS.values() if not isinstance(network, MixedNetwork)]
every_network = pytest.mark.parametrize("network", SINGLE, ids=lambda one: one.name)
TRAINED = [network for network in SINGLE if not isinstance(network, Solver)]
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: "×".join(map(str, size)))


def toy(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noisy upright stripes in three colours, and which stripe each pixel lies in."""
    labels = np.broadcast_to(np.arange(width) * CLASSES // width, (height, width)).astype(np.uint8)
    colours = np.array([(200, 60, 40), (60, 180, 70), (40, 60, 210)])
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8), labels


@cache
def inputs_of(name: str, size: tuple[int, int]) -> torch.Tensor:
    return NETWORKS[name].inputs(toy(*size)[0], CPU)


def members_of(network: Network, members: int = MEMBERS) -> int:
    return 1 if isinstance(network, Solver) else members


def fresh(network: Network, inputs: torch.Tensor, seed: int = 0, members: int = MEMBERS) -> Parameters:
    members = members_of(network, members)
    return network.initial(inputs, CLASSES, members, torch.Generator().manual_seed(seed))


def stacked(*parameters: Parameters) -> Parameters:
    return {name: torch.stack([own[name] for own in parameters]) for name in parameters[0]}


def all_logits(network: Network, parameters: Parameters, inputs: torch.Tensor) -> torch.Tensor:
    """`(M, C, N)`, put together from tiles that must follow each other without gap or overlap."""
    tiles = list(network.tiles(parameters, inputs))
    start = 0
    for where, logits in tiles:
        assert (where.start, where.step) == (start, None)
        assert logits.shape[-1] == where.stop - where.start
        start = where.stop
    return torch.cat([logits for _, logits in tiles], dim=-1)


@every_network
def test_declares_how_it_is_trained(network: Network) -> None:
    assert find_network(network.name) is network
    assert network.members >= 1
    assert network.first_steps >= network.steps >= 1
    assert isinstance(network.stacks, bool)
    if isinstance(network, Solver):
        assert (network.members, network.first_steps, network.steps) == (1, 1, 1)
    else:
        assert 0 < network.learning_rate < 1


def test_unknown_network_lists_those_there_are() -> None:
    with refused("--network cnn", *NETWORKS):
        find_network("cnn")


@every_network
@every_size
def test_shapes_at_any_size(network: Network, size: tuple[int, int]) -> None:
    inputs = inputs_of(network.name, size)
    parameters = fresh(network, inputs)
    for value in parameters.values():
        assert value.shape[0] == members_of(network)
        assert value.dtype == torch.float32
        assert value.device == CPU
    logits = all_logits(network, parameters, inputs)
    assert logits.shape == (members_of(network), CLASSES, size[0] * size[1])
    assert logits.dtype == inputs.dtype
    assert logits.isfinite().all()


@every_network
@every_size
def test_rows_give_what_tiles_give_at_those_pixels(network: Network, size: tuple[int, int]) -> None:
    inputs = inputs_of(network.name, size)
    parameters = fresh(network, inputs)
    count = min(size[0] * size[1], 50)
    pixels = torch.from_numpy(np.random.default_rng(1).permutation(size[0] * size[1])[:count].copy())
    rows = network.rows(inputs, pixels)
    if network.stacks:
        assert isinstance(rows, torch.Tensor)
        assert rows.shape[-1] == count
        rows = rows[None]
    logits = network.logits(stacked(parameters), rows)
    assert logits.shape == (1, members_of(network), CLASSES, count)
    expected = all_logits(network, parameters, inputs)[..., pixels]
    torch.testing.assert_close(logits[0], expected.float(), **tolerance(inputs))


@pytest.mark.parametrize("network", [one for one in SINGLE if one.stacks], ids=lambda one: one.name)
def test_a_stack_holds_each_session_apart(network: Network) -> None:
    pixels = torch.arange(30)
    inputs = [inputs_of(network.name, size) for size in ((37, 53), (59, 71))]
    parameters = [fresh(network, one, seed) for seed, one in enumerate(inputs)]
    rows = [network.rows(one, pixels) for one in inputs]
    together = network.logits(stacked(*parameters), torch.stack(rows))
    alone = [network.logits(stacked(p), r[None])[0] for p, r in zip(parameters, rows, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("network", TRAINED, ids=lambda one: one.name)
def test_parameters_are_drawn_from_the_generator_alone(network: Network) -> None:
    inputs = inputs_of(network.name, (37, 53))
    torch.manual_seed(1)
    first = fresh(network, inputs, 5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, other = fresh(network, inputs, 5), fresh(network, inputs, 6)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.keys() == again.keys() == other.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if not torch.equal(first[name], other[name])]
    assert drawn
    assert all(not torch.equal(first[name][0], first[name][1]) for name in drawn)  # members differ


@every_network
def test_a_fresh_network_is_unsure(network: Network) -> None:
    inputs = inputs_of(network.name, (37, 53))
    p = all_logits(network, fresh(network, inputs, members=4), inputs).softmax(1).mean(0)
    assert p.amax(0).mean() < 0.85


@every_network
def test_learns_a_toy_image_from_a_few_pixels(network: Network) -> None:
    labels = toy(37, 53)[1]
    inputs = inputs_of(network.name, (37, 53))
    pixels = torch.from_numpy(np.random.default_rng(3).choice(labels.size, 24, replace=False))
    answers = torch.from_numpy(labels.ravel().astype(np.int64))[pixels]
    parameters = fresh(network, inputs, members=network.members)
    learner = Solution(network, parameters) if isinstance(network, Solver) else Learner(parameters)

    def agreement() -> float:
        mean = all_logits(network, learner.parameters, inputs).softmax(1).mean(0)
        return float((mean.argmax(0).numpy() == labels.ravel()).mean())

    before = agreement()
    if isinstance(learner, Solution):
        learner.solve(network.rows(inputs, pixels), answers)
    else:
        train(network, [learner], [network.rows(inputs, pixels)], [answers], network.first_steps)
    assert before < 0.7
    assert agreement() > 0.9
    assert learner.step == network.first_steps


def plain_mlp(parameters: Parameters, member: int) -> nn.Module:
    """The same network as anyone would write it, reading rows `(n, F)`."""
    layers: list[nn.Module] = []
    for index in (1, 2, 3):
        weight, bias = parameters[f"weight{index}"][member], parameters[f"bias{index}"][member]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = weight, bias[:, 0]
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PlainUNet(nn.Module):
    """The same U-Net spelt out layer by layer, for heights and widths that 8 divides."""

    def __init__(self, parameters: Parameters, member: int) -> None:
        super().__init__()

        def block(name: str) -> nn.Sequential:
            layers: list[nn.Module] = []
            for index in (0, 1):
                weight = parameters[f"{name}.conv{index}.weight"][member]
                convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
                convolution.weight.data = weight
                norm = nn.GroupNorm(4, weight.shape[0])
                norm.weight.data = parameters[f"{name}.norm{index}.weight"][member]
                norm.bias.data = parameters[f"{name}.norm{index}.bias"][member]
                layers += [convolution, norm, nn.ReLU()]
            return nn.Sequential(*layers)

        self.down0, self.down1, self.down2, self.down3 = (block(f"down.{level}") for level in range(4))
        self.up0, self.up1, self.up2 = (block(f"up.{level}") for level in range(3))
        weight = parameters["head.weight"][member]
        self.head = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        self.head.weight.data, self.head.bias.data = weight, parameters["head.bias"][member]
        self.pool, self.grow = nn.MaxPool2d(2), nn.UpsamplingNearest2d(scale_factor=2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        full = self.down0(image)
        half = self.down1(self.pool(full))
        quarter = self.down2(self.pool(half))
        eighth = self.down3(self.pool(quarter))
        quarter = self.up2(torch.cat([quarter, self.grow(eighth)], dim=1))
        half = self.up1(torch.cat([half, self.grow(quarter)], dim=1))
        full = self.up0(torch.cat([full, self.grow(half)], dim=1))
        return self.head(full)


def perturbed(parameters: Parameters) -> Parameters:
    """Away from the initial zeros and ones, so that every bias and norm shows."""
    draw = torch.Generator().manual_seed(9)
    return {
        name: value + 0.3 * torch.randn(value.shape, generator=draw) * (value.std() + 0.1)
        for name, value in parameters.items()
    }


def check_against(plain: Callable[[Parameters, int, torch.Tensor], torch.Tensor], name: str, height: int) -> None:
    network, inputs = NETWORKS[name], inputs_of(name, (height, 48))
    parameters = perturbed(fresh(network, inputs))
    with torch.no_grad():
        expected = torch.stack([plain(parameters, member, inputs.float()) for member in range(MEMBERS)])
    logits = all_logits(network, parameters, inputs).float()
    torch.testing.assert_close(logits, expected, **tolerance(inputs))


@pytest.mark.parametrize("name", ["mlp", "mlp_float32"])
def test_mlp_is_a_plain_mlp(name: str) -> None:
    check_against(lambda parameters, member, inputs: plain_mlp(parameters, member)(inputs).T, name, 59)


def test_unet_is_a_plain_unet() -> None:
    check_against(
        lambda parameters, member, inputs: PlainUNet(parameters, member)(inputs)[0].flatten(1), "unet", 40
    )


def test_unet_extends_other_sizes_by_their_edge() -> None:
    network, inputs = NETWORKS["unet"], inputs_of("unet", (37, 53))
    parameters = perturbed(fresh(network, inputs))
    rows, columns = np.minimum(np.arange(40), 36), np.minimum(np.arange(56), 52)
    with torch.no_grad():
        expected = PlainUNet(parameters, 0)(inputs[:, :, rows][..., columns])[0, :, :37, :53].flatten(1)
    actual = all_logits(network, parameters, inputs)[0]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)


@every_size
def test_features_are_finite_and_the_same_each_time(size: tuple[int, int]) -> None:
    image, _ = toy(*size)
    features, again = pixel_features(image), pixel_features(image)
    assert features.dtype == torch.float32
    assert features.shape == (size[0] * size[1], FEATURES)
    assert features.isfinite().all()
    assert torch.equal(features, again)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_features_of_a_constant_image_are_finite(value: int) -> None:
    features = pixel_features(np.full((21, 34, 3), value, np.uint8))
    assert features.isfinite().all()
    assert features.abs().max() < 10


def test_features_are_about_unit_scale_and_the_same_for_a_darker_image() -> None:
    grey = np.random.default_rng(0).normal(120, 30, (37, 53, 1)).clip(0, 255)
    image = np.repeat(grey, 3, axis=2).astype(np.uint8)
    features = pixel_features(image)
    assert features.mean(0).abs().max() < 3
    assert features.std(0).max() < 3
    # standardised for each image: lightness itself keeps no trace of how bright the image is
    assert abs(float(features[:, 0].mean())) < 1e-3
    assert float(features[:, 0].std()) == pytest.approx(1, abs=0.01)


def test_a_large_image_is_worked_on_in_blocks_of_rows() -> None:
    image, _ = toy(150, 53)
    whole = pixel_features(image)
    in_blocks = pixel_features(image, block=60 * 53)
    segments = 5 * len(SEGMENT_SCALES)  # these end at the borders of blocks, and nothing else does
    assert torch.equal(in_blocks[:, :-segments], whole[:, :-segments])
    assert not torch.equal(in_blocks, whole)
