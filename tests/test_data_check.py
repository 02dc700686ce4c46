"""Every fault of a data set is found, all at once, by file, place, value and rule."""

from pathlib import Path

import numpy as np
import pytest
from data_samples import DATA, needs_camvid, needs_nuclei, write, write_folder
from PIL import Image
from refusals import refused

from lowpix.data import IGNORE, Dataset, open_dataset, spread
from lowpix.data.check import Report, check, require_sound


def checked(root: Path, labelled: bool = True) -> Report:
    dataset = open_dataset("folder", root)
    return check(dataset, dataset.images, labelled)


def half_and_half(*values: int) -> np.ndarray:
    return np.repeat(np.array(values, np.uint8), 48 // len(values)).reshape(6, 8)


def test_sound_data_and_its_shares(tmp_path: Path) -> None:
    write_folder(tmp_path, ("a", "b", "c"), ignore_index=9)
    write(tmp_path / "labels/b.png", half_and_half(9, 9, 0, 1))
    report = checked(tmp_path)
    assert (report.faults, report.warnings) == ((), ())
    assert report.pixels.tolist() == [60, 60]
    assert report.images.tolist() == [3, 3]
    assert report.void_share() == 24 / 144
    assert report.shares().tolist() == [0.5, 0.5]


def test_all_faults_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path, tuple("abcdefgh"), ignore_index=11)
    labels = half_and_half(0, 1)
    labels[4, 3] = 37
    write(tmp_path / "labels/a.png", labels)
    write(tmp_path / "labels/b.png", np.zeros((8, 6)))
    write(tmp_path / "labels/c.png", np.zeros((6, 8, 3)))
    (tmp_path / "labels/d.png").unlink()
    whole = (tmp_path / "images/e.png").read_bytes()
    (tmp_path / "images/e.png").write_bytes(whole[:-30])
    (tmp_path / "labels/f.png").write_bytes((tmp_path / "labels/f.png").read_bytes()[:60])
    write(tmp_path / "labels/g.png", half_and_half(11))
    write(tmp_path / "labels/stray.png", labels)
    write(tmp_path / "labels/h.png", half_and_half(1))
    report = checked(tmp_path)
    expected = [
        ("labels/a.png", "label 37", "(4, 3)", "0 to 1", "11 for void"),
        ("labels/b.png", "8×6", "6×8"),
        ("labels/c.png", "RGB"),
        ("images/e.png", "cannot be read"),
        ("labels/f.png", "cannot be read"),
        ("labels/g.png", "no labelled pixel", "48"),
        ("labels/stray.png", "no image"),
    ]
    for fault, (file, *parts) in zip(report.faults, expected, strict=True):
        assert fault.startswith(f"{tmp_path}/{file}: ")
        assert all(part in fault for part in parts), fault
        assert "\n" not in fault
    single, missing = report.warnings
    assert single.startswith(f"{tmp_path}/labels/h.png: ")
    assert "a single class, down" in single
    assert "1 of 8 images have no label map and are left out: d" in missing
    assert report.names == ("h",)
    assert set(report.left_out) == set("abcdefg")
    assert report.pixels.tolist() == [0, 48]  # only what is sound is counted, and g, which is all void
    assert report.void == 48


def test_images_without_a_label_map_and_faulty_ones_can_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those without always, with a count; faulty ones if that is wanted, each by name."""
    write_folder(tmp_path, tuple("abcde"), ignore_index=9)
    (tmp_path / "labels/b.png").unlink()
    dataset = open_dataset("folder", tmp_path)
    assert require_sound(dataset, dataset.images).names == ("a", "c", "d", "e")
    assert capsys.readouterr().err == (
        "warning: folder, split all: 1 of 5 images have no label map and are left out: b\n"
    )
    write(tmp_path / "labels/c.png", half_and_half(9))
    (tmp_path / "images/d.png").write_bytes(b"torn")
    (tmp_path / "labels/d.png").write_bytes(b"torn")
    write(tmp_path / "labels/stray.png", half_and_half(0, 1))
    dataset = open_dataset("folder", tmp_path)
    with refused("labels/c.png: no labelled pixel", "and 3 more"):
        require_sound(dataset, dataset.images)
    capsys.readouterr()
    assert require_sound(dataset, dataset.images, skip_faulty=True).names == ("a", "e")
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in told[1:]] == ["left out"] * 4
    write(tmp_path / "labels/a.png", half_and_half(0))
    write(tmp_path / "labels/e.png", half_and_half(0))
    with refused("only the class up"):  # which no image is to blame for
        require_sound(dataset, dataset.images, skip_faulty=True)


def test_strays_do_not_stop_a_study_of_other_images(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write(tmp_path / "labels/stray.png", half_and_half(0, 1))
    folder = open_dataset("folder", tmp_path)
    assert check(folder, ("a",)).faults == ()
    (fault,) = check(folder, ("a", "b")).faults
    assert fault.startswith(f"{tmp_path}/labels/stray.png: ")


def test_unknown_name_is_one_fault(tmp_path: Path) -> None:
    folder = open_dataset("folder", write_folder(tmp_path))
    (fault,) = check(folder, ("a", "nobody")).faults
    assert fault.startswith("--images nobody: ")


@pytest.mark.parametrize(
    ("classes", "rule"),
    [([], "declares no classes"), (["all"], "declares only the class all")],
    ids=["none", "one"],
)
def test_too_few_classes_declared(tmp_path: Path, classes: list[str], rule: str) -> None:
    write_folder(tmp_path, classes=classes)
    assert checked(tmp_path).faults[0].startswith(f"folder, split all: {rule}")
    assert checked(tmp_path, labelled=False).faults == ()


def test_only_one_class_found(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name in ("a", "b"):
        write(tmp_path / f"labels/{name}.png", half_and_half(1))
    (fault,) = checked(tmp_path).faults
    assert fault.startswith("folder, split all: ")
    assert "only the class down" in fault
    assert len(checked(tmp_path).warnings) == 2
    one = check(open_dataset("folder", tmp_path), ("a",))
    assert (one.faults, len(one.warnings)) == ((), 1)


def test_photographs_without_label_maps(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write(tmp_path / f"{name}.png", np.zeros((6, 8, 3)))
    (tmp_path / "classes.json").write_text('{"classes": ["leaf", "soil"]}')
    (fault,) = checked(tmp_path).faults
    assert fault.startswith("folder, split all: none of the 2 images")
    assert checked(tmp_path, labelled=False).faults == ()
    (tmp_path / "y.png").write_bytes(b"torn")
    assert checked(tmp_path, labelled=False).faults[0].startswith(f"{tmp_path}/y.png: cannot be read")


def test_exif_turned_image_must_match_its_label_map_upright(tmp_path: Path) -> None:
    write_folder(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (6, 8)).save(tmp_path / "images/a.png", exif=exif)
    assert checked(tmp_path).faults == ()
    Image.new("RGB", (6, 8)).save(tmp_path / "images/a.png")
    (fault,) = checked(tmp_path).faults
    assert fault.startswith(f"{tmp_path}/labels/a.png: ")
    assert "6×8" in fault
    assert "8×6" in fault


def test_each_file_is_read_once(tmp_path: Path) -> None:
    inner = open_dataset("folder", write_folder(tmp_path))
    reads: list[str] = []

    class Counting(Dataset):
        name, split, classes, palette, images = "counted", "all", inner.classes, inner.palette, inner.images

        def image(self, name: str) -> np.ndarray:
            reads.append(f"image {name}")
            return inner.image(name)

        def labels(self, name: str) -> np.ndarray | None:
            reads.append(f"labels {name}")
            return inner.labels(name)

    assert check(Counting(), inner.images).faults == ()
    assert reads == ["image a", "labels a", "image b", "labels b"]


def test_scenes_are_sound() -> None:
    scenes = open_dataset("scenes", scene_count=4, scene_classes=12)
    report = check(scenes, scenes.images)
    labels = np.stack([scenes.labels(name) for name in scenes.images])
    assert report.faults == ()
    assert report.pixels.tolist() == [int((labels == label).sum()) for label in range(12)]
    assert report.void == (labels == IGNORE).sum()


@needs_camvid
@needs_nuclei
def test_real_data_is_sound() -> None:
    for name, root, split in (("camvid", DATA, "val"), ("folder", DATA / "nuclei", "test")):
        dataset = open_dataset(name, root, split)
        report = check(dataset, spread(dataset.images, 12))
        assert report.faults == ()
        assert report.shares().sum() == pytest.approx(1)
        assert report.images.max() == 12
