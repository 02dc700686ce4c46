"""The oracle that holds the label map: how often it errs or refuses, and that it never changes its mind."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.reveal.log import UNSURE, VOID
from lowpix.reveal.oracle import LabelMapOracle, across, could_tell

SHAPE, CLASSES = (150, 200), 5
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, CLASSES, SHAPE).astype(np.uint8)
LABELS[:10] = VOID
EVERYWHERE = np.argwhere(np.ones(SHAPE, bool))


def test_names_of_answers_that_carry_no_class() -> None:
    assert VOID == IGNORE == 255
    assert UNSURE == 254


def test_without_noise_it_says_what_is_there() -> None:
    answers = LabelMapOracle(LABELS, CLASSES)(EVERYWHERE)
    assert answers.dtype == np.uint8
    np.testing.assert_array_equal(answers, LABELS.ravel())
    assert LabelMapOracle(LABELS, CLASSES)(np.empty((0, 2), np.int64)).shape == (0,)


@pytest.mark.parametrize("noise", [0.05, 0.3, 1])
def test_share_of_wrong_answers(noise: float) -> None:
    answers = LabelMapOracle(LABELS, CLASSES, noise, seed=4)(EVERYWHERE).reshape(SHAPE)
    known = LABELS != VOID
    assert (answers[~known] == VOID).all()
    assert answers[known].max() < CLASSES
    wrong = answers[known] != LABELS[known]
    spread = 4 * np.sqrt(noise * (1 - noise) / wrong.size)
    assert abs(wrong.mean() - noise) <= spread


def test_wrong_answers_are_uniform_over_the_other_classes() -> None:
    answers = LabelMapOracle(LABELS, CLASSES, 1, seed=1)(EVERYWHERE).reshape(SHAPE)
    for label in range(CLASSES):
        counts = np.bincount(answers[label == LABELS], minlength=CLASSES)
        assert counts[label] == 0
        others = np.delete(counts, label)
        expected = others.sum() / (CLASSES - 1)
        assert (abs(others - expected) < 5 * np.sqrt(expected)).all()


def test_with_two_classes_wrong_is_the_other() -> None:
    labels = LABELS % 2
    answers = LabelMapOracle(labels, 2, 1)(EVERYWHERE)
    np.testing.assert_array_equal(answers, 1 - labels.ravel())


def test_with_many_classes_no_answer_overflows() -> None:
    labels = np.full(SHAPE, 253, np.uint8)
    answers = LabelMapOracle(labels, 254, 1)(EVERYWHERE)
    assert answers.max() <= 252
    assert len(np.unique(answers)) == 253


@pytest.mark.parametrize(("noise", "refusal"), [(0, 0.2), (0.3, 0.2), (0, 1)])
def test_refusal(noise: float, refusal: float) -> None:
    answers = LabelMapOracle(LABELS, CLASSES, noise, refusal, seed=2)(EVERYWHERE)
    refused = answers == UNSURE
    assert abs(refused.mean() - refusal) <= 4 * np.sqrt(refusal * (1 - refusal) / refused.size)
    # it refuses void and class alike, and errs as often where it answers
    void = LABELS.ravel() == VOID
    assert refused[void].mean() == pytest.approx(refusal, abs=0.05)
    told = ~refused & ~void
    if told.any():
        assert (answers[told] != LABELS.ravel()[told]).mean() == pytest.approx(noise, abs=0.02)


def test_an_answer_depends_on_seed_and_pixel_alone() -> None:
    def oracle(seed: int) -> LabelMapOracle:
        return LabelMapOracle(LABELS, CLASSES, 0.3, 0.1, seed=seed)

    whole = oracle(7)(EVERYWHERE).reshape(SHAPE)
    shuffled = np.random.default_rng(1).permutation(EVERYWHERE)
    one = oracle(7)
    in_parts = np.concatenate([one(part) for part in np.array_split(shuffled, 50)])
    np.testing.assert_array_equal(in_parts, whole[tuple(shuffled.T)])
    np.testing.assert_array_equal(one(EVERYWHERE).reshape(SHAPE), whole)  # asked again, it says the same
    assert (oracle(8)(EVERYWHERE).reshape(SHAPE) != whole).mean() > 0.1


def test_who_could_tell() -> None:
    """A label map that is right could tell what it holds; one that errs, anything within the image."""
    pixels = np.array([[0, 0], [10, 3], [149, 199]])
    labels = LABELS[tuple(pixels.T)]
    wrong = labels.copy()
    wrong[1] = (wrong[1] + 1) % CLASSES
    assert could_tell(LABELS, pixels, labels, errs=False)
    assert not could_tell(LABELS, pixels, wrong, errs=False)
    assert could_tell(LABELS, pixels, wrong, errs=True)
    for outside in ([150, 0], [0, 200]):
        for errs in (False, True):
            assert not could_tell(LABELS, np.array([[10, 3], outside]), labels[:2], errs)


def regions() -> NDArray[np.uint8]:
    """Blocks of 9 × 13 pixels, some of them void, one pixel of another class, and a corner of one class."""
    labels = np.kron(LABELS[8:16, :12], np.ones((9, 13), np.uint8))
    labels[40, 70] = (labels[40, 70] + 1) % CLASSES
    labels[-20:, -30:] = 2
    return labels


def test_beyond_a_border_is_the_nearest_other_class() -> None:
    """Each pixel against all pixels around it, one by one."""
    labels = regions()
    beyond = across(labels)
    changed = 0
    for row, column in np.ndindex(labels.shape):
        own = labels[row, column]
        classes: dict[int, set[int]] = {1: set(), 2: set()}
        for reach, found in classes.items():
            window = labels[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            found |= set(window.ravel().tolist()) - {int(own), VOID}
        allowed = classes[1] or classes[2]
        if own == VOID or not allowed:
            assert beyond[row, column] == own
        else:
            assert beyond[row, column] in allowed
            changed += 1
    assert changed > 1000
    for plain in (np.zeros((5, 6), np.uint8), np.full((5, 6), VOID, np.uint8)):
        np.testing.assert_array_equal(across(plain), plain)


@pytest.mark.parametrize("noise", [0.1, 0.5, 1])
def test_share_of_wrong_answers_at_borders(noise: float) -> None:
    labels = regions()
    beyond, pixels = across(labels), np.argwhere(labels < 255)
    truth, other = labels[tuple(pixels.T)], beyond[tuple(pixels.T)]
    answers = LabelMapOracle(labels, CLASSES, seed=3, border_noise=noise)(pixels)
    at_border = truth != other
    np.testing.assert_array_equal(answers[~at_border], truth[~at_border])
    wrong = answers[at_border] != truth[at_border]
    np.testing.assert_array_equal(answers[at_border][wrong], other[at_border][wrong])
    assert abs(wrong.mean() - noise) <= 4 * np.sqrt(noise * (1 - noise) / wrong.size)


def test_the_label_map_is_left_as_it_is() -> None:
    labels = LABELS.copy()
    LabelMapOracle(labels, CLASSES, 0.5, 0.5, border_noise=0.5)
    np.testing.assert_array_equal(labels, LABELS)
