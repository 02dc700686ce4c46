"""Folders as people have them: masks of any values in any place are read, and a classes.json is proposed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from command_lines import run_command
from data_samples import write, write_folder
from PIL import Image
from refusals import refused

from lowpix.data import IGNORE, open_dataset
from lowpix.data.propose import propose
from lowpix.doctor import Options as DoctorOptions
from lowpix.doctor import proposed

SIZE = (6, 8)
HALVES = np.repeat([[0], [1]], 3, axis=0) * np.ones((1, 8), int)
"""0 in the upper half, 1 in the lower one."""


def photographs(folder: Path, *names: str, suffix: str = ".jpg") -> None:
    for number, name in enumerate(names):
        write(folder / f"{name}{suffix}", np.full((*SIZE, 3), 40 * number))


def declare(folder: Path, **declared: object) -> None:
    (folder / "classes.json").write_text(json.dumps(declared))


# classes.json


def test_values_that_are_no_class_ids(tmp_path: Path) -> None:
    """Several may be of one class, and several of none; the order of the classes may be given."""
    photographs(tmp_path / "images", "a", "b")
    stored = np.array([[0, 128, 255, 7, 90, 91, 0, 0]]).repeat(6, axis=0)
    write(tmp_path / "labels/a.png", stored)
    declare(tmp_path, values={"128": "cell", "0": "background", "255": "cell", "7": "dirt"}, ignore=[90, 91])
    folder = open_dataset("folder", tmp_path)
    assert folder.classes == ("background", "dirt", "cell")
    expected = [0, 2, 2, 1, IGNORE, IGNORE, 0, 0]
    np.testing.assert_array_equal(folder.labels("a"), [expected] * 6)
    assert folder.labels("b") is None
    declare(tmp_path, classes=["cell", "background"], values={"128": "cell", "0": "background"})
    with refused("labels/a.png: label 255 at (0, 2)", "labels are 0, 128"):
        open_dataset("folder", tmp_path).labels("a")
    assert open_dataset("folder", tmp_path).classes == ("cell", "background")


def test_one_bit_masks_are_read_by_either_number(tmp_path: Path) -> None:
    photographs(tmp_path / "images", "a")
    (tmp_path / "labels").mkdir()
    Image.fromarray(HALVES.astype(bool)).save(tmp_path / "labels/a.png")
    for declared in ({"classes": ["up", "down"]}, {"values": {"0": "up", "255": "down"}}):
        declare(tmp_path, **declared)
        np.testing.assert_array_equal(open_dataset("folder", tmp_path).labels("a"), HALVES)


def test_several_colours_of_void(tmp_path: Path) -> None:
    photographs(tmp_path / "images", "a")
    colours = np.array([[9, 9, 9], [200, 0, 0], [0, 0, 0], [255, 255, 255]])
    write(tmp_path / "labels/a.png", colours[np.arange(8).reshape(1, 8).repeat(6, 0) % 4])
    known = {"classes": ["a", "b"], "colors": colours[:2].tolist()}
    declare(tmp_path, **known, ignore=[[0, 0, 0]], ignore_color=[255, 255, 255])
    expected = np.array([0, 1, IGNORE, IGNORE] * 2)
    np.testing.assert_array_equal(open_dataset("folder", tmp_path).labels("a"), [expected] * 6)


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("masks/{name}_mask.png", "masks/deep/a_mask.png"),
        ("masks/{name}.png", "masks/deep/a.PNG"),
        ("masks/m-{name}.tif", "masks/deep/m-a.tif"),
        ("annotations/{name}", "annotations/deep/a.tiff"),
        (None, "labels/deep/a.TIF"),
        (None, "labels/deep/a.bmp"),
    ],
)
def test_label_maps_in_any_place(tmp_path: Path, place: str | None, file: str) -> None:
    photographs(tmp_path / "images", "deep/a", "deep/b")
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    Image.fromarray(HALVES.astype(np.uint8)).save(path)
    declare(tmp_path, classes=["up", "down"], **({"labels": place} if place else {}))
    folder = open_dataset("folder", tmp_path)
    assert (folder.images, folder.label_file("deep/a")) == (("deep/a", "deep/b"), path)
    np.testing.assert_array_equal(folder.labels("deep/a"), HALVES)
    assert path.parent in folder.folders
    assert folder.faults() == ()


def test_masks_beside_their_photographs_are_no_photographs(tmp_path: Path) -> None:
    photographs(tmp_path, "a", "b")
    for name in "ab":
        write(tmp_path / f"{name}_mask.png", HALVES)
    assert len(open_dataset("folder", tmp_path).images) == 4  # nothing says what they are
    declare(tmp_path, classes=["up", "down"], labels="{name}_mask.png")
    folder = open_dataset("folder", tmp_path)
    assert folder.images == ("a", "b")
    np.testing.assert_array_equal(folder.labels("b"), HALVES)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    write_folder(tmp_path)
    text = (tmp_path / "classes.json").read_text()
    (tmp_path / "classes.json").write_text(text, encoding="utf-8-sig")
    assert open_dataset("folder", tmp_path).classes == ("up", "down")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (
            {"classes": ["a", "b"], "colours": [[0, 0, 0], [1, 1, 1]]},
            "unknown key 'colours'; did you mean \"colors\"?",
        ),
        ({"classes": ["a", "b"], "x": 1}, "unknown key 'x'; known are classes"),
        ({"values": {"0": "a", "256": "b"}}, '"classes" is None'),
        ({"classes": ["a", "b"], "values": {"0": "a", "-1": "b"}}, '"values" is'),
        ({"classes": ["a", "b"], "values": {"0": "a", "1": "c"}}, "gives 1 the class 'c': must be one of"),
        ({"classes": ["a", "b"], "values": []}, '"values" is []'),
        ({"values": {"0": 1}}, "gives 0 the class '1'"),
        ({"classes": ["a", "b"], "ignore": 255}, '"ignore" is 255: must be a list'),
        ({"classes": ["a", "b"], "ignore": [256]}, "colour 256: must be"),
        ({"classes": ["a", "b"], "ignore": [True]}, "colour True: must be"),
        ({"classes": ["a", "b"], "labels": "masks"}, '"labels" is masks: must be a place'),
        ({"classes": ["a", "b"], "labels": "{name}/{name}.png"}, "must be a place"),
        ({"classes": ["a", "b"], "labels": "../{name}.png"}, "must be a place"),
        ({"classes": ["a", "b"], "labels": "/masks/{name}.png"}, "must be a place"),
        ({"classes": ["a", "b"], "labels": 3}, "must be a place"),
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_named_with_it(tmp_path: Path, declared: dict[str, object], said: str) -> None:
    write_folder(tmp_path)
    declare(tmp_path, **declared)
    with refused(f"{tmp_path / 'classes.json'}: ", said):
        open_dataset("folder", tmp_path)


# Names, and what is left out


@pytest.mark.parametrize(("image", "labels"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_names_that_macos_writes_otherwise_are_the_same(tmp_path: Path, image: str, labels: str) -> None:
    name = "Zoë am Fluß é"
    photographs(tmp_path / "images", normalize(image, name))
    write(tmp_path / f"labels/{normalize(labels, name)}.png", HALVES)
    declare(tmp_path, classes=["up", "down"])
    folder = open_dataset("folder", tmp_path)
    np.testing.assert_array_equal(folder.labels(folder.images[0]), HALVES)
    assert folder.faults() == ()


def test_photographs_that_cannot_be_read_and_linked_folders_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "own")
    for name in ("IMG_1.HEIC", "IMG_2.dng", "IMG_3.CR2", "IMG_4.nef", "notes.txt", ".IMG_5.dng"):
        (tmp_path / "own/images" / name).write_bytes(b"1")
    photographs(tmp_path / "elsewhere", "c")
    (tmp_path / "own/images/linked").symlink_to(tmp_path / "elsewhere")
    unread, linked = open_dataset("folder", tmp_path / "own").warnings()
    assert "left out, because pillow cannot read the format" in unread
    assert unread.endswith(": IMG_1.HEIC, IMG_2.dng, IMG_3.CR2, … (4)")
    assert linked.endswith("linked folders are not followed: linked (1)")
    assert run_command("lowpix.doctor", [str(tmp_path / "own")]) == 0
    shown = capsys.readouterr().out
    assert "2 warnings" in shown
    assert unread in shown
    for path in (tmp_path / "own/images").glob("*.png"):
        path.unlink()
    with refused("holds no image", "left out, because pillow cannot", "IMG_1.HEIC"):
        open_dataset("folder", tmp_path / "own")


def test_a_class_that_no_label_map_holds_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, classes=["up", "down", "beside"])
    assert run_command("lowpix.doctor", [str(tmp_path)]) == 0
    assert "1 warning\n  class beside: no label map holds it" in capsys.readouterr().out


# The doctor proposes


def grey(*values: int) -> np.ndarray:
    return np.array(values)[HALVES if len(values) == 2 else np.arange(48).reshape(SIZE) % len(values)]


def kaggle(root: Path) -> None:
    photographs(root / "images", "a", "b")
    for name in "ab":
        write(root / f"masks/{name}_mask.png", grey(0, 255))


def three_greys(root: Path) -> None:
    photographs(root / "images", "a", "b")
    for name in "ab":
        write(root / f"annotations/{name}.png", grey(0, 128, 255))


def beside(root: Path) -> None:
    photographs(root, "IMG_1", "IMG_2")
    for name in ("IMG_1", "IMG_2"):
        write(root / f"{name}_seg.png", grey(0, 255))


def ids_with_void(root: Path) -> None:
    photographs(root / "images", "a", "b")
    for name in "ab":
        write(root / f"labels/{name}.png", grey(0, 1, 3, 255))


def in_colours(root: Path) -> None:
    photographs(root / "train/images", "a", "b")
    for name in "ab":
        write(root / f"train/labels/{name}.png", np.array([[0, 0, 0], [200, 0, 0]])[HALVES])


def coco_ids(root: Path) -> None:
    photographs(root / "images", "a", "b", suffix=".png")
    for name in "ab":
        write(root / f"labels/{name}.tif", grey(0, 17, 92))


def in_sub_folders(root: Path) -> None:
    for name in ("train/a", "val/b"):
        photographs(root / "images" / Path(name).parent, Path(name).name)
        write(root / f"masks/{name}.png", grey(0, 255))


def in_one_split(root: Path) -> None:
    """The first split in the alphabet has no label maps."""
    photographs(root / "exam/images", "c")
    photographs(root / "train/images", "a", "b")
    for name in "ab":
        write(root / f"train/masks/{name}.png", grey(0, 255))


def with_hidden_files(root: Path) -> None:
    """As macOS and Jupyter leave them."""
    photographs(root / "images", "a", "b")
    photographs(root / "images/.ipynb_checkpoints", "a-checkpoint")
    for name in ("a", "b", ".ipynb_checkpoints/a-checkpoint", "._a"):
        write(root / f"labels/{name}.png", grey(0, 255))


LAYOUTS: list[tuple[Callable[[Path], None], dict[str, object]]] = [
    (kaggle, {"values": {"0": "background", "255": "class_255"}, "labels": "masks/{name}_mask.png"}),
    (
        three_greys,
        {
            "values": {"0": "background", "128": "class_128", "255": "class_255"},
            "labels": "annotations/{name}.png",
        },
    ),
    (beside, {"values": {"0": "background", "255": "class_255"}, "labels": "{name}_seg.png"}),
    (ids_with_void, {"classes": ["background", "class_1", "class_2", "class_3"], "ignore_index": 255}),
    (in_colours, {"classes": ["background", "class_200_0_0"], "colors": [[0, 0, 0], [200, 0, 0]]}),
    (
        coco_ids,
        {"values": {"0": "background", "17": "class_17", "92": "class_92"}, "labels": "labels/{name}.tif"},
    ),
    (with_hidden_files, {"values": {"0": "background", "255": "class_255"}}),
    (in_sub_folders, {"values": {"0": "background", "255": "class_255"}, "labels": "masks/{name}.png"}),
]


@pytest.mark.parametrize(("layout", "declared"), LAYOUTS, ids=[layout.__name__ for layout, _ in LAYOUTS])
def test_what_is_proposed_makes_the_folder_sound(
    layout: Callable[[Path], None],
    declared: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    layout(tmp_path)
    assert propose(tmp_path).declared == declared
    assert run_command("lowpix.doctor", [str(tmp_path)]) == 2
    shown = capsys.readouterr().out
    assert "2 photographs in" in shown
    assert "2 label maps in" in shown
    assert "--write" in shown
    assert not (tmp_path / "classes.json").exists()
    assert run_command("lowpix.doctor", [str(tmp_path), "--write"]) == 0
    assert json.loads((tmp_path / "classes.json").read_text()) == declared
    assert "no faults" in capsys.readouterr().out
    before = (tmp_path / "classes.json").read_bytes()
    assert run_command("lowpix.doctor", [str(tmp_path), "--write"]) == 0  # and is never written over
    assert (tmp_path / "classes.json").read_bytes() == before
    dataset = open_dataset("folder", tmp_path)
    held = np.unique(np.stack([dataset.labels(name) for name in dataset.images]))
    assert len(set(held) - {IGNORE}) >= 2


def test_label_maps_are_found_in_whichever_split_has_them(tmp_path: Path) -> None:
    in_one_split(tmp_path)
    found = {"values": {"0": "background", "255": "class_255"}, "labels": "masks/{name}.png"}
    assert propose(tmp_path).declared == found


def test_classes_that_are_given_need_no_proposal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kaggle(tmp_path)
    run_command("lowpix.doctor", [str(tmp_path), "--classes", "background,nucleus"])
    assert "proposed" not in capsys.readouterr().out


def test_a_classes_file_above_a_split_folder_is_none_of_it(tmp_path: Path) -> None:
    in_one_split(tmp_path / "photos")
    (tmp_path / "classes.json").write_text('{"classes": ["a", "b"]}')
    assert proposed(DoctorOptions(folder=tmp_path / "photos")) is not None


def no_photographs(root: Path) -> None:
    (root / "deep").mkdir()


def other_names(root: Path) -> None:
    photographs(root / "JPEGImages", "a", "b")
    write(root / "Masks/a.png", HALVES)


def no_label_maps(root: Path) -> None:
    photographs(root / "images", "a")
    write(root / "masks/other.png", HALVES)


def photographs_for_masks(root: Path) -> None:
    photographs(root / "images", "a")
    write(root / "masks/a.png", np.arange(120).reshape(10, 12))


def large_ids(root: Path) -> None:
    photographs(root / "images", "a")
    ids = np.full(SIZE, 1000, np.uint16)
    (root / "masks").mkdir()
    Image.fromarray(ids).save(root / "masks/a.png")


def two_kinds(root: Path) -> None:
    photographs(root / "images", "a", "b")
    write(root / "masks/a.png", HALVES)
    write(root / "masks/b.png", np.zeros((*SIZE, 3)))


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (no_photographs, "holds no photograph"),
        (other_names, "pictures in JPEGImages (2), Masks (1): name the folder of photographs images"),
        (no_label_maps, "no label maps for its 1 photographs (looked in masks, images"),
        (photographs_for_masks, "a.png: holds 120 values: it looks like a photograph"),
        (large_ids, "a.png: holds the value 1000: ids must be whole numbers from 0 to 255"),
        (two_kinds, "some label maps hold ids and others colours"),
    ],
)
def test_where_nothing_can_be_proposed_the_line_says_what_was_looked_for(
    layout: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout(tmp_path)
    assert run_command("lowpix.doctor", [str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}")
    assert said in line
    with refused(os.fspath(tmp_path), said):
        propose(tmp_path)
