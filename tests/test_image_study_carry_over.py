"""Image studies in blocks: what finished images tell helps with the next ones."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from data_samples import write
from image_runs import SMALL, study
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from refusals import refused
from stopped_runs import ROOT, finish

from lowpix.data import open_dataset
from lowpix.image_study import Options, carry
from lowpix.image_study.carry import blocks
from lowpix.seeds import seed_for
from lowpix.segmenter.carry_over import Finished, carried_model
from lowpix.segmenter.model import load_model, tensors
from lowpix.segmenter.training import Recipe
from lowpix.study.image_runs import setting_name
from lowpix.study.label_maps import parse_label_map
from lowpix.study.settings import read_section, read_settings
from lowpix.study.source import Source

RECIPE = Recipe(epochs=2, steps=3, learning_rate=0.002, weight_decay=0.01)
BLOCKS = {"scene_count": 5, "carry_over": ("none", "unet")}
NONE, CARRY = "mlp-margin", "mlp-margin-carry_unet"
NETWORKS = f"carry_over/{CARRY}/0"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 2, 2, 4, … images, and a few steps of training."""
    monkeypatch.setattr(carry, "FIRST", 2)
    monkeypatch.setattr(carry, "RECIPE", RECIPE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of five images, in three blocks."""
    out = tmp_path_factory.mktemp("whole") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carry, "FIRST", 2)
        patch.setattr(carry, "RECIPE", RECIPE)
        study(out, **BLOCKS)
    return out


def tables(out: Path) -> list[pd.DataFrame]:
    """Of a study's folder, without seconds."""
    read = [pd.read_parquet(out / f"{name}.parquet") for name in ("curves", "revealed")]
    read.append(pd.read_csv(out / "summary.csv"))
    return [table.drop(columns="seconds", errors="ignore") for table in read]


def assert_same_tables(out: Path, other: Path) -> None:
    for one, another in zip(tables(out), tables(other), strict=True):
        assert_frame_equal(one, another, check_exact=True)


def order_of(out: Path) -> list[str]:
    images: list[str] = read_section(out / "study.toml", "carry_over")["images"]
    return images


def runs(found: pd.DataFrame, setting: str, images: list[str]) -> pd.DataFrame:
    kept = found[(found["setting"] == setting) & found["image"].isin(images)]
    return kept.drop(columns=["setting"]).reset_index(drop=True)


# What it does


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (2, [2]), (3, [2, 1]), (11, [2, 2, 4, 3])])
def test_blocks_double(count: int, sizes: list[int]) -> None:
    images = tuple(map(str, range(count)))
    found = blocks(images)
    assert [len(block) for _, block in found] == sizes
    assert sum((block for _, block in found), ()) == images
    for index, (before, _) in enumerate(found):
        assert before == sum((block for _, block in found[:index]), ())


def test_the_first_block_is_alone_and_later_ones_are_helped(whole: Path) -> None:
    curves, revealed, _ = tables(whole)
    order = order_of(whole)
    for found in (curves, revealed):
        first = [runs(found, setting, order[:2]) for setting in (NONE, CARRY)]
        assert_frame_equal(*first, check_exact=True)
    for block in (order[2:4], order[4:]):
        without, helped = (runs(curves, setting, block)["accuracy"] for setting in (NONE, CARRY))
        assert not np.array_equal(without, helped)
    assert sorted(path.name for path in (whole / NETWORKS).iterdir()) == [
        f"{count}.{kind}" for count in (2, 4) for kind in ("csv", "safetensors")
    ]
    assert not list(whole.glob("state/*/*"))


def test_without_carry_over_nothing_has_changed(whole: Path, tmp_path: Path) -> None:
    study(tmp_path / "plain", scene_count=5)
    for found, plain in zip(tables(whole), tables(tmp_path / "plain"), strict=True):
        kept = found[found["setting"] == NONE].reset_index(drop=True)
        assert_frame_equal(kept, plain, check_exact=True)
    assert read_section(tmp_path / "plain" / "study.toml", "carry_over") == {}
    assert not (tmp_path / "plain" / "carry_over").exists()


def test_a_network_learns_from_the_label_maps_of_its_own_setting(whole: Path, tmp_path: Path) -> None:
    """Of all images before the block, and of no others: trained here once more, it has the same bits."""
    dataset = open_dataset("scenes", scene_size=SMALL["scene_size"], scene_count=5)
    order = order_of(whole)
    for count in (2, 4):
        seed = seed_for(0, "scenes", "carry-over", count)

        def label_map(name: str) -> NDArray[np.uint8]:
            file = whole / "pseudo_labels" / CARRY / "0" / f"{name}.png"
            return parse_label_map(file, file.read_bytes())

        finished = Finished(tuple(order[:count]), label_map)
        state = tmp_path / f"{count}.safetensors"
        model, _ = carried_model(dataset, finished, "unet", seed, torch.device("cpu"), state, RECIPE)
        there = load_model(whole / NETWORKS / f"{count}.safetensors")
        expected, found = tensors(model.network), tensors(there.network)
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_an_image_bears_its_share_of_the_training(whole: Path) -> None:
    """A network that learned from n images helps n images."""
    summary = pd.read_csv(whole / "summary.csv")
    order = order_of(whole)
    seconds = summary[summary["setting"] == CARRY].set_index("image")["seconds"]
    for count, block in ((2, order[2:4]), (4, order[4:])):
        share = pd.read_csv(whole / NETWORKS / f"{count}.csv")["seconds"].iloc[-1] / count
        assert share > 0
        assert (seconds[block] > share).all()


# The same tables, however it runs


@pytest.mark.slow
def test_two_processes_give_the_same_tables(whole: Path, tmp_path: Path) -> None:
    study(tmp_path / "two", **BLOCKS, jobs=2)
    assert_same_tables(tmp_path / "two", whole)


def test_further_images_join_at_the_end(whole: Path, tmp_path: Path) -> None:
    """In the middle of a block, and then with a setting that comes later, in stacks; what is there stays."""
    out = tmp_path / "grown"
    study(out, scene_count=5, limit=3, carry_over=("unet",))
    before, first = order_of(out), (out / NETWORKS / "2.safetensors").read_bytes()
    assert not (out / NETWORKS / "4.safetensors").exists()
    assert len(before) == 3
    study(out, **BLOCKS, stack=3)
    assert order_of(out) == order_of(whole)
    assert (out / NETWORKS / "2.safetensors").read_bytes() == first
    assert_same_tables(out, whole)


def test_images_that_come_in_between_join_at_the_end(tmp_path: Path) -> None:
    short: dict[str, Any] = {"scene_count": 4, "max_pixels": 5, "carry_over": ("unet",)}
    study(tmp_path, images=("scene_001", "scene_003"), **short)
    study(tmp_path, images=("scene_000", "scene_002"), **short)
    assert order_of(tmp_path) == ["scene_001", "scene_003", "scene_000", "scene_002"]
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 4


SMALL_COMMAND = """
import os
import signal
from pathlib import Path

from lowpix.command import run
from lowpix.image_study import Options, carry
from lowpix.image_study.__main__ import command
from lowpix.segmenter.training import Recipe


def replace(file, target, whole=Path.replace):
    whole(file, target)
    if Path(target).match(os.environ.get("KILLED_AT", "never")):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Path.replace = replace
    carry.FIRST, carry.RECIPE = 2, Recipe(epochs=2, steps=3, learning_rate=0.002, weight_decay=0.01)
    run(Options, "small", command)
"""


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [f"state/{CARRY}/0-2.safetensors", f"{NETWORKS}/2.csv", f"{NETWORKS}/4.*"])
def test_killed_while_a_network_learns_it_goes_on(whole: Path, tmp_path: Path, pattern: str) -> None:
    out, script = tmp_path / "killed", tmp_path / "small.py"
    script.write_text(SMALL_COMMAND)
    command = [
        *(sys.executable, str(script), "--scene-size", "24", "32", "--scene-count", "5", "--max-pixels", "14"),
        *("--pixels-per-round", "3", "--acquisition", "margin", "--smoothing", "none"),
        *("--carry-over", "none", "unet", "--out", str(out)),
    ]
    killed = subprocess.run(command, env={**os.environ, "KILLED_AT": pattern}, cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    finish(command)
    assert_same_tables(out, whole)


# What is refused, and removed


def test_a_fresh_start_removes_the_networks(tmp_path: Path) -> None:
    study(tmp_path, scene_count=3, max_pixels=5, carry_over=("unet",))
    assert (tmp_path / NETWORKS).exists()
    study(tmp_path, scene_count=1, max_pixels=5, fresh=True)
    assert not (tmp_path / "carry_over").exists()
    assert read_section(tmp_path / "study.toml", "carry_over") == {}


def test_a_network_that_has_changed_is_refused(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "changed"
    shutil.copytree(whole, out)
    network = out / NETWORKS / "4.safetensors"
    network.write_bytes(network.read_bytes()[:-1] + b"x")
    last = order_of(out)[-1]
    (out / "runs" / CARRY / "0" / f"{last}.parquet").unlink()
    for name in ("curves.parquet", "revealed.parquet", "summary.csv"):
        (out / name).unlink()
    with refused(network, "changed"):
        study(out, **BLOCKS)


def test_an_image_of_the_order_must_be_there(tmp_path: Path) -> None:
    short: dict[str, Any] = {"max_pixels": 5, "carry_over": ("unet",)}
    study(tmp_path, scene_count=2, **short)
    with refused(tmp_path / "study.toml", "scene_001"):
        study(tmp_path, scene_count=1, **short)


def test_nor_may_it_be_left_out_later(tmp_path: Path) -> None:
    """Otherwise the blocks would shift, and networks would be taken for those of other images."""
    photos = tmp_path / "photos"
    for name in ("a", "b", "c"):
        write(
            photos / "images" / f"{name}.png",
            np.random.default_rng(ord(name)).integers(0, 255, (20, 20, 3), np.uint8),
        )
        write(photos / "labels" / f"{name}.png", (np.indices((20, 20)).sum(0) // 14).astype(np.uint8))
    (photos / "classes.json").write_text('{"classes": ["one", "two", "three"]}')
    options: dict[str, Any] = {"dataset": "folder", "data_root": photos, "carry_over": ("unet",), "max_pixels": 5}
    study(tmp_path / "out", **options)
    first = order_of(tmp_path / "out")[0]
    (photos / "images" / f"{first}.png").write_bytes(b"broken")
    with refused(tmp_path / "out" / "study.toml", first):
        study(tmp_path / "out", **options, skip_faulty=True)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"carry_over": ()}, ("--carry-over", "at least one")),
        ({"carry_over": ("resnet",)}, ("resnet", "unet")),
        ({"carry_over": ("hf:a/model", "hf:b/model")}, ("--carry-over", "different names")),
        ({"carry_over": ("unet",), "cluster": "local:2"}, ("--cluster local:2", "--carry-over")),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        study(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


# Who reads it


def test_names_say_which_network_helps() -> None:
    assert setting_name("mlp", "margin", "edges") == "mlp-margin-edges"
    assert setting_name("mlp", "margin", "edges", "unet") == "mlp-margin-edges-carry_unet"
    assert setting_name("gp", "margin", "none", "hf:../weights/tiny") == "gp-margin-carry_tiny"


def test_other_studies_read_the_labels_of_the_first_carry_over(whole: Path, tmp_path: Path) -> None:
    assert Source(whole).setting("margin") == NONE
    assert "carry_over" not in Source(whole).fixed
    study(tmp_path, scene_count=1, max_pixels=5, carry_over=("unet",))
    assert Source(tmp_path).setting("margin") == CARRY
    assert Source(tmp_path).fixed["carry_over"] == "unet"
    assert Options.of(read_settings(tmp_path / "study.toml")).carry_over == ("unet",)
