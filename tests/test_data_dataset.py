"""Data sets: camvid's public layout, folders of one's own, the choice of a part, the roots."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from data_samples import DATA, needs_camvid, needs_nuclei, write, write_folder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from refusals import refused
from skimage.color import deltaE_ciede2000, rgb2lab

from lowpix.data import DATASETS, IGNORE, open_dataset, spread
from lowpix.data.camvid import PALETTE
from lowpix.data.dataset import default_palette
from lowpix.data.options import reopen
from lowpix.errors import InputError


@given(st.integers(0, 400), st.integers(1, 400), st.integers(1, 400))
def test_spread_is_even_and_extends(count: int, limit: int, other: int) -> None:
    names = [str(index) for index in range(count)]
    few, many = sorted((limit, other))
    assert spread(names, few) == spread(names, many)[:few] == spread(names, None)[:few]
    assert sorted(spread(names, None)) == sorted(names)
    chosen = sorted(int(name) for name in spread(names, limit))
    assert len(chosen) == min(limit, count)
    # A bit-reversed prefix leaves no gap wider than twice the mean gap of the power of two below it.
    gaps = np.diff([-1, *chosen, count])
    assert gaps.max() <= 4 * (count + 1) / (len(chosen) + 1) + 1


def test_spread_known_order_and_bad_limit() -> None:
    assert spread("abcdefgh", None) == tuple("aecgbfdh")
    assert spread("abcde", 3) == tuple("aec")
    assert spread((), 3) == ()
    with pytest.raises(InputError, match="--limit 0: must be at least 1"):
        spread("abc", 0)


def test_default_palette_is_distinct_and_grows() -> None:
    palette = default_palette(254).astype(int)
    assert len(np.unique(palette, axis=0)) == 254
    np.testing.assert_array_equal(default_palette(7), palette[:7])


LINEAR_PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
LINEAR_DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


@pytest.mark.parametrize("eyes", [np.eye(3), LINEAR_PROTAN, LINEAR_DEUTAN], ids=["normal", "protan", "deutan"])
def test_default_colours_stay_apart_for_colour_blind_eyes(eyes: NDArray[np.float64]) -> None:
    """Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB; CIEDE2000 by scikit-image."""
    rgb = default_palette(20) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(eyes), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen[None])[0]
    apart = deltaE_ciede2000(lab[:, None], lab[None]) + 999 * np.eye(20)
    assert apart.min() >= 9.6
    assert apart[:11, :11].min() >= 12.8


def test_classes_of_photographs_can_be_named_without_a_file(tmp_path: Path) -> None:
    write(tmp_path / "photos/a.png", np.full((6, 8, 3), 90))
    photographs = open_dataset("folder", tmp_path / "photos", classes="sky, road:r,car")
    assert photographs.classes == ("sky", "road", "car")
    assert photographs.palette.tolist() == default_palette(3).tolist()
    assert reopen(photographs.settings, tmp_path / "photos").classes == photographs.classes
    for text in ("sky,,car", "sky,sky", ",", "a\nb,c"):
        with refused("--classes", "names"):
            open_dataset("folder", tmp_path / "photos", classes=text)
    (tmp_path / "photos/classes.json").write_text('{"classes": ["leaf", "soil"]}')
    with refused("--classes sky,road", "classes.json"):
        open_dataset("folder", tmp_path / "photos", classes="sky,road")
    with refused("--classes sky", "scenes has its own"):
        open_dataset("scenes", classes="sky")


@needs_camvid
@pytest.mark.parametrize(("split", "count"), [(None, 367), ("train", 367), ("val", 101), ("test", 233)])
@pytest.mark.parametrize("root", [DATA, DATA / "camvid"])
def test_camvid(root: Path, split: str | None, count: int) -> None:
    camvid = open_dataset("camvid", root, split)
    assert (camvid.name, camvid.split) == ("camvid", split or "train")
    assert len(camvid.images) == len(set(camvid.images)) == count
    assert len(camvid.classes) == len(camvid.palette) == 11
    name = camvid.images[-1]
    stem = DATA / "camvid" / camvid.split
    np.testing.assert_array_equal(camvid.image(name), Image.open(stem / f"{name}.png"))
    stored = np.array(Image.open(f"{stem}annot/{name}.png"))
    labels = camvid.labels(name)
    assert labels is not None
    np.testing.assert_array_equal(labels == IGNORE, stored == 11)
    np.testing.assert_array_equal(labels[stored < 11], stored[stored < 11])
    assert camvid.image_file(name) == stem / f"{name}.png"
    np.testing.assert_array_equal(camvid.palette, PALETTE)
    assert pickle.loads(pickle.dumps(camvid)).images == camvid.images


def test_camvid_lists(tmp_path: Path) -> None:
    listing = tmp_path / "train.txt"
    listing.write_text("/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\n\n")
    camvid = open_dataset("camvid", tmp_path)
    assert camvid.images == ("a",)
    with pytest.raises(InputError, match=r"train/a\.png: no such file"):
        camvid.image("a")
    for text, message in {
        "train/a.png": r"train\.txt: line 1, 'train/a\.png': must be an image path and a label path",
        "x/a.png y/a.png\nx/a.png y/a.png": r"train\.txt: line 2: image a is listed twice",
        "\n": r"train\.txt: lists no images",
    }.items():
        listing.write_text(text)
        with pytest.raises(InputError, match=message):
            open_dataset("camvid", tmp_path)


def test_roots_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "/SegNet/CamVid/train/{0}.png /SegNet/CamVid/trainannot/{0}.png\n"
    places = ["environment/camvid", "here/data/camvid", "cache/lowpix/camvid"]
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "train.txt").write_text(line.format(place.split("/")[0]))
    monkeypatch.setenv("LOWPIX_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "here")
    for expected in ("environment", "here", "cache"):
        assert open_dataset("camvid").images == (expected,)
        for place in places:
            if place.startswith(expected):
                (tmp_path / place / "train.txt").unlink()
    with pytest.raises(InputError, match=r"--data-root .*nowhere: neither train\.txt nor camvid/train\.txt"):
        open_dataset("camvid", tmp_path / "nowhere")


def test_unknown_names_list_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--dataset coco: unknown; choose from ade20k, camvid, cit"):
        open_dataset("coco")
    assert list(DATASETS) == sorted(DATASETS)
    with pytest.raises(InputError, match=r"--split night: camvid has train, val, test"):
        open_dataset("camvid", tmp_path, "night")
    write_folder(tmp_path, split="test")
    write_folder(tmp_path, split="train")
    with pytest.raises(InputError, match=r"--split val: .* has test, train"):
        open_dataset("folder", tmp_path, "val")
    with pytest.raises(InputError, match=r"--images c: no such image in folder, split train; .* begin with a, b"):
        open_dataset("folder", tmp_path).image("c")


@needs_nuclei
def test_folder_reads_nuclei() -> None:
    nuclei = open_dataset("folder", DATA / "nuclei", "test")
    assert nuclei.classes == ("background", "nucleus")
    assert len(nuclei.images) == 30
    for name in nuclei.images[:3]:
        labels = nuclei.labels(name)
        assert labels is not None
        assert labels.shape == nuclei.image(name).shape[:2]
        np.testing.assert_array_equal(labels, Image.open(nuclei.label_file(name)))
    assert len(open_dataset("folder", DATA / "nuclei").images) == 90


def test_folder_layouts(tmp_path: Path) -> None:
    write_folder(tmp_path / "plain")
    write_folder(tmp_path / "split", ("city/x",), split="val")
    assert open_dataset("folder", tmp_path / "plain").images == ("a", "b")
    assert open_dataset("folder", tmp_path / "plain").split == "all"
    inside = open_dataset("folder", tmp_path / "split" / "val")
    nested = open_dataset("folder", tmp_path / "split", "val")
    assert inside.images == nested.images == ("city/x",)
    assert inside.classes == nested.classes == ("up", "down")
    np.testing.assert_array_equal(nested.labels("city/x"), inside.labels("city/x"))
    with pytest.raises(InputError, match=r"--split train: .* has val"):
        open_dataset("folder", tmp_path / "split")


def test_folder_of_photographs(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4), "red").save(tmp_path / "IMG_1.JPG", exif=exif)
    Image.new("L", (5, 5), 9).save(tmp_path / "grey.tif")
    Image.new("RGBA", (5, 5)).save(tmp_path / "clear.webp", lossless=True)
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not an image")
    photographs = open_dataset("folder", tmp_path)
    assert photographs.images == ("IMG_1", "clear", "grey")
    assert photographs.image("IMG_1").shape == (8, 4, 3)
    assert photographs.image("clear").min() == 255
    assert photographs.labels("grey") is None
    assert (photographs.classes, photographs.palette.shape) == ((), (0, 3))
    (tmp_path / "classes.json").write_text('{"classes": ["leaf", "soil", "sky"]}')
    assert open_dataset("folder", tmp_path).classes == ("leaf", "soil", "sky")


def test_folder_palette_and_colours(tmp_path: Path) -> None:
    write_folder(tmp_path)
    np.testing.assert_array_equal(open_dataset("folder", tmp_path).palette, default_palette(2))
    indexed = Image.open(tmp_path / "labels/a.png")
    indexed.putpalette([1, 2, 3, 4, 5, 6])
    indexed.save(tmp_path / "labels/a.png")
    folder = open_dataset("folder", tmp_path)
    assert folder.palette.tolist() == [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(folder.labels("a"), folder.labels("b"))

    colours = [[9, 9, 9], [200, 0, 0]]
    write_folder(tmp_path, colors=colours, ignore_color=[0, 0, 0])
    write(tmp_path / "labels/a.png", np.array([*colours, [0, 0, 0]])[[[0, 1, 2, 1]]])
    folder = open_dataset("folder", tmp_path)
    assert folder.palette.tolist() == colours
    np.testing.assert_array_equal(folder.labels("a"), [[0, 1, IGNORE, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no valid JSON"),
        ("[]", "must be an object"),
        ("{}", '"classes" is None: must be a list of names'),
        ('{"classes": ["a", 3]}', "must be a list of names"),
        ('{"classes": ["a", "a"]}', "holds 'a' twice"),
        ('{"classes": ["a", "b"], "ignore_index": 300}', '"ignore_index" is 300: must be null or an id'),
        ('{"classes": ["a", "b"], "colors": [[0, 0, 0]]}', "must be a list of 2 colours"),
        ('{"classes": ["a", "b"], "colors": [[0, 0, 0], [0, 256, 0]]}', r"colour \[0, 256, 0\]: must be"),
        ('{"classes": ["a", "b"], "colors": [[0, 0, 0], [0, 0, 0]]}', r"colour \[0, 0, 0\] is given twice"),
        (json.dumps({"classes": [str(i) for i in range(255)]}), "255 classes: at most 254"),
    ],
)
def test_faults_of_classes_json(tmp_path: Path, text: str, message: str) -> None:
    write_folder(tmp_path)
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        open_dataset("folder", tmp_path)
    assert str(tmp_path) in str(caught.value) or "254" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faults_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWPIX_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"--data-root \(not given\): must be an existing folder"):
        open_dataset("folder")
    with pytest.raises(InputError, match="holds no image"):
        open_dataset("folder", tmp_path)
    write_folder(tmp_path)
    (tmp_path / "classes.json").unlink()
    with pytest.raises(InputError, match=r"classes\.json: no such file: it must name the classes"):
        open_dataset("folder", tmp_path)
    write_folder(tmp_path)
    Image.new("RGB", (8, 6)).save(tmp_path / "images/a.jpg")
    with pytest.raises(InputError, match=r"a\.png: a\.jpg is there too: names without suffix must differ"):
        open_dataset("folder", tmp_path)
