"""The image study that a data-set study draws on: run where it lacks something, read at several budgets."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_samples import write, write_folder
from dataset_runs import identity, images, study, trained
from PIL import Image
from refusals import unsealed

from lowpix.dataset_study import Options, dataset_study
from lowpix.errors import InputError
from lowpix.study.source import Source

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image study that keeps pseudo-labels at 6 and 9 pixels; tests only read it, or change a copy."""
    return images(tmp_path_factory.mktemp("labelling") / "kept", keep_at=(6,), max_pixels=9)


# What is run, and what is read


def test_an_image_study_is_run_for_the_images_that_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = images(tmp_path / "images", limit=2)
    before = identity(folder, "pseudo_labels/*/*/*.png")
    assert len(before) == 2
    capsys.readouterr()
    tables = study(tmp_path / "out", ["pseudo", "pseudo_stratified"], image_study=folder)
    assert f"image study {folder}: lacks 4 pseudo-label maps: running it for them" in capsys.readouterr().out
    after = identity(folder, "pseudo_labels/*/*/*.png")
    assert len(after) == 6
    assert after.items() >= before.items()
    assert set(tables.summary["images"]) == {3}
    assert set(pd.read_csv(folder / "summary.csv")["acquisition"]) == {"margin", "stratified"}


def test_budgets_of_one_image_study_stand_side_by_side(tmp_path: Path) -> None:
    kinds = ["full", "pseudo", "sparse"]
    tables = study(tmp_path, kinds, budgets=(9, 6), acquisition="margin")
    pixels = dict(zip(tables.summary["setting"], tables.summary["pixels_per_image"], strict=True))
    assert pixels == {"full": 768, "pseudo-6": 6, "pseudo-9": 9, "sparse-6": 6, "sparse-9": 9}
    # a study of the smaller budget alone knows the same of it
    folder = tmp_path / "image_study"
    summary = tables.summary.set_index("setting")
    alone = study(tmp_path / "kept", kinds[1:], budgets=(6,), image_study=folder).summary.set_index("setting")
    for setting in ("pseudo-6", "sparse-6"):
        compared = alone.columns.difference(["seconds"])
        pd.testing.assert_series_equal(alone.loc[setting, compared], summary.loc[setting, compared])
    first = pd.read_csv(folder / "summary.csv")["image"][0]
    for budget in (6, 9):  # labels as they were when so many pixels were asked, with these pixels as told
        (labels,) = Source(folder).labels(["margin"], [0], [budget], [first]).values()
        told = labels.logs[first]
        assert len(told.answers) == labels.asked[first] == budget
        np.testing.assert_array_equal(labels.labels(first)[tuple(told.pixels.T)], told.answers)
    assert (folder / f"pseudo_labels_at/6/mlp-margin-edges/0/{first}.png").exists()
    extended = study(tmp_path / "kept", ["pseudo"], budgets=(9,), image_study=folder).summary
    assert list(extended["setting"]) == ["pseudo-6", "pseudo-9", "sparse-6"]


def test_an_acquisition_of_ones_own_is_named_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_score.py").write_text("def score(p):\n    return -p.mean(0).amax(-1)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    tables = study(tmp_path / "out", ["pseudo"], acquisition="own_score:score")
    assert list(tables.summary["privileged"]) == [False]
    assert (tmp_path / "out/image_study/pseudo_labels/mlp-own_score.score-edges").is_dir()


# What is refused


def test_a_budget_that_was_not_kept_is_refused(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--budgets 7: .* 6, 9 pixels"):
        study(tmp_path / "b", ["pseudo"], budgets=(7,), image_study=kept)
    with pytest.raises(InputError, match=r"--budgets 0: must be at least 1"):
        study(tmp_path / "b", ["pseudo"], budgets=(0,))
    assert not (tmp_path / "b").exists()


def test_confidences_are_kept_at_each_budget(kept: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(kept, tmp_path / "images")
    given = {"budgets": (6,), "image_study": folder}
    plain = study(tmp_path / "b", ["pseudo"], **given)
    sure = study(tmp_path / "c", ["pseudo"], weigh_by_confidence=True, **given)
    assert (sure.history["loss"] != plain.history["loss"]).any()
    next((folder / "confidence_at/6").rglob("*.png")).unlink()
    with pytest.raises(InputError, match=r"confidence_at/6/.*\.png: is not there"):
        study(tmp_path / "d", ["full", "pseudo"], min_confidence=0.5, **given)
    assert not trained(tmp_path / "d")  # before anything is trained


def test_an_image_study_of_other_images_is_refused(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"its scene_size is \[24, 32\], not \[24, 40\]: other images"):
        study(tmp_path / "b", ["pseudo"], image_study=kept, scene_size=(24, 40))
    with pytest.raises(InputError, match=r"\(--seed names them\)"):
        study(tmp_path / "b", ["pseudo"], image_study=kept, seed=1)
    study(tmp_path / "full", ["full"])
    with pytest.raises(InputError, match=f"{tmp_path / 'full'}: is no image study"):
        study(tmp_path / "b", ["pseudo"], image_study=tmp_path / "full")
    assert not (tmp_path / "b").exists()


def test_an_image_study_of_other_data_under_the_same_name_is_refused(tmp_path: Path) -> None:
    def folder(root: Path, names: tuple[str, ...], mirror: bool) -> Path:
        for split in ("train", "test"):
            write_folder(root, names, split)
            for file in (root / split / "labels").glob("*.png") if mirror else ():
                with Image.open(file) as picture:
                    write(file, 1 - np.minimum(np.asarray(picture), 1))
        return root

    given = {"settings": ("pseudo",), "budgets": (6,), "epochs": 1, "batch": 2, "width": 4, "crop": (16, 16)}

    def studied(out: str, root: Path, image_study: Path | None) -> None:
        dataset_study(Options("folder", root, image_study=image_study, out=tmp_path / out, **given))  # type: ignore[arg-type]

    studied("out", folder(tmp_path / "data", ("a", "b"), False), None)
    labels = tmp_path / "out" / "image_study"
    before = identity(labels, "**/*.png")
    assert before
    with pytest.raises(InputError, match=r"pixels of [ab] have other labels here: is --data-root the same data"):
        studied("other", folder(tmp_path / "mirrored", ("a", "b"), True), labels)
    with pytest.raises(InputError, match="none of its images is here"):
        studied("third", folder(tmp_path / "names", ("c", "d"), False), labels)
    assert identity(labels, "**/*.png") == before
    assert not (tmp_path / "other").exists()


def test_an_image_study_that_was_made_anew_is_refused(tmp_path: Path) -> None:
    """Else the seeds of one row would have learned from labels of two kinds."""
    images(tmp_path / "image_study")
    study(tmp_path, ["full", "pseudo"])
    images(tmp_path / "image_study", members=2, fresh=True)
    before = pd.read_csv(tmp_path / "summary.csv")
    with pytest.raises(InputError, match=r"study\.toml: image_study: .*members was 4, now 2.*--fresh"):
        study(tmp_path, ["full", "pseudo"], repeats=2)
    assert len(pd.read_csv(tmp_path / "summary.csv")) == len(before)
    assert set(study(tmp_path, ["pseudo"], fresh=True).summary["setting"]) == {"pseudo-8"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [("size", "20×32 pixels: must be 24×32"), ("id", "holds id 9: must be below 4"), ("broken", "cannot be read")],
)
def test_a_faulty_label_map_is_named_before_anything_is_trained(
    fault: str, told: str, kept: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(kept, tmp_path / "images")
    file = sorted((folder / "pseudo_labels").rglob("*.png"))[-1]
    if fault == "broken":
        file.write_bytes(file.read_bytes()[:60])
    elif fault == "size":
        write(file, np.zeros((20, 32)))
    else:
        ids = np.full((24, 32), 9)
        ids[0] = 255  # void is no id of a class, and no fault
        write(file, ids)
    with pytest.raises(InputError, match=rf"{file.name}: has changed since"):
        study(tmp_path / "out", ["full", "pseudo"], budgets=(9,), image_study=folder)
    unsealed(folder)
    with pytest.raises(InputError, match=rf"{file.name}: .*{told}"):
        study(tmp_path / "out", ["full", "pseudo"], budgets=(9,), image_study=folder)
    assert not trained(tmp_path / "out")


def test_labels_that_are_gone_are_named(kept: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(kept, tmp_path / "images")
    gone = next((folder / "pseudo_labels").rglob("*.png"))
    gone.unlink()
    with pytest.raises(InputError, match=rf"{gone.name}: is not there, though .* tables"):
        study(tmp_path / "out", ["pseudo"], budgets=(9,), image_study=folder)
    assert not trained(tmp_path / "out")


def test_evenly_spread_pixels_are_refused_where_a_study_stopped_at_its_target(tmp_path: Path) -> None:
    """There they would not be as many as those of the acquisition."""
    folder = images(tmp_path / "images", stop="target", target=0.6, max_pixels=14, pixels_per_round="2")
    chosen = pd.read_parquet(folder / "revealed.parquet").groupby("image").size()
    assert chosen.nunique() > 1  # else this shows nothing
    before = identity(folder, "**/*")
    with pytest.raises(InputError, match=r"--settings .*pseudo_stratified") as fault:
        study(tmp_path / "out", ["pseudo", "pseudo_stratified"], image_study=folder, budgets=())
    told = str(fault.value)
    assert "\n" not in told
    assert str(folder) in told
    assert "--stop budget" in told  # what to run instead
    assert identity(folder, "**/*") == before
    assert not (tmp_path / "out").exists()
    tables = study(tmp_path / "out", ["pseudo"], image_study=folder, budgets=())
    assert list(tables.summary["setting"]) == ["pseudo-14"]
    assert list(tables.summary["clicks"]) == [chosen.sum()]
    assert tables.summary["privileged"].all()  # the truth had a say in how many pixels there are


def test_a_study_of_evenly_spread_pixels_alone_may_stop_at_its_target(tmp_path: Path) -> None:
    given = {"acquisition": ("stratified",), "stop": "target", "target": 0.6}
    folder = images(tmp_path / "images", max_pixels=12, pixels_per_round="4", **given)
    tables = study(tmp_path / "out", ["pseudo"], acquisition="stratified", image_study=folder, budgets=())
    assert list(tables.summary["setting"]) == ["pseudo-12"]
