"""The paths that networks are evaluated on, against plain products in float64.

`mlp` takes the fast one: bfloat16 where the processor multiplies it, else float32 like `mlp_float32`. On any
processor each is compared with an evaluation that shares no operation and no precision with it.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from network_samples import plain_logits, plain_mean
from numpy.typing import NDArray

from lowpix.data import Dataset, open_dataset
from lowpix.image_study import Options
from lowpix.image_study.loop import Case, reveal
from lowpix.image_study.setting import Shared
from lowpix.networks import NETWORKS, Parameters, PixelMLP, find_network
from lowpix.networks.learner import Learner, train

CPU = torch.device("cpu")
IMAGES, SEEDS = 4, 4
every_path = pytest.mark.parametrize("name", ["mlp", "mlp_float32"])


class Plain(PixelMLP):
    """The same networks, trained alike and evaluated in float64, the whole image at once."""

    def __init__(self) -> None:
        super().__init__("plain", exact=True)

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        assert keep is None
        yield slice(0, len(inputs)), plain_logits(parameters, inputs)


def area(network: str, scenes: Dataset) -> NDArray[np.float64]:
    """Under the accuracy curve, by seed and image, of margin by the study's own loop."""
    options = Options(max_pixels=60, pixels_per_round="20%", stop="budget", acquisition=("margin",))
    setting = replace(options.settings()[0], network=network)

    def cases() -> Iterator[Case]:
        for name in scenes.images:
            shared = Shared()
            for seed in range(SEEDS):
                yield setting.start(scenes, (name, seed), CPU, shared)

    means: dict[tuple[str, int], float] = {}
    for case in reveal(cases(), setting.schedule, setting.target, setting.stop, stack=IMAGES * SEEDS):
        means[case.unit] = float(np.mean([row["accuracy"] for row in case.rounds]))
    return np.array([[means[name, seed] for name in scenes.images] for seed in range(SEEDS)])


@pytest.mark.slow
def test_a_study_gives_what_one_in_float64_gives_within_its_own_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seeds on both paths, against other seeds on the plain one."""
    monkeypatch.setitem(NETWORKS, "plain", Plain())
    scenes = open_dataset("scenes", scene_size=(36, 48), scene_count=IMAGES)
    fast, plain = area("mlp", scenes), area("plain", scenes)
    # the mean over images of two runs of the plain path differs by as much as its seeds do
    spread = plain.mean(1).std(ddof=1) * np.sqrt(2)
    assert abs(fast.mean() - plain.mean()) < 2 * spread / np.sqrt(SEEDS)
    # and no image moves by more than another seed would move it
    assert np.abs(fast.mean(0) - plain.mean(0)).max() < 2 * plain.std(0, ddof=1).mean()


@every_path
def test_a_path_is_as_exact_as_its_precision(name: str) -> None:
    """Of trained networks, on float32 features whatever the path reads: the mean probability of every class."""
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    image[:, 20:40] //= 2
    network, exact = find_network(name), find_network("mlp_float32").inputs(image, CPU)
    inputs = network.inputs(image, CPU)
    learner = Learner(network.initial(inputs, 5, 4, torch.Generator().manual_seed(0)))
    answers = torch.arange(40) % 5
    train(network, [learner], [network.rows(inputs, torch.arange(0, 3000, 75))], [answers], network.first_steps)
    with torch.no_grad():
        logits = torch.cat([tile for _, tile in network.tiles(learner.parameters, inputs)], -1)
    assert logits.dtype == inputs.dtype
    difference = (logits.float().softmax(1).mean(0).T - plain_mean(learner.parameters, exact)).abs()
    most, on_average = (0.05, 0.002) if inputs.dtype == torch.bfloat16 else (1e-5, 1e-6)
    assert difference.max() < most
    assert difference.mean() < on_average


def test_the_exact_path_is_float32_on_every_processor() -> None:
    image = np.random.default_rng(0).integers(0, 255, (16, 24, 3)).astype(np.uint8)
    network = find_network("mlp_float32")
    inputs = network.inputs(image, CPU)
    parameters = network.initial(inputs, 3, 2, torch.Generator().manual_seed(0))
    assert inputs.dtype == torch.float32
    assert {logits.dtype for _, logits in network.tiles(parameters, inputs)} == {torch.float32}


def test_both_paths_train_from_the_same_weights() -> None:
    inputs = torch.zeros(10, 71)
    fast, exact = (
        find_network(name).initial(inputs, 3, 2, torch.Generator().manual_seed(5))
        for name in ("mlp", "mlp_float32")
    )
    assert fast.keys() == exact.keys()
    assert all(torch.equal(fast[name], exact[name]) for name in fast)
