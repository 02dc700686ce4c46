"""The arms of an order study: their steps, what they draw, and how they are scored."""

import math
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, jaccard_score

from lowpix import ImageSession, LabelMapOracle, Schedule, fit, open_dataset
from lowpix.data import IGNORE
from lowpix.networks import find_network
from lowpix.networks.learner import Learner
from lowpix.networks.network import Parameters
from lowpix.order_study.arms import (
    Draws,
    Phase,
    exposure,
    mean_cross_entropy,
    phases,
    train_phases,
    train_to_plateau,
)
from lowpix.order_study.runs import score
from lowpix.order_study.tables import ARMS
from lowpix.reveal.log import Log

SCENES = open_dataset("scenes", scene_size=(24, 32), scene_count=1)
TRUTH = SCENES.labels("scene_000")
assert TRUTH is not None


def revealed_at_random(*counts: int) -> Log:
    """Pixels of the scene, revealed in rounds that each end with a fit."""
    assert TRUTH is not None
    chosen = np.random.default_rng(0).permutation(np.argwhere(TRUTH != IGNORE))[: counts[-1]]
    log = Log(len(SCENES.classes))
    log.tell(chosen, TRUTH[tuple(chosen.T)])
    log.fits = list(counts)
    return log


def arms(log: Log, first_steps: int = 4, steps: int = 2) -> dict[str, list[Phase]]:
    assert TRUTH is not None
    return phases(log, TRUTH, first_steps, steps, seed=1)


def session(seed: int = 0) -> ImageSession:
    assert TRUTH is not None
    return ImageSession(SCENES.image("scene_000"), TRUTH != IGNORE, len(SCENES.classes), seed=seed)


# What an arm is


def test_exposure_by_hand() -> None:
    # two steps on one pixel, then four on three: 2·1 + 4·⅓ of six steps, and twice 4·⅓
    np.testing.assert_allclose(exposure([1, 3], [2, 4]), [10 / 18, 4 / 18, 4 / 18], rtol=1e-15)


def test_arms_have_equal_steps_and_know_the_right_pixels() -> None:
    revealed = revealed_at_random(3, 5, 9)
    made = arms(revealed)
    assert [*made, "full_plateau"] == list(ARMS)
    assert {arm: sum(phase.steps for phase in course) for arm, course in made.items()} == dict.fromkeys(made, 8)
    flat = revealed.pixels @ [32, 1]
    for arm in ("in_order", "shuffled", "reversed"):
        assert [(phase.steps, len(phase.pixels)) for phase in made[arm]] == [(4, 3), (2, 5), (2, 9)]
        assert set(made[arm][-1].pixels) == set(flat)
    np.testing.assert_array_equal(made["in_order"][1].pixels, flat[:5])
    np.testing.assert_array_equal(made["reversed"][1].pixels, flat[:-6:-1])
    assert set(made["shuffled"][0].pixels) != set(flat[:3])
    assert len(made["at_once"][0].pixels) == len(made["at_once_weighted"][0].pixels) == 9
    assert TRUTH is not None
    np.testing.assert_array_equal(made["full"][0].pixels, np.flatnonzero(TRUTH.ravel() != IGNORE))
    for course in made.values():
        for phase in course:
            np.testing.assert_array_equal(phase.labels, TRUTH.ravel()[phase.pixels])


@pytest.mark.parametrize("shares", [None, np.array([0.5, 0.0, 0.3, 0.2])])
def test_draws_follow_the_shares(shares: NDArray[np.float64] | None) -> None:
    phase = Phase(1, np.arange(4), np.zeros(4, np.uint8), shares)
    drawn = np.bincount(phase.draw(np.random.default_rng(0).random(100_000)), minlength=4) / 100_000
    np.testing.assert_allclose(drawn, np.full(4, 0.25) if shares is None else shares, atol=0.01)
    ends = phase.draw(np.array([0.0, np.nextafter(1, 0)]))
    assert list(ends) == [0, 3]


class Biases:
    """A network that knows no pixel: its logits are one number per class, and it notes the pixels of each step."""

    learning_rate = 0.01
    stacks = False

    def __init__(self) -> None:
        self.read: list[torch.Tensor] = []

    def learner(self) -> Learner:
        return Learner({"biases": torch.zeros(1, len(SCENES.classes))})

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def logits(self, parameters: Parameters, rows: torch.Tensor, keep: object = None) -> torch.Tensor:
        self.read.append(rows)
        return parameters["biases"][..., None].expand(-1, -1, -1, len(rows))


def test_every_step_of_every_arm_reads_one_minibatch_of_what_is_known() -> None:
    """Counted where the training happens; and at_once_weighted draws each pixel as often as in_order does."""
    revealed = revealed_at_random(2, 4, 8)
    shares = {}
    for arm, course in arms(revealed, 100, 50).items():
        network: Any = Biases()
        learner = network.learner()
        train_phases(network, torch.empty(0), learner, course, Draws(64, seed=0))
        read = network.read
        assert [len(pixels) for pixels in read] == [64] * 200
        assert learner.step == 200
        steps = iter(read)
        for phase in course:
            for _ in range(phase.steps):
                assert set(next(steps).tolist()) <= set(phase.pixels.tolist())
        drawn = torch.cat(read).numpy()
        shares[arm] = np.array([(drawn == pixel).mean() for pixel in revealed.pixels @ [32, 1]])
    np.testing.assert_allclose(shares["in_order"], shares["at_once_weighted"], atol=0.02)
    np.testing.assert_allclose(shares["in_order"], exposure([2, 4, 8], [100, 50, 50]), atol=0.02)
    np.testing.assert_allclose(shares["at_once"], 1 / 8, atol=0.02)
    np.testing.assert_allclose(shares["reversed"], shares["in_order"][::-1], atol=0.02)


def test_in_order_with_full_batches_is_the_study_itself() -> None:
    """Bit for bit, from the study's own initial weights."""
    assert TRUTH is not None
    studied, again = session(), session()
    oracle = LabelMapOracle(TRUTH, len(SCENES.classes))
    schedule = Schedule(3, "4", 11)
    while more := schedule.next(studied.log.asked):
        question = studied.ask(more)
        studied.tell(question, oracle(question))
        fit([studied])
        studied.predict()
    assert studied.log.fits == [3, 7, 11]
    network = find_network("mlp")
    course = arms(studied.log, network.first_steps, network.steps)["in_order"]
    train_phases(network, again.inputs, again.learner, course, None)
    assert again.learner.step == studied.learner.step == 60 + 20 + 20
    assert torch.equal(again.learner.flat, studied.learner.flat)


# The plateau, and the score


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        (iter([1.0] * 99), 100 + 50 * 11),  # the first look is a gain, then ten without
        ((0.9**n for n in count()), 2_000),  # ever lower: as far as the cap
        ((1 if n < 6 else 0.99 for n in count()), 100 + 50 * 11),  # 1 % lower is no gain
        ((1.0 if n < 6 else 0.5 for n in count()), 100 + 50 * (11 + 10)),  # the running mean falls until look 11
    ],
)
def test_plateau(monkeypatch: pytest.MonkeyPatch, losses: Iterator[float], steps: int) -> None:
    class Scripted(Biases):
        """Its loss at each look is what comes next."""

        def logits(self, parameters: Parameters, rows: torch.Tensor, keep: object = None) -> torch.Tensor:
            class_0 = -math.log(math.expm1(next(losses)))  # of two classes; the other's logit is 0
            return torch.tensor([[[[class_0], [0.0]]]], dtype=torch.float64).expand(-1, -1, -1, rows.shape[-1])

    def train(network: object, learners: list[Learner], *_: object, steps: int) -> None:
        learners[0].step += steps

    monkeypatch.setattr("lowpix.order_study.arms.train", train)
    network: Any = Scripted()
    learner = network.learner()
    learner.step = 100
    phase = Phase(100, np.arange(20), np.zeros(20, np.uint8))
    train_to_plateau(network, torch.empty(0), learner, phase, Draws(4, 0), most=2_000, seed=0)
    assert learner.step == steps


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_loss_is_the_mean_cross_entropy(network: str) -> None:
    assert TRUTH is not None
    one = ImageSession(SCENES.image("scene_000"), TRUTH != IGNORE, len(SCENES.classes), network=network)
    pixels = torch.arange(40, 60)
    answers = torch.arange(20) % len(SCENES.classes)
    loss = mean_cross_entropy(one.network, one.learner, one.network.rows(one.inputs, pixels), answers)
    (tiles,) = (logits for _, logits in one.network.tiles(one.learner.parameters, one.inputs))
    members = tiles.float()[:, :, pixels]
    expected = torch.nn.functional.cross_entropy(members, answers.expand(len(members), -1))
    assert loss == pytest.approx(float(expected), rel=0.02)  # tiles are in bfloat16 where it is fast


def test_scores_are_those_of_scikit_learn() -> None:
    assert TRUTH is not None
    truth = TRUTH.copy()
    truth[:3] = IGNORE
    one, log = session(), revealed_at_random(5, 50)
    right, mean_iou = score(one, log, truth)
    unseen = truth != IGNORE
    unseen[tuple(log.pixels.T)] = False
    labels = one.predict().labels
    assert right == pytest.approx(accuracy_score(truth[unseen], labels[unseen]), abs=1e-12)
    held = np.unique(truth[unseen])
    ious = jaccard_score(truth[unseen], labels[unseen], labels=held, average=None, zero_division=0)
    assert mean_iou == pytest.approx(ious.mean(), abs=1e-12)
