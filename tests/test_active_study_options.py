"""The options of an active study: networks, oracles, selections, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from active_runs import scenes, study, truth
from dataset_runs import save_tiny_mobilenet, save_tiny_segformer
from refusals import refused

from lowpix.data import IGNORE


def test_a_model_of_transformers_asks(tmp_path: Path) -> None:
    """DeepLabV3+ on a tiny MobileNetV2, at half resolution, with an oracle that errs and refuses."""
    network = f"hf:{save_tiny_mobilenet(tmp_path / 'tiny')}"
    tables = study(
        tmp_path / "out",
        network=network,
        acquisition=("bald", "vote_entropy", "stratified"),
        scale=0.5,
        oracle_refusal=0.3,
        oracle_noise=0.3,
        ask_void=True,
        optimiser="adam",
        milestones=(1,),
        grey=0.5,
        blur=0.5,
        class_weights=True,
        select="validation",
        first_epochs=3,
        full=False,
    )
    rounds = tables.rounds.query("setting == 'deeplab-bald'")
    assert list(rounds["asked"]) == [6, 12, 18]
    assert (rounds["revealed"] < rounds["asked"]).all()
    assert (rounds["annotated_fraction"] > 1).all()  # with the validation maps
    rates = tables.history.query("setting == 'deeplab-bald' and round == 0")["learning_rate"]
    np.testing.assert_allclose(rates, [0.0005, 0.00005, 0.00005])
    train = scenes("train")
    told = tables.revealed
    right = [truth(train, one.image)[one.row, one.column] == one.label for one in told.itertuples()]
    assert 0.5 < np.mean(right) < 0.9


def test_an_annotator_errs_at_borders_alone(tmp_path: Path) -> None:
    tables = study(tmp_path, acquisition=("random",), full=False, max_pixels=6, oracle_border_noise=0.5)
    assert set(tables.rounds["oracle"]) == {"label map, 0.5 wrong at borders"}
    train, wrong, near = scenes("train"), [], []
    for one in tables.revealed.itertuples():
        labels = truth(train, one.image)
        window = labels[max(0, one.row - 2) : one.row + 3, max(0, one.column - 2) : one.column + 3]
        wrong.append(labels[one.row, one.column] != one.label)
        near.append(bool(((window != labels[one.row, one.column]) & (window != IGNORE)).any()))
        assert one.label in window
    assert sum(wrong) > 0
    assert not any(error and not border for error, border in zip(wrong, near, strict=True))


def test_top_keeps_its_distance(tmp_path: Path) -> None:
    options = {"selection": "top", "spacing": 3, "full": False, "max_pixels": 12}
    tables = study(tmp_path, acquisition=("entropy", "power_bald"), **options)
    for _, told in tables.revealed.query("round > 0").groupby(["setting", "image", "round"]):
        pixels = told[["row", "column"]].to_numpy()
        apart = np.abs(pixels[:, None] - pixels[None]).max(-1) + 99 * np.eye(len(pixels))
        assert apart.min() > 3


def test_the_pixels_of_a_cell_share_a_score(tmp_path: Path) -> None:
    """Three rows of four cells: the best one has more pixels than are asked, so all come from it."""
    options = {"selection": "top", "spacing": 0, "score_stride": 8, "full": False, "max_pixels": 12}
    tables = study(tmp_path, acquisition=("entropy",), **options)
    later = tables.revealed.query("round == 1")
    assert len(later) == 3 * 6
    for _, told in later.groupby("image"):
        assert len(set(zip(told["row"] // 8, told["column"] // 8, strict=True))) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"acquisition": ("error_depth",)}, "--acquisition error_depth: must be one that does not use the true"),
        ({"acquisition": ("facility",)}, "--acquisition facility: must be another than facility"),
        ({"acquisition": ("margins",)}, "--acquisition margins: unknown"),
        ({"acquisition": ("bald",), "dropout": 0.0}, "--dropout 0.0: must be above 0 with bald"),
        ({"retrain": True}, "--retrain True: must be used with --start warm"),
        ({"milestones": (5, 5)}, "--milestones 5 5: must be numbers of epochs"),
        ({"first_pixels": 20}, "--first-pixels 20: must lie between 1 and"),
        ({"max_pixels": 10**6}, "--max-pixels 1000000: must be reached within 1000 rounds"),
        ({"pixels_per_round": "default"}, "--pixels-per-round default: must be given as a number"),
        ({"network": "resnet"}, "--network resnet: unknown"),
        ({"test_split": "train"}, "--split train: must not be tested on itself"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with refused(told):
        study(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_only_pretrained_parameters_learn_more_slowly(tmp_path: Path) -> None:
    """The rate of a backbone of random weights is that of the head."""
    network = f"hf:{save_tiny_mobilenet(tmp_path / 'tiny')}"
    given = {
        "network": network,
        "acquisition": ("random",),
        "full": False,
        "max_pixels": 6,
        "learning_rate": 0.001,
    }
    slow, all_alike, from_scratch, slow_from_scratch = (
        study(tmp_path / f"{rate}_{scratch}", **given, backbone_rate=rate, from_scratch=scratch).history["loss"]
        for scratch in (False, True)
        for rate in ((1e-6, 1.0) if not scratch else (1.0, 1e-6))
    )
    assert not slow.equals(all_alike)
    pd.testing.assert_series_equal(from_scratch, slow_from_scratch)


def test_a_network_that_hides_its_last_layer_is_not_sampled(tmp_path: Path) -> None:
    network = f"hf:{save_tiny_segformer(tmp_path / 'tiny', 4)}"
    with refused("--acquisition balent: compares samples of the last layer"):
        study(tmp_path / "out", network=network, acquisition=("balent",))
