"""The data-set study as a whole: its tables, how it goes on and is extended, what it refuses."""

import shutil
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from dataset_runs import identity, same, study, trained, without_pictures
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from lowpix.data import IGNORE, open_dataset
from lowpix.dataset_study import Options
from lowpix.dataset_study.ratios import ratios
from lowpix.dataset_study.tables import DatasetTables
from lowpix.errors import InputError
from lowpix.segmenter.augment import Sample
from lowpix.segmenter.batches import Batches
from lowpix.segmenter.model import Segmenter, build
from lowpix.segmenter.training import Recipe, train

pytestmark = pytest.mark.usefixtures("undrawn")
KINDS = Options().kinds()


class Start(NamedTuple):
    """With what a network was trained."""

    images: tuple[str, ...]
    weights: torch.Tensor
    first: list[Sample]
    recipe: Recipe


class Whole(NamedTuple):
    """A study of all default settings and two seeds, done at once."""

    folder: Path
    tables: DatasetTables
    printed: str
    starts: list[Start]
    """In the order of training."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Tests only read it, or go on with a copy."""
    folder, starts, printed = tmp_path_factory.mktemp("dataset_study") / "whole", [], StringIO()

    def watched(network: Segmenter, batches: Batches, recipe: Recipe, *rest: Any, **options: Any) -> Any:
        weights = torch.cat([value.flatten().float() for value in network.state_dict().values()])
        starts.append(Start(batches.annotation.images, weights, [batches(step) for step in range(3)], recipe))
        return train(network, batches, recipe, *rest, **options)

    with without_pictures(), pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr("lowpix.segmenter.method.train", watched)
        tables = study(folder, KINDS, repeats=2)
    before = identity(folder, "**/*")
    yield Whole(folder, tables, printed.getvalue(), starts)
    assert identity(folder, "**/*") == before


def part(tables: DatasetTables, *runs: tuple[str, int]) -> DatasetTables:
    """The rows of some runs, by setting and seed."""

    def of(table: pd.DataFrame) -> pd.DataFrame:
        return table[[key in runs for key in zip(table["setting"], table["seed"], strict=True)]].reset_index(
            drop=True
        )

    confusion, history, summary = of(tables.confusion), of(tables.history), of(tables.summary)
    return DatasetTables(confusion, history, summary, ratios(summary, confusion))


# What a study leaves behind


def test_tables_follow_from_the_predictions(whole: Whole) -> None:
    folder = whole.folder
    assert whole.printed.count("does not exist yet: running it (facility, stratified, 8 pixels an image)") == 1
    summary = pd.read_csv(folder / "summary.csv")
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
        ("full" if kind == "full" else f"{kind}-8", seed) for kind in KINDS for seed in (0, 1)
    )
    test = open_dataset("scenes", split="test", scene_size=(24, 32), scene_count=3, scene_classes=4)
    confusion = pd.read_parquet(folder / "confusion.parquet")
    for run in summary.itertuples():
        truths, labels = [], []
        for name in test.images:
            truth = test.labels(name)
            assert truth is not None
            with Image.open(folder / f"predictions/{run.setting}/{run.seed}/{name}.png") as picture:
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
    history = pd.read_csv(folder / "history.csv")
    assert len(history) == 2 * len(summary)
    assert set(history["epoch"]) == {1, 2}
    assert whole.tables.summary["seconds"].min() > 0
    assert not list(folder.rglob("*.tmp"))
    assert not list((folder / "state").rglob("*.safetensors"))
    by_hand = {  # 3 scenes of 24×32; 24 clicks are 24 s; a map takes an hour, and at least one is bought
        "full": (768, 1, 0, 3.0),
        "few_full-8": (256, 1 / 3, 0, 1.0),
        **dict.fromkeys(
            ("pseudo-8", "pseudo_stratified-8", "sparse-8", "sparse_random-8"), (8, 8 / 768, 24, 24 / 3600)
        ),
    }
    assert set(summary["setting"]) == set(by_hand)
    for setting, expected in by_hand.items():
        rows = summary[summary["setting"] == setting]
        costs = rows[["pixels_per_image", "annotated_fraction", "clicks", "hours"]]
        np.testing.assert_allclose(costs.to_numpy(float), [expected] * 2)


def test_all_settings_are_trained_alike(whole: Whole) -> None:
    """The same first weights, windows, steps and rates for every setting of a seed."""
    first, *others = whole.starts[: len(KINDS)]
    assert len(whole.starts) == 2 * len(KINDS)
    assert {len(start.images) for start in whole.starts} == {3, 1}  # few_full has but one map
    for start in others:
        assert torch.equal(start.weights, first.weights)
        assert start.recipe == first.recipe
        if start.images == first.images:
            assert all(torch.equal(a.image, b.image) for a, b in zip(start.first, first.first, strict=True))
    other = whole.starts[len(KINDS)]
    assert not torch.equal(other.weights, first.weights)
    assert not torch.equal(other.first[0].image, first.first[0].image)


def test_study_toml_tells_what_was_done(tmp_path: Path) -> None:
    study(tmp_path, ["full_degraded", "pseudo_walker"], epochs=1)
    document = tomllib.loads((tmp_path / "study.toml").read_text())
    settings = document["settings"]
    assert document["kind"] == "dataset"
    assert settings["settings"] == ["full_degraded_flips", "full_degraded_borders", "pseudo_walker"]
    assert (settings["budgets"], settings["crop"], settings["learning_rate"]) == ([8], [24, 32], 0.001)
    assert not {"device", "jobs", "out", "fresh", "data_root", "image_study"} & settings.keys()
    assert document["image_study"]["max_pixels"] == 8


# Going on


def test_settings_and_seeds_extend_a_study(whole: Whole, tmp_path: Path) -> None:
    study(tmp_path, ["full"])
    assert not (tmp_path / "image_study").exists()  # true label maps need none
    first = identity(tmp_path, "runs/*/*.json")
    study(tmp_path, ["full", "pseudo"])
    tables = study(tmp_path, ["pseudo"], repeats=2)
    assert identity(tmp_path, "runs/*/*.json").items() >= first.items()
    assert same(tables, part(whole.tables, ("full", 0), ("pseudo-8", 0), ("pseudo-8", 1)))
    assert len(tables.summary) == 3


def test_stopped_in_the_middle_is_never_stopped(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []

    def stop(row: dict[str, float]) -> None:
        rows.append(row)
        if len(rows) == 3:  # in the second setting, after its first epoch
            raise KeyboardInterrupt

    def interrupted(*given: Any, **options: Any) -> Any:
        return train(*given, after_epoch=stop, **options)

    with monkeypatch.context() as patch:
        patch.setattr("lowpix.segmenter.method.train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path)
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 1
    assert len(list((tmp_path / "state").rglob("*.safetensors"))) == 1
    assert same(study(tmp_path), part(whole.tables, ("full", 0), ("pseudo-8", 0)))
    models = sorted(path.relative_to(tmp_path) for path in tmp_path.glob("models/*/*.safetensors"))
    assert len(models) == 2
    for path in models:
        assert (tmp_path / path).read_bytes() == (whole.folder / path).read_bytes()


def test_tables_alone_are_enough_to_go_on(whole: Whole, tmp_path: Path) -> None:
    copy = shutil.copytree(whole.folder, tmp_path / "copy")
    for path in trained(copy):
        path.unlink()
    assert same(study(copy, KINDS, repeats=2), whole.tables)
    assert not trained(copy)  # nothing was done again


def test_fresh_starts_anew_but_keeps_the_image_study(whole: Whole, tmp_path: Path) -> None:
    copy = shutil.copytree(whole.folder, tmp_path / "copy")
    labels = identity(copy, "image_study/pseudo_labels/*/*/*.png")
    assert labels
    tables = study(copy, ["full"], fresh=True)
    assert same(tables, part(whole.tables, ("full", 0)))
    assert [file.parent.name for file in trained(copy)] == ["full"]
    assert identity(copy, "image_study/pseudo_labels/*/*/*.png") == labels


# What is refused


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 3}, "epochs was 2, now 3"),
        ({"from_scratch": True}, "from_scratch was False, now True"),
        ({"scale": 0.5}, "scale was 1.0, now 0.5"),
        ({"seconds_per_click": 2.0}, "seconds_per_click was 1.0, now 2.0"),
    ],
)
def test_any_other_change_is_refused(change: dict[str, Any], told: str, whole: Whole) -> None:
    before = (whole.folder / "study.toml").read_bytes()
    with pytest.raises(InputError, match=told):
        study(whole.folder, ["full"], **change)
    assert (whole.folder / "study.toml").read_bytes() == before


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state/full/0.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"no state")
    with pytest.raises(InputError, match=r"full/0\.safetensors: .*remove it") as fault:
        train(build("unet", 3, 4, True, 0), lambda _: None, Recipe(1, 1, 0.1, 0), 0, torch.device("cpu"), state)  # type: ignore[arg-type,return-value]
    assert "\n" not in str(fault.value)
