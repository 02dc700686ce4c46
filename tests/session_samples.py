"""What the tests of sessions share: a small image of three classes, and rounds with right answers."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lowpix.networks import find_network
from lowpix.reveal.acquisition import ACQUISITIONS
from lowpix.reveal.judging import Prediction
from lowpix.reveal.log import Log
from lowpix.reveal.session import ImageSession, fit

SHAPE, CLASSES = (24, 32), 3
TRUTH = (np.add.outer(np.arange(24) // 8, np.arange(32) // 11) % CLASSES).astype(np.uint8)
ASKABLE = np.ones(SHAPE, bool)
ASKABLE[:3, :5] = False


@cache
def image() -> NDArray[np.uint8]:
    colours = np.array([(200, 60, 40), (60, 180, 70), (40, 60, 210)])
    noise = np.random.default_rng(0).normal(0, 20, (*SHAPE, 3))
    return np.clip(colours[TRUTH] + noise, 0, 255).astype(np.uint8)


@cache
def shared_inputs(network: str) -> torch.Tensor:
    return find_network(network).inputs(image(), torch.device("cpu"))


def start(acquisition: str = "margin", network: str = "mlp", **options: Any) -> ImageSession:
    """Of two members, and the truth where it is read; options win."""
    options = {"truth": TRUTH if acquisition == "error_depth" else None, "members": 2, "seed": 3} | options
    return ImageSession(
        image(),
        ASKABLE,
        CLASSES,
        network=network,
        acquisition=acquisition,
        inputs=shared_inputs(network),
        **options,
    )


def right(question: NDArray[np.int64]) -> NDArray[np.uint8]:
    return TRUTH[tuple(question.T)]


def play(session: ImageSession, counts: list[int]) -> Prediction:
    """A round per count, with right answers."""
    for count in counts:
        question = session.ask(count)
        session.tell(question, right(question))
        fit([session])
        prediction = session.predict()
    return prediction


def weights(session: ImageSession) -> list[torch.Tensor]:
    return [value for _, value in sorted(session.learner.tensors.items())]


def same_weights(session: ImageSession, other: ImageSession) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(session), weights(other), strict=True))


def assert_same_log(log: Log, other: Log) -> None:
    assert (log.classes, log.seed, log.fits) == (other.classes, other.seed, other.fits)
    np.testing.assert_array_equal(log.pixels, other.pixels)
    np.testing.assert_array_equal(log.answers, other.answers)
    assert (log.pixels.shape, log.pixels.dtype, log.answers.dtype) == ((log.asked, 2), np.int64, np.uint8)


def assert_same_weights(session: ImageSession, other: ImageSession) -> None:
    """And moments, and step count."""
    assert session.learner.step == other.learner.step
    assert same_weights(session, other)


def assert_same_bits(session: ImageSession, other: ImageSession) -> None:
    assert_same_log(session.log, other.log)
    assert_same_weights(session, other)
    a, b = session.predict(), other.predict()
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.confidence, b.confidence)
    np.testing.assert_array_equal(session.ask(9), other.ask(9))


every_acquisition = pytest.mark.parametrize("acquisition", ACQUISITIONS)
every_network = pytest.mark.parametrize(
    "network", ["mlp", "gp", "mlp+gp", pytest.param("unet", marks=pytest.mark.slow)]
)
