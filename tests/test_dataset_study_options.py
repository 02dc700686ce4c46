"""Options of the data-set study: what each does, and which are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_lines import run_command
from data_samples import write, write_folder
from dataset_runs import WEIGHTS, images, same, save_tiny_segformer, study
from PIL import Image

from lowpix.command import parse
from lowpix.data import IGNORE, open_dataset
from lowpix.dataset_study import Options, dataset_study
from lowpix.dataset_study.tables import dataset_overview
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.predict import Options as PredictOptions
from lowpix.predict import predict

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image study of the training scenes; tests only read it."""
    return images(tmp_path_factory.mktemp("options") / "labels")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"settings": ("full", "pseudoo")}, "--settings full pseudoo: must be .*full, pseudo, .*sparse"),
        ({"settings": ()}, "--settings .*: must be at least one"),
        ({"batch": 0}, "--batch 0: must be .*1"),
        ({"scale": 0}, "--scale 0: must be .*1"),
        ({"scale": 1.5}, "--scale 1.5: must be .*1"),
        ({"scale": float("nan")}, "--scale nan: must be"),
        ({"zoom": (2.0, 0.5)}, "--zoom 2.0 0.5: must be .*the smaller first"),
        ({"select": "test"}, "--select test: must be .*last, validation"),
        ({"minutes_per_map": 0}, "--minutes-per-map 0: must be"),
        ({"epochs": 0}, "--epochs 0: must be 1 to 1000000"),
        ({"min_confidence": 1.5}, "--min-confidence 1.5: must be 0 to 1"),
        ({"budgets": (8, 0)}, "--budgets 8 0: must be at least 1"),
        ({"crop": (24, 8)}, "--crop 24 8: must be 16"),
        ({"repeats": 0}, "--repeats 0: must be 1 to 10000"),
        ({"acquisition": "margins"}, "--acquisition margins: .*margin"),
        ({"network": "resnet"}, "--network resnet: .*unet, hf:"),
        ({"test_split": "train"}, "--split train: .*itself.*--test-split"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told) as fault:
        study(tmp_path / "out", **options)
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "out").exists()


def test_choosing_on_validation_maps_is_charged(labels: Path, tmp_path: Path) -> None:
    options = {"select": "validation", "validation_split": "val", "image_study": labels}
    tables = study(tmp_path, ["full", "sparse"], **options)
    summary = tables.summary
    hours = dict(zip(summary["setting"], summary["hours"], strict=True))
    assert hours["full"] == pytest.approx(3 + 3)
    assert hours["sparse-8"] == pytest.approx(24 / 3600 + 3)
    assert tables.history["validation_miou"].between(0, 1).all()
    shares = dict(zip(summary["setting"], summary["annotated_fraction"], strict=True))
    assert shares == pytest.approx({"full": 2, "sparse-8": 8 / 768 + 1})
    with pytest.raises(InputError, match="--validation-split test: must be"):
        study(tmp_path / "b", ["full"], select="validation", validation_split="test")


def test_half_resolution_is_judged_on_the_original_maps(labels: Path, tmp_path: Path) -> None:
    study(tmp_path, ["sparse"], scale=0.5, image_study=labels)
    (first, *_) = sorted(tmp_path.glob("predictions/sparse-8/0/*.png"))
    with Image.open(first) as picture:
        assert picture.size == (32, 24)
    confusion = pd.read_parquet(tmp_path / "confusion.parquet")
    test = open_dataset("scenes", split="test", scene_size=(24, 32), scene_count=3, scene_classes=4)
    known = sum(int(np.count_nonzero(test.labels(name) != IGNORE)) for name in test.images)
    assert confusion["pixels"].sum() == known


def test_options_of_the_loss(labels: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"class_weights": True},
        {"weigh_by_confidence": True},
        {"min_confidence": 0.6},
    ]
    losses = [
        study(tmp_path / f"{number}", ["pseudo"], epochs=1, image_study=labels, **change).history["loss"].item()
        for number, change in enumerate(changes)
    ]
    assert len(set(losses)) == len(changes)


def test_a_folder_of_ones_own_of_several_sizes(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for split in ("train", "test"):
        write_folder(root, ("a", "b"), split)
        write(root / split / "images" / "b.png", np.full((12, 9, 3), 60))
        write(root / split / "labels" / "b.png", np.repeat([[0], [1]], 6, axis=0) * np.ones((1, 9)))
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
    with pytest.raises(InputError, match=r"^--test-split exam: .*test, train"):
        dataset_study(replace(options, test_split="exam"))
    with pytest.raises(InputError, match=r"^--validation-split val: .*test, train"):
        dataset_study(replace(options, select="validation"))
    tables = dataset_study(options).tables()
    assert list(tables.summary["iou_up"].notna()) == [True, True]
    assert list(tables.summary["pixels_per_image"]) == [(48 + 108) / 2, 6]
    for name, size in (("a", (8, 6)), ("b", (9, 12))):
        with Image.open(out / "predictions" / "pseudo-6" / "0" / f"{name}.png") as picture:
            assert picture.size == size
    assert list(dataset_overview(tables)["setting"]) == ["full", "pseudo-6"]


@pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*_dataset*.toml")), ids=lambda path: path.stem)
def test_study_files_name_an_image_study_that_keeps_their_budgets(file: Path) -> None:
    options = parse(Options, ["--config", str(file)], "python -m lowpix.dataset_study")
    assert options.image_study is not None
    study_file = (ROOT / "studies" / options.image_study.name).with_suffix(".toml")
    labelled = parse(ImageOptions, ["--config", str(study_file)], "python -m lowpix.image_study")
    assert labelled.out == options.image_study
    assert labelled.stop == "budget"
    assert {*labelled.keep_at, labelled.max_pixels} >= set(options.budgets)


@pytest.mark.parametrize("saved", ["tiny", pytest.param("weights", marks=pytest.mark.slow)])
def test_a_model_of_transformers_is_trained_and_labels_photographs(saved: str, tmp_path: Path) -> None:
    if saved == "weights" and not WEIGHTS.is_dir():
        pytest.skip(f"{WEIGHTS} is not there")
    network = f"hf:{save_tiny_segformer(tmp_path / 'saved', 9) if saved == 'tiny' else WEIGHTS}"
    tables = study(tmp_path / "out", ["full"], network=network, epochs=1)
    assert same(study(tmp_path / "again", ["full"], network=network, epochs=1), tables)
    write(tmp_path / "photos" / "a.png", np.zeros((30, 40, 3)))
    predict(PredictOptions(tmp_path / "photos", tmp_path / "out/models/full/0.safetensors", tmp_path / "labels"))
    with Image.open(tmp_path / "labels" / "a.png") as picture:
        assert picture.size == (40, 30)


def test_the_command_tells_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = "--scene-size 24 32 --scene-count 2 --epochs 1 --width 4 --budgets 6 --batch 2 --settings full sparse"
    assert run_command("lowpix.dataset_study", given.split()) == 0
    printed = capsys.readouterr().out
    assert "mIoU / full" in printed
    assert "results/scenes_dataset" in printed.splitlines()[-1]
    assert (tmp_path / "results/scenes_dataset/models/sparse-6/0.safetensors").exists()
