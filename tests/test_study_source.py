"""What others read of an image study, against its run files and pictures read by hand."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from data_samples import write, write_folder
from dataset_runs import SCENES, images
from PIL import Image
from refusals import refused, unsealed

from lowpix import image_study
from lowpix.data import open_dataset
from lowpix.study.source import Source, require_maps

BUDGETS = (5, 8, 11)
ACQUISITIONS = ("margin", "stratified")
EVERY = [("mlp-margin", 0), ("mlp-margin", 1), ("mlp-stratified", 0), ("mlp-stratified", 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, two settings, two seeds; a third of the answers are refused, and void pixels are asked."""
    return images(
        tmp_path_factory.mktemp("source") / "images",
        acquisition=ACQUISITIONS,
        repeats=2,
        first_pixels=3,
        pixels_per_round="3",
        keep_at=BUDGETS[:-1],
        max_pixels=BUDGETS[-1],
        oracle_refusal=0.35,
        ask_void=True,
    )


def rounds_of(folder: Path, setting: str, seed: int, image: str) -> list[dict[str, Any]]:
    """The rounds of a run, from its own file."""
    table = pd.read_parquet(folder / f"runs/{setting}/{seed}/{image}.parquet")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def told(rounds: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """Row, column and class of the answers that carry a class, in order."""
    return [
        (row, column, answer)
        for one in rounds
        for row, column, answer in zip(one["rows"], one["columns"], one["labels"], strict=True)
        if answer < 4
    ]


# Logs


def test_logs_are_the_run_files(folder: Path) -> None:
    source, unlike = Source(folder), set()
    for setting in ("mlp-margin", "mlp-stratified"):
        logs = source.logs(setting)
        assert set(logs) == {(f"scene_00{image}", seed) for image in range(3) for seed in (0, 1)}
        for (image, seed), log in logs.items():
            rounds = rounds_of(folder, setting, seed, image)
            answers = told(rounds)
            assert [(*pixel, answer) for pixel, answer in zip(log.pixels, log.answers, strict=True)] == answers
            fits, known = [], 0
            for number in range(len(rounds)):
                known = len(told(rounds[: number + 1]))
                if known:  # before the first class there is nothing to train on
                    fits.append(known)
            assert log.fits == fits
            assert log.asked == log.revealed == known
            unlike.add(len(answers))
    assert len(unlike) > 1  # else no answer was refused


def test_a_log_is_enough_to_train_the_networks_again(folder: Path) -> None:
    """To the bits of the pseudo-labels, though answers without a class are not in it."""
    options = image_study.Options.of(Source(folder).settings)
    setting, dataset = options.settings()[0], open_dataset("scenes", **SCENES)
    for image in dataset.images:
        case = setting.start(dataset, (image, 1), torch.device("cpu"))
        log = Source(folder).logs("mlp-margin")[image, 1]
        case.session.restore(log)
        with Image.open(folder / f"pseudo_labels/mlp-margin/1/{image}.png") as picture:
            kept = np.array(picture)
        again = log.overwrite(case.session.predict().labels)
        void = kept == 255  # told, so that nothing was predicted
        np.testing.assert_array_equal(again[~void], kept[~void])


def test_a_run_that_was_told_nothing_has_an_empty_log(tmp_path: Path) -> None:
    out = images(tmp_path / "refused", oracle_refusal=1.0, max_pixels=6, scene_count=1)
    source = Source(out)
    (log,) = source.logs("mlp-margin").values()
    assert (log.asked, log.fits) == (0, [])
    (labels,) = source.labels(["margin"], [0], [6], ["scene_000"]).values()
    assert labels.asked == {"scene_000": 6}
    with Image.open(labels.file("scene_000")) as picture:
        np.testing.assert_array_equal(labels.labels("scene_000"), np.array(picture))


# Labels


@pytest.mark.parametrize("budget", BUDGETS)
def test_labels_at_a_budget_are_its_files_with_what_was_told_by_then(
    budget: int, folder: Path, tmp_path: Path
) -> None:
    copy = unsealed(shutil.copytree(folder, tmp_path / "copy"))
    at = "" if budget == BUDGETS[-1] else f"_at/{budget}"
    draw = np.random.default_rng(budget)
    names = [f"scene_00{image}" for image in range(3)]
    found = Source(copy).labels(ACQUISITIONS, (0, 1), [budget], names)
    assert set(found) == {(acquisition, budget, seed) for acquisition in ACQUISITIONS for seed in (0, 1)}
    for (acquisition, _, seed), labels in found.items():
        for image in names:
            place = f"mlp-{acquisition}/{seed}/{image}.png"
            file = copy / f"pseudo_labels{at}" / place
            assert labels.file(image) == file
            with Image.open(file) as picture:  # as the study left it, it holds what was told
                written = np.array(picture)
            rounds = [
                one for one in rounds_of(folder, f"mlp-{acquisition}", seed, image) if one["asked"] <= budget
            ]
            assert labels.asked[image] == sum(len(one["rows"]) for one in rounds) == rounds[-1]["asked"]
            expected, grey = draw.integers(0, 4, (24, 32)), draw.integers(0, 256, (24, 32))
            write(file, expected)
            write(copy / f"confidence{at}" / place, grey)
            confidence = grey.astype(np.float32) / np.float32(255)
            for row, column, answer in told(rounds):
                assert written[row, column] == answer
                expected[row, column] = answer
                confidence[row, column] = 1
            np.testing.assert_array_equal(labels.labels(image), expected)
            np.testing.assert_array_equal(labels.confidence(image), confidence)


def test_seeds_come_in_turn_and_budgets_are_those_kept(folder: Path) -> None:
    source = Source(folder)
    assert source.budgets == BUDGETS
    assert [source.seed(repeat, 1) for repeat in range(5)] == [0, 1, 0, 1, 0]
    assert [source.seed(repeat, 3) for repeat in range(5)] == [0, 1, 2, 0, 1]  # one more is to come
    assert source.setting("stratified") == "mlp-stratified"
    assert not source.stopped_at_target
    assert {"acquisition", "repeats", "limit"}.isdisjoint(source.fixed)
    assert source.fixed["oracle_refusal"] == 0.35


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    names = ["scene_000", "scene_001", "scene_009"]
    gone = copy / "pseudo_labels_at/8/mlp-margin/1/scene_001.png"
    gone.unlink()
    unsure = copy / "confidence/mlp-margin/0/scene_000.png"
    unsure.unlink()
    source = Source(copy)
    never = [gone.with_name("scene_009.png")]
    assert source.missing(["margin"], {1}, [8], names) == [gone, *never]
    assert source.missing(["margin"], {1, 0}, [11], names[:2], confidence=True) == [unsure]
    assert source.missing(["margin"], {1, 0}, [11], names[:2]) == []
    with refused(copy, "mlp-margin", "seed 1", "scene_009"):
        source.labels(["margin"], [1], [8], names)
    with refused(copy, "mlp-random", "seed 0", "scene_000"):
        source.labels(["random"], [0], [8], names)


# Refusals


def test_another_data_set_is_refused(folder: Path) -> None:
    source = Source(folder)
    source.require_same_data(open_dataset("scenes", **SCENES))
    fewer = SCENES | {"scene_count": 1}
    source.require_same_data(open_dataset("scenes", **fewer))  # its scenes are the first of these
    for change, parts in (
        ({"scene_size": (24, 40)}, ("scene_size", "[24, 32]", "[24, 40]")),
        ({"scene_classes": 5}, ("scene_classes", "4", "5")),
        ({"seed": 3}, ("seed", "0", "3")),
        ({"split": "test"}, ("split", "train", "test")),
    ):
        with refused("--image-study", folder, *parts):
            source.require_same_data(open_dataset("scenes", **SCENES | change))


def test_other_labels_of_the_same_images_are_refused(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data")
    given = {"dataset": "folder", "data_root": data, "max_pixels": 6}
    source = Source(images(tmp_path / "images", **given))
    source.require_same_data(open_dataset("folder", data))
    assert source.open(data).images == ("a", "b")
    write(data / "labels/b.png", np.zeros((6, 8)))
    with refused(source.folder, "pixels of b have other labels", "--data-root"):
        source.require_same_data(open_dataset("folder", data))
    erring = Source(images(tmp_path / "erring", oracle_noise=0.5, **given))
    write(data / "labels/b.png", np.ones((6, 8)))
    erring.require_same_data(open_dataset("folder", data))  # its oracle could have told anything
    for kind in ("images", "labels"):
        (data / kind / "b.png").unlink()
    with refused(source.folder, "image b is not in folder", "--data-root"):
        source.open(data)
    with refused(source.folder, "cannot be opened", tmp_path / "nowhere"):
        source.open(tmp_path / "nowhere")
    with refused(source.folder, "none of its images is here"):
        source.require_same_data(open_dataset("folder", write_folder(tmp_path / "other", ("c",))))


def test_a_folder_that_is_no_image_study_is_refused(tmp_path: Path) -> None:
    results = Path(__file__).parents[1] / "results"
    for there in (tmp_path / "nowhere", tmp_path, results / "camvid_dataset", results / "camvid_order"):
        with refused(there, "is no image study"):
            Source(there)
    (tmp_path / "study.toml").write_text("no TOML")
    with refused(tmp_path / "study.toml", "cannot be read"):
        Source(tmp_path)


@pytest.mark.parametrize("change", ["fewer", "none", "more"])
def test_tables_that_contradict_each_other_are_refused(change: str, folder: Path, tmp_path: Path) -> None:
    copy = unsealed(shutil.copytree(folder, tmp_path / "copy"))
    shutil.rmtree(copy / "runs")  # the tables are all that is left, as in what is published
    revealed = pd.read_parquet(copy / "revealed.parquet")
    of_run = (revealed["setting"] == "mlp-margin") & (revealed["image"] == "scene_001") & (revealed["seed"] == 1)
    assert of_run.sum() > 1
    last = revealed[of_run].tail(1)
    if change == "more":
        column = 31 - last["column"]  # another pixel
        revealed = pd.concat([revealed, last.assign(order=last["order"] + 1, column=column)])
    else:
        revealed = revealed[~of_run] if change == "none" else revealed.drop(last.index)
    revealed.to_parquet(copy / "revealed.parquet", index=False)
    source = Source(copy)
    with refused(copy, "revealed.parquet", "scene_001", "seed 1", "curves.parquet"):
        source.logs("mlp-margin")
    assert len(source.logs("mlp-stratified")) == 6


def test_label_maps_of_another_size_or_more_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = unsealed(shutil.copytree(folder, tmp_path / "copy"))
    dataset, names = open_dataset("scenes", **SCENES), ["scene_000", "scene_002"]
    found = Source(copy).labels(["margin"], [1], [8], names)
    require_maps(found, dataset, names)
    file = copy / "pseudo_labels_at/8/mlp-margin/1/scene_002.png"
    for array, parts in (
        (np.zeros((24, 30)), ("24×30", "24×32")),
        (np.where(np.eye(24, 32), 255, 4), ("id 4", "below 4")),  # void is no id
        (np.zeros((24, 32, 3)), ("RGB",)),
    ):
        write(file, array)
        with refused(file, *parts):
            require_maps(found, dataset, names)


def test_maps_that_have_changed_are_refused(folder: Path, tmp_path: Path) -> None:
    """Though they fit: corrected by hand, or another one in its place."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    (labels,) = Source(copy).labels(["margin"], [1], [8], ["scene_000", "scene_001"]).values()
    for kind, read in (("pseudo_labels_at", labels.labels), ("confidence_at", labels.confidence)):
        place = copy / kind / "8/mlp-margin/1"
        with Image.open(place / "scene_000.png") as picture:
            corrected = np.array(picture)
        read("scene_000")
        corrected[3, 4] = 1 - min(int(corrected[3, 4]), 1)
        write(place / "scene_000.png", corrected)
        shutil.copy(place / "scene_002.png", place / "scene_001.png")
        for name in ("scene_000", "scene_001"):
            with refused(place / f"{name}.png", "has changed"):
                read(name)
