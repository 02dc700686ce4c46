"""What every registered data set must do, tried on small folders in exactly the public layouts.

`SAMPLES` has a data set of each name. It holds the traps of the real one: ids that are no class ids, void along
borders, portraits and landscapes, JPEG of odd sizes.
"""

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_samples import write, write_folder
from PIL import Image
from refusals import refused

from lowpix.data import DATASETS, IGNORE, Dataset, open_dataset
from lowpix.data.check import check
from lowpix.data.dataset import data_roots
from lowpix.data.options import reopen
from lowpix.study.folder import file_name

SIZES = [(25, 33), (41, 17), (24, 32)]
"""Landscape and portrait, odd and even."""


def stored_ids(allowed: list[int], size: tuple[int, int], seed: int) -> np.ndarray:
    """A label map that holds all ids that may occur, in random order."""
    places = np.arange(size[0] * size[1]) % len(allowed)
    return np.array(allowed)[np.random.default_rng(seed).permutation(places)].reshape(size)


def photograph(path: Path, size: tuple[int, int], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(drawn).save(path, **options)


def write_voc(root: Path) -> None:
    names = ("2007_000032", "2008_000008", "2011_003276")
    ids = [*range(21), 255]
    for name, size in zip(names, SIZES, strict=True):
        photograph(root / f"JPEGImages/{name}.jpg", size)
        indexed = Image.fromarray(stored_ids(ids, size, 0).astype(np.uint8))
        indexed.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())  # whatever its colours
        (root / "SegmentationClass").mkdir(exist_ok=True)
        indexed.save(root / f"SegmentationClass/{name}.png")
        write(root / f"SegmentationClassAug/{name}.png", stored_ids(ids, size, 1))
    lists = {"train": names[:2], "val": names[2:], "trainval": names}
    for split, listed in lists.items():
        listing = root / f"ImageSets/Segmentation/{split}.txt"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("".join(f"{name}\n" for name in listed))
    pairs = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n" for name in names]
    (root / "ImageSets/Segmentation/train_aug.txt").write_text("".join(pairs))


def write_cityscapes(root: Path) -> None:
    for number, (split, city) in enumerate(
        [("train", "aachen"), ("train", "zurich"), ("val", "munster"), ("test", "bonn")]
    ):
        name, size = f"{city}_000000_{number:06d}", SIZES[number % 3]
        photograph(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", size)
        of_image = root / f"gtFine/{split}/{city}/{name}_gtFine"
        ids = stored_ids(list(range(34)), size, number) if split != "test" else np.zeros(size)
        write(Path(f"{of_image}_labelIds.png"), ids)
        write(Path(f"{of_image}_color.png"), np.zeros((*size, 4)))
        write(Path(f"{of_image}_instanceIds.png"), ids)
        Path(f"{of_image}_polygons.json").write_text("{}")


def write_ade20k(root: Path) -> None:
    for split, prefix in (("training", "ADE_train"), ("validation", "ADE_val")):
        for number, size in enumerate(SIZES, 1):
            photograph(root / f"images/{split}/{prefix}_{number:08d}.jpg", size)
            write(
                root / f"annotations/{split}/{prefix}_{number:08d}.png", stored_ids(list(range(151)), size, number)
            )
    (root / "objectInfo150.txt").write_text("Idx\tRatio\n")


def write_camvid(root: Path) -> None:
    for split in ("train", "val"):
        names = [f"0001TP_00{number}" for number in range(3)]
        for name, size in zip(names, SIZES, strict=True):
            photograph(root / f"{split}/{name}.png", size)
            write(root / f"{split}annot/{name}.png", stored_ids(list(range(12)), size, 0))
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in names]
        (root / f"{split}.txt").write_text("".join(lines))


def write_own(root: Path) -> None:
    for split in ("train", "val"):
        write_folder(root, split=split)


SAMPLES: dict[str, Callable[[Path], None]] = {
    "ade20k": write_ade20k,
    "camvid": write_camvid,
    "cityscapes": write_cityscapes,
    "folder": write_own,
    "scenes": lambda root: root.mkdir(parents=True, exist_ok=True),
    "voc": write_voc,
}
VOIDS = {"ade20k": [0], "camvid": [11], "voc": [255]}
VOIDS["cityscapes"] = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]
PUBLISHED = sorted(VOIDS)


def opened(name: str, root: Path, split: str | None = None) -> Dataset:
    return open_dataset(name, None if name == "scenes" else root, split)


@pytest.fixture(params=sorted(DATASETS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(name: str, tmp_path: Path) -> Path:
    SAMPLES[name](tmp_path / "here")
    return tmp_path / "here"


def test_every_data_set_is_tried_here() -> None:
    assert set(SAMPLES) == set(DATASETS)


def test_images_and_label_maps_are_what_the_interface_says(name: str, root: Path) -> None:
    for split in ("train", "val"):
        dataset = opened(name, root, split)
        assert (dataset.name, dataset.split) == (name, split)
        assert len(dataset.images) == len(set(dataset.images)) >= 1
        assert 2 <= len(dataset.classes) == len(set(dataset.classes))
        assert (dataset.palette.shape, dataset.palette.dtype) == ((len(dataset.classes), 3), np.uint8)
        held = set()
        for image in dataset.images:
            assert image == image.strip()
            assert len(file_name(image)) < 200
            pixels, labels = dataset.image(image), dataset.labels(image)
            assert labels is not None
            assert (pixels.dtype, pixels.shape[2:], labels.dtype) == (np.uint8, (3,), np.uint8)
            assert labels.shape == pixels.shape[:2]
            held |= set(np.unique(labels).tolist())
        assert held - {IGNORE} <= set(range(len(dataset.classes)))
        assert name == "scenes" or held - {IGNORE} == set(range(len(dataset.classes)))
        report = check(dataset, dataset.images)
        assert (report.faults, set(report.digests)) == ((), set(dataset.images))


def test_a_data_set_is_found_again_by_its_settings_and_in_a_worker(name: str, root: Path) -> None:
    dataset = opened(name, root)
    assert dataset.split == "train"
    for other in (reopen(dataset.settings, root), pickle.loads(pickle.dumps(dataset)), opened(name, root)):
        assert (other.images, other.classes, other.settings) == (dataset.images, dataset.classes, dataset.settings)
        np.testing.assert_array_equal(other.labels(other.images[0]), dataset.labels(dataset.images[0]))


def test_its_files_lie_in_its_folders(name: str, root: Path) -> None:
    """So that no study is written among them."""
    dataset = opened(name, root)
    for image in dataset.images:
        for file in (dataset.image_file(image), dataset.label_file(image)):
            assert (file is None) == (name == "scenes")
            assert file is None or any(folder in file.parents for folder in dataset.folders)


def test_what_is_not_there_is_refused_in_a_line(name: str, root: Path) -> None:
    with refused("--images nobody"):
        opened(name, root).image("nobody")
    if name != "scenes":
        with refused("--split dusk", "train", "val"):
            opened(name, root, "dusk")
        with refused("--data-root", root / "nowhere"):
            opened(name, root / "nowhere")


@pytest.mark.parametrize("name", PUBLISHED)
def test_stored_ids_become_class_ids_in_order_and_the_rest_void(name: str, root: Path) -> None:
    """Compared pixel by pixel with what the file holds, in a loop."""
    dataset = opened(name, root)
    for image in dataset.images:
        file, labels = dataset.label_file(image), dataset.labels(image)
        assert file is not None
        assert labels is not None
        stored = np.asarray(Image.open(file))
        classes = sorted(set(np.unique(stored).tolist()) - set(VOIDS[name]))
        assert len(classes) == len(dataset.classes)
        for value in np.unique(stored).tolist():
            expected = IGNORE if value in VOIDS[name] else classes.index(value)
            assert set(labels[stored == value].tolist()) == {expected}


@pytest.mark.parametrize(("name", "value"), [("voc", 21), ("cityscapes", 34), ("ade20k", 151), ("camvid", 12)])
def test_an_id_that_is_neither_a_class_nor_void_is_refused(name: str, value: int, root: Path) -> None:
    dataset = opened(name, root)
    file = dataset.label_file(dataset.images[0])
    assert file is not None
    ids = np.asarray(Image.open(file)).copy()
    ids[2, 3] = value
    write(file, ids)
    with refused(file, f"label {value} at (2, 3)", f"{len(dataset.classes)} classes", "for void"):
        dataset.labels(dataset.images[0])


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - {"camvid"}))
def test_without_data_one_is_told_what_to_get_from_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that one's own images need none of it. Nothing is fetched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOWPIX_DATA", raising=False)
    for root in (None, tmp_path):
        with refused(f"--dataset {name}", "http", "--data-root", "--dataset folder", str(root or "LOWPIX_DATA")):
            open_dataset(name, root)
    assert data_roots(None) == [Path("data")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("voc", "VOCdevkit/VOC2012"),
        ("voc", "VOC2012"),
        ("ade20k", "ADEChallengeData2016"),
        ("cityscapes", "cityscapes"),
        ("camvid", "camvid"),
    ],
)
def test_the_parent_of_its_folder_will_do(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SAMPLES[name](tmp_path / place)
    expected = open_dataset(name, tmp_path / place).images
    assert open_dataset(name, tmp_path).images == expected
    monkeypatch.setenv("LOWPIX_DATA", str(tmp_path))
    assert open_dataset(name).images == expected


def test_voc_colours_are_those_of_its_own_formula(tmp_path: Path) -> None:
    """As VOCdevkit computes them: bits of the id, three by three, from the highest bit of each channel down."""
    write_voc(tmp_path)
    for label, colour in enumerate(open_dataset("voc", tmp_path).palette.tolist()):
        channels = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                channels[channel] |= (label >> (3 * place + channel) & 1) << (7 - place)
        assert colour == channels


def test_the_larger_training_list_of_voc_has_label_maps_of_its_own(tmp_path: Path) -> None:
    write_voc(tmp_path)
    larger = open_dataset("voc", tmp_path, "train_aug")
    assert len(larger.images) == 3
    file = larger.label_file(larger.images[0])
    assert file is not None
    assert file.parent.name == "SegmentationClassAug"
    assert not np.array_equal(larger.labels("2007_000032"), open_dataset("voc", tmp_path).labels("2007_000032"))


def test_withheld_label_maps_of_cityscapes_are_not_read(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    test = open_dataset("cityscapes", tmp_path, "test")
    assert test.labels(test.images[0]) is None
    assert test.image(test.images[0]).shape[2] == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["voc", "cityscapes", "ade20k", "folder"])
def test_a_list_of_20000_images_opens_within_seconds(name: str, tmp_path: Path) -> None:
    """Without reading any of them; these are empty files."""
    SAMPLES[name](tmp_path)
    names = [f"{number:08d}" for number in range(20_000)]
    listing = tmp_path / "ImageSets/Segmentation/train.txt"
    folder, suffix = {
        "voc": ("JPEGImages", ".jpg"),
        "cityscapes": ("leftImg8bit/train/aachen", "_leftImg8bit.png"),
        "ade20k": ("images/training", ".jpg"),
        "folder": ("train/images", ".jpg"),
    }[name]
    for each in names:
        (tmp_path / folder / f"{each}{suffix}").touch()
        if name == "folder":
            (tmp_path / f"train/labels/{each}.png").touch()
    if name == "voc":
        listing.write_text("\n".join(names))
    start = time.process_time()
    assert len(open_dataset(name, tmp_path).images) >= 20_000
    assert time.process_time() - start < 5
