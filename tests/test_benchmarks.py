"""That the benchmarks run, that both sides of a comparison do the same, and that ratios are what they say."""

import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from annotate_pages import needs_chromium
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.agreement import shared
from benchmarks.floors import round_of_mlp
from benchmarks.plain_mlp import PlainMLP
from benchmarks.report import Row, write_table
from lowpix.data import IGNORE, Dataset, open_dataset
from lowpix.networks import PixelMLP
from lowpix.reveal.session import ImageSession, fit

ROOT = Path(__file__).parents[1]
COLUMNS = ["what", "value", "unit", "baseline", "ratio"]


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return open_dataset("scenes", scene_size=(40, 56), scene_count=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "image_study",
        "memory",
        "agreement",
        "coverage",
        "scaling",
        "cluster",
        "grid",
        pytest.param("annotate", marks=needs_chromium),
    ],
)
def test_a_smoke_run_measures_every_row(name: str, tmp_path: Path) -> None:
    out = tmp_path / "made" / f"{name}.csv"
    benchmark = import_module(f"benchmarks.{name}")
    benchmark.command(benchmark.Options(smoke=True, out=out))
    table = pd.read_csv(out)
    assert list(table)[:5] == COLUMNS
    assert (table["value"].notna() & table[["machine", "torch", "date"]].notna().all(axis=1)).all()
    if name == "image_study":
        expected = {"study_to_60_vs_plain_mlp", "study_of_12_pixels_vs_margin"}
        expected |= {"round_vs_unet", "round_vs_forest", "round_vs_walker"}
        expected |= {f"round_mlp_{kind}_{count}" for kind in ("error_depth", "margin") for count in (8, 16)}
        assert set(table["what"]) == expected
        assert set(table["unit"]) >= {"s CPU", "s wall", "pixels", "accuracy", "accuracy at 8 pixels"}
        assert table["baseline"].notna().all()


@pytest.mark.slow
def test_one_runs_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "floors.csv"
    command = [sys.executable, "-m", "benchmarks.floors", "--smoke", "--out", str(out)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    table = pd.read_csv(out)
    assert list(table)[:5] == COLUMNS
    differences = table["what"] == "softmax_and_score"  # of two short times: noise can make it negative
    assert (table["value"][~differences] > 0).all()
    assert differences.sum() == 1
    assert table["what"].str.contains("floor").any()


@pytest.mark.parametrize("acquisition", ["error_depth", "margin"])
def test_the_plain_study_trains_the_same_networks(scenes: Dataset, acquisition: str) -> None:
    image, truth = scenes.image(scenes.images[0]), scenes.labels(scenes.images[0])
    assert truth is not None
    session = ImageSession(
        image,
        truth != IGNORE,
        len(scenes.classes),
        network="mlp_float32",
        acquisition=acquisition,
        smoothing="none",
        truth=truth,
        seed=3,
    )
    plain = PlainMLP(image, truth, len(scenes.classes), acquisition, session.learner.parameters)
    for count in (12, 4):  # from fresh weights, then from those of the round before
        question = session.ask(count)
        session.tell(question, truth[tuple(question.T)])
        plain.tell(question)
        fit([session])
        plain.fit()
        prediction = session.predict()
        labels = plain.predict()
        assert (labels == prediction.labels).mean() > 0.999
        torch.testing.assert_close(
            plain.probabilities.amax(1), torch.from_numpy(prediction.confidence).ravel(), atol=2e-3, rtol=0
        )
        known = session.log.overwrite(labels)[truth != IGNORE] == truth[truth != IGNORE]
        assert plain.accuracy() == pytest.approx(known.mean())


def test_the_plain_study_asks_for_the_centre_of_the_largest_mistake(scenes: Dataset) -> None:
    truth = np.zeros((40, 56), np.uint8)
    truth[5:16, 10:21] = 1  # 11×11: 6 deep at (10, 15)
    truth[30:33, 40:43] = 2  # 3×3: 2 deep at (31, 41)
    truth[20:40, 0:8] = IGNORE
    weights = PixelMLP().initial(torch.zeros(1, 71), 3, 4, torch.Generator().manual_seed(0))
    plain = PlainMLP(scenes.image(scenes.images[0]), truth, 3, "error_depth", weights)
    plain.labels = np.zeros_like(truth)
    assert plain.ask(1).tolist() == [[10, 15]]
    assert plain.ask(6)[[0]].tolist() == [[10, 15]]
    assert [31, 41] in plain.ask(6).tolist()


def test_ratios_are_those_of_means_and_of_times_alone(tmp_path: Path) -> None:
    rows = [Row("a", 1, "s CPU", 2), Row("a", 3, "s CPU", 14), Row("b", 0.5, "accuracy", 0.25), Row("c", 2, "MB")]
    write_table(tmp_path / "x.csv", rows, "none")
    table = pd.read_csv(tmp_path / "x.csv").set_index("what")
    assert table.loc["a", ["value", "baseline", "ratio", "measurements"]].tolist() == [2, 8, 4, 2]
    assert table.loc["b", ["value", "baseline"]].tolist() == [0.5, 0.25]
    assert np.isnan(table.loc[["b", "c"], "ratio"]).all()


def test_floors_count_the_products_of_an_ordinary_network() -> None:
    """Against torch's own count of the operations of one forward and backward pass."""
    members, features, classes, revealed, pixels = PixelMLP.members, 7, 5, 11, 13
    width = PixelMLP.width
    sizes = [features, width, width, classes]
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    model = torch.nn.Sequential(*layers)
    work = round_of_mlp(pixels, features, classes, revealed, 1)
    with FlopCounterMode(display=False) as forward:
        model(torch.zeros(pixels, features))
    assert work["evaluate"].operations == members * forward.get_total_flops()
    with FlopCounterMode(display=False) as both:
        model(torch.zeros(revealed, features)).sum().backward()
    weights = sum(layer.weight.numel() for layer in layers)
    adam = 12 * weights * members * PixelMLP.steps
    assert work["train"].operations - adam == PixelMLP.steps * members * both.get_total_flops()


def test_agreement_counts_what_two_draws_have_in_common() -> None:
    scores = np.arange(1000.0)
    assert shared(scores, scores, 1) == 1
    assert shared(scores, -scores, 1) == 0
    other = scores.copy()
    other[-5:] = -1  # five of the ten highest fall out
    assert shared(scores, other, 1) == 0.5
    assert shared(np.zeros(100_000), np.zeros(100_000), 1) < 0.05  # ties agree by chance alone
