"""Every n-th row and column of an image, compared with plain loops over its pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from session_samples import ASKABLE, TRUTH, image

from lowpix.reveal import lattice as lattices
from lowpix.reveal.lattice import Lattice
from lowpix.reveal.log import Log
from lowpix.reveal.session import ImageSession, fit
from lowpix.reveal.smoothing import Edges

CPU = torch.device("cpu")
lattice_of = st.builds(
    lambda shape, step, row, column: Lattice(
        shape, step, min(row % step, shape[0] - 1), min(column % step, shape[1] - 1)
    ),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(0, 4),
)


def points(lattice: Lattice) -> list[tuple[int, int]]:
    height, width = lattice.shape
    return [
        (row, column)
        for row in range(lattice.row, height, lattice.step)
        for column in range(lattice.column, width, lattice.step)
    ]


@given(lattice_of)
def test_each_pixel_takes_the_value_of_a_nearest_point(lattice: Lattice) -> None:
    there = np.zeros(lattice.shape, np.bool_)
    there[lattice.where] = True
    assert list(zip(*np.nonzero(there), strict=True)) == points(lattice)
    values = np.arange(there.sum(), dtype=np.float32).reshape(there[lattice.where].shape)
    spread = lattice.spread(values)
    of_value = dict(enumerate(points(lattice)))
    pixels = np.argwhere(np.ones(lattice.shape, np.bool_))
    nearest = lattice.nearest(pixels)
    for (row, column), point in zip(pixels.tolist(), nearest.tolist(), strict=True):
        chosen = of_value[int(spread[row, column])]
        assert chosen == (point[0] * lattice.step + lattice.row, point[1] * lattice.step + lattice.column)
        for axis, place in ((0, row), (1, column)):
            least = min(abs(place - other[axis]) for other in points(lattice))
            assert abs(place - chosen[axis]) == least


def test_in_step_squared_rounds_each_pixel_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattices, "LEAST", 10)
    turns = [Lattice.of_round((20, 30), 3, number, seed=5) for number in range(9)]
    counted = np.zeros((20, 30), int)
    for turn in turns:
        assert turn is not None
        counted[turn.where] += 1
    assert (counted == 1).all()


def test_small_images_are_judged_at_every_pixel() -> None:
    assert Lattice.of_round((99, 400), 2, 0, 0) is None
    assert Lattice.of_round((100, 400), 2, 0, 0) is not None
    assert Lattice.of_round((5000, 5000), 1, 0, 0) is None


def test_weights_join_in_series() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (11, 14, 3), np.uint8)
    edges, lattice = Edges.of(noise, CPU), Lattice((11, 14), 3, 1, 2)
    right, down = edges.right.view(11, 14), edges.down.view(11, 14)
    coarse = edges.at(lattice)
    assert coarse.shape == (4, 4)
    assert coarse.step == 3
    for row in range(4):
        for column in range(4):
            r, c = 1 + 3 * row, 2 + 3 * column
            across = 3 / sum(1 / float(right[r, c + k]) for k in range(3)) if column < 3 else 0
            below = 3 / sum(1 / float(down[r + k, c]) for k in range(3)) if row < 3 else 0
            assert float(coarse.right.view(4, 4)[row, column]) == pytest.approx(across, rel=1e-5)
            assert float(coarse.down.view(4, 4)[row, column]) == pytest.approx(below, rel=1e-5)
            assert coarse.segments.view(4, 4)[row, column] == edges.segments.view(11, 14)[r, c]


def test_pixels_are_chosen_at_its_points_by_their_scores() -> None:
    lattice, askable = Lattice((30, 40), 4, 1, 3), np.ones((30, 40), np.bool_)
    askable[1, 3] = False
    scores = np.random.default_rng(0).random((30, 40), np.float32)
    picks = Log(3, askable).ask(5, scores, radius=9, lattice=lattice)
    on = [point for point in points(lattice) if point != (1, 3)]
    assert {tuple(pick) for pick in picks.tolist()} <= set(on)
    assert tuple(picks[0]) == max(on, key=lambda point: scores[point])
    apart = np.abs(picks[:, None] - picks).max(-1) + 100 * np.eye(5)
    assert apart.min() > 9
    few = np.zeros((30, 40), np.bool_)
    few[:2, :2] = True  # no point is among them, so any pixel may be asked
    assert len(Log(3, few).ask(3, scores, lattice=lattice)) == 3


@pytest.mark.parametrize("acquisition", ["margin", "balent", "power_bald", "facility", "random"])
@pytest.mark.parametrize("smoothing", ["none", "edges"])
def test_without_smoothing_its_points_are_judged_as_in_the_whole_image(
    acquisition: str, smoothing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lattices, "LEAST", 10)
    session = ImageSession(image(), ASKABLE, 3, acquisition=acquisition, smoothing=smoothing, seed=3)
    question = session.ask(9)
    session.tell(question, TRUTH[tuple(question.T)])
    fit([session])
    coarse = session.predict(2)
    assert session.lattice is not None
    where, scores = session.lattice.where, session.scores
    whole = session.predict()
    assert session.lattice is None
    assert coarse.labels.shape == whole.labels[where].shape
    assert scores is not None
    assert session.scores is not None
    np.testing.assert_allclose(scores[where], session.scores[where], rtol=1e-3, atol=0.05)
    same = np.mean(coarse.labels == whole.labels[where])
    assert same > (0.8 if smoothing == "edges" else 0.98)
    assert 0 <= coarse.confidence.min() <= coarse.confidence.max() <= 1
