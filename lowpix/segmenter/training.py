"""Train the data-set network, with the same steps, schedule and checkpoint for every setting.

A stopped run goes on from its last epoch with the same bits. No generator state is saved, because each random draw
has its own seed, which depends on its purpose and step.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lowpix.data import IGNORE
from lowpix.errors import InputError
from lowpix.metrics import miou
from lowpix.networks.device import machine, mixed_precision
from lowpix.seeds import seed_for
from lowpix.segmenter.augment import Sample
from lowpix.segmenter.model import Segmenter, tensors
from lowpix.segmenter.options import SegmenterOptions
from lowpix.segmenter.pretrained import drawing_from
from lowpix.storage import UNKNOWN, write_bytes
from lowpix.weights import read_weights, weights_file

POWER = 0.9  # of the learning-rate decay, as in DeepLab (arXiv 1606.00915)
WARM_UP = 0.05  # share of the steps in which the learning rate rises
CLIP = 5.0  # norm of the gradient; a minibatch with few labelled pixels can have a very large one
FORMAT = "progress"  # the only key of the metadata
AHEAD = 3  # minibatches that each loading thread keeps ready

Optimiser = torch.optim.AdamW | torch.optim.Adam
Batches = Callable[[int], Sample]
"""The minibatch of a step, counted from 0. The same step always gives the same minibatch."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int
    steps: int
    """Optimiser steps per epoch."""
    learning_rate: float
    """Peak rate. It warms up over the first 5 % of the steps and falls to 0 as a polynomial of power 0.9."""
    weight_decay: float
    validate_every: int = 0
    """Epochs between validations; 0 never validates and keeps the last checkpoint."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """adam adds the weight decay to the gradient (L2); adamw shrinks the weights by it."""
    backbone: float = 1.0
    """Factor of the learning rate of pretrained parameters."""
    milestones: tuple[int, ...] = ()
    """Epochs after which the learning rate falls to a tenth. If given, it neither warms up nor falls otherwise."""

    @classmethod
    def of(
        cls,
        options: SegmenterOptions,
        images: int,
        epochs: int,
        learning_rate: float,
        select: Literal["last", "validation"],
        **further: Any,
    ) -> "Recipe":
        """The recipe of a study: an epoch sees each training image once; `select` chooses the checkpoint."""
        validate_every = max(1, epochs // 10) if select == "validation" else 0
        steps = -(-images // options.batch)
        return cls(epochs, steps, learning_rate, options.weight_decay, validate_every, **further)

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if self.milestones:
            return float(self.learning_rate * 0.1 ** sum(step >= end * self.steps for end in self.milestones))
        total = self.epochs * self.steps
        warm = max(1, round(WARM_UP * total))
        return float(self.learning_rate * min(1.0, (step + 1) / warm) * (1 - step / total) ** POWER)


@dataclass
class Progress:
    """The progress of a run: the part of its saved state that is not tensors."""

    epoch: int = 0
    """Finished epochs."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Per epoch `epoch learning_rate loss train_miou validation_miou seconds machine`. Seconds count from the
    start; the machine is the kind that trained the epoch."""
    best: float = -1.0
    """Largest validation mIoU so far."""


def train(
    network: Segmenter,
    batches: Batches,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    state: Path,
    *,
    class_weights: torch.Tensor | None = None,
    validate: Callable[[Segmenter], float] | None = None,
    after_epoch: Callable[[dict[str, Any]], None] = lambda _: None,
    loaders: int = 0,
) -> list[dict[str, Any]]:
    """Train `network` in place. If the file `state` exists, training goes on from it.

    Args:
        network: is moved to `device`.
        batches: the minibatch of each step.
        recipe: steps and schedule.
        seed: seed of dropout.
        device: where the network is trained.
        state: safetensors file, rewritten after every epoch and kept at the end.
        class_weights: (C,) float32 factors of the loss of each class's pixels; None stands for 1.
        validate: returns the network's mIoU on validation maps. With it and `recipe.validate_every`, the best
            checkpoint is kept, else the last.
        after_epoch: called with each new row of the history.
        loaders: threads that prepare minibatches ahead; 0 prepares them without threads.

    Returns:
        The history, one row per epoch.
    """
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(network, recipe)
    progress, best = _resume(state, network, optimiser, recipe)
    if class_weights is not None:
        class_weights = class_weights.to(device)
    start = perf_counter() - (progress.history[-1]["seconds"] if progress.history else 0)
    first = progress.epoch * recipe.steps
    ready = _ahead(batches, range(first, recipe.epochs * recipe.steps), loaders)
    for epoch in range(progress.epoch, recipe.epochs):
        row = _epoch(network, optimiser, ready, recipe, epoch, seed, device, class_weights)
        last = epoch + 1 == recipe.epochs
        if validate is not None and recipe.validate_every and (last or (epoch + 1) % recipe.validate_every == 0):
            row["validation_miou"] = validate(network)
            if row["validation_miou"] > progress.best:
                progress.best, best = row["validation_miou"], tensors(network)
        row |= {"seconds": perf_counter() - start, "machine": machine(device)}
        progress.history.append(row)
        progress.epoch = epoch + 1
        _keep(state, network, optimiser, progress, best)
        after_epoch(row)
    if best:
        network.load_state_dict(best)
    return progress.history


def _optimiser(network: Segmenter, recipe: Recipe) -> Optimiser:
    """The optimiser; the `factor` of each group of parameters is that of its learning rate."""
    pretrained = network.backbone()
    backbone = set(map(id, pretrained))
    rest = [parameter for parameter in network.parameters() if id(parameter) not in backbone]
    groups = [{"params": rest, "factor": 1.0}, {"params": pretrained, "factor": recipe.backbone}]
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    return kind([group for group in groups if group["params"]], weight_decay=recipe.weight_decay)


def _epoch(
    network: Segmenter,
    optimiser: Optimiser,
    ready: Iterator[Sample],
    recipe: Recipe,
    epoch: int,
    seed: int,
    device: torch.device,
    class_weights: torch.Tensor | None,
) -> dict[str, Any]:
    """Train one epoch. Returns its row of the history, without validation and seconds."""
    network.train()
    losses = torch.zeros((), device=device)
    cells: torch.Tensor | None = None
    with drawing_from(seed_for(seed, "dropout", epoch), device):
        for step in range(epoch * recipe.steps, (epoch + 1) * recipe.steps):
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(step) * group["factor"]
            images, labels, weights = (part.to(device, non_blocking=True) for part in next(ready))
            with mixed_precision(device):
                logits = network(images.contiguous(memory_format=torch.channels_last))
            loss = weighted_cross_entropy(logits, labels, weights, class_weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimiser.step()
            losses += loss.detach()
            counted = _count(logits.detach(), labels)
            cells = counted if cells is None else cells + counted
    assert cells is not None
    return {
        "epoch": epoch + 1,
        "learning_rate": recipe.rate((epoch + 1) * recipe.steps - 1),
        "loss": float(losses) / recipe.steps,
        "train_miou": miou(_confusion(cells)),
    }


def machines(history: Sequence[Mapping[str, Any]]) -> str:
    """The kinds of machines that trained the epochs of a history: mostly one, else joined by " + "."""
    return " + ".join(dict.fromkeys(row.get("machine", UNKNOWN) for row in history))


def finished_epochs(state: Path) -> int:
    """Finished epochs of an unfinished run, read from its state; 0 without a state."""
    try:
        with safe_open(state, "pt") as file:
            return int(json.loads((file.metadata() or {})[FORMAT])["epoch"])
    except (OSError, SafetensorError, KeyError):  # not started, or just finished
        return 0


def remove_states(folder: Path) -> None:
    """Remove the states of unfinished trainings, `state/*/*.safetensors`, from the folder of a study.

    Raises InputError, and removes nothing, if one of these files is no such state, or is damaged.
    """
    files = list(folder.glob("state/*/*.safetensors"))
    for file in files:
        read_weights(file, FORMAT)
    for file in files:
        file.unlink()
    for place in (*folder.glob("state/*"), folder / "state"):
        with suppress(OSError):  # not empty
            place.rmdir()


def weighted_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Weighted mean cross-entropy of the labelled pixels; 0 if there are none.

    Logits `(B, C, H, W)`, labels `(B, H, W)` uint8 with IGNORE for pixels without a label, weights `(B, H, W)`,
    class weights `(C,)`. The logits are gathered per pixel, so the gradient is deterministic on a GPU. Torch's 2-D
    cross-entropy is not.
    """
    known = labels != IGNORE
    index = labels.long().where(known, 0)
    losses = -logits.float().log_softmax(1).gather(1, index[:, None])[:, 0]
    weights = weights * known
    if class_weights is not None:
        weights = weights * class_weights[index]
    return (losses * weights).sum() / weights.sum().clamp(min=1e-9)


def class_weights(pixels: NDArray[np.int64]) -> torch.Tensor:
    """Class weights `(C,)` from pixel counts `(C,)`: 1 / ln(1.02 + share) as in ENet (arXiv 1606.02147).

    They are divided by their mean over the labelled pixels, so the loss keeps its size. A class without pixels has
    weight 0.
    """
    share = pixels / max(int(pixels.sum()), 1)
    weights = np.where(pixels > 0, 1 / np.log(1.02 + share), 0)
    return torch.from_numpy(weights / max(float((weights * share).sum()), 1e-9)).float()


def _count(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Number of pixels of each pair (label, prediction), `(256, C)` int64. Row IGNORE counts unlabelled pixels."""
    classes = logits.shape[1]
    pairs = labels.long() * classes + logits.argmax(1)
    return torch.bincount(pairs.flatten(), minlength=256 * classes).view(256, classes)


def _confusion(cells: torch.Tensor) -> NDArray[np.int64]:
    classes = cells.shape[1]
    counts: NDArray[np.int64] = cells[:classes].cpu().numpy()
    return counts


def _ahead(batches: Batches, steps: Sequence[int], loaders: int) -> Iterator[Sample]:
    """The minibatches of these steps, in order, prepared ahead by `loaders` threads."""
    if not loaders:
        yield from map(batches, steps)
        return
    waiting: deque[Future[Sample]] = deque()
    with ThreadPoolExecutor(loaders) as pool:
        for step in steps:
            waiting.append(pool.submit(batches, step))
            if len(waiting) > AHEAD * loaders:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _keep(
    state: Path,
    network: Segmenter,
    optimiser: Optimiser,
    progress: Progress,
    best: dict[str, torch.Tensor],
) -> None:
    """Write the state from which the next epoch can go on."""
    kept = {f"network.{name}": value for name, value in tensors(network).items()}
    kept |= {f"best.{name}": value for name, value in best.items()}
    for name, parameter in network.named_parameters():
        for part in ("exp_avg", "exp_avg_sq") if parameter in optimiser.state else ():  # else it has no gradient
            kept[f"{part}.{name}"] = optimiser.state[parameter][part].detach().cpu().contiguous().clone()
    write_bytes(state, weights_file(kept, FORMAT, progress.__dict__))


def _resume(
    state: Path, network: Segmenter, optimiser: Optimiser, recipe: Recipe
) -> tuple[Progress, dict[str, torch.Tensor]]:
    """Load network and optimiser from `state` if it exists. Returns the progress and the best checkpoint."""
    if not state.exists():
        return Progress(), {}
    try:
        kept, about = read_weights(state, FORMAT)
        progress = Progress(**about)
        network.load_state_dict(_under("network.", kept))
    except (InputError, TypeError, ValueError, RuntimeError) as fault:
        why = " ".join(str(fault).split())[:200]
        raise InputError(f"{state}: cannot be gone on from ({why}): remove it to begin this run again") from None
    first, second = _under("exp_avg.", kept), _under("exp_avg_sq.", kept)
    for name, parameter in network.named_parameters():
        if name in first:
            optimiser.state[parameter] = {
                "step": torch.tensor(float(progress.epoch * recipe.steps)),
                "exp_avg": torch.empty_like(parameter).detach().copy_(first[name]),
                "exp_avg_sq": torch.empty_like(parameter).detach().copy_(second[name]),
            }
    return progress, _under("best.", kept)


def _under(prefix: str, kept: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in kept.items() if name.startswith(prefix)}
