"""Options of the data-set study: what each does, and which are refused."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import write, write_folder
from dataset_runs import WEIGHTS, same, save_tiny_segformer, study
from PIL import Image

from lowpix.data import IGNORE, open_dataset
from lowpix.dataset_study import Options, command, dataset_study
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.predict import Options as PredictOptions
from lowpix.predict import predict
from lowpix.record.dataset_tables import dataset_overview

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"settings": ("pseudoo",)}, "--settings pseudoo: unknown; choose from full, pseudo"),
        ({"settings": ()}, "--settings \\(\\): must be at least one"),
        ({"batch": 1}, "--batch 1: must be at least 2"),
        ({"scale": 0}, "--scale 0: must be above 0, at most 1"),
        ({"zoom": (2.0, 0.5)}, "--zoom .*: must be two factors above 0, the smaller first"),
        ({"select": "test"}, "--select test: must be last or validation"),
        ({"minutes_per_map": 0}, "--minutes-per-map 0: must be above 0"),
        ({"epochs": 0}, "--epochs 0: must be at least 1"),
        ({"min_confidence": 1.5}, "--min-confidence 1.5: must be 0 to 1"),
        ({"acquisition": "margins"}, "margins: unknown"),
        ({"network": "resnet"}, "--network resnet: unknown; choose from unet, hf:"),
        ({"test_split": "train"}, "--split train: is judged on itself"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told) as fault:
        study(tmp_path / "out", **options)
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "out").exists()


def test_choosing_on_validation_maps_is_charged(tmp_path: Path) -> None:
    options = {"select": "validation", "validation_split": "val"}
    summary, _, history, _ = study(tmp_path, ["full", "sparse"], **options)
    hours = dict(zip(summary["setting"], summary["hours"], strict=True))
    assert hours["full"] == pytest.approx(3 + 3)
    assert hours["sparse-8"] == pytest.approx(24 / 3600 + 3)
    assert history["validation_miou"].between(0, 1).all()
    shares = dict(zip(summary["setting"], summary["annotated_fraction"], strict=True))
    assert shares == pytest.approx({"full": 2, "sparse-8": 8 / 768 + 1})
    with pytest.raises(InputError, match="--validation-split test: must be a split of its own"):
        study(tmp_path / "b", ["full"], select="validation", validation_split="test")


def test_half_resolution_is_judged_on_the_original_maps(tmp_path: Path) -> None:
    study(tmp_path, ["sparse"], scale=0.5)
    (first, *_) = sorted(tmp_path.glob("predictions/sparse-8/0/*.png"))
    with Image.open(first) as picture:
        assert picture.size == (32, 24)
    confusion = pd.read_parquet(tmp_path / "confusion.parquet")
    test = open_dataset("scenes", split="test", scene_size=(24, 32), scene_count=3, scene_classes=4)
    known = sum(int(np.count_nonzero(test.labels(name) != IGNORE)) for name in test.images)
    assert confusion["pixels"].sum() == known


def test_options_of_the_loss(tmp_path: Path) -> None:
    plain = study(tmp_path / "a", ["pseudo"]).history["loss"]
    folder = tmp_path / "a" / "image_study"
    for number, change in enumerate(
        ({"class_weights": True}, {"weigh_by_confidence": True}, {"min_confidence": 0.6})
    ):
        changed = study(tmp_path / f"{number}", ["pseudo"], image_study=folder, **change)
        assert (changed.history["loss"] != plain).any()


def test_a_folder_of_ones_own_of_several_sizes(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for split in ("train", "test"):
        write_folder(root, ("a", "b"), split)
    out = tmp_path / "out"
    options = Options(
        "folder",
        root,
        budgets=(6,),
        epochs=1,
        batch=2,
        width=4,
        settings=("full", "pseudo"),
        out=out,
        crop=(16, 16),
    )
    with pytest.raises(InputError, match=r"^--test-split exam: .* has test, train"):
        dataset_study(replace(options, test_split="exam"))
    with pytest.raises(InputError, match=r"^--validation-split val: .* has test, train"):
        dataset_study(replace(options, select="validation"))
    summary = dataset_study(options).tables().summary
    assert list(summary["iou_up"].notna()) == [True, True]
    assert "pseudo" in dataset_overview(dataset_study(options).tables()).to_string()


@pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*_dataset*.toml")), ids=lambda path: path.stem)
def test_study_files_are_valid(file: Path) -> None:
    given = tomllib.loads(file.read_text(encoding="utf-8"))
    assert set(given) <= {field.name for field in fields(Options)}
    Options(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}).check()
    assert given["out"] == f"results/{file.stem}"
    study_file = (ROOT / "studies" / Path(given["image_study"]).name).with_suffix(".toml")
    images = tomllib.loads(study_file.read_text(encoding="utf-8"))
    assert set(images) <= {field.name for field in fields(ImageOptions)}
    ImageOptions(**{k: tuple(v) if isinstance(v, list) else v for k, v in images.items()}).check()
    assert images["out"] == given["image_study"]
    assert {*images["keep_at"], images["max_pixels"]} >= set(given["budgets"])


@pytest.mark.parametrize("saved", ["tiny", pytest.param("weights", marks=pytest.mark.slow)])
def test_a_model_of_transformers_is_trained_and_labels_photographs(saved: str, tmp_path: Path) -> None:
    if saved == "weights" and not WEIGHTS.is_dir():
        pytest.skip(f"{WEIGHTS} is not there")
    network = f"hf:{save_tiny_segformer(tmp_path / 'saved', 9) if saved == 'tiny' else WEIGHTS}"
    tables = study(tmp_path / "out", ["full"], network=network)
    assert same(study(tmp_path / "again", ["full"], network=network), tables)
    write(tmp_path / "photos" / "a.png", np.zeros((30, 40, 3)))
    predict(PredictOptions(tmp_path / "photos", tmp_path / "out/models/full/0.safetensors", tmp_path / "labels"))
    with Image.open(tmp_path / "labels" / "a.png") as picture:
        assert picture.size == (40, 30)


def test_the_command_tells_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = "--scene-size 24 32 --scene-count 2 --epochs 1 --width 4 --budgets 6 --batch 2"
    command([*given.split(), "--settings", "full", "sparse"])
    printed = capsys.readouterr().out
    assert "mIoU / full" in printed
    assert "tables and pictures: results/scenes_dataset" in printed
    assert (tmp_path / "results/scenes_dataset/models/sparse-6/0.safetensors").exists()
