"""The data-set study as a whole: its tables, how it goes on and is extended, what it refuses."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dataset_runs import identity, same, study
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from lowpix.data import IGNORE, open_dataset
from lowpix.errors import InputError
from lowpix.learning.labels import DEFAULT
from lowpix.learning.samples import Batches
from lowpix.learning.segmenter import Segmenter, build
from lowpix.learning.training import Recipe, train
from lowpix.record.dataset_plots import draw_costs
from lowpix.record.dataset_ratios import ratios

pytestmark = pytest.mark.usefixtures("undrawn")


# What a study leaves behind


def test_tables_follow_from_the_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = study(tmp_path, DEFAULT, repeats=2)
    printed = capsys.readouterr().out
    assert printed.count("is not there yet: running it (margin, stratified, 8 pixels an image)") == 1
    summary = pd.read_csv(tmp_path / "summary.csv")
    columns = (
        "setting seed pixels_per_image annotated_fraction clicks hours accuracy miou label_accuracy label_miou"
    )
    assert [*columns.split(), "seconds"] == [c for c in summary.columns if c in {*columns.split(), "seconds"}]
    assert [c for c in summary.columns if c.startswith("iou_")] == [
        "iou_sky",
        "iou_building",
        "iou_road",
        "iou_tree",
    ]
    assert sorted(zip(summary["setting"], summary["seed"], strict=True)) == sorted(
        ("full" if kind == "full" else f"{kind}-8", seed) for kind in DEFAULT for seed in (0, 1)
    )
    test = open_dataset("scenes", split="test", scene_size=(24, 32), scene_count=3, scene_classes=4)
    confusion = pd.read_parquet(tmp_path / "confusion.parquet")
    for run in summary.itertuples():
        truths, labels = [], []
        for name in test.images:
            truth = test.labels(name)
            assert truth is not None
            with Image.open(tmp_path / f"predictions/{run.setting}/{run.seed}/{name}.png") as picture:
                assert picture.mode == "P"
                found = np.array(picture)
            known = truth != IGNORE
            truths.append(truth[known])
            labels.append(found[known])
            own = confusion.query("setting == @run.setting and seed == @run.seed and image == @name")
            matrix = np.zeros((4, 4), int)
            matrix[own["true"], own["predicted"]] = own["pixels"]
            np.testing.assert_array_equal(matrix, confusion_matrix(truths[-1], labels[-1], labels=range(4)))
        truth, found = np.concatenate(truths), np.concatenate(labels)
        held = np.unique(truth)
        ious = jaccard_score(truth, found, labels=held, average=None)
        assert run.accuracy == pytest.approx(accuracy_score(truth, found), abs=1e-12)
        assert run.miou == pytest.approx(ious.mean(), abs=1e-12)
        written = summary.loc[run.Index, [f"iou_{test.classes[label]}" for label in held]]
        np.testing.assert_allclose(written.to_numpy(float), ious, atol=1e-12)
    history = pd.read_csv(tmp_path / "history.csv")
    assert len(history) == 2 * len(summary)
    assert set(history["epoch"]) == {1, 2}
    assert tables.summary["seconds"].min() > 0
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list((tmp_path / "state").rglob("*.safetensors"))
    by_hand = {  # 3 scenes of 24×32; 24 clicks are 24 s; a map takes an hour, and at least one is bought
        "full": (768, 1, 0, 3.0),
        "few_full-8": (256, 1 / 3, 0, 1.0),
        **dict.fromkeys(
            ("pseudo-8", "pseudo_stratified-8", "sparse-8", "sparse_random-8"), (8, 8 / 768, 24, 24 / 3600)
        ),
    }
    for setting, expected in by_hand.items():
        rows = summary[summary["setting"] == setting]
        costs = rows[["pixels_per_image", "annotated_fraction", "clicks", "hours"]]
        np.testing.assert_allclose(costs.to_numpy(float), [expected] * 2)


def test_study_toml_tells_what_was_done(tmp_path: Path) -> None:
    study(tmp_path, ["full_degraded", "pseudo_walker"])
    settings = tomllib.loads((tmp_path / "study.toml").read_text())["settings"]
    assert settings["settings"] == ["full_degraded_flips", "full_degraded_borders", "pseudo_walker"]
    assert (settings["budgets"], settings["crop"], settings["learning_rate"]) == ([8], [24, 32], 0.001)
    assert "device" not in settings


def test_costs_of_equal_runs_are_drawn(tmp_path: Path) -> None:
    """The mean of three equal numbers may be larger than each of them."""
    for miou in np.random.default_rng(0).random(20):
        rows = [{"kind": "mine", "setting": "mine-8", "hours": 1.0, "miou": miou}] * 3
        draw_costs(Figure().subplots(), pd.DataFrame(rows), "hours")


def test_pictures_are_drawn(tmp_path: Path) -> None:
    study(tmp_path, repeats=2)
    for name in ("overview.png", "history.png", "costs.png"):
        shown = np.array(Image.open(tmp_path / name).convert("L"))
        assert min(shown.shape) > 100
        assert shown.std() > 10  # not blank


def cells_of(rows: list[dict[str, Any]], images: int = 15) -> pd.DataFrame:
    """Rows of `confusion.parquet`: random counts of three classes, of which an image holds two or three."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {"setting": row["setting"], "seed": row["seed"], "image": f"{image:02}", "true": true}
        | {"predicted": predicted, "pixels": int(draw.integers(1, 9 + 20 * (true == predicted)))}
        for row in rows
        for image in range(images)
        for true in range(2 + image % 2)
        for predicted in range(3)
    )


def test_ratios_over_test_images_are_a_bootstrap() -> None:
    keys = [{"setting": setting, "seed": seed} for setting in ("full", "pseudo") for seed in (0, 1)]
    cells = cells_of(keys)
    matrices = np.zeros((4, 15, 3, 3))
    number = [keys.index({"setting": cell.setting, "seed": cell.seed}) for cell in cells.itertuples()]
    matrices[number, cells["image"].astype(int), cells["true"], cells["predicted"]] = cells["pixels"]

    def log_ratio(images: np.ndarray) -> float:
        scores = []
        for matrix in matrices[:, images].sum(axis=1):
            right = np.diagonal(matrix)
            ious = right / (matrix.sum(0) + matrix.sum(1) - right)
            scores.append(np.log(ious[matrix.sum(1) > 0].mean()))
        return float(np.mean([scores[2] - scores[0], scores[3] - scores[1]]))

    summary = pd.DataFrame([key | {"miou": 0.5, "label_seed": 0} for key in keys])
    found = ratios(summary, cells).iloc[0]
    expected = stats.bootstrap(
        (np.arange(15),), log_ratio, n_resamples=1999, vectorized=False, method="percentile", rng=1
    ).confidence_interval
    np.testing.assert_allclose(np.log([found["images_low"], found["images_high"]]), expected, atol=0.006)
    assert found["images_high"] - found["images_low"] > 0.05  # so that this shows something
    pd.testing.assert_series_equal(ratios(summary, cells).iloc[0], found)


def test_ratios_are_those_of_a_paired_t_test() -> None:
    draw = np.random.default_rng(0)
    scores = {"full": draw.uniform(0.5, 0.6, 5), "pseudo": draw.uniform(0.48, 0.6, 5), "sparse": draw.random(5)}
    rows = [
        {"setting": setting, "seed": seed, "miou": value, "label_seed": seed // 2}
        for setting, values in scores.items()
        for seed, value in enumerate(values)
        if (setting, seed) != ("sparse", 3)  # a seed without a pair
    ]
    found = ratios(pd.DataFrame(rows), cells_of(rows)).set_index("setting")
    assert list(found["pairs"]) == [5, 4]
    assert list(found["label_seeds"]) == [3, 3]
    for setting, seeds in (("pseudo", [0, 1, 2, 3, 4]), ("sparse", [0, 1, 2, 4])):
        result = stats.ttest_rel(np.log(scores[setting][seeds]), np.log(scores["full"][seeds]))
        low, high = np.exp(result.confidence_interval(0.95))
        assert found.loc[setting, "low"] == pytest.approx(low)
        assert found.loc[setting, "high"] == pytest.approx(high)
        assert low < found.loc[setting, "ratio"] < high
    unpaired = [{"setting": "sparse", "seed": 9, "miou": 0.5, "label_seed": 9}]
    wider = ratios(pd.DataFrame(rows + unpaired), cells_of(rows + unpaired))
    assert list(wider["label_seeds"]) == [3, 3]  # no pair, no label seed
    single = ratios(pd.DataFrame(rows).query("seed == 0"), cells_of(rows))
    assert single["low"].isna().all()
    assert single.set_index("setting").loc["pseudo", "ratio"] == pytest.approx(
        scores["pseudo"][0] / scores["full"][0]
    )


# Going on


def test_settings_and_seeds_extend_a_study(tmp_path: Path) -> None:
    study(tmp_path, ["full"])
    assert not (tmp_path / "image_study").exists()  # true label maps need none
    first = identity(tmp_path, "runs/*/*.json")
    study(tmp_path, ["full", "pseudo"])
    tables = study(tmp_path, ["pseudo"], repeats=2)
    assert identity(tmp_path, "runs/*/*.json").items() >= first.items()
    assert list(zip(tables.summary["setting"], tables.summary["seed"], strict=True)) == [
        ("full", 0),
        ("pseudo-8", 0),
        ("pseudo-8", 1),
    ]
    at_once = study(tmp_path / "other", repeats=2)
    for table, whole in zip(tables[0:4:2], at_once[0:4:2], strict=True):
        keys = set(zip(table["setting"], table["seed"], strict=True))
        kept = [key in keys for key in zip(whole["setting"], whole["seed"], strict=True)]
        pd.testing.assert_frame_equal(
            table.drop(columns="seconds"), whole[kept].reset_index(drop=True).drop(columns="seconds")
        )


def test_stopped_in_the_middle_is_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = study(tmp_path / "whole")
    steps = []

    def stop(bar: Any) -> None:
        steps.append(bar)
        if len(steps) == 3:  # in the second setting, after its first epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lowpix.learning.work._step", stop)
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path / "parts")
    assert len(pd.read_csv(tmp_path / "parts" / "summary.csv")) == 1
    assert len(list((tmp_path / "parts" / "state").rglob("*.safetensors"))) == 1
    assert same(study(tmp_path / "parts"), whole)
    for path in (tmp_path / "whole").glob("models/*/*.safetensors"):
        assert path.read_bytes() == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes()


def test_tables_alone_are_enough_to_go_on(tmp_path: Path) -> None:
    whole = study(tmp_path)
    for path in (tmp_path / "runs").glob("*/*.json"):
        path.unlink()
    assert same(study(tmp_path), whole)
    assert not list((tmp_path / "runs").glob("*/*.json"))  # nothing was done again


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 3}, "epochs was 2, now 3"),
        ({"from_scratch": True}, "from_scratch was False, now True"),
        ({"scale": 0.5}, "scale was 1.0, now 0.5"),
        ({"seconds_per_click": 2.0}, "seconds_per_click was 1.0, now 2.0"),
    ],
)
def test_any_other_change_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    study(tmp_path, ["full"])
    with pytest.raises(InputError, match=told):
        study(tmp_path, ["full"], **change)


def test_fresh_starts_anew_but_keeps_the_image_study(tmp_path: Path) -> None:
    study(tmp_path, ["pseudo"])
    labels = identity(tmp_path, "image_study/pseudo_labels/*/*/*.png")
    tables = study(tmp_path, ["full"], fresh=True)
    assert set(tables.summary["setting"]) == {"full"}
    assert identity(tmp_path, "image_study/pseudo_labels/*/*/*.png") == labels
    assert labels


def test_all_settings_are_trained_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same first weights, windows, steps and rates for every setting of a seed."""
    seen = []

    def spy(network: Segmenter, batches: Batches, recipe: Recipe, *rest: Any, **options: Any) -> Any:
        weights = torch.cat([value.flatten().float() for value in network.state_dict().values()])
        seen.append((batches.annotation, weights, [batches(step)[0] for step in range(3)], recipe))
        return train(network, batches, recipe, *rest, **options)

    monkeypatch.setattr("lowpix.learning.run.train", spy)
    study(tmp_path, DEFAULT, repeats=2)
    first, *others = seen[: len(DEFAULT)]
    assert {len(annotation.images) for annotation, *_ in seen} == {3, 1}  # few_full has but one map
    for annotation, weights, images, recipe in others:
        assert torch.equal(weights, first[1])
        assert recipe == first[3]
        if annotation.images == first[0].images:
            assert all(map(torch.equal, images, first[2]))
    other = seen[len(DEFAULT)]
    assert not torch.equal(other[1], first[1])
    assert not torch.equal(other[2][0], first[2][0])


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state/full/0.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"no state")
    with pytest.raises(InputError, match=r"full/0\.safetensors: cannot be gone on from .*: remove it to begin"):
        train(build("unet", 3, 4, True, 0), lambda _: None, Recipe(1, 1, 0.1, 0), 0, torch.device("cpu"), state)  # type: ignore[arg-type,return-value]
