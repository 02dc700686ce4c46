"""The order study as a whole: its tables, how it goes on, and what it refuses."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import write
from PIL import Image

from lowpix import ImageSession, InputError, image_study, order_study
from lowpix.networks import PixelMLP
from lowpix.order_study import Options, describe
from lowpix.order_study import order_study as run
from lowpix.record.order_tables import AGAINST, ARMS, order_pairs
from lowpix.reveal import order_runs

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 2, "max_pixels": 12, "pixels_per_round": "4"}


@pytest.fixture(autouse=True)
def _few_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five to twelve pixels in three rounds: 6 + 2 + 2 steps; few draws of a bootstrap, and few pictures."""
    if "picture" not in request.node.name:
        monkeypatch.setattr("lowpix.order_study.order_picture", lambda *_: None)
    monkeypatch.setattr("lowpix.record.measures.RESAMPLES", 199)
    monkeypatch.setattr(PixelMLP, "first_steps", 6)
    monkeypatch.setattr(PixelMLP, "steps", 2)
    monkeypatch.setattr("lowpix.image_study.write_pictures", lambda *_: None)


def studied(out: Path, **options: Any) -> Path:
    return image_study.image_study(
        image_study.Options(**SMALL | {"stop": "budget", "repeats": 2, "out": out} | options)
    ).folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowpix.image_study.write_pictures", lambda *_: None)
        return studied(tmp_path_factory.mktemp("image") / "x")


def again(study: Path, out: Path, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    return run(Options(**{"image_study": study, "out": out, "batch": 8, "plateau_cap": 2} | options))


def lasting(out: Path) -> str:
    """All that must be the same, as text: the digits of a float tell all its bits."""
    table = pd.read_csv(out / "order.csv", dtype=str).drop(columns="seconds")
    return table.to_csv(index=False) + (out / "order_pairs.csv").read_text()


def test_tables_and_picture(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, pairs = again(study, tmp_path)
    columns = "setting image seed study_seed arm steps pixels accuracy miou seconds"
    assert list(pd.read_csv(tmp_path / "order.csv").columns) == columns.split()
    assert len(table) == 2 * 3 * len(ARMS)
    assert table.loc[table["seed"] == 2, "study_seed"].eq(0).all()  # two seeds in the study, in turn
    steps = table.groupby("arm")["steps"].agg(["min", "max"])
    assert steps.drop("full_plateau").eq(10).all(axis=None)
    assert steps.loc["full_plateau"].eq(20).all()
    known = table[~table["arm"].str.startswith("full")]
    assert known["pixels"].eq(12).all()
    assert list(pairs["against"]) == [*AGAINST, *AGAINST]
    wide = table.pivot(index=["image", "seed"], columns="arm", values="accuracy")
    expected = (wide["in_order"] - wide["at_once"]).groupby("image").mean().mean()
    assert pairs["value"].iloc[0] == pytest.approx(expected, abs=1e-12)
    assert np.array(Image.open(tmp_path / "order.png").convert("L")).std() > 10
    settings = tomllib.loads((tmp_path / "study.toml").read_text())["settings"]
    assert (settings["seeds"], settings["study_seeds"], settings["network"]) == (3, [0, 1], "mlp")
    text = describe(table, pairs, Options(batch=8, plateau_cap=2))
    assert "2 images, 6 runs an arm, 8 pixels a step" in text
    assert "0 of 6 runs ended before 2 times" in text
    assert "in order, against the full label map without order" in text
    assert "42 runs, 42 of them to do" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.tmp"))


def test_all_arms_begin_with_the_same_weights(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[int, list[np.ndarray]] = {0: [], 1: []}

    def spy(session: ImageSession, *rest: Any) -> int:
        begun[len(begun[0]) // len(ARMS)].append(session.learner.flat.detach().numpy().copy())
        return order_runs_train(session, *rest)

    order_runs_train = order_runs._train
    monkeypatch.setattr(order_runs, "_train", spy)
    again(study, tmp_path, seeds=2, limit=1)
    for first, *others in begun.values():
        assert len(others) == len(ARMS) - 1
        assert all(np.array_equal(other, first) for other in others)
    assert not np.array_equal(begun[0][0], begun[1][0])


def test_arms_differ_and_depend_on_nothing_else(study: Path, tmp_path: Path) -> None:
    """Fresh weights: a run depends on its image and seed, not on which others are done."""
    table, _ = again(study, tmp_path / "all", seeds=1, limit=1)
    assert table["accuracy"].nunique() > 4
    (tmp_path / "all" / "order.csv").unlink()
    shutil.rmtree(tmp_path / "all" / "runs" / "shuffled")
    shutil.rmtree(tmp_path / "all" / "runs" / "full")
    other, _ = again(study, tmp_path / "all", seeds=1, limit=1)
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True)


def test_extended_is_done_at_once(study: Path, tmp_path: Path) -> None:
    again(study, tmp_path / "one", seeds=2)
    again(study, tmp_path / "two", seeds=1, limit=1)
    shutil.rmtree(tmp_path / "two" / "runs")  # the table alone will do
    again(study, tmp_path / "two", seeds=1)
    again(study, tmp_path / "two", seeds=2)
    assert lasting(tmp_path / "two") == lasting(tmp_path / "one")
    before = (tmp_path / "two" / "order.csv").read_bytes()
    again(study, tmp_path / "two", seeds=2)
    assert (tmp_path / "two" / "order.csv").read_bytes() == before
    with pytest.raises(InputError, match="batch was 8, now 16; only images, limit, seeds may change"):
        again(study, tmp_path / "two", batch=16)
    table, _ = again(study, tmp_path / "two", batch=16, seeds=1, limit=1, fresh=True)
    assert len(table) == len(ARMS)


def test_pairs_by_hand() -> None:
    """In pairs: seeds averaged within an image, images with the same weight; an unfinished pair is left out."""
    accuracy = {"in_order": 0.9, "at_once": 0.8, "at_once_weighted": 0.9, "full": 0.95}
    rows = [
        {"image": image, "seed": seed, "arm": arm, "accuracy": value + noise * (arm == "in_order"), "miou": value}
        for image, noise in zip("abcd", (0.01, 0.02, 0.03, 0.04), strict=True)
        for seed in (0, 1)
        for arm, value in accuracy.items()
    ]
    rows.append({"image": "e", "seed": 0, "arm": "in_order", "accuracy": 0.0, "miou": 0.0})
    pairs = order_pairs(pd.DataFrame(rows)).set_index(["quantity", "against"])
    found = pairs.loc[("accuracy", "at_once")]
    assert found["value"] == pytest.approx(0.125)
    assert 0.11 <= found["low"] < 0.125 < found["high"] <= 0.14
    assert (found["images"], found["seeds"], found["wins"], found["losses"]) == (4, 2, 4, 0)
    assert found["level"] == pytest.approx(1 - 0.05 / 6)
    shown = {against: pairs.loc[("miou", against), "verdict"] for against in accuracy if against != "in_order"}
    assert shown == {"at_once": "higher", "at_once_weighted": "no difference shown", "full": "lower"}


def test_without_an_image_study_one_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(order_study, "ImageOptions", lambda **given: image_study.Options(**given | SMALL))
    run(Options(seeds=1, batch=8, plateau_cap=1))
    assert "one on generated scenes comes first, in results/scenes_budget" in capsys.readouterr().out
    assert (tmp_path / "results" / "scenes_budget_order" / "order.csv").exists()


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "--batch 0: must be at least 1"),
        ({"seeds": 0}, "--seeds 0: must be at least 1"),
        ({"setting": "mlp-random"}, r"--setting mlp-random: .*x holds mlp-margin"),
        ({"images": ("scene_9",)}, "--images scene_9: must be one of the 2 finished images"),
        ({"group_by": "("}, "--group-by"),
    ],
)
def test_options_out_of_range(study: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        again(study, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_studies_that_cannot_be_used(study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run of a study"):
        again(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(InputError, match="is the folder of the image study"):
        again(study, study)
    stopped = studied(tmp_path / "stopped", stop="target", repeats=1)
    with pytest.raises(InputError, match="stopped at the target; run the image study with --stop budget"):
        again(stopped, tmp_path / "out")
    several = studied(tmp_path / "several", acquisition=("margin", "random"), repeats=1)
    with pytest.raises(InputError, match="name one: --setting mlp-margin or mlp-random"):
        again(several, tmp_path / "out")
    thinned = studied(tmp_path / "thinned", members_from="dropout", repeats=1)
    with pytest.raises(InputError, match="trained with dropout"):
        again(thinned, tmp_path / "out")
    lacking = shutil.copytree(study, tmp_path / "lacking")
    shutil.rmtree(lacking / "runs")
    (lacking / "revealed.parquet").unlink()
    with pytest.raises(InputError, match=r"revealed.parquet: cannot be read"):
        again(lacking, tmp_path / "out")
    whole = studied(tmp_path / "whole", scene_size=(16, 16), max_pixels=256, scene_count=1, repeats=1)
    with pytest.raises(InputError, match="all pixels of scene_000 are revealed"):
        again(whole, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_that_is_gone_or_another(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a", "b"):
        write(data / "images" / f"{name}.png", np.random.default_rng(0).integers(0, 255, (16, 16, 3)))
        write(data / "labels" / f"{name}.png", np.repeat([[0], [1]], 8, axis=0) * np.ones((1, 16)))
    (data / "classes.json").write_text('{"classes": ["up", "down"]}')
    study = studied(tmp_path / "x", dataset="folder", data_root=data, repeats=1)
    table, _ = again(study, tmp_path / "out", data_root=data, seeds=1, limit=1)
    assert len(table) == len(ARMS)
    with pytest.raises(InputError, match="x: its data set cannot be opened: "):
        again(study, tmp_path / "out", data_root=tmp_path / "nowhere")
    write(data / "labels" / "a.png", np.repeat([[1], [0]], 8, axis=0) * np.ones((1, 16)))
    with pytest.raises(InputError, match="pixels of a have other labels in folder"):
        again(study, tmp_path / "out", data_root=data)
    write(data / "images" / "a.png", np.zeros((16, 20, 3)))
    write(data / "labels" / "a.png", np.repeat([[0], [1]], 8, axis=0) * np.ones((1, 16)))
    with pytest.raises(InputError, match="image a and its label map differ in size"):
        again(study, tmp_path / "out", data_root=data)
    for kind in ("images", "labels"):
        (data / kind / "a.png").unlink()
    with pytest.raises(InputError, match="image a is not in folder"):
        again(study, tmp_path / "out", data_root=data)


def test_study_file_is_valid() -> None:
    given = tomllib.loads((ROOT / "studies" / "camvid_order.toml").read_text(encoding="utf-8"))
    replace(Options(), **given).check()


# Real processes


@pytest.mark.slow
def test_killed_and_resumed_is_never_stopped(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--image-study", str(study), "--seeds", "2", "--batch", "8", "--plateau-cap", "2"]

    def command(out: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "lowpix.order_study", *options, "--out", str(tmp_path / out), *more]

    monkeypatch.undo()  # of `_few_steps`, which other processes do not see
    again(study, tmp_path / "whole", seeds=2)
    with subprocess.Popen(
        command("killed", "--jobs", "2"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while len(files := list((tmp_path / "killed").glob("runs/*/*/*.parquet"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    assert len(files) < 28
    assert not (tmp_path / "killed" / "order.csv").exists()
    written = {file: file.stat().st_mtime_ns for file in files}
    done = subprocess.run(command("killed"), cwd=ROOT, check=True, capture_output=True, text=True)
    assert "28 runs, " in done.stdout
    assert {file: file.stat().st_mtime_ns for file in files} == written
    assert lasting(tmp_path / "killed") == lasting(tmp_path / "whole")
