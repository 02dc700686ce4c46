"""Does the order in which pixels were revealed matter? One image's network, trained again in several arms.

After the claim of *How Low Can We Go* (arXiv 2201.10448), known here at second hand: training in the order in
which pixels were revealed surpasses training on all annotated pixels without order. The arms of an image and seed
share their fresh initial weights, the learning rate, the optimiser steps and the minibatch size; they differ in
nothing but the pixels that a step draws from.

*Minibatch.* A study trains on all pixels revealed so far in every step, so its batch grows, and a step on a full
label map would read thousands of times more. Here every step of every arm reads as many pixels, drawn with
replacement from those known at that step, however few they are: the same cost, and as many terms in each
gradient. An arm is then a distribution over pixels for each step, and a weight is a share of the draws.
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

CHECK = 50  # steps between two looks at the loss of full_plateau
PROBE = 4096  # pixels that it is taken on
RUNNING = 5  # looks that its running mean covers
PATIENCE = 10  # looks without a gain after which it has plateaued
GAIN = 0.01  # the least share by which the running mean falls in a gain


@dataclass(frozen=True)
class Phase:
    """So many steps, each on pixels drawn from these."""

    steps: int
    pixels: NDArray[np.int64]
    """`(n,)` flat indices."""
    labels: NDArray[np.uint8]
    """`(n,)` class ids."""
    shares: NDArray[np.float64] | None = None
    """`(n,)` of the draws, summing to 1; None draws uniformly."""

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Places in `pixels` for numbers that are uniform in [0, 1), of their shape."""
        if self.shares is None:
            places = (uniform * len(self.pixels)).astype(np.int64)
        else:
            ends = np.cumsum(self.shares)
            places = np.searchsorted(ends, uniform * ends[-1], side="right")
        return np.minimum(places, len(self.pixels) - 1)  # rounding may reach the end


def phases(log: Log, truth: NDArray[np.uint8], first_steps: int, steps: int, seed: int) -> dict[str, list[Phase]]:
    """What each arm but `full_plateau` trains on, step by step; all have the same number of steps.

    Args:
        log: of an image study, with answers that carry a class alone; each round ended with a fit.
        truth: `(H, W)` the label map, for the arm `full`; void is left out.
        first_steps: of the first round.
        steps: of every later round.
        seed: of the arm `shuffled`.
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
    """Each revealed pixel's share of all draws where round k has `steps[k]` steps on the first `counts[k]` pixels.

    `(n,)` float64, n the last count, falling with the order; the sum is 1.
    """
    shares = np.zeros(counts[-1])
    for count, part in zip(counts, steps, strict=True):
        shares[:count] += part / count
    return shares / sum(steps)


def train_phases(
    network: Network, inputs: torch.Tensor, learner: Learner, arm: Sequence[Phase], draws: "Draws | None"
) -> None:
    """Train a learner in place through the phases of an arm, warm from one to the next.

    Args:
        network: whose learning rate and steps of Adam these are.
        inputs: what `network.inputs` gave for the image.
        learner: its Adam moments and step count go on, too.
        arm: a phase after the other.
        draws: what each step draws; None takes all pixels of the phase in every step, as a study's rounds do.
    """
    for phase in arm:
        for _ in range(phase.steps):
            places = slice(None) if draws is None else phase.draw(next(draws))
            pixels = torch.from_numpy(phase.pixels[places]).to(inputs.device)
            answers = torch.from_numpy(phase.labels[places].astype(np.int64)).to(inputs.device)
            train(network, [learner], [network.rows(inputs, pixels)], [answers], steps=1)


class Draws(Iterator[NDArray[np.float64]]):
    """For each step `size` numbers uniform in [0, 1). All arms of a seed read the same, for closer pairs."""

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
    """Train a learner in place on draws from `phase` until its loss plateaus, or it has taken `most` steps in all.

    Every 50 steps the cross-entropy is taken on the same 4,096 pixels (fewer if there are fewer), and averaged
    over the last 5 looks. The loss has plateaued where 10 looks running, 500 steps, did not bring that running
    mean more than 1 % below what it was at the last such gain. The learning rate stays what it is in all arms.
    """
    drawn = np.random.default_rng(seed_for(seed, "probe"))
    probe = drawn.choice(len(phase.pixels), min(PROBE, len(phase.pixels)), replace=False)
    rows = network.rows(inputs, torch.from_numpy(phase.pixels[probe]).to(inputs.device))
    answers = torch.from_numpy(phase.labels[probe].astype(np.int64)).to(inputs.device)
    looks: list[float] = []
    best, last_gain = np.inf, 0
    while learner.step < most and len(looks) - last_gain < PATIENCE:
        leg = Phase(min(CHECK, most - learner.step), phase.pixels, phase.labels)
        train_phases(network, inputs, learner, [leg], draws)
        looks.append(mean_cross_entropy(network, learner, rows, answers))
        running = float(np.mean(looks[-RUNNING:]))
        if running < (1 - GAIN) * best:
            best, last_gain = running, len(looks)


@torch.no_grad()
def mean_cross_entropy(network: Network, learner: Learner, rows: object, answers: torch.Tensor) -> float:
    """Mean cross-entropy over members and pixels."""
    stacked = {name: value[None] for name, value in learner.parameters.items()}
    given = rows[None] if isinstance(rows, torch.Tensor) else rows
    losses = -network.logits(stacked, given).log_softmax(2)[0]  # (M, C, n)
    return float(losses.gather(1, answers[None, None].expand(len(losses), 1, -1)).mean())
