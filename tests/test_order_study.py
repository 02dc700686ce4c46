"""The order study as a whole: its tables, how it goes on, and what it refuses."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tomli_w
from data_samples import write
from matplotlib.figure import Figure
from order_runs import SMALL, lasting, ordered, studied
from PIL import Image
from refusals import unsealed

from lowpix.command import parse
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.networks import PixelMLP
from lowpix.networks.learner import Learner
from lowpix.order_study import Options, order_study
from lowpix.order_study.arms import train_phases
from lowpix.order_study.report import describe
from lowpix.order_study.tables import AGAINST, ARMS, order_pairs
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 + 2 + 2 steps in three rounds."""
    monkeypatch.setattr(PixelMLP, "first_steps", 6)
    monkeypatch.setattr(PixelMLP, "steps", 2)


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowpix.order_study.study.order_picture", lambda *_: Figure())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image study of two scenes with two seeds; tests only read it, or change a copy."""
    return studied(tmp_path_factory.mktemp("image") / "x")


# What a study leaves behind


def test_tables_and_picture(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, pairs = ordered(study, tmp_path)
    columns = "setting image seed study_seed arm steps pixels accuracy miou seconds machine"
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
    document = tomllib.loads((tmp_path / "study.toml").read_text())
    settings = document["settings"]
    assert document["kind"] == "order"
    assert (settings["seeds"], settings["study_seeds"], settings["network"]) == (3, [0, 1], "mlp")
    text = describe(table, pairs, Options(batch=8, plateau_cap=2))
    assert "2 images, 6 runs an arm, 8 pixels a step" in text
    assert "0 of 6 runs ended before 2 times" in text
    assert "in order, against the full label map without order" in text
    assert "42 runs, 42 of them to do" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.usefixtures("no_picture")
def test_all_arms_begin_with_the_same_weights(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[np.ndarray] = []

    def watched(network: Any, inputs: Any, learner: Learner, *rest: Any) -> None:
        assert learner.step == 0
        begun.append(learner.flat.detach().numpy().copy())
        train_phases(network, inputs, learner, *rest)

    monkeypatch.setattr("lowpix.order_study.runs.train_phases", watched)
    ordered(study, tmp_path, seeds=2, limit=1)
    assert len(begun) == 2 * len(ARMS)
    for first, *others in (begun[: len(ARMS)], begun[len(ARMS) :]):
        assert all(np.array_equal(other, first) for other in others)
    assert not np.array_equal(begun[0], begun[-1])


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
    student = scipy.stats.ttest_1samp([0.11, 0.12, 0.13, 0.14], 0).confidence_interval(1 - 0.05 / 6)
    assert (found["low"], found["high"]) == pytest.approx((student.low, student.high))
    assert (found["images"], found["seeds"], found["wins"], found["losses"]) == (4, 2, 4, 0)
    assert found["level"] == pytest.approx(1 - 0.05 / 6)
    shown = {against: pairs.loc[("miou", against), "verdict"] for against in accuracy if against != "in_order"}
    assert shown == {"at_once": "higher", "at_once_weighted": "no difference shown", "full": "lower"}


# Going on


@pytest.mark.usefixtures("no_picture")
def test_arms_differ_and_depend_on_nothing_else(study: Path, tmp_path: Path) -> None:
    """Fresh weights: a run depends on its image and seed, not on which others are done."""
    table, _ = ordered(study, tmp_path, seeds=1, limit=1)
    assert table["accuracy"].nunique() > 4
    (tmp_path / "order.csv").unlink()
    for arm in ("shuffled", "full"):
        shutil.rmtree(tmp_path / "runs" / arm)
    other, _ = ordered(study, tmp_path, seeds=1, limit=1)
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True)


@pytest.mark.usefixtures("no_picture")
def test_extended_is_done_at_once(study: Path, tmp_path: Path) -> None:
    ordered(study, tmp_path / "one", seeds=2)
    ordered(study, tmp_path / "two", seeds=1, limit=1)
    shutil.rmtree(tmp_path / "two" / "runs")  # the table alone will do
    ordered(study, tmp_path / "two", seeds=1)
    ordered(study, tmp_path / "two", seeds=2)
    assert lasting(tmp_path / "two") == lasting(tmp_path / "one")
    before = (tmp_path / "two" / "order.csv").read_bytes()
    ordered(study, tmp_path / "two", seeds=2)
    assert (tmp_path / "two" / "order.csv").read_bytes() == before
    with pytest.raises(InputError, match="batch was 8, now 16; only images, limit, seeds may change"):
        ordered(study, tmp_path / "two", batch=16)
    table, _ = ordered(study, tmp_path / "two", batch=16, seeds=1, limit=1, fresh=True)
    assert len(table) == len(ARMS)


@pytest.mark.usefixtures("no_picture")
def test_without_an_image_study_one_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = SMALL | {"scene_count": 1}
    monkeypatch.setattr("lowpix.order_study.study.ImageOptions", lambda **given: ImageOptions(**given | small))
    order_study(Options(seeds=1, batch=8, plateau_cap=1))
    assert "comes first, in results/scenes_budget" in capsys.readouterr().out
    assert (tmp_path / "results" / "scenes_budget_order" / "order.csv").exists()


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "--batch 0: must be "),
        ({"seeds": 0}, "--seeds 0: must be "),
        ({"plateau_cap": 0}, "--plateau-cap 0: must be "),
        ({"setting": "mlp-random"}, r"--setting mlp-random: .*x holds mlp-margin"),
        ({"images": ("scene_9",)}, "--images scene_9: must be one of .* 2 finished images"),
        ({"group_by": "("}, r"--group-by \("),
    ],
)
def test_options_out_of_range(study: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ordered(study, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def changed(study: Path, folder: Path, **settings: Any) -> Path:
    """A copy of a study of an older lowpix whose `study.toml` says something else."""
    unsealed(shutil.copytree(study, folder))
    document = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))
    document["settings"] |= settings
    (folder / "study.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    return folder


def test_studies_that_cannot_be_used(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"nothing: .*python -m lowpix\.image_study"):
        ordered(tmp_path / "nothing", out)
    with pytest.raises(InputError, match=r"--out .*: is the folder of the image study"):
        ordered(study, study)
    with pytest.raises(InputError, match=r"stopped: .* stopped at the target; .* --stop budget"):
        ordered(changed(study, tmp_path / "stopped", stop="target"), out)
    with pytest.raises(InputError, match="thinned: trained with dropout"):
        ordered(changed(study, tmp_path / "thinned", members_from="dropout"), out)
    several = studied(tmp_path / "several", acquisition=("margin", "random"), repeats=1, scene_count=1)
    with pytest.raises(InputError, match=r"several: .*--setting mlp-margin or mlp-random"):
        ordered(several, out)
    whole = studied(
        tmp_path / "whole",
        scene_size=(16, 16),
        max_pixels=256,
        pixels_per_round="300",
        scene_count=1,
        repeats=1,
    )
    with pytest.raises(InputError, match="all pixels of scene_000 are revealed"):
        ordered(whole, out)
    assert not out.exists()


def test_tables_that_cannot_be_used(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = shutil.copytree(study, tmp_path / "empty")
    shutil.rmtree(empty / "runs")
    for name in IMAGES.stored:
        (empty / name).unlink()
    with pytest.raises(InputError, match=r"empty: holds no finished run .*python -m lowpix\.image_study"):
        ordered(empty, out)
    lacking = shutil.copytree(study, tmp_path / "lacking")
    shutil.rmtree(lacking / "runs")
    (lacking / "revealed.parquet").unlink()
    with pytest.raises(InputError, match=r"revealed\.parquet: cannot be read"):
        ordered(lacking, out)
    refused = unsealed(shutil.copytree(study, tmp_path / "refused"))  # no answer about a run was a class
    shutil.rmtree(refused / "runs")
    curves, revealed, _ = Study(study, IMAGES).tables()
    of_run = [(table["image"] == "scene_001") & (table["seed"] == 1) for table in (curves, revealed)]
    curves.assign(revealed=curves["revealed"].where(~of_run[0], 0)).to_parquet(refused / "curves.parquet")
    revealed[~of_run[1]].to_parquet(refused / "revealed.parquet")
    with pytest.raises(InputError, match="refused: no pixel of scene_001, seed 1, has a class"):
        ordered(refused, out)
    assert not out.exists()


@pytest.mark.usefixtures("no_picture")
def test_data_that_is_gone_or_another(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a", "b"):
        write(data / "images" / f"{name}.png", np.random.default_rng(0).integers(0, 255, (16, 16, 3)))
        write(data / "labels" / f"{name}.png", np.repeat([[0], [1]], 8, axis=0) * np.ones((1, 16)))
    (data / "classes.json").write_text('{"classes": ["up", "down"]}')
    study = studied(tmp_path / "x", dataset="folder", data_root=data, repeats=1)
    table, _ = ordered(study, tmp_path / "out", data_root=data, seeds=1, limit=1)
    assert len(table) == len(ARMS)
    with pytest.raises(InputError, match="x: its data set cannot be opened: "):
        ordered(study, tmp_path / "out", data_root=tmp_path / "nowhere")
    write(data / "labels" / "a.png", np.repeat([[1], [0]], 8, axis=0) * np.ones((1, 16)))
    with pytest.raises(InputError, match=r"pixels of a have other labels .*--data-root"):
        ordered(study, tmp_path / "out", data_root=data)
    write(data / "images" / "a.png", np.zeros((16, 20, 3)))
    write(data / "labels" / "a.png", np.repeat([[0], [1]], 8, axis=0) * np.ones((1, 16)))
    with pytest.raises(InputError, match="image a and its label map differ in size"):
        ordered(study, tmp_path / "out", data_root=data)
    for kind in ("images", "labels"):
        (data / kind / "a.png").unlink()
    with pytest.raises(InputError, match="image a is not in folder"):
        ordered(study, tmp_path / "out", data_root=data)


def test_study_file_names_an_image_study_that_ran_to_its_budget() -> None:
    options = parse(Options, ["--config", str(ROOT / "studies" / "camvid_order.toml")], "lowpix.order_study")
    assert options.image_study is not None
    study_file = (ROOT / "studies" / options.image_study.name).with_suffix(".toml")
    source = parse(ImageOptions, ["--config", str(study_file)], "lowpix.image_study")
    assert (source.out, source.stop) == (options.image_study, "budget")
