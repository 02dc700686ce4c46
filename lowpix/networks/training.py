"""Training many sessions' networks as one stack of parameters."""

from collections.abc import Iterator
from copy import copy
from typing import Any

import torch

from lowpix.networks.network import Network, Parameters

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam (arXiv 1412.6980)


class Learner:
    """The parameters of one session's networks, each `(M, …)`, with their Adam moments and step count.

    Parameters lie behind one another in `flat`, `(P,)`, and the moments `first` and `second` likewise: a step
    of Adam is then a handful of operations, however many parameters a network has.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.shapes = {name: value.shape for name, value in parameters.items()}
        self.flat = torch.cat([value.flatten() for value in parameters.values()])
        self.first = torch.zeros_like(self.flat)
        self.second = torch.zeros_like(self.flat)
        self.step = 0

    @property
    def parameters(self) -> Parameters:
        """Views of `flat` by name."""
        return _views(self.flat, self.shapes)

    def copy(self) -> "Learner":
        """A snapshot: training the one leaves the other as it is (`train` replaces tensors, never writes)."""
        return copy(self)


def padded(count: int) -> int:
    """Rows that a stack makes room for where a session has `count`: at most an eighth more, and few values."""
    grain = max(8, (1 << count.bit_length()) // 16)
    return -(-count // grain) * grain


def train(
    network: Network,
    learners: list[Learner],
    rows: list[Any],
    answers: list[torch.Tensor],
    steps: int,
    keeps: list[Iterator[torch.Tensor]] | None = None,
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
        keeps: per learner, for each step, what multiplies the input of the last layer, `(M, width, n)`.
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

    flat, first, second = (
        torch.stack([getattr(learner, part) for learner in learners]) for part in ("flat", "first", "second")
    )
    # for all steps at once: a copy to a GPU within a step would wait for the step before
    ages = torch.tensor([[learner.step] for learner in learners]) + torch.arange(1, steps + 1)[:, None, None]
    rates, spreads = (
        value.to(flat, non_blocking=True) for value in _corrections(ages.double(), network.learning_rate)
    )
    for rate, spread in zip(rates, spreads, strict=True):
        keep = None
        if keeps is not None:
            kept = [
                torch.nn.functional.pad(next(own), (0, room - n)) for own, n in zip(keeps, counts, strict=True)
            ]
            keep = torch.stack(kept)
        logits = network.logits(_views(flat.requires_grad_(), learners[0].shapes), rows, keep)
        index = classes[:, None, None].expand(*logits.shape[:2], 1, room)
        losses = -logits.log_softmax(2).gather(2, index)
        (gradient,) = torch.autograd.grad((losses * weight).sum(), flat)
        _adam(flat, gradient, first, second, rate, spread)

    for session, learner in enumerate(learners):
        learner.flat = flat[session].detach().clone()
        learner.first, learner.second = first[session].clone(), second[session].clone()
        learner.step += steps


def _views(flat: torch.Tensor, shapes: dict[str, torch.Size]) -> Parameters:
    """Parameters by name, `(…, M, …)`, as views of `(…, P)`."""
    parts = torch.split(flat, [shape.numel() for shape in shapes.values()], -1)
    return {
        name: part.view(*flat.shape[:-1], *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def _corrections(ages: torch.Tensor, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The step of Adam and the root of its second moment's share, by the step counts after it."""
    return rate / (1 - BETA1**ages), (1 - BETA2**ages).sqrt()


@torch.no_grad()
def _adam(
    flat: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
    spread: torch.Tensor,
) -> None:
    """One step of Adam in place on `(S, P)`; its `_corrections` are `(S, 1)`, one a session."""
    first.lerp_(gradient, 1 - BETA1)
    second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
    flat -= rate * first / second.sqrt().div_(spread).add_(EPSILON)
