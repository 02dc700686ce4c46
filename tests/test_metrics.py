"""The metrics against scikit-learn, and what must hold for any label map."""

import math
import time

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.errors import InputError
from lowpix.metrics import accuracy, confusion, iou, miou, off_border

CLASSES = 5
LABELS = st.sampled_from([*range(CLASSES), IGNORE])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=12)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=LABELS), hnp.arrays(np.uint8, shape, elements=LABELS)
    )
)
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@given(PAIRS)
def test_agrees_with_scikit_learn(pair: Pair) -> None:
    truth, prediction = pair
    kept = truth != IGNORE
    matrix = confusion(truth, prediction, CLASSES)
    assert matrix.dtype == np.int64
    if not kept.any():
        assert matrix.sum() == 0
        assert math.isnan(accuracy(matrix))
        assert math.isnan(miou(matrix))
        assert np.isnan(iou(matrix)).all()
        return
    # To scikit-learn "no class" is one more class, which the truth never holds.
    true, predicted = truth[kept], np.minimum(prediction[kept], CLASSES)
    expected = sklearn.metrics.confusion_matrix(true, predicted, labels=range(CLASSES + 1))
    np.testing.assert_array_equal(matrix, expected[:CLASSES])
    assert accuracy(matrix) == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))
    held = np.unique(true)
    each = sklearn.metrics.jaccard_score(true, predicted, labels=held, average=None)
    np.testing.assert_allclose(iou(matrix)[held], each)
    assert set(np.flatnonzero(~np.isnan(iou(matrix)))) == set(held)
    assert miou(matrix) == pytest.approx(each.mean())


@given(PAIRS)
def test_counts_as_a_plain_loop_does(pair: Pair) -> None:
    truth, prediction = pair
    expected = np.zeros((CLASSES, CLASSES + 1), int)
    for true, predicted in zip(truth.flat, prediction.flat, strict=True):
        if true != IGNORE:
            expected[true, CLASSES if predicted == IGNORE else predicted] += 1
    np.testing.assert_array_equal(confusion(truth, prediction, CLASSES), expected)


@given(PAIRS, PAIRS)
def test_matrices_add_up(first: Pair, second: Pair) -> None:
    both = [np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_array_equal(
        confusion(*first, CLASSES) + confusion(*second, CLASSES), confusion(both[0], both[1], CLASSES)
    )


def test_all_right_is_one_and_a_class_out_of_the_picture_counts_nowhere() -> None:
    truth = np.array([[0, 0, 2], [2, IGNORE, 0]], np.uint8)
    matrix = confusion(truth, np.where(truth == IGNORE, 1, truth).astype(np.uint8), 3)
    assert accuracy(matrix) == 1.0
    assert miou(matrix) == 1.0
    np.testing.assert_array_equal(iou(matrix), [1.0, np.nan, 1.0])


def test_no_class_on_a_labelled_pixel_is_wrong() -> None:
    matrix = confusion(np.array([0, 0, 1, 1], np.uint8), np.array([0, IGNORE, 1, 1], np.uint8), 2)
    assert accuracy(matrix) == 0.75
    np.testing.assert_array_equal(iou(matrix), [0.5, 1.0])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.array([0, 37], np.uint8), np.array([0, 0], np.uint8), "label 37 in the truth"),
        (np.array([0, 0], np.uint8), np.array([0, 11], np.uint8), "label 11 in the prediction"),
        # Under void as well: a prediction that holds no such class is a fault wherever it lies.
        (np.array([IGNORE], np.uint8), np.array([254], np.uint8), "label 254 in the prediction"),
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), r"\(2, 3\) and prediction \(3, 2\) differ"),
        (np.zeros(2, np.int64), np.zeros(2, np.uint8), "must be uint8, not int64"),
    ],
)
def test_bad_label_maps_are_refused_by_value(truth: Pair, prediction: Pair, message: str) -> None:
    with pytest.raises(InputError, match=message):
        confusion(truth, prediction, 11)


def test_255_classes_fit_beside_void() -> None:
    labels = np.arange(256, dtype=np.uint8)
    matrix = confusion(labels, labels, 255)
    np.testing.assert_array_equal(matrix, np.eye(255, 256, dtype=int))


def test_an_image_of_360_by_480_takes_milliseconds() -> None:
    random = np.random.default_rng(0)
    truth, prediction = random.integers(0, 11, (2, 360, 480), dtype=np.uint8)
    times = []
    for _ in range(10):
        start = time.process_time()
        confusion(truth, prediction, 11)
        times.append(time.process_time() - start)
    assert min(times) < 0.02  # about 1 ms; the slack is for busy machines


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=LABELS))
def test_off_border_is_what_no_other_label_is_near(truth: NDArray[np.uint8]) -> None:
    found = off_border(truth)
    for row, column in np.ndindex(truth.shape):
        near = truth[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        assert found[row, column] == (len(np.unique(near)) == 1 and truth[row, column] != IGNORE)
