"""Facility location, compared with a plain greedy loop, and what it is for: classes that margin never asks."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lowpix.networks.features import pixel_features
from lowpix.reveal.facility import FLOOR, LENGTH, UNTIL, Facility
from lowpix.reveal.selection import Selection
from lowpix.reveal.session import ImageSession, fit

SHAPE = (18, 25)


def plain_picks(
    features: NDArray[np.float64],
    margins: NDArray[np.float64],
    candidates: NDArray[np.bool_],
    asked: list[int],
    count: int,
    spacing: float,
) -> list[int]:
    """Every gain of every pixel from its definition, one at a time, where every pixel is a node."""
    width = candidates.shape[1]
    similarity = np.exp(-((features[:, None] - features) ** 2).sum(-1) / (2 * LENGTH**2))
    left, picks = set(np.flatnonzero(candidates.ravel())), []
    nodes = sorted(left | set(asked))
    for number in range(len(asked), len(asked) + count):
        weight = 1 + margins.ravel() + FLOOR * max(0, 1 - number / UNTIL)
        covered = [max((similarity[j, r] for r in asked + picks), default=0) for j in range(len(features))]
        gains = {i: sum(weight[j] * max(0, similarity[i, j] - covered[j]) for j in nodes) for i in left}
        best = max(gains, key=lambda pixel: gains[pixel])
        picks.append(best)
        rows, columns = np.divmod(np.array(sorted(left)), width)
        far = np.maximum(abs(rows - best // width), abs(columns - best % width)) > spacing
        left = set(np.array(sorted(left))[far])
    return picks


@pytest.mark.parametrize("asked", [[], [3, 200, 310]])
def test_picks_are_those_of_a_plain_greedy_loop(asked: list[int]) -> None:
    draw = np.random.default_rng(len(asked))
    features = draw.normal(size=(SHAPE[0] * SHAPE[1], 6)) * 3
    margins = -draw.random(SHAPE)
    candidates = draw.random(SHAPE) < 0.9
    candidates.ravel()[asked] = False
    askable = candidates.copy()
    askable.ravel()[asked] = True
    expected = plain_picks(features, margins if asked else np.zeros(SHAPE), candidates, asked, 6, 3)
    facility = Facility(torch.from_numpy(features).float(), askable, seed=0)
    pixels = np.stack(np.divmod(np.array(asked, np.int64), SHAPE[1]), 1)
    found = facility.pick(6, margins.astype(np.float32) if asked else None, candidates, pixels, 3)
    assert np.ravel_multi_index(tuple(found.T), SHAPE).tolist() == expected


def test_picks_are_candidates_and_each_is_picked_once_without_room() -> None:
    askable = np.zeros(SHAPE, bool)
    askable[4:8, 4:8] = True
    features = torch.randn(askable.size, 3, generator=torch.Generator().manual_seed(0))
    picks = Facility(features, askable, seed=0).pick(30, None, askable, np.empty((0, 2), np.int64), 10)
    assert len(picks) == 16  # the spacing gives way, and then nothing is left
    assert len({tuple(pick) for pick in picks}) == 16
    assert askable[tuple(picks.T)].all()


def test_the_first_pixel_stands_for_the_largest_group() -> None:
    features = torch.cat([torch.zeros(300, 2), torch.full((150, 2), 50.0)])
    nothing = np.empty((0, 2), np.int64)
    picks = Facility(features, np.ones(SHAPE, bool), seed=0).pick(2, None, np.ones(SHAPE, bool), nothing, 0)
    groups = np.ravel_multi_index(tuple(picks.T), SHAPE) >= 300
    assert groups.tolist() == [False, True]


def test_a_class_that_margin_misses_is_asked_soon() -> None:
    """Class 2 looks a little like class 1 and is small: five uniform pixels miss it, and then margin is sure."""
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    truth[15:24, 40:49] = 2
    colours = np.array([(40, 60, 200), (190, 180, 60), (230, 140, 60)])
    noise = np.random.default_rng(0).normal(0, 6, (*truth.shape, 3))
    picture = np.clip(colours[truth] + noise, 0, 255).astype(np.uint8)
    inputs = pixel_features(picture)
    missed = {"margin": 0, "facility": 0}
    for acquisition in missed:
        for seed in range(4):
            session = ImageSession(
                picture,
                np.ones(truth.shape, bool),
                3,
                network="mlp_float32",
                acquisition=acquisition,
                seed=seed,
                inputs=inputs,
            )
            for count in [5, *[3] * 5]:
                question = session.ask(count)
                session.tell(question, truth[tuple(question.T)])
                fit([session])
                session.predict()
            missed[acquisition] += 2 not in session.log.answers
    assert missed["margin"] >= 2
    assert missed["facility"] == 0


def test_margin_takes_over() -> None:
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (40, 50, 3), np.uint8)
    truth = (draw.random((40, 50)) < 0.5).astype(np.uint8)
    session = ImageSession(picture, np.ones((40, 50), bool), 2, acquisition="facility", selection=Selection(2))
    pixels = np.argwhere(np.ones((40, 50), bool))[:UNTIL]
    session.tell(pixels, truth[tuple(pixels.T)])
    fit([session])
    session.predict()
    assert session.scores is not None
    (pick,) = session.ask(1)
    assert session.scores[tuple(pick)] == session.scores[session.log.candidates()].max()
    assert session.selection_name == f"facility location until {UNTIL} pixels, then top, 2 px apart"


def test_a_network_without_features_can_use_it() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    session = ImageSession(picture, np.ones((24, 24), bool), 2, network="unet", acquisition="facility")
    assert len(session.ask(5)) == 5
