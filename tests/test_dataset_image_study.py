"""The image study that a data-set study draws on: run where it lacks something, read at several budgets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_samples import write, write_folder
from dataset_runs import SMALL, identity, study
from PIL import Image

from lowpix.dataset_study import Options, dataset_study
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.learning.image_labels import Source

pytestmark = pytest.mark.usefixtures("undrawn")


def test_an_image_study_is_run_for_the_images_that_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    study(tmp_path / "a", ["pseudo"], image_study=folder, limit=2)
    before = identity(folder, "pseudo_labels/*/*/*.png")
    assert len(before) == 2
    capsys.readouterr()
    tables = study(tmp_path / "b", ["pseudo", "pseudo_stratified"], image_study=folder)
    assert f"image study {folder}: lacks 4 pseudo-label maps: running it for them" in capsys.readouterr().out
    after = identity(folder, "pseudo_labels/*/*/*.png")
    assert len(after) == 6
    assert after.items() >= before.items()
    assert set(tables.summary["images"]) == {3}


def test_budgets_of_one_image_study_stand_side_by_side(tmp_path: Path) -> None:
    kinds = ["full", "pseudo", "sparse"]
    tables = study(tmp_path, kinds, budgets=(9, 6))
    pixels = dict(zip(tables.summary["setting"], tables.summary["pixels_per_image"], strict=True))
    assert pixels == {"full": 768, "pseudo-6": 6, "pseudo-9": 9, "sparse-6": 6, "sparse-9": 9}
    # a study of the smaller budget alone knows the same of it
    images = tmp_path / "image_study"
    summary = tables.summary.set_index("setting")
    kept = study(tmp_path / "kept", kinds, budgets=(6,), image_study=images).summary.set_index("setting")
    for setting in ("pseudo-6", "sparse-6"):
        compared = kept.columns.difference(["seconds"])
        pd.testing.assert_series_equal(kept.loc[setting, compared], summary.loc[setting, compared])
    first = pd.read_csv(images / "summary.csv")["image"][0]
    for budget in (6, 9):  # labels as they were when so many pixels were asked, with these pixels as told
        (labels,) = Source(images).read(["margin"], [0], [budget], [first]).values()
        told = labels.revealed[first]
        assert len(told.labels) == labels.asked[first] == budget
        np.testing.assert_array_equal(labels.labels(first)[told.rows, told.columns], told.labels)
    assert (images / f"pseudo_labels_at/6/mlp-margin/0/{first}.png").exists()
    extended = study(tmp_path / "kept", ["pseudo"], budgets=(9,), image_study=images).summary
    assert list(extended["setting"]) == ["full", "pseudo-6", "pseudo-9", "sparse-6"]


def test_a_budget_that_was_not_kept_is_refused(tmp_path: Path) -> None:
    study(tmp_path, ["sparse"], budgets=(6, 9))
    images = tmp_path / "image_study"
    with pytest.raises(InputError, match=r"--budgets 7: .* keeps pseudo-labels at 6, 9 pixels"):
        study(tmp_path / "b", ["pseudo"], budgets=(7,), image_study=images)
    plain = study(tmp_path / "b", ["pseudo"], budgets=(6,), image_study=images)
    sure = study(tmp_path / "c", ["pseudo"], budgets=(6,), image_study=images, weigh_by_confidence=True)
    assert (sure.history["loss"] != plain.history["loss"]).any()  # confidences are kept, too
    next((images / "confidence_at/6").rglob("*.png")).unlink()
    with pytest.raises(InputError, match=r"confidence_at/6/.*\.png: is not there"):
        study(tmp_path / "d", ["full", "pseudo"], budgets=(6,), image_study=images, min_confidence=0.5)
    assert not list((tmp_path / "d").rglob("runs/*/*.json"))  # before anything is trained
    with pytest.raises(InputError, match=r"--budgets .*: must be at least 1 each"):
        study(tmp_path / "b", ["pseudo"], budgets=(0,))


def test_an_image_study_of_other_images_is_refused(tmp_path: Path) -> None:
    study(tmp_path, ["pseudo"])
    with pytest.raises(InputError, match=r"its scene_size is \[24, 32\], not \[24, 40\]: other images"):
        study(tmp_path / "b", ["pseudo"], image_study=tmp_path / "image_study", scene_size=(24, 40))
    with pytest.raises(InputError, match=r"\(--seed names them\)"):
        study(tmp_path / "b", ["pseudo"], image_study=tmp_path / "image_study", seed=1)
    with pytest.raises(InputError, match="is no image study"):
        study(tmp_path / "c", ["pseudo"], image_study=tmp_path)


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
    images = tmp_path / "out" / "image_study"
    before = identity(images, "**/*.png")
    with pytest.raises(InputError, match=r"pixels of [ab] have other labels here: is --data-root the same data"):
        studied("other", folder(tmp_path / "mirrored", ("a", "b"), True), images)
    with pytest.raises(InputError, match="none of its images is here"):
        studied("third", folder(tmp_path / "names", ("c", "d"), False), images)
    assert identity(images, "**/*.png") == before
    assert not (tmp_path / "other").exists()


def test_an_image_study_that_was_made_anew_is_refused(tmp_path: Path) -> None:
    """Else the seeds of one row would have learned from labels of two kinds."""
    study(tmp_path, ["full", "pseudo"])
    options = {key: SMALL[key] for key in ("scene_size", "scene_count", "scene_classes")}
    options |= {"stop": "budget", "max_pixels": 8, "out": tmp_path / "image_study"}
    image_study(ImageOptions(**options, members=2, fresh=True))
    before = pd.read_csv(tmp_path / "summary.csv")
    with pytest.raises(InputError, match=r"study\.toml: image_study: .*members was 4, now 2.*--fresh starts anew"):
        study(tmp_path, ["full", "pseudo"], repeats=2)
    assert len(pd.read_csv(tmp_path / "summary.csv")) == len(before)
    assert set(study(tmp_path, ["pseudo"], fresh=True).summary["setting"]) == {"pseudo-8"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [("size", "20×32 pixels: must be 24×32"), ("id", "holds id 9: must be below 4"), ("broken", "cannot be read")],
)
def test_a_faulty_label_map_is_named_before_anything_is_trained(fault: str, told: str, tmp_path: Path) -> None:
    study(tmp_path / "a", ["pseudo"])
    images = tmp_path / "a/image_study"
    file = sorted((images / "pseudo_labels").rglob("*.png"))[-1]
    if fault == "broken":
        file.write_bytes(file.read_bytes()[:60])
    else:
        write(file, np.full((24 - 4 * (fault == "size"), 32), 9 * (fault == "id")))
    with pytest.raises(InputError, match=rf"{file.name}: .*{told}"):
        study(tmp_path / "b", ["full", "pseudo"], image_study=images)
    assert not list((tmp_path / "b").rglob("runs/*/*.json"))


def test_an_acquisition_of_ones_own_is_named_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_score.py").write_text("def score(p):\n    return -p.mean(0).amax(-1)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    tables = study(tmp_path / "out", ["pseudo"], acquisition="own_score:score")
    assert list(tables.summary["privileged"]) == [False]
    assert (tmp_path / "out/image_study/pseudo_labels/mlp-own_score.score").is_dir()


def test_evenly_spread_pixels_are_as_many_where_a_study_stops_at_the_target(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    given = {key: SMALL[key] for key in ("scene_size", "scene_count", "scene_classes")}
    image_study(ImageOptions(**given, target=0.6, max_pixels=14, pixels_per_round="2", out=folder))
    chosen = pd.read_parquet(folder / "revealed.parquet").groupby("image").size()
    assert chosen.nunique() > 1  # else this shows nothing
    tables = study(tmp_path / "out", ["pseudo", "pseudo_stratified"], image_study=folder, budgets=())
    assert list(tables.summary["setting"]) == ["pseudo-14", "pseudo_stratified-14"]
    assert tables.summary["privileged"].all()  # the truth had a say in how many pixels there are
    assert list(tables.summary["clicks"]) == [chosen.sum(), chosen.sum()]
    runs = [pd.read_parquet(path) for path in (tmp_path / "out" / "stratified").rglob("runs/*/0/*.parquet")]
    spread = {run["image"].iloc[0]: run["revealed"].max() for run in runs}
    assert spread == chosen.to_dict()
    again = identity(tmp_path / "out", "stratified/*/runs/*/*/*.parquet")
    study(tmp_path / "out", ["pseudo_stratified"], image_study=folder, budgets=(), repeats=2)
    assert identity(tmp_path / "out", "stratified/*/runs/*/*/*.parquet") == again
    assert set(pd.read_csv(folder / "summary.csv")["acquisition"]) == {"margin"}


def test_labels_that_are_gone_are_named(tmp_path: Path) -> None:
    study(tmp_path, ["pseudo"])
    gone = next((tmp_path / "image_study" / "pseudo_labels").rglob("*.png"))
    gone.unlink()
    with pytest.raises(InputError, match=rf"{gone.name}: is not there, though the study's tables count its run"):
        study(tmp_path / "b", ["pseudo"], image_study=tmp_path / "image_study")
