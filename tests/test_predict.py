"""Labels of new photographs by a trained network."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_lines import run_command
from data_samples import write
from PIL import Image
from refusals import refused
from safetensors.torch import save_file

from lowpix.predict import Options, overlay_jpeg, predict
from lowpix.segmenter.evaluation import label_image
from lowpix.segmenter.model import Model, build, save_model
from lowpix.study.label_maps import read_label_map

PALETTE = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
SIZES = {"street.jpg": (30, 40), "house.png": (17, 23), "tall.tif": (64, 9)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return trained(tmp_path / "model.safetensors", seed=0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name, size in SIZES.items():
        write(tmp_path / "photos" / name, draw.integers(0, 256, (*size, 3)))
    return tmp_path / "photos"


def trained(path: Path, seed: int) -> Path:
    save_model(path, Model(build("unet", 3, 4, True, seed), ("a", "b", "c"), PALETTE, 0.5, (24, 32)))
    return path


def test_every_photograph_gets_a_label_map_of_its_name_size_and_colours(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = [photos, "--model", model, "--out", tmp_path / "labels"]
    assert run_command("lowpix.predict", list(map(str, arguments))) == 0
    network = build("unet", 3, 4, True, 0).eval()
    for name, size in SIZES.items():
        file = tmp_path / "labels" / f"{Path(name).stem}.png"
        with Image.open(file) as picture:
            assert (picture.mode, picture.size) == ("P", (size[1], size[0]))
            assert picture.getpalette()[:9] == PALETTE.flatten().tolist()
        with Image.open(photos / name) as picture:
            image = np.asarray(picture.convert("RGB"))
        np.testing.assert_array_equal(read_label_map(file), label_image(network, image, 0.5, torch.device("cpu")))


def test_it_goes_on_where_it_stopped(model: Path, photos: Path, tmp_path: Path) -> None:
    options = Options(photos, model, tmp_path / "labels")
    assert predict(options) == 3
    house, street = (tmp_path / "labels" / f"{name}.png" for name in ("house", "street"))
    before = street.stat().st_mtime_ns
    house.unlink()
    assert predict(options) == 1
    assert house.exists()
    assert street.stat().st_mtime_ns == before
    assert predict(Options(photos, model, tmp_path / "labels", fresh=True)) == 3


def test_labels_by_another_model_are_neither_mixed_nor_lost(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    predict(Options(photos, model, out))
    before = (out / "street.png").read_bytes()
    other = trained(tmp_path / "other.safetensors", seed=1)
    with refused(f"--out {out}", "another model"):
        predict(Options(photos, other, out))
    assert (out / "street.png").read_bytes() == before
    predict(Options(photos, other, out, fresh=True))
    assert (out / "street.png").read_bytes() != before


def test_a_broken_photograph_does_not_stop_the_others(model: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    with refused("broken.png", "cannot be read", "other 3 images"):
        predict(Options(photos, model, tmp_path / "labels"))
    assert len(list((tmp_path / "labels").glob("*.png"))) == 3


def test_photographs_are_never_overwritten(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (photos / "house.png").read_bytes()
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    for out in (photos, Path("photos"), photos / ".." / "photos", tmp_path / "link"):
        for fresh in (False, True):
            with refused(f"--out {out}", photos, "another folder"):
                predict(Options(photos, model, out, fresh=fresh))
    assert (photos / "house.png").read_bytes() == before


@pytest.mark.parametrize("folder", ["images", "images/sub", "labels"])
def test_a_data_sets_own_folders_are_not_written_to(model: Path, tmp_path: Path, folder: str) -> None:
    """Else the label maps were taken for photographs, or for labels by hand, from then on."""
    write(tmp_path / "own/images/deep/a.jpg", np.zeros((20, 30, 3)))
    with refused(f"--out {tmp_path / 'own' / folder}", "another folder"):
        predict(Options(tmp_path / "own", model, tmp_path / "own" / folder))
    assert sorted(path.name for path in (tmp_path / "own").rglob("*")) == ["a.jpg", "deep", "images"]
    assert predict(Options(tmp_path / "own", model, tmp_path / "own/predicted")) == 1
    photographs = tmp_path / "own/images/deep"
    with refused(photographs, "another folder"):
        predict(Options(photographs, model, photographs / "predicted"))
    assert list(photographs.iterdir()) == [photographs / "a.jpg"]


def test_a_photographs_own_name_is_no_reason_to_write_over_it(model: Path, photos: Path, tmp_path: Path) -> None:
    """`house.png` beside `house.jpg` would be taken for a photograph by the next call."""
    (photos / "house.png").rename(photos / "house.tif")
    before = sorted(photos.iterdir())
    for _ in range(2):
        with refused(f"--out {photos}"):
            predict(Options(photos, model, photos))
        assert sorted(photos.iterdir()) == before
    assert predict(Options(photos, model, tmp_path / "labels")) == 3


def test_a_folder_with_the_model_in_it_is_kept_apart_from_label_maps(photos: Path, tmp_path: Path) -> None:
    model = trained(tmp_path / "study/models/full/0.safetensors", seed=0)
    for out in (model.parent, tmp_path / "study"):
        for fresh in (False, True):
            with refused(f"--out {out}", model):
                predict(Options(photos, model, out, fresh=fresh))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and photos not in path.parents] == [model]
    assert predict(Options(photos, model, model.parent / "labels")) == 3  # a new folder beside it holds nothing


@pytest.mark.parametrize("place", [".", "..", "~"])
def test_no_fresh_start_at_home_or_above_the_current_folder(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    here = tmp_path / "home/work"
    here.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path if place == "~" else here)
    out = tmp_path / "home" if place == "~" else Path(place)
    with refused("--fresh", "home", "current folder"):
        predict(Options(photos, model, out, fresh=True))
    assert [path.name for path in (tmp_path / "home").rglob("*")] == ["work"]
    assert predict(Options(photos, model, out)) == 3


@pytest.mark.parametrize("what", ["model", "photos", "empty"])
def test_what_is_missing_is_named(what: str, model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder = {"photos": tmp_path / "none", "empty": tmp_path / "empty"}.get(what, photos)
    options = Options(folder, tmp_path / "none.safetensors" if what == "model" else model, tmp_path / "labels")
    with refused("none" if what != "empty" else "empty"):
        predict(options)
    assert not (tmp_path / "labels").exists()


def test_labels_by_hand_are_never_overwritten(model: Path, tmp_path: Path) -> None:
    write(tmp_path / "own/images/a.png", np.zeros((20, 30, 3)))
    write(tmp_path / "own/labels/a.png", np.ones((20, 30)))
    (tmp_path / "own/classes.json").write_text('{"classes": ["a", "b"], "ignore_index": null}', encoding="utf-8")
    before = (tmp_path / "own/labels/a.png").read_bytes()
    for options in ({}, {"fresh": True}):
        with refused(tmp_path / "own/labels", "another folder"):
            predict(Options(tmp_path / "own", model, tmp_path / "own/labels", **options))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.png").write_bytes(before)
    for fresh in (False, True):
        with refused("a.png", "not by this program", "another folder"):
            predict(Options(tmp_path / "own", model, tmp_path / "labels", fresh=fresh))
    assert (tmp_path / "own/labels/a.png").read_bytes() == before == (tmp_path / "labels/a.png").read_bytes()


def test_a_corrected_label_map_is_never_overwritten(model: Path, photos: Path, tmp_path: Path) -> None:
    options = Options(photos, model, tmp_path / "labels")
    predict(options)
    corrected = write(tmp_path / "labels/house.png", np.ones((17, 23)))
    by_hand = corrected.read_bytes()
    others = {path: path.read_bytes() for path in (tmp_path / "labels").iterdir() if path != corrected}
    with refused(corrected, "changed since"):
        predict(replace(options, fresh=True))
    assert {path: path.read_bytes() for path in others} == others  # the others are not removed either
    assert predict(options) == 0  # goes on, and leaves it alone
    (tmp_path / "labels/street.png").unlink()
    assert predict(options) == 1
    assert corrected.read_bytes() == by_hand


def test_overlays_of_corrected_label_maps(model: Path, photos: Path, tmp_path: Path) -> None:
    """With void, with an id that the model does not know, and of another size."""
    options = Options(photos, model, tmp_path / "labels", overlay=True)
    predict(replace(options, overlay=False))
    with Image.open(tmp_path / "labels/house.png") as picture:
        labels = np.array(picture)
    labels[0, :2] = 255, 77
    write(tmp_path / "labels/house.png", labels)
    write(tmp_path / "labels/street.png", np.zeros((3, 4)))
    with refused(tmp_path / "labels/street.png", "3×4", "remove it"):
        predict(options)
    assert (tmp_path / "labels/overlays/house.jpg").exists()


def test_a_folder_is_no_model_and_told_which_file_to_give(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the models of a study, and the study's own, in which many people would look."""
    (tmp_path / "study/models/full").mkdir(parents=True)
    file = model.rename(tmp_path / "study/models/full/0.safetensors")
    networks_of_an_image = tmp_path / "study/a.safetensors"
    save_file({"weights": torch.zeros(1)}, networks_of_an_image, {"lowpix networks 1": "{}"})
    for folder in ("study", "study/models", "study/models/full"):
        arguments = [photos, "--model", tmp_path / folder, "--out", tmp_path / "labels"]
        assert run_command("lowpix.predict", list(map(str, arguments))) == 2
        (complaint,) = capsys.readouterr().err.splitlines()
        assert complaint.startswith(f"error: {tmp_path / folder}: is a folder")
        assert str(file) in complaint
    with refused(photos, "is a folder"):
        predict(Options(photos, photos, tmp_path / "labels"))


def test_stopped_while_labelling_afresh_no_label_is_said_to_be_by_the_new_model(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "labels"
    predict(Options(photos, model, out))
    other = trained(tmp_path / "other.safetensors", seed=1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lowpix.segmenter.evaluation.label_image", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(Options(photos, other, out, fresh=True))
    assert predict(Options(photos, other, out)) == 3


def test_much_larger_photographs_are_told_of_and_may_be_resized(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "large/a.png", np.zeros((240, 320, 3)))
    predict(Options(tmp_path / "large", model, tmp_path / "labels"))
    told = capsys.readouterr().out
    assert all(part in told for part in ("240×320", "24×32", "--scale 0.05"))
    predict(Options(tmp_path / "large", model, tmp_path / "small", scale=0.05))
    assert "fits" not in capsys.readouterr().out
    network = build("unet", 3, 4, True, 0).eval()
    expected = label_image(network, np.zeros((240, 320, 3), np.uint8), 0.05, torch.device("cpu"))
    np.testing.assert_array_equal(read_label_map(tmp_path / "small/a.png"), expected)
    with refused(tmp_path / "small", "another model"):
        predict(Options(tmp_path / "large", model, tmp_path / "small"))


def test_shares_of_classes_and_overlays(model: Path, photos: Path, tmp_path: Path) -> None:
    """Also after a first time without overlays; an overlay is half of the photograph and half of the colours."""
    out = tmp_path / "labels"
    predict(Options(photos, model, out))
    maps = {Path(name).stem: read_label_map(out / f"{Path(name).stem}.png") for name in SIZES}
    shares = pd.read_csv(out / "shares.csv", index_col="image")
    assert list(shares) == ["a", "b", "c"]
    for name, labels in maps.items():
        found = [np.mean(labels == label) for label in range(3)]
        np.testing.assert_allclose(shares.loc[name], found, atol=1e-6)
    assert not (out / "overlays").exists()
    assert predict(Options(photos, model, out, overlay=True)) == 3
    for name, labels in maps.items():
        np.testing.assert_array_equal(read_label_map(out / f"{name}.png"), labels)
        with Image.open(out / f"overlays/{name}.jpg") as picture:
            assert picture.size == labels.shape[::-1]
    with Image.open(out / "overlays/legend.png") as legend:
        assert legend.size[0] > legend.size[1]
    assert predict(Options(photos, model, out, overlay=True)) == 0


def test_an_overlay_shows_photograph_and_labels() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 2
    with Image.open(BytesIO(overlay_jpeg(image, labels, PALETTE))) as picture:
        drawn = np.asarray(picture.convert("RGB")).astype(int)
    for column, label in ((10, 0), (50, 2)):
        np.testing.assert_allclose(drawn[20, column], 100 + PALETTE[label] // 2, atol=6)
