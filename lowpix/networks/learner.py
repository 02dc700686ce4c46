"""What sessions have learned; and how the networks of many sessions are trained, as one stack of parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Any, Self

import torch

from lowpix.errors import InputError
from lowpix.networks.mixed import MixedNetwork
from lowpix.networks.network import Network, Parameters, Solver
from lowpix.storage import write_bytes
from lowpix.weights import read_weights, weights_file

FORMAT = "lowpix networks 1"
PARTS = ("flat", "first", "second")
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam (arXiv 1412.6980)


class _Saved(ABC):
    """Tensors and a step count that are written to a safetensors file, and read again."""

    step: int

    @property
    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """All that the file holds, by name."""

    @abstractmethod
    def adopt(self, tensors: dict[str, torch.Tensor], step: int) -> bool:
        """Take over tensors and step count. If they are of other networks, change nothing and return false."""

    def copy(self) -> Self:
        """A snapshot. What is learned in one does not change the other: tensors are replaced, never written to."""
        return copy(self)

    def save(self, path: Path, about: Mapping[str, str] | None = None) -> None:
        """Write tensors, step count and further facts to a safetensors file."""
        tensors = {name: value.cpu() for name, value in self.tensors.items()}
        write_bytes(path, weights_file(tensors, FORMAT, {"step": self.step, **(about or {})}))

    def load(self, path: Path) -> dict[str, Any]:
        """Load a file that `save` wrote, and return its facts.

        Raises InputError if it is faulty or its shapes differ.
        """
        tensors, about = read_weights(path, FORMAT)
        if not isinstance(about.get("step"), int):
            raise InputError(f"{path}: does not say how many steps its networks were trained")
        if not self.adopt(tensors, about["step"]):
            raise InputError(f"{path}: holds networks of other shapes")
        return about


class Learner(_Saved):
    """The parameters of one session's networks, each `(M, …)`, with their Adam moments and step count.

    `flat` `(P,)` holds all parameters in a row; so do `first` and `second` for the moments. A step of Adam then
    takes only a few operations, whatever the number of tensors.
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

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The parameters in a row, and their moments."""
        return {part: getattr(self, part) for part in PARTS}

    def adopt(self, tensors: dict[str, torch.Tensor], step: int) -> bool:
        expected = (self.flat.shape, self.flat.dtype)
        if set(tensors) != set(PARTS) or any((one.shape, one.dtype) != expected for one in tensors.values()):
            return False
        self.flat, self.first, self.second = (tensors[part].to(self.flat.device) for part in PARTS)
        self.step = step
        return True


class Solution(_Saved):
    """The parameters of one session's `Solver`, each `(1, …)`, and how often they were solved.

    Args:
        network: solves them.
        parameters: its initial parameters.
    """

    def __init__(self, network: Solver, parameters: Parameters) -> None:
        self.network = network
        self.parameters = parameters
        self.shapes = {name: value.shape for name, value in parameters.items()}
        self.step = 0

    def solve(self, rows: Any, answers: torch.Tensor) -> None:
        """Solve for the `rows` of all revealed pixels and their classes `(n,)` int64."""
        self.parameters = self.network.solve(self.parameters, rows, answers)
        self.step += 1

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The parameters."""
        return self.parameters

    def adopt(self, tensors: dict[str, torch.Tensor], step: int) -> bool:
        if set(tensors) != set(self.shapes):
            return False
        # sizes that `initial` gives as 0 are the number of labelled pixels: the same for all
        sizes = [
            pair for name, shape in self.shapes.items() for pair in zip(shape, tensors[name].shape, strict=False)
        ]
        count = max((size for initial, size in sizes if not initial), default=0)
        expected = {name: torch.Size([size or count for size in shape]) for name, shape in self.shapes.items()}
        if any((one.shape, one.dtype) != (expected[name], torch.float32) for name, one in tensors.items()):
            return False
        self.parameters = {name: value.to(self.parameters[name].device) for name, value in tensors.items()}
        self.step = step
        return True


class Mixture(_Saved):
    """A trained and a solved part, which learn apart from the same answers. Its step count is that of training."""

    def __init__(self, trained: Learner, solved: Solution) -> None:
        self.trained, self.solved = trained, solved

    @property
    def parameters(self) -> Parameters:
        """Those of both parts, whose names differ."""
        return self.trained.parameters | self.solved.parameters

    @property
    def step(self) -> int:  # type: ignore[override]
        """The number of training steps."""
        return self.trained.step

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Those of both parts."""
        return self.trained.tensors | self.solved.tensors

    def copy(self) -> Self:
        """A snapshot of both parts."""
        return type(self)(self.trained.copy(), self.solved.copy())

    def adopt(self, tensors: dict[str, torch.Tensor], step: int) -> bool:
        """As for each part; if one refuses, nothing changes."""
        other = self.copy()
        of_training = {name: value for name, value in tensors.items() if name in PARTS}
        of_solution = {name: value for name, value in tensors.items() if name not in PARTS}
        if not (other.trained.adopt(of_training, step) and other.solved.adopt(of_solution, step)):
            return False
        self.trained, self.solved = other.trained, other.solved
        return True


def untrained(network: Network, initial: Callable[[Network], Parameters]) -> Learner | Solution | Mixture:
    """What a session has learned before its first fit; `initial` gives the initial parameters of a network."""
    if isinstance(network, MixedNetwork):
        trained, solved = initial(network.trained), initial(network.solved)
        return Mixture(Learner(trained), Solution(network.solved, solved))
    return Solution(network, initial(network)) if isinstance(network, Solver) else Learner(initial(network))


def parts(network: Network, learner: Learner | Solution | Mixture) -> list[tuple[Network, Learner | Solution]]:
    """What learns by itself: the network and its learner, or both of a mixture."""
    if isinstance(network, MixedNetwork) and isinstance(learner, Mixture):
        return [(network.trained, learner.trained), (network.solved, learner.solved)]
    assert not isinstance(learner, Mixture)
    return [(network, learner)]


def padded(count: int) -> int:
    """`count` rounded up, so that a stack can hold sessions of similar size.

    From 64 on, this adds at most an eighth. Below, it rounds up to a multiple of 8.
    """
    multiple = max(8, (1 << count.bit_length()) // 16)
    return -(-count // multiple) * multiple


def train(
    network: Network,
    learners: list[Learner],
    rows: list[Any],
    answers: list[torch.Tensor],
    steps: int,
    keeps: list[Iterator[torch.Tensor]] | None = None,
) -> None:
    """Train the learners in place with Adam on the cross-entropy of their revealed pixels.

    Learners are stacked, so they must agree in all shapes and in `padded(n)`. Each keeps its own moments and step
    count. On a CPU a learner's new parameters have the same bits as if it were trained alone.

    Args:
        network: its `logits` are trained.
        learners: S learners; S is 1 if `network.stacks` is false.
        rows: per learner, the result of `network.rows` for its n revealed pixels.
        answers: per learner, the class of each revealed pixel, `(n,)` int64.
        steps: number of Adam steps, each on all revealed pixels.
        keeps: per learner and step, the dropout factors `(M, width, n)` that multiply the input of the last layer.
    """
    counts = [len(answer) for answer in answers]
    padded_count = padded(counts[0]) if network.stacks else counts[0]
    classes = torch.stack([torch.nn.functional.pad(answer, (0, padded_count - len(answer))) for answer in answers])
    weight = torch.zeros(len(learners), 1, 1, padded_count, device=classes.device)
    for session, count in enumerate(counts):
        weight[session, ..., :count] = 1 / count
    if network.stacks:
        rows = torch.stack([torch.nn.functional.pad(row, (0, padded_count - row.shape[-1])) for row in rows])  # type: ignore[assignment]
    else:
        (rows,) = rows

    flat, first, second = (
        torch.stack([getattr(learner, part) for learner in learners]) for part in ("flat", "first", "second")
    )
    # for all steps at once: a copy to a GPU within a step would wait for the step before
    ages = torch.tensor([[learner.step] for learner in learners]) + torch.arange(1, steps + 1)[:, None, None]
    rates, corrections = (
        value.to(flat, non_blocking=True) for value in _corrections(ages.double(), network.learning_rate)
    )
    for rate, correction in zip(rates, corrections, strict=True):
        keep = None
        if keeps is not None:
            drawn = [
                torch.nn.functional.pad(next(factors), (0, padded_count - n))
                for factors, n in zip(keeps, counts, strict=True)
            ]
            keep = torch.stack(drawn)
        logits = network.logits(_views(flat.requires_grad_(), learners[0].shapes), rows, keep)
        index = classes[:, None, None].expand(*logits.shape[:2], 1, padded_count)
        losses = -logits.log_softmax(2).gather(2, index)
        (gradient,) = torch.autograd.grad((losses * weight).sum(), flat)
        _adam(flat, gradient, first, second, rate, correction)

    for session, learner in enumerate(learners):
        learner.flat = flat[session].detach().clone()
        learner.first, learner.second = first[session].clone(), second[session].clone()
        learner.step += steps


def _views(flat: torch.Tensor, shapes: dict[str, torch.Size]) -> Parameters:
    """Parameters by name, `(…, M, …)`, as views of `flat` `(…, P)`."""
    parts = torch.split(flat, [shape.numel() for shape in shapes.values()], -1)
    return {
        name: part.view(*flat.shape[:-1], *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def _corrections(ages: torch.Tensor, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Adam's bias-corrected rate, and the square root of its second bias correction, at step counts `ages`."""
    return rate / (1 - BETA1**ages), (1 - BETA2**ages).sqrt()


@torch.no_grad()
def _adam(
    flat: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
    correction: torch.Tensor,
) -> None:
    """One step of Adam in place on `(S, P)`. `rate` and `correction`, from `_corrections`, are `(S, 1)`."""
    first.lerp_(gradient, 1 - BETA1)
    second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
    flat -= rate * first / second.sqrt().div_(correction).add_(EPSILON)
