"""Every acquisition function against its formula in float64, and what they all must keep."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from lowpix.errors import InputError
from lowpix.reveal.acquisition import ACQUISITIONS, Acquisition, error_depth, find_acquisition

OF_PROBABILITIES = [acquisition for acquisition in ACQUISITIONS.values() if acquisition.score is not None]
every_acquisition = pytest.mark.parametrize("acquisition", OF_PROBABILITIES, ids=lambda one: one.name)

REFERENCES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "entropy": lambda p: stats.entropy(p.mean(-3), axis=-1),
    "least_confidence": lambda p: 1 - np.sort(p.mean(-3), axis=-1)[..., -1],
    "margin": lambda p: np.sort(p.mean(-3), axis=-1)[..., -2] - np.sort(p.mean(-3), axis=-1)[..., -1],
}


def score(acquisition: Acquisition, p: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    assert acquisition.score is not None
    return acquisition.score(p, noise) if acquisition.noisy else acquisition.score(p)


def draw(
    seed: int, members: int = 4, pixels: int = 50, classes: int = 5, batch: tuple[int, ...] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 probabilities `(…, M, N, C)` from nearly certain to nearly uniform, and noise `(…, N)`."""
    random = np.random.default_rng(seed)
    sharpness = 10 ** random.uniform(-1, 2, (*batch, 1, pixels, 1))
    logits = torch.from_numpy(random.normal(size=(*batch, members, pixels, classes)) * sharpness)
    return logits.softmax(-1), torch.from_numpy(random.random((*batch, pixels)))


sizes = {
    "seed": st.integers(0, 2**32),
    "members": st.integers(1, 6),
    "pixels": st.integers(1, 40),
    "classes": st.integers(2, 12),
}


def test_every_acquisition_has_a_reference() -> None:
    assert {one.name for one in OF_PROBABILITIES if not one.noisy} == REFERENCES.keys()


@every_acquisition
@settings(max_examples=20, deadline=None)
@given(**sizes, batch=st.lists(st.integers(1, 3), max_size=2).map(tuple))
def test_shapes_with_leading_axes(
    acquisition: Acquisition, seed: int, members: int, pixels: int, classes: int, batch: tuple[int, ...]
) -> None:
    p, noise = draw(seed, members, pixels, classes, batch)
    scores = score(acquisition, p, noise)
    assert scores.shape == (*batch, pixels)
    each = [
        score(acquisition, p[index], noise[index]) for index in np.ndindex(*batch)
    ]  # every image as if it were alone
    torch.testing.assert_close(scores.reshape(-1, pixels), torch.stack(each), rtol=0, atol=1e-12)


@every_acquisition
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("classes", [2, 3, 150])
def test_finite_at_zero_and_one_and_for_identical_members(
    acquisition: Acquisition, dtype: torch.dtype, classes: int
) -> None:
    certain = torch.eye(classes, dtype=dtype)  # one pixel per class
    uniform = torch.full((classes, classes), 1 / classes, dtype=dtype)
    smallest = torch.full((classes, classes), torch.finfo(dtype).tiny, dtype=dtype)
    smallest[:, 0] = 1
    noise = torch.rand(classes, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for first in (certain, uniform, smallest):
        for second in (first, first.roll(1, -1)):  # identical members, and members that disagree
            assert score(acquisition, torch.stack([first, second]), noise).isfinite().all()
        assert score(acquisition, first[None], noise).isfinite().all()  # a single member


@every_acquisition
@settings(max_examples=20, deadline=None)
@given(**sizes)
def test_order_of_members_and_classes_is_of_no_account(
    acquisition: Acquisition, seed: int, members: int, pixels: int, classes: int
) -> None:
    p, noise = draw(seed, members, pixels, classes)
    random = np.random.default_rng(seed)
    shuffled = p[random.permutation(members)][..., random.permutation(classes)]
    for dtype in (torch.float32, torch.float64):
        scores = score(acquisition, p.to(dtype), noise)
        torch.testing.assert_close(score(acquisition, shuffled.to(dtype), noise), scores, rtol=0, atol=1e-6)


@every_acquisition
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 49))
def test_a_score_depends_on_no_other_pixel(acquisition: Acquisition, seed: int, cut: int) -> None:
    p, noise = draw(seed)
    scores = score(acquisition, p, noise)
    tiles = [score(acquisition, p[:, tile], noise[tile]) for tile in (slice(cut), slice(cut, None))]
    torch.testing.assert_close(torch.cat(tiles), scores, rtol=0, atol=1e-12)
    others = p.clone()
    others[:, cut:] = draw(seed + 1)[0][:, cut:]
    torch.testing.assert_close(score(acquisition, others, noise)[:cut], scores[:cut], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=30, deadline=None)
@given(**sizes)
def test_agrees_with_its_formula(name: str, seed: int, members: int, pixels: int, classes: int) -> None:
    check_formula(name, draw(seed, members, pixels, classes)[0])


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_its_formula_for_150_classes(name: str) -> None:
    p = draw(3, 8, 200, 150)[0]
    p[:, :20] = 0
    p[:, :20, 7] = 1  # certain, with exact zeros
    p[:, 20:40] = 1 / 150
    check_formula(name, p)


def check_formula(name: str, p: torch.Tensor) -> None:
    acquisition = find_acquisition(name)
    expected = REFERENCES[name](p.numpy())
    np.testing.assert_allclose(score(acquisition, p, p), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(score(acquisition, p.float(), p), expected, rtol=1e-5, atol=2e-6)


def test_scores_by_hand() -> None:
    p = torch.tensor([[[0.7, 0.2, 0.1]], [[0.5, 0.4, 0.1]]], dtype=torch.float64)  # mean 0.6, 0.3, 0.1
    noise = torch.tensor([0.25])
    by_hand = {
        "entropy": -(0.6 * np.log(0.6) + 0.3 * np.log(0.3) + 0.1 * np.log(0.1)),
        "least_confidence": 0.4,
        "margin": -0.3,
        "random": 0.25,
    }
    for name, expected in by_hand.items():
        assert score(find_acquisition(name), p, noise).item() == pytest.approx(expected, abs=1e-12)


def test_two_classes_rank_pixels_the_same() -> None:
    p, noise = draw(1, members=3, pixels=400, classes=2)
    order = score(find_acquisition("margin"), p, noise).argsort()
    for name in ("entropy", "least_confidence"):
        ranked = score(find_acquisition(name), p, noise)[order]
        assert (ranked.diff() >= -1e-12).all()


def test_random_is_the_noise() -> None:
    p, noise = draw(0)
    assert torch.equal(score(find_acquisition("random"), p, noise), noise)


def test_only_error_depth_is_privileged() -> None:
    assert [name for name, one in ACQUISITIONS.items() if one.privileged] == ["error_depth"]


def test_unknown_acquisition_lists_those_there_are() -> None:
    names = "random, entropy, least_confidence, margin, error_depth"
    with pytest.raises(InputError, match=f"^--acquisition margn: unknown; choose from {names}$"):
        find_acquisition("margn")


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


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
    assert np.unravel_index(depth.argmax(), depth.shape) == (top + half, left + half)
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
    assert np.unravel_index(error_depth(prediction, truth).argmax(), (11, 11)) == (5, 5)
    left_out = truth.copy()
    left_out[5, 5] = prediction[5, 5]  # revealed: it divides what is left of the mistake
    depth = error_depth(prediction, left_out)
    assert depth[5, 5] == 0
    assert np.floor(depth.max()) == 3
    np.testing.assert_array_equal(np.floor(depth), brute_force_depth(prediction, left_out))
    assert not error_depth(prediction, prediction).any()
