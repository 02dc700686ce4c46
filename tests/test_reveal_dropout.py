"""Monte-Carlo dropout in the last layer: samples of one network, from features kept once a pixel."""

import tomllib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_samples import tolerance
from refusals import refused
from session_samples import (
    CLASSES,
    SHAPE,
    TRUTH,
    assert_same_bits,
    assert_same_weights,
    image,
    play,
    right,
    same_weights,
)
from session_samples import start as start_plain

from lowpix.image_study import Options, image_study
from lowpix.networks import NETWORKS, Network
from lowpix.reveal.session import ImageSession, fit

RATE = 0.4
WITH_DROPOUT = [network for network in NETWORKS.values() if network.width]
every_network = pytest.mark.parametrize("network", WITH_DROPOUT, ids=lambda network: network.name)


def start(acquisition: str = "bald", **changes: Any) -> ImageSession:
    return start_plain(acquisition, **{"dropout": RATE, "samples": 6, "seed": 0} | changes)


@every_network
def test_a_sample_is_the_network_with_its_last_layer_thinned(network: Network) -> None:
    """Against the last layer's weights zeroed one sample at a time, and no `keep` at all."""
    inputs = network.inputs(image(), torch.device("cpu"))
    parameters = network.initial(inputs, CLASSES, 2, torch.Generator().manual_seed(0))
    keep = (torch.rand(3, network.width, generator=torch.Generator().manual_seed(1)) > RATE) / (1 - RATE)
    last = "weight3" if "weight3" in parameters else "head.weight"
    with torch.no_grad():
        together = torch.cat([logits for _, logits in network.tiles(parameters, inputs, keep)], -1)
        for sample, kept in enumerate(keep):
            shape = (1, 1, -1, *(1,) * (parameters[last].ndim - 3))
            thinned = parameters | {last: parameters[last] * kept.view(shape)}
            alone = torch.cat([logits for _, logits in network.tiles(thinned, inputs)], -1)
            # members lie apart by the number of samples
            torch.testing.assert_close(together[sample :: len(keep)], alone, **tolerance(inputs))


@every_network
def test_training_thins_the_same_layer(network: Network) -> None:
    inputs = network.inputs(image(), torch.device("cpu"))
    parameters = network.initial(inputs, CLASSES, 2, torch.Generator().manual_seed(0))
    pixels = torch.arange(0, 700, 37)
    kept = ((torch.rand(network.width, generator=torch.Generator().manual_seed(1)) > RATE) / (1 - RATE))[None]
    rows = network.rows(inputs, pixels)
    keep = kept[:, None, :, None].expand(1, 2, -1, len(pixels))
    stack = {name: value[None] for name, value in parameters.items()}
    with torch.no_grad():
        logits = network.logits(stack, rows[None] if network.stacks else rows, keep)[0]
        whole = torch.cat([tile for _, tile in network.tiles(parameters, inputs, kept)], -1)
    torch.testing.assert_close(logits, whole[..., pixels].float(), **tolerance(inputs))


def test_what_is_dropped_has_the_right_share_and_keeps_the_mean() -> None:
    session = start()
    question = session.ask(600)
    session.tell(question, right(question))
    steps = list(islice(session.kept_in_training(), 10))
    assert not torch.equal(steps[0], steps[1])
    kept = torch.stack(steps)
    assert kept.shape == (10, 1, session.network.width, 600)
    assert float((kept == 0).float().mean()) == pytest.approx(RATE, abs=0.005)
    assert float(kept.mean()) == pytest.approx(1, abs=0.01)
    assert kept.unique().tolist() == pytest.approx([0, 1 / (1 - RATE)])


def test_a_session_with_dropout_learns_and_repeats_to_the_bit() -> None:
    one, other = start(seed=3), start(seed=3)
    for session in (one, other):
        play(session, [8, 4, 8])
    assert one.members == 1
    np.testing.assert_array_equal(one.scores, other.scores)
    assert_same_bits(one, other)
    prediction = one.predict()
    assert prediction.labels.shape == SHAPE
    assert (one.log.overwrite(prediction.labels) == TRUTH).mean() > 0.6
    another = start(seed=4)
    play(another, [8, 4, 8])
    assert not same_weights(one, another)


def test_stacked_with_dropout_is_alone_to_the_bit() -> None:
    alone, stacked = [start(seed=seed) for seed in range(3)], [start(seed=seed) for seed in range(3)]
    plain = start(seed=0, dropout=0, members=1, acquisition="margin")  # in the list, but in no stack with dropout
    for session in (*alone, *stacked, plain):
        question = session.ask(8)
        session.tell(question, right(question))
    for session in alone:
        fit([session])
    fit([plain, *stacked])
    for one, other in zip(alone, stacked, strict=True):
        assert_same_weights(one, other)
    assert not same_weights(plain, alone[0])


@pytest.mark.parametrize("acquisition", ["bald", "mean_std", "variation_ratio", "power_bald", "balent"])
def test_one_member_has_nothing_to_compare(acquisition: str) -> None:
    with refused(f"--acquisition {acquisition}", "at least 2", "--members-from dropout"):
        start(acquisition, dropout=0, members=1)


def test_a_study_with_dropout_says_so_in_its_settings(tmp_path: Path) -> None:
    options = Options(
        scene_count=1,
        scene_size=(24, 32),
        members_from="dropout",
        mc_samples=4,
        dropout=0.3,
        acquisition=("bald", "random"),
        max_pixels=6,
        stop="budget",
        out=tmp_path / "dropout",
    )
    study = image_study(options)
    settings = tomllib.loads((study.folder / "study.toml").read_text())["settings"]
    said = {"members_from": "dropout", "mc_samples": 4, "dropout": 0.3}
    assert settings | said == settings
    assert set(study.tables().summary["setting"]) == {"mlp-bald-edges", "mlp-random-edges"}
