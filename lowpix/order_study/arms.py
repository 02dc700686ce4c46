"""Train an image's network again in several arms, to find out whether the order of revealed pixels matters.

*How Low Can We Go* (arXiv 2201.10448) is said to claim that training in the order in which pixels were revealed
surpasses training on all annotated pixels without order. (The claim is known here from second-hand reports.) The
arms of an image and seed share fresh initial weights, learning rate, optimiser steps and minibatch size. They
differ only in the pixels that a step draws from.

*Minibatch.* In an image study each step trains on all pixels revealed so far. A step on a full label map would
then read thousands of times more pixels. Here each step of each arm draws the same number of pixels, with
replacement, from the pixels known at that step. So all steps cost the same, and all gradients have equally many
terms. An arm is a distribution over pixels for each step, and a pixel's weight is its share of the draws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.networks import Network
from lowpix.networks.learner import Learner, train
from lowpix.reveal.log import Log
from lowpix.seeds import seed_for

CHECK = 50  # steps between two checks of the loss of full_plateau
PROBE = 4096  # number of pixels that the loss is measured on
RUNNING = 5  # number of checks in the running mean of the loss
PATIENCE = 10  # number of checks without an improvement after which the loss has plateaued
GAIN = 0.01  # least relative fall of the running mean that counts as an improvement


@dataclass(frozen=True)
class Phase:
    """A number of steps, each on pixels drawn from the same pixels."""

    steps: int
    pixels: NDArray[np.int64]
    """`(n,)` flat indices."""
    labels: NDArray[np.uint8]
    """`(n,)` class ids."""
    shares: NDArray[np.float64] | None = None
    """`(n,)` probability of each pixel, summing to 1; None draws uniformly."""

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices into `pixels`, one for each number in `uniform`; these are uniform in [0, 1)."""
        if self.shares is None:
            places = (uniform * len(self.pixels)).astype(np.int64)
        else:
            ends = np.cumsum(self.shares)
            places = np.searchsorted(ends, uniform * ends[-1], side="right")
        return np.minimum(places, len(self.pixels) - 1)  # rounding can give one past the end


def phases(log: Log, truth: NDArray[np.uint8], first_steps: int, steps: int, seed: int) -> dict[str, list[Phase]]:
    """The phases of each arm except `full_plateau`. All arms have the same total number of steps.

    Args:
        log: the log of a run of an image study, only with answers that have a class; each round has one fit.
        truth: `(H, W)` the label map, for the arm `full`; void is left out.
        first_steps: number of steps of the first round.
        steps: number of steps of each later round.
        seed: seed of the arm `shuffled`.
    """
    rounds = [first_steps, *[steps] * (len(log.fits) - 1)]
    pixels = np.ravel_multi_index(tuple(log.pixels.T), truth.shape)
    labels, total = log.answers, sum(rounds)

    def in_rounds(order: NDArray[np.int64]) -> list[Phase]:
        parts = zip(rounds, log.fits, strict=True)
        return [Phase(count, pixels[order[:known]], labels[order[:known]]) for count, known in parts]

    order = np.arange(len(pixels))
    mapped = np.flatnonzero(truth != IGNORE)
    return {
        "in_order": in_rounds(order),
        "shuffled": in_rounds(np.random.default_rng(seed_for(seed, "shuffled")).permutation(order)),
        "reversed": in_rounds(order[::-1]),
        "at_once": [Phase(total, pixels, labels)],
        "at_once_weighted": [Phase(total, pixels, labels, exposure(log.fits, rounds))],
        "full": [Phase(total, mapped, truth.ravel()[mapped])],
    }


def exposure(counts: Sequence[int], steps: Sequence[int]) -> NDArray[np.float64]:
    """Each pixel's expected share of all draws if round k has `steps[k]` steps on the first `counts[k]` pixels.

    `(n,)` float64, n the last count; never rising along the order, with sum 1.
    """
    shares = np.zeros(counts[-1])
    for count, part in zip(counts, steps, strict=True):
        shares[:count] += part / count
    return shares / sum(steps)


def train_phases(
    network: Network, inputs: torch.Tensor, learner: Learner, arm: Sequence[Phase], draws: "Draws | None"
) -> None:
    """Train a learner in place through the phases of an arm, without a restart between phases.

    Args:
        network: gives the forward pass and the learning rate.
        inputs: the result of `network.inputs` for the image.
        learner: weights, Adam moments and step count; all are updated.
        arm: the phases, in order.
        draws: random numbers for each step; None uses all pixels of the phase in each step, like an image study.
    """
    for phase in arm:
        for _ in range(phase.steps):
            places = slice(None) if draws is None else phase.draw(next(draws))
            pixels = torch.from_numpy(phase.pixels[places]).to(inputs.device)
            answers = torch.from_numpy(phase.labels[places].astype(np.int64)).to(inputs.device)
            train(network, [learner], [network.rows(inputs, pixels)], [answers], steps=1)


class Draws(Iterator[NDArray[np.float64]]):
    """`size` numbers uniform in [0, 1) for each step; the same for all arms of a seed, for closer pairs."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.drawn = np.random.default_rng(seed_for(seed, "batches"))

    def __next__(self) -> NDArray[np.float64]:
        return self.drawn.random(self.size)


def train_to_plateau(
    network: Network,
    inputs: torch.Tensor,
    learner: Learner,
    phase: Phase,
    draws: Draws,
    most: int,
    seed: int,
) -> None:
    """Train a learner in place on draws from `phase` until its loss plateaus or it has taken `most` steps in all.

    Every 50 steps the cross-entropy is measured on the same 4,096 pixels (or all, if there are fewer), and
    averaged over the last 5 checks. An improvement is a fall of this running mean by more than 1 % since the last
    improvement. The loss has plateaued after 10 checks (500 steps) without an improvement. The learning rate is
    constant, as in all arms.
    """
    drawn = np.random.default_rng(seed_for(seed, "probe"))
    probe = drawn.choice(len(phase.pixels), min(PROBE, len(phase.pixels)), replace=False)
    rows = network.rows(inputs, torch.from_numpy(phase.pixels[probe]).to(inputs.device))
    answers = torch.from_numpy(phase.labels[probe].astype(np.int64)).to(inputs.device)
    losses: list[float] = []
    best, last_gain = np.inf, 0
    while learner.step < most and len(losses) - last_gain < PATIENCE:
        part = Phase(min(CHECK, most - learner.step), phase.pixels, phase.labels)
        train_phases(network, inputs, learner, [part], draws)
        losses.append(mean_cross_entropy(network, learner, rows, answers))
        running = float(np.mean(losses[-RUNNING:]))
        if running < (1 - GAIN) * best:
            best, last_gain = running, len(losses)


@torch.no_grad()
def mean_cross_entropy(network: Network, learner: Learner, rows: object, answers: torch.Tensor) -> float:
    """Mean cross-entropy over members and pixels."""
    stacked = {name: value[None] for name, value in learner.parameters.items()}
    given = rows[None] if isinstance(rows, torch.Tensor) else rows
    losses = -network.logits(stacked, given).log_softmax(2)[0]  # (M, C, n)
    return float(losses.gather(1, answers[None, None].expand(len(losses), 1, -1)).mean())
