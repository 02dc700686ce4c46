"""Label maps and confidences, read back with plain pillow."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from refusals import refused

from lowpix.data import IGNORE
from lowpix.study.label_maps import confidence_png, read_label_map, write_label_map

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A label map with its palette, of any number of classes that a byte holds beside void."""
    palette = draw(hnp.arrays(np.uint8, st.tuples(st.integers(1, 255), st.just(3))))
    ids = st.integers(0, len(palette) - 1) | st.just(IGNORE)
    return draw(hnp.arrays(np.uint8, SHAPES, elements=ids)), palette


@given(drawn=label_maps())
def test_a_label_map_comes_back_and_shows_its_colours(
    drawn: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    labels, palette = drawn
    path = tmp_path_factory.getbasetemp() / "map.png"
    write_label_map(path, labels, palette)
    np.testing.assert_array_equal(read_label_map(path), labels)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture), labels)
        shown = np.array(picture.convert("RGB"))
    expected = np.concatenate([palette, np.full((256 - len(palette), 3), 255, np.uint8)])[labels]
    np.testing.assert_array_equal(shown, expected)


def test_a_label_without_a_class_is_refused_with_its_place(tmp_path: Path) -> None:
    labels = np.zeros((20, 50), np.uint8)
    labels[12, 40] = 37
    with refused("x.png", "label 37", "11 classes", "(12, 40)"):
        write_label_map(tmp_path / "x.png", labels, np.zeros((11, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_label_map_is_refused_by_name(tmp_path: Path) -> None:
    with refused("none.png", "cannot be read"):
        read_label_map(tmp_path / "none.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    with refused("rgb.png", "RGB"):
        read_label_map(tmp_path / "rgb.png")
    noise = np.random.default_rng(0).integers(0, 9, (64, 64), dtype=np.uint8)
    write_label_map(tmp_path / "cut.png", noise, np.zeros((9, 3), np.uint8))
    whole = (tmp_path / "cut.png").read_bytes()
    for length in (0, 10, len(whole) // 2):
        (tmp_path / "cut.png").write_bytes(whole[:length])
        with refused("cut.png", "cannot be read"):
            read_label_map(tmp_path / "cut.png")


@given(confidence=hnp.arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)))
def test_confidence_is_kept_to_half_a_step(confidence: NDArray[np.float32]) -> None:
    with Image.open(BytesIO(confidence_png(confidence))) as picture:
        assert picture.mode == "L"
        back = np.array(picture) / 255
    np.testing.assert_allclose(back, confidence, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf])
def test_confidence_out_of_range_is_refused(value: float) -> None:
    with refused("0..1"):
        confidence_png(np.array([[0.5, value]], np.float32))
