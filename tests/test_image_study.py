"""The image study as a whole: its tables, how it stops, goes on and is extended."""

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from image_runs import scenes, study
from PIL import Image
from sklearn.metrics import jaccard_score

from lowpix.data import IGNORE
from lowpix.errors import InputError
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES, Tables, confidence_name, label_map_name
from lowpix.study.label_maps import read_label_map

TWO: dict[str, Any] = {"acquisition": ("margin", "random")}
pytestmark = pytest.mark.usefixtures("undrawn_images")


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """From options to the folder of a study that was done in one go: only read, and done once for all tests."""
    folders: dict[str, Path] = {}

    def folder(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("at_once")
            study(folders[key], **options)
        return folders[key]

    return folder


def tables_of(out: Path) -> Tables:
    return Study(out, IMAGES).tables()


def assert_same_tables(one: Tables, other: Tables) -> None:
    """Bit for bit in every column but `seconds`."""
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(
            a.drop(columns="seconds", errors="ignore"),
            b.drop(columns="seconds", errors="ignore"),
            check_exact=True,
        )


def pictures(out: Path) -> dict[str, bytes]:
    """Pseudo-labels and confidences, by name."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for kind in ("pseudo_labels", "confidence")
        for path in sorted((out / kind).rglob("*.png"))
    }


def run_files(out: Path) -> dict[str, tuple[int, int]]:
    """Which file each finished run is, to tell one that was written again."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("runs/*/*/*.parquet")}


# What a study leaves behind


def test_tables_have_the_columns_of_the_design(tmp_path: Path) -> None:
    study(tmp_path, acquisition=("margin", "error_depth"), smoothing=("none", "edges"))
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    columns = (
        "dataset setting image network acquisition selection oracle privileged stop void seed round asked "
        "revealed fraction accuracy accuracy_unrevealed accuracy_off_border miou classes_missed seconds machine"
    )
    assert list(curves.columns) == columns.split()
    summary = pd.read_csv(tmp_path / "summary.csv")
    columns = (
        "dataset setting image network acquisition seed pixels_to_target fraction_to_target target censored "
        "pixels_to_stay accuracy accuracy_off_border miou classes_missed classes seconds machine"
    )
    assert set(columns.split()) <= set(summary.columns)
    revealed = pd.read_parquet(tmp_path / "revealed.parquet")
    assert list(revealed.columns) == ["setting", "image", "seed", "order", "round", "row", "column", "label"]
    assert len(summary) == 12
    names = {"mlp-margin", "mlp-error_depth", "mlp-margin-edges", "mlp-error_depth-edges"}
    assert set(summary["setting"]) == names
    assert (summary["privileged"] == (summary["acquisition"] == "error_depth")).all()
    written = tomllib.loads((tmp_path / "study.toml").read_text())
    assert written["settings"]["acquisition"] == ["margin", "error_depth"]
    assert written["settings"]["smoothing"] == ["none", "edges"]
    assert written["produced"][0]["wall_seconds"] > 0
    assert not list(tmp_path.rglob("*.tmp"))


def test_tables_follow_from_label_maps_and_pixels(at_once: Callable[..., Path]) -> None:
    out = at_once(**TWO, repeats=2)
    curves, revealed, summary = tables_of(out)
    dataset = scenes()
    assert len(summary) == 2 * 2 * 3
    for run in summary.itertuples():
        truth = dataset.labels(run.image)
        assert truth is not None
        labels = np.array(Image.open(out / f"pseudo_labels/{run.setting}/{run.seed}/{run.image}.png"))
        told = revealed.query("setting == @run.setting and image == @run.image and seed == @run.seed")
        rounds = curves.query("setting == @run.setting and image == @run.image and seed == @run.seed")
        last = rounds.iloc[-1]
        known = truth != IGNORE
        assert run.accuracy == pytest.approx((labels == truth)[known].mean(), abs=1e-12)
        held = np.unique(truth[known])
        ious = jaccard_score(truth[known], labels[known], labels=held, average=None)
        assert run.miou == pytest.approx(ious.mean(), abs=1e-12)
        assert run.classes == len(held)
        # the revealed pixels: all different, never void, rightly labelled, and so in the pseudo-labels
        where = told["row"].to_numpy(), told["column"].to_numpy()
        assert len(set(zip(*where, strict=True))) == len(told) == run.revealed == last["revealed"] == 14
        assert (told["label"] == truth[where]).all()
        assert (told["label"] == labels[where]).all()
        assert list(told["order"]) == list(range(14))
        assert list(np.cumsum(np.bincount(told["round"]))) == list(rounds["revealed"])
        known[where] = False
        assert last["accuracy_unrevealed"] == pytest.approx((labels == truth)[known].mean(), abs=1e-12)
        assert list(rounds["asked"]) == [5, 8, 11, 14]
        assert list(rounds["asked"]) == list(rounds["revealed"])
        np.testing.assert_allclose(rounds["fraction"], rounds["revealed"] / (24 * 32))
        assert rounds["seconds"].is_monotonic_increasing
        assert run.seconds == last["seconds"] > 0
        confidence = np.array(Image.open(out / f"confidence/{run.setting}/{run.seed}/{run.image}.png"))
        assert confidence.shape == truth.shape
        assert (curves["void"] == "never asked").all()


def test_target_ends_an_image_and_budget_does_not(tmp_path: Path) -> None:
    options = {"target": 0.6, "max_pixels": 30, "pixels_per_round": "2"}
    curves, _, summary = study(tmp_path / "target", **options)
    longer, _, whole = study(tmp_path / "budget", stop="budget", **options)
    assert (summary["stop"] == "target").all()
    assert (whole["stop"] == "budget").all()
    assert (longer.groupby("image")["asked"].max() == 30).all()
    for name, rounds in curves.groupby("image"):
        reached = rounds["accuracy"] >= 0.6
        assert list(reached).count(True) == int(reached.iloc[-1])  # the round that reaches it is the last
        assert reached.iloc[-1] or rounds["asked"].iloc[-1] == 30
        same = longer[longer["image"] == name].head(len(rounds))
        unlike = ["stop", "seconds"]
        pd.testing.assert_frame_equal(
            rounds.drop(columns=unlike).reset_index(drop=True), same.drop(columns=unlike).reset_index(drop=True)
        )
    for table in (summary, whole):
        assert not table["censored"].all()
        assert (table["pixels_to_target"].isna() == table["censored"]).all()
        assert (table["fraction_to_target"].isna() == table["censored"]).all()
    pd.testing.assert_series_equal(summary["pixels_to_target"], whole["pixels_to_target"])
    done = summary[~summary["censored"]]
    assert (done["pixels_to_target"] == done["revealed"]).all()


def test_an_unreached_target_is_censored_and_left_empty(tmp_path: Path) -> None:
    study(tmp_path, target=1.0, max_pixels=6)
    lines = pd.read_csv(tmp_path / "summary.csv", dtype=str, keep_default_na=False)
    assert (lines["pixels_to_target"] == "").all()
    assert (lines["fraction_to_target"] == "").all()
    assert (lines["censored"] == "True").all()


def test_settings_share_first_pixels_and_the_first_round(tmp_path: Path) -> None:
    every = ("random", "entropy", "least_confidence", "margin", "error_depth")
    curves, revealed, _ = study(tmp_path, acquisition=every, max_pixels=8)
    first = revealed[revealed["round"] == 0]
    for column in ("row", "column", "label"):
        by_setting = first.pivot(index=["image", "order"], columns="setting", values=column)
        assert by_setting.shape == (15, 5)
        assert (by_setting.nunique(axis=1) == 1).all()
    opening = curves[curves["round"] == 0]
    for column in ("accuracy", "accuracy_unrevealed", "miou"):  # the same pixels and initial weights
        assert (opening.groupby("image")[column].nunique() == 1).all()
    second = revealed[revealed["round"] == 1].groupby("setting")[["row", "column"]]
    assert len({tuple(map(tuple, pixels.to_numpy())) for _, pixels in second}) == 5


def test_repeats_differ_and_seeds_count_from_the_seed(tmp_path: Path) -> None:
    _, revealed, summary = study(tmp_path, seed=7, repeats=2)
    assert sorted(summary["seed"].unique()) == [7, 8]
    places = {
        seed: told[["image", "row", "column"]].to_numpy().tolist() for seed, told in revealed.groupby("seed")
    }
    assert places[7] != places[8]


# Going on


TABLES = ("curves.parquet", "summary.csv", "revealed.parquet")


def test_rerun_does_nothing_and_gives_the_same_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_once: Callable[..., Path]
) -> None:
    whole = TWO | {"repeats": 2}
    out = shutil.copytree(at_once(**whole), tmp_path / "out")
    first, files, shown = tables_of(out), run_files(out), pictures(out)
    tables = [(out / name).read_bytes() for name in TABLES]
    capsys.readouterr()
    again = study(out, **whole)
    assert "12 runs, 0 of them to do" in capsys.readouterr().out
    assert run_files(out) == files
    assert pictures(out) == shown
    assert_same_tables(first, again)
    assert [(out / name).read_bytes() for name in TABLES] == tables


@pytest.mark.parametrize(
    "stages",
    [
        [{"limit": 1}, {"limit": 2}, {}, TWO, TWO | {"repeats": 2}],
        [{"scene_count": 2}, {}],
        [{"images": ("scene_002",)}, {"images": ("scene_002", "scene_000")}],
        [
            {"limit": 1, "acquisition": ("error_depth",)},
            {"limit": 2, "acquisition": ("random", "error_depth"), "repeats": 2},
        ],
    ],
    ids=["one by one", "scenes", "images", "all"],
)
def test_extended_is_as_done_at_once(
    tmp_path: Path, stages: list[dict[str, Any]], at_once: Callable[..., Path]
) -> None:
    for options in stages:
        files = run_files(tmp_path)
        tables = study(tmp_path, **options)
        assert files.items() < run_files(tmp_path).items()  # what was done is not done again
    whole = at_once(**stages[-1])
    assert_same_tables(tables, tables_of(whole))
    assert pictures(tmp_path) == pictures(whole)


@pytest.mark.parametrize(
    ("changed", "old", "new"),
    [
        ({"target": 0.9}, 0.98, 0.9),
        ({"max_pixels": 20}, 14, 20),
        ({"seed": 1}, 0, 1),
        ({"members": 2}, "unset", 2),
        ({"ask_void": True}, False, True),
        ({"oracle_noise": 0.1}, 0.0, 0.1),
        ({"scene_size": (24, 40)}, [24, 32], [24, 40]),
        ({"percent": 5.0}, "unset", 5.0),
        ({"pixels_per_round": "5%"}, "3", "5%"),
    ],
)
def test_any_other_change_is_refused_with_both_values(
    changed: dict[str, Any], old: object, new: object, at_once: Callable[..., Path]
) -> None:
    finished = at_once(limit=1)
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(InputError) as fault:
        study(finished, **changed)
    (name,) = changed
    assert f"{name} was {old!r}, now {new!r}" in str(fault.value)
    assert "--fresh" in str(fault.value)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_fresh_starts_anew_and_leaves_other_files(tmp_path: Path) -> None:
    study(tmp_path, acquisition=("random",))
    (tmp_path / "notes.txt").write_text("mine")
    tables = study(tmp_path, target=0.5, limit=1, fresh=True)
    assert list(tables.summary["setting"]) == ["mlp-margin"]
    assert not list(tmp_path.rglob("*mlp-random*"))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_with_only_the_tables_is_gone_on_with(tmp_path: Path, at_once: Callable[..., Path]) -> None:
    """As `results/` in the repository: what is committed holds no run files."""
    out = shutil.copytree(at_once(limit=1), tmp_path / "tables", ignore=shutil.ignore_patterns("runs"))
    assert not run_files(out)
    tables = study(out)
    assert len(run_files(out)) == 2
    assert_same_tables(tables, tables_of(at_once()))


def test_stacked_is_one_by_one(tmp_path: Path) -> None:
    options = TWO | {"target": 0.6, "max_pixels": 20}
    one = study(tmp_path / "1", stack=1, **options)
    assert_same_tables(one, study(tmp_path / "3", stack=3, **options))
    assert_same_tables(one, study(tmp_path / "1", stack=2, **options))  # no other study: it goes on
    assert pictures(tmp_path / "1") == pictures(tmp_path / "3")


@pytest.mark.slow
def test_jobs_change_no_table(tmp_path: Path, at_once: Callable[..., Path]) -> None:
    whole = TWO | {"repeats": 2}
    one = at_once(**whole)
    for stack in (1, 2):
        two = tmp_path / str(stack)
        assert_same_tables(tables_of(one), study(two, jobs=2, stack=stack, **whole))
        assert pictures(one) == pictures(two)


@pytest.mark.slow
def test_unet_study(tmp_path: Path) -> None:
    options = {"network": ("unet",), "limit": 1, "max_pixels": 8}
    tables = study(tmp_path / "one", **options)
    assert list(tables.summary["setting"]) == ["unet-margin"]
    assert_same_tables(tables, study(tmp_path / "two", **options))


def test_pseudo_labels_are_kept_at_smaller_budgets(tmp_path: Path) -> None:
    """Those of a study that ended there: the same seeds give the same pixels up to it."""
    common = {"scene_count": 1, "stop": "budget"}
    curves = study(tmp_path / "whole", max_pixels=20, keep_at=(8, 12), **common).curves
    study(tmp_path / "short", max_pixels=8, **common)
    assert curves["asked"].tolist() == [5, 8, 11, 12, 15, 18, 20]
    run = ("mlp-margin", 0, "scene_000")
    for name in (label_map_name, confidence_name):
        kept, ended = tmp_path / "whole" / name(*run, 8), tmp_path / "short" / name(*run)
        np.testing.assert_array_equal(Image.open(kept), Image.open(ended))
    truth = scenes().labels("scene_000")
    kept_at_12 = read_label_map(tmp_path / "whole" / label_map_name(*run, 12))
    assert float((kept_at_12 == truth)[truth != IGNORE].mean()) == pytest.approx(curves["accuracy"][3])
