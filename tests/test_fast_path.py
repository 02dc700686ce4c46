"""The fast path, in bfloat16 where the processor multiplies it, gives the tables of the plain one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowpix.image_study import Options, image_study
from lowpix.networks import find_network

IMAGES, REPEATS = 6, 4


def curves(out: Path, network: str) -> pd.DataFrame:
    options = Options(
        scene_count=IMAGES,
        scene_size=(48, 64),
        network=network,
        max_pixels=60,
        pixels_per_round="10%",
        stop="budget",
        repeats=REPEATS,
        out=out / network,
    )
    return image_study(options).tables().curves


@pytest.mark.slow
def test_tables_equal_those_of_the_plain_path_within_its_own_spread(tmp_path: Path) -> None:
    """Area under the accuracy curve: the same seeds on both paths, against other seeds on the plain path."""
    area = {
        network: curves(tmp_path, network)
        .groupby(["seed", "image"])["accuracy"]
        .mean()
        .unstack("image")
        .to_numpy()
        for network in ("mlp", "mlp_float32")
    }  # (seeds, images)
    plain = area["mlp_float32"]
    # the mean over images of two runs of the plain path differs by as much as its seeds do
    spread = plain.mean(1).std(ddof=1) * np.sqrt(2)
    assert abs(area["mlp"].mean() - plain.mean()) < 2 * spread / np.sqrt(REPEATS)
    # and no image moves by more than another seed would move it
    assert np.abs(area["mlp"].mean(0) - plain.mean(0)).max() < 2 * plain.std(0, ddof=1).mean()


def test_plain_path_is_float32_on_every_processor() -> None:
    image = np.random.default_rng(0).integers(0, 255, (16, 24, 3)).astype(np.uint8)
    network = find_network("mlp_float32")
    inputs = network.inputs(image, torch.device("cpu"))
    parameters = network.initial(inputs, 3, 2, torch.Generator().manual_seed(0))
    assert inputs.dtype == torch.float32
    assert {logits.dtype for _, logits in network.tiles(parameters, inputs)} == {torch.float32}


def test_both_paths_train_from_the_same_weights() -> None:
    inputs = torch.zeros(10, 71)
    fast, plain = (
        find_network(name).initial(inputs, 3, 2, torch.Generator().manual_seed(5))
        for name in ("mlp", "mlp_float32")
    )
    assert all(torch.equal(fast[name], plain[name]) for name in fast)


def test_probabilities_move_little() -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    p = {}
    for name in ("mlp", "mlp_float32"):
        network = find_network(name)
        inputs = network.inputs(image, torch.device("cpu"))
        parameters = network.initial(inputs, 5, 4, torch.Generator().manual_seed(0))
        with torch.no_grad():
            logits = torch.cat([tile for _, tile in network.tiles(parameters, inputs)], -1).float()
        p[name] = logits.softmax(1).mean(0)
    assert (p["mlp"] - p["mlp_float32"]).abs().max() < 0.02
