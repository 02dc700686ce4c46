"""Images and label maps of every kind, and the messages for those that break a rule."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from refusals import refused
from skimage.exposure import rescale_intensity

from lowpix.data import IGNORE, open_dataset
from lowpix.data.check import check
from lowpix.data.files import Coding, Colour, read_image, read_labels

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def coloured(colours: list[Colour], void: Colour | None = None) -> Coding:
    """Label maps in these colours, or with as many ids."""
    of_void = {} if void is None else {void: IGNORE}
    return Coding(Coding.plain(len(colours)).table, {colour: k for k, colour in enumerate(colours)} | of_void)


def test_rgb_image_is_returned_as_it_is(tmp_path: Path) -> None:
    read = read_image(save(tmp_path / "x.png", RGB))
    np.testing.assert_array_equal(read, RGB)
    assert read.dtype == np.uint8
    assert read.flags.writeable


def test_grey_image_becomes_three_equal_channels(tmp_path: Path) -> None:
    read = read_image(save(tmp_path / "x.png", RGB[:, :, 0]))
    np.testing.assert_array_equal(read, np.repeat(RGB[:, :, :1], 3, axis=2))


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
    alpha[0], alpha[1] = 0, 255
    read = read_image(save(tmp_path / "x.png", np.dstack([RGB, alpha]))).astype(float)
    share = alpha[:, :, None] / 255
    assert np.abs(read - (RGB * share + 255 * (1 - share))).max() <= 1
    np.testing.assert_array_equal(read[1], RGB[1])


def test_palette_with_transparent_entry(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    image.save(tmp_path / "x.png", transparency=1)
    expected = [[[10, 20, 30], [255, 255, 255]], [[0, 0, 200], [255, 255, 255]]]
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = {
        1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB), 7: np.rot90(RGB.transpose(1, 0, 2), 2), 8: np.rot90(RGB, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"x.{suffix}", np.ascontiguousarray(stored), exif=exif, **lossless)
    np.testing.assert_array_equal(read_image(path), RGB)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    colour = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    read = read_image(save(tmp_path / "x.jpg", colour, mode="CMYK", quality=95))
    assert read.shape == (16, 16, 3)
    assert np.abs(read.astype(int) - colour).max() < 12


def test_16_bit_grey_is_stretched_but_for_the_extremes(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(500, 4000, (50, 60)).astype(np.uint16)
    grey[7, 8], grey[9, 10] = 65535, 0  # hot and dead pixels of a camera
    read = read_image(save(tmp_path / "x.png", grey))
    darkest, lightest = np.quantile(grey, [0.001, 0.999])
    expected = rescale_intensity(grey.astype(float), (darkest, lightest), (0, 255))
    np.testing.assert_array_equal(read[:, :, 2], np.round(expected))
    assert 120 < read.mean() < 135
    assert (read[9, 10, 0], read[7, 8, 2]) == (0, 255)


def test_a_few_bright_pixels_on_flat_grey_are_kept(tmp_path: Path) -> None:
    grey = np.full((50, 60), 900, np.uint16)
    grey[20, 30:32] = 1000
    read = read_image(save(tmp_path / "x.png", grey))[:, :, 0]
    assert np.argwhere(read == 255).tolist() == [[20, 30], [20, 31]]
    assert np.count_nonzero(read) == 2


def test_float_tiff_with_holes_and_flat_grey(tmp_path: Path) -> None:
    values = np.array([[0.0, 1.0], [np.nan, np.inf]], np.float32)
    assert read_image(save(tmp_path / "x.tif", values))[:, :, 0].tolist() == [[0, 255], [0, 255]]
    assert read_image(save(tmp_path / "flat.png", np.full((3, 3), 7000, np.uint16))).max() == 0


@pytest.mark.parametrize("mode", ["1", "LAB", "YCbCr", "LA"])
def test_rarer_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (8, 8), "white")
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        lab = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
        lab.save(tmp_path / "x.tif")
    else:
        image.convert(mode).save(tmp_path / "x.tif")
    read = read_image(tmp_path / "x.tif")
    assert read.shape == (8, 8, 3)
    assert read.min() >= 250


def test_truncated_and_missing_and_foreign_files(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png", RGB).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "endless.png").write_bytes(whole[:-14])
    (tmp_path / "flipped.png").write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name in ("cut.png", "endless.png", "flipped.png", "text.png", "empty.png"):
        for read in (read_image, lambda path: read_labels(path, Coding.plain(2))):
            with refused(f"{name}: ", "cannot be read"):
                read(tmp_path / name)
    with refused("none.png: ", "no such file"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_and_void(tmp_path: Path, dtype: type) -> None:
    ids = RNG.integers(0, 12, (20, 30)).astype(dtype)
    labels = read_labels(save(tmp_path / "x.png", ids), Coding.plain(11, 11))
    np.testing.assert_array_equal(labels, np.where(ids == 11, IGNORE, ids))
    assert labels.dtype == np.uint8


def test_one_bit_label_map(tmp_path: Path) -> None:
    ids = RNG.integers(0, 2, (9, 9)).astype(bool)
    np.testing.assert_array_equal(read_labels(save(tmp_path / "x.png", ids), Coding.plain(2)), ids)


def test_indexed_label_map_holds_ids_whatever_its_palette(tmp_path: Path) -> None:
    ids = RNG.integers(0, 3, (9, 9)).astype(np.uint8)
    image = Image.fromarray(ids)
    image.putpalette([9, 9, 9, 1, 2, 3, 0, 0, 0])
    image.save(tmp_path / "x.png", transparency=0)
    np.testing.assert_array_equal(read_labels(tmp_path / "x.png", Coding.plain(3)), ids)
    named = [(5, 5, 5), (6, 6, 6), (7, 7, 7)]
    np.testing.assert_array_equal(read_labels(tmp_path / "x.png", coloured(named)), ids)


@pytest.mark.parametrize(("value", "dtype"), [(37, "uint8"), (255, "uint8"), (37, "uint16"), (60000, "uint16")])
def test_label_that_is_no_class(tmp_path: Path, value: int, dtype: str) -> None:
    ids = np.zeros((20, 50), dtype)
    ids[12, 40] = ids[13, 2] = value
    path = save(tmp_path / "x.png", ids)
    with refused(f"{path}: ", f"label {value} ", "(12, 40)", "11 classes", "0 to 10", "11 for void"):
        read_labels(path, Coding.plain(11, 11))


def test_colour_label_map(tmp_path: Path) -> None:
    colours = [(128, 0, 0), (0, 128, 0), (0, 0, 128)]
    void = (224, 224, 192)
    ids = RNG.integers(0, 4, (20, 30))
    rgb = np.array([*colours, void], np.uint8)[ids]
    expected = np.where(ids == 3, IGNORE, ids)
    path = save(tmp_path / "x.png", rgb)
    np.testing.assert_array_equal(read_labels(path, coloured(colours, void)), expected)
    opaque = save(tmp_path / "rgba.png", np.dstack([rgb, np.full((20, 30), 255, np.uint8)]))
    np.testing.assert_array_equal(read_labels(opaque, coloured(colours, void)), expected)

    # A drawing program may save the same picture with a palette in any order: colours count, not indices.
    Image.fromarray(rgb).quantize(4).save(tmp_path / "indexed.png")
    with Image.open(tmp_path / "indexed.png") as indexed:
        assert indexed.mode == "P"
    np.testing.assert_array_equal(read_labels(tmp_path / "indexed.png", coloured(colours, void)), expected)

    rgb[7, 3] = (1, 2, 3)
    wrong = save(tmp_path / "wrong.png", rgb)
    with refused("wrong.png: ", "colour (1, 2, 3)", "(7, 3)", "4 colours"):
        read_labels(wrong, coloured(colours, void))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_colours_where_ids_were_expected(tmp_path: Path, mode: str) -> None:
    Image.fromarray(RGB).convert(mode).save(tmp_path / "x.tif")
    with refused("x.tif: ", mode, "one class id per pixel"):
        read_labels(tmp_path / "x.tif", Coding.plain(2))


def test_pages_that_are_not_used_are_told(tmp_path: Path) -> None:
    """A stack of a microscope, for example: only its first page is read."""
    pages = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (0, 90, 180)]
    (tmp_path / "images").mkdir()
    pages[0].save(tmp_path / "images/stack.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "images/single.tif")
    report = check(open_dataset("folder", tmp_path), ("single", "stack"), labelled=False)
    assert report.warnings == (f"{tmp_path / 'images/stack.tif'}: holds 3 pages, and only the first is used",)
