"""The privileged chooser: how deep inside a mistake each pixel lies."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lowpix.reveal.acquisition import error_depth

maps = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)),
        hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)),
    )
)


def brute_force_depth(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Chessboard distance to the nearest pixel that is right, of another true class, or outside the image."""
    height, width = truth.shape
    depth = np.zeros(truth.shape, np.int64)
    for row, column in np.argwhere(prediction != truth):
        for other_row in range(-1, height + 1):
            for other_column in range(-1, width + 1):
                inside = 0 <= other_row < height and 0 <= other_column < width
                here = (other_row, other_column)
                if inside and prediction[here] != truth[here] and truth[here] == truth[row, column]:
                    continue
                distance = max(abs(other_row - row), abs(other_column - column))
                depth[row, column] = min(depth[row, column] or distance, distance)
    return depth


@settings(max_examples=60)
@given(maps)
def test_error_depth_is_the_chessboard_distance(
    prediction_and_truth: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    prediction, truth = prediction_and_truth
    depth = error_depth(prediction, truth)
    assert depth.shape == truth.shape
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(np.floor(depth), brute_force_depth(prediction, truth))
    np.testing.assert_array_equal(depth == 0, prediction == truth)


@settings(max_examples=60)
@given(st.data())
def test_centre_of_the_largest_mistake_comes_first(data: st.DataObject) -> None:
    """A large square mistake anywhere beside smaller ones of other classes, all on a map that is else right."""
    half = data.draw(st.integers(2, 6))
    truth = np.zeros((40, 40), np.uint8)
    top, left = (data.draw(st.integers(0, 19 - 2 * half + 6)) for _ in range(2))
    truth[top : top + 2 * half + 1, left : left + 2 * half + 1] = 1
    for label in (2, 3):
        side = data.draw(st.integers(1, 2 * half))  # even at the largest: its depth stays below
        row, column = data.draw(st.integers(27, 40 - side)), data.draw(st.integers(0, 40 - side))
        truth[row : row + side, column : column + side] = label
    depth = error_depth(np.zeros_like(truth), truth)
    np.testing.assert_array_equal(np.unravel_index(depth.argmax(), depth.shape), (top + half, left + half))
    assert np.floor(depth.max()) == half + 1


def test_a_mistake_as_deep_but_longer_is_asked_at_its_middle() -> None:
    truth = np.zeros((9, 30), np.uint8)
    truth[2:7, 4:25] = 1  # 5 high, 21 long: depth 3 all along the middle row
    depth = error_depth(np.zeros_like(truth), truth)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    assert row == 4
    assert 6 <= column <= 22


def test_neighbouring_mistakes_of_two_classes_are_two() -> None:
    truth = np.repeat(np.array([[1, 2]], np.uint8), 5, axis=1).repeat(5, axis=0)  # two 5×5 squares side by side
    depth = error_depth(np.zeros_like(truth), truth)
    assert np.floor(depth).max() == 3
    assert {(2, 2), (2, 7)} == set(map(tuple, np.argwhere(np.floor(depth) == 3).tolist()))


def test_void_and_revealed_are_left_out_by_their_predicted_class() -> None:
    prediction = np.zeros((11, 11), np.uint8)
    truth = np.ones((11, 11), np.uint8)
    np.testing.assert_array_equal(np.unravel_index(error_depth(prediction, truth).argmax(), (11, 11)), (5, 5))
    left_out = truth.copy()
    left_out[5, 5] = prediction[5, 5]  # revealed: it divides what is left of the mistake
    depth = error_depth(prediction, left_out)
    assert depth[5, 5] == 0
    assert np.floor(depth.max()) == 3
    np.testing.assert_array_equal(np.floor(depth), brute_force_depth(prediction, left_out))
    assert not error_depth(prediction, prediction).any()
