"""Training many sessions' networks as one stack of parameters."""

from dataclasses import dataclass, field
from typing import Any

import torch

from lowpix.networks.network import Network, Parameters

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam (arXiv 1412.6980)


@dataclass
class Learner:
    """The parameters of one session's networks, each `(M, …)`, with their Adam moments and step count."""

    parameters: Parameters
    first: Parameters = field(default_factory=dict)
    second: Parameters = field(default_factory=dict)
    step: int = 0

    def __post_init__(self) -> None:
        if not self.first:
            self.first = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
            self.second = {name: torch.zeros_like(value) for name, value in self.parameters.items()}

    def copy(self) -> "Learner":
        """A snapshot: training the one leaves the other as it is (`train` replaces tensors, never writes)."""
        return Learner(dict(self.parameters), dict(self.first), dict(self.second), self.step)


def padded(count: int) -> int:
    """Rows that a stack makes room for where a session has `count`: at most an eighth more, and few values."""
    grain = max(8, (1 << count.bit_length()) // 16)
    return -(-count // grain) * grain


def train(
    network: Network, learners: list[Learner], rows: list[Any], answers: list[torch.Tensor], steps: int
) -> None:
    """Train the learners in place for some steps of Adam on the cross-entropy of their revealed pixels.

    Learners are stacked, so they must agree in every shape and in `padded(n)`; each keeps its own moments and
    step count, and on a CPU its new parameters have the same bits as if it were trained alone.

    Args:
        network: whose `logits` are trained.
        learners: S of them; S is 1 where `network.stacks` is false.
        rows: per learner what `network.rows` gave for its n revealed pixels.
        answers: per learner the class of each, `(n,)` int64.
        steps: of gradient descent, each on all revealed pixels.
    """
    counts = [len(answer) for answer in answers]
    room = padded(counts[0]) if network.stacks else counts[0]
    classes = torch.stack([torch.nn.functional.pad(answer, (0, room - len(answer))) for answer in answers])
    weight = torch.zeros(len(learners), 1, 1, room, device=classes.device)
    for session, count in enumerate(counts):
        weight[session, ..., :count] = 1 / count
    if network.stacks:
        rows = torch.stack([torch.nn.functional.pad(row, (0, room - row.shape[-1])) for row in rows])  # type: ignore[assignment]
    else:
        (rows,) = rows

    parameters = _stack([learner.parameters for learner in learners])
    first = _stack([learner.first for learner in learners])
    second = _stack([learner.second for learner in learners])
    for step in range(1, steps + 1):
        for value in parameters.values():
            value.requires_grad_()
        logits = network.logits(parameters, rows)
        index = classes[:, None, None].expand(*logits.shape[:2], 1, room)
        losses = -logits.log_softmax(2).gather(2, index)
        gradients = torch.autograd.grad((losses * weight).sum(), list(parameters.values()))
        ages = torch.tensor([learner.step + step for learner in learners], dtype=torch.float64)
        _adam(
            parameters,
            dict(zip(parameters, gradients, strict=True)),
            first,
            second,
            ages,
            network.learning_rate,
        )

    for session, learner in enumerate(learners):
        learner.parameters = {name: value[session].detach().clone() for name, value in parameters.items()}
        learner.first = {name: value[session].clone() for name, value in first.items()}
        learner.second = {name: value[session].clone() for name, value in second.items()}
        learner.step += steps


def _stack(states: list[Parameters]) -> Parameters:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


@torch.no_grad()
def _adam(
    parameters: Parameters,
    gradients: Parameters,
    first: Parameters,
    second: Parameters,
    ages: torch.Tensor,
    rate: float,
) -> None:
    """One step of Adam in place; `ages` `(S,)` are the step counts after it, one a session."""
    device = next(iter(parameters.values())).device
    rates = (rate / (1 - BETA1**ages)).float().to(device)
    spreads = (1 - BETA2**ages).sqrt().float().to(device)
    for name, value in parameters.items():
        shape = (-1, *(1,) * (value.ndim - 1))
        gradient, mean, square = gradients[name], first[name], second[name]
        mean.lerp_(gradient, 1 - BETA1)
        square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        deviation = square.sqrt().div_(spreads.view(shape)).add_(EPSILON)
        value -= rates.view(shape) * mean / deviation
