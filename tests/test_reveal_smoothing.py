"""Smoothing along edges, compared with sparse linear algebra in float64 and with pandas."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve
from session_samples import ASKABLE, TRUTH, image

from lowpix.metrics import accuracy, confusion
from lowpix.networks import features
from lowpix.networks.features import graph_segments
from lowpix.reveal import session as session_module
from lowpix.reveal.session import ImageSession, fit
from lowpix.reveal.smoothing import (
    LEAST_PULL,
    MOST_VOTE,
    PULL,
    PULL_OF_ANSWERS,
    VOTE,
    Edges,
    random_walk,
    segment_vote,
    smooth,
)

CPU = torch.device("cpu")
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
seeds = st.integers(0, 2**32 - 1)


def noise(shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def probabilities(classes: int, pixels: int, seed: int) -> torch.Tensor:
    return torch.randn(classes, pixels, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(0)


def laplacian(edges: Edges) -> sparse.csr_matrix:
    """D − W in float64, built pixel by pixel."""
    height, width = edges.shape
    matrix = sparse.lil_matrix((height * width, height * width))
    for pixel in range(height * width):
        row, column = divmod(pixel, width)
        neighbours = [(pixel + 1, edges.right[pixel])] if column + 1 < width else []
        neighbours += [(pixel + width, edges.down[pixel])] if row + 1 < height else []
        for other, weight in neighbours:
            matrix[pixel, other] = matrix[other, pixel] = -float(weight)
            matrix[pixel, pixel] += float(weight)
            matrix[other, other] += float(weight)
    return matrix.tocsr()


@settings(max_examples=40, deadline=None)
@given(shapes, seeds, st.floats(0.01, 10))
def test_the_walk_solves_the_system(shape: tuple[int, int], seed: int, pull: float) -> None:
    edges, pixels = Edges.of(noise(shape, seed), CPU), shape[0] * shape[1]
    prior = probabilities(3, pixels, seed)
    pulls = torch.full((pixels,), pull)
    pulls[seed % pixels] = 100
    found = random_walk(edges, prior, pulls, iterations=200)
    gamma = sparse.diags(pulls.double().numpy())
    for own, given_prior in zip(found, prior.double().numpy(), strict=True):
        exact = spsolve((laplacian(edges) + gamma).tocsc(), gamma @ given_prior)
        np.testing.assert_allclose(own, exact, atol=1e-4)


def test_weights_fall_with_the_colour_step_and_join_only_neighbours() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[:, 3:] = 255
    edges = Edges.of(picture, CPU)
    right, down = edges.right.view(4, 5), edges.down.view(4, 5)
    assert not right[:, 4].any()
    assert not down[3].any()
    assert (right[:, 2] < 0.01).all()
    assert (right[:, 0] > 0.9).all()
    assert (down[:3] > 0.9).all()


def test_a_picture_of_one_colour_has_equal_weights() -> None:
    edges = Edges.of(np.full((3, 4, 3), 77, np.uint8), CPU)
    assert torch.allclose(edges.right.view(3, 4)[:, :3], torch.tensor(1.0), atol=1e-4)


@given(st.integers(1, 40), st.integers(1, 5), seeds, st.floats(0, 3))
def test_the_vote_adds_the_mean_over_the_segment(pixels: int, classes: int, seed: int, weight: float) -> None:
    mean = probabilities(classes, pixels, seed)
    segments = np.unique(np.random.default_rng(seed).integers(0, 4, pixels), return_inverse=True)[1]
    frame = pd.DataFrame(mean.double().numpy().T)
    expected = frame + weight * frame.groupby(segments).transform("mean")
    found = segment_vote(mean, torch.from_numpy(segments), weight)
    np.testing.assert_allclose(found.T, expected, rtol=1e-5, atol=1e-6)


def test_segments_of_blocks_are_those_of_the_parts() -> None:
    lab = np.random.default_rng(0).normal(size=(40, 30, 3)).astype(np.float32) * 30
    whole = graph_segments(lab, block=600)
    assert set(np.unique(whole)) == set(range(whole.max() + 1))
    assert not np.intersect1d(whole[:20], whole[20:]).size


@settings(max_examples=30, deadline=None)
@given(shapes, seeds, st.integers(2, 5), st.data())
def test_smoothed_probabilities_are_probabilities(
    shape: tuple[int, int], seed: int, classes: int, data: st.DataObject
) -> None:
    pixels = shape[0] * shape[1]
    asked = data.draw(st.lists(st.integers(0, pixels - 1), min_size=1, max_size=5, unique=True))
    answers = data.draw(st.lists(st.integers(0, classes - 1), min_size=len(asked), max_size=len(asked)))
    edges = Edges.of(noise(shape, seed), CPU)
    found = smooth(edges, probabilities(classes, pixels, seed), torch.tensor(asked), torch.tensor(answers))
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert (found >= 0).all()


def test_smoothing_takes_noise_from_regions_and_keeps_their_border() -> None:
    truth = np.zeros((24, 40), np.int64)
    truth[:, 20:] = 1
    picture = np.where(truth[..., None] == 1, 200, 60).astype(np.uint8).repeat(3, -1)
    draw = torch.Generator().manual_seed(0)
    noisy = torch.from_numpy(truth.ravel()) * 1.0 + torch.randn(truth.size, generator=draw) * 0.7
    mean = torch.stack([1 - noisy, noisy]).mul(2).softmax(0)
    asked = torch.tensor([5 * 40 + 5, 5 * 40 + 30])
    before = mean.argmax(0).view(truth.shape).numpy()
    labels = smooth(Edges.of(picture, CPU), mean, asked, torch.tensor([0, 1])).argmax(0).view(truth.shape).numpy()
    assert (before != truth).mean() > 0.1
    assert (labels == truth).all()


@pytest.mark.parametrize("acquisition", ["margin", "balent", "random"])
def test_smoothing_changes_labels_but_not_questions(acquisition: str) -> None:
    plain, smoothed = (
        ImageSession(image(), ASKABLE, 3, acquisition=acquisition, smoothing=smoothing, seed=3)
        for smoothing in ("none", "edges")
    )
    for count in (5, 4, 4):
        questions = [session.ask(count) for session in (plain, smoothed)]
        np.testing.assert_array_equal(*questions)
        for session in (plain, smoothed):
            session.tell(questions[0], TRUTH[tuple(questions[0].T)])
        fit([plain, smoothed])
        predictions = [session.predict() for session in (plain, smoothed)]
    assert (predictions[0].labels != predictions[1].labels).any()
    scores = [accuracy(confusion(TRUTH, prediction.labels, 3)) for prediction in predictions]
    assert scores[1] > scores[0] - 0.05


def test_one_revealed_class_leaves_nothing_to_smooth() -> None:
    session = ImageSession(image(), ASKABLE, 3, smoothing="edges")
    (pixel,) = np.argwhere(ASKABLE & (TRUTH[ASKABLE][0] == TRUTH))[:1]
    session.tell(pixel[None], TRUTH[tuple(pixel)][None])
    fit([session])
    plain = ImageSession(image(), ASKABLE, 3)
    plain.tell(pixel[None], TRUTH[tuple(pixel)][None])
    fit([plain])
    np.testing.assert_array_equal(session.predict().labels, plain.predict().labels)


def test_a_large_image_is_smoothed_in_blocks_each_like_an_image_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with the blocks cut out by hand; the share of labelled pixels is that of the whole image."""
    picture, asked, answers = (
        noise((30, 20), 3),
        torch.tensor([5, 130, 390, 395, 599]),
        torch.tensor([0, 2, 1, 0, 2]),
    )
    edges, mean = Edges.of(picture, CPU), probabilities(3, 600, 1)
    expected = []
    for start, stop in ((0, 200), (200, 400), (400, 600)):
        right, down = edges.right[start:stop].clone(), edges.down[start:stop].clone()
        down[-20:] = 0
        segments = torch.unique(edges.segments[start:stop], return_inverse=True)[1]
        own = (asked >= start) & (asked < stop)
        part = Edges(right, down, segments, (10, 20))
        prior = segment_vote(mean[:, start:stop].clone(), segments, min(MOST_VOTE, VOTE * 600 / 5))
        prior /= prior.sum(0)
        prior[:, asked[own] - start] = torch.eye(3)[:, answers[own]]
        pull = torch.full((200,), max(LEAST_PULL, PULL * 5 / 600))
        pull[asked[own] - start] = PULL_OF_ANSWERS
        walked = random_walk(part, prior, pull).clamp(min=0)
        expected.append(walked / walked.sum(0))
    monkeypatch.setattr("lowpix.reveal.smoothing.BLOCK", 200)
    found = smooth(edges, mean, asked, answers)
    np.testing.assert_allclose(found, torch.cat(expected, 1), rtol=1e-5, atol=1e-7)


def test_edges_of_blocks_of_rows_are_those_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours do not depend on the blocks in which they are converted."""
    picture = noise((24, 10), 5)
    whole = Edges.of(picture, CPU)
    monkeypatch.setattr(features.row_blocks, "__defaults__", (60,))
    parts = Edges.of(picture, CPU)
    assert torch.equal(whole.right, parts.right)
    assert torch.equal(whole.down, parts.down)
    upper = whole.rows(0, 7)
    assert torch.equal(upper.right, whole.right[:70])
    assert torch.equal(upper.down[:60], whole.down[:60])
    assert not upper.down[60:].any()


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 300))
def test_blocks_of_rows_are_the_rows(height: int, width: int, size: int) -> None:
    bounds = list(features.row_blocks(height, width, size))
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(height))
    assert all(start < stop and (stop - start - 1) * width <= size for start, stop in bounds)


def test_memory_is_held_for_the_classes_that_were_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of 60 were answered; what is predicted is the same as from the probabilities of all 60."""
    held = []

    def watched(edges: Edges, mean: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        held.append(mean.shape)
        return smooth(edges, mean, *rest)

    monkeypatch.setattr(session_module, "smooth", watched)
    session = ImageSession(image(), ASKABLE, 60, acquisition="margin", seed=3)
    question = session.ask(12)
    session.tell(question, np.where(TRUTH[tuple(question.T)] == 1, 47, 11).astype(np.uint8))
    fit([session])
    prediction = session.predict()
    assert held == [(2, TRUTH.size)]
    assert set(np.unique(prediction.labels)) == {11, 47}
    with torch.no_grad():
        mean = torch.cat([members.mean(0) for _, members in session.probabilities()], 1)
    whole = session.smoothed(mean)
    assert whole.shape == (60, TRUTH.size)
    np.testing.assert_array_equal(whole.argmax(0).numpy(), prediction.labels.ravel())
    np.testing.assert_array_equal(whole.max(0).values.numpy(), prediction.confidence.ravel())
