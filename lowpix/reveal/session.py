"""One image's labels, found by asking: `ask` for pixels, `tell` their labels, `fit` many sessions at once.

The study drives lists of sessions with a label map as the oracle; a page drives one with a person.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.errors import InputError
from lowpix.networks import find_network
from lowpix.networks.fused_mlp import evaluate
from lowpix.networks.training import Learner, padded, train
from lowpix.reveal.acquisition import entropy, error_depth, find_acquisition, least_confidence, margin
from lowpix.reveal.oracle import UNSURE
from lowpix.reveal.seeds import seed_for
from lowpix.reveal.selection import top, top_percent


@dataclass(frozen=True)
class Prediction:
    """What a session's networks say of its image."""

    labels: NDArray[np.uint8]
    """`(H, W)` class ids, by the networks alone: revealed pixels are not overwritten."""
    confidence: NDArray[np.float32]
    """`(H, W)` the largest mean probability, 0 to 1."""


@dataclass(frozen=True)
class Selection:
    """How pixels are chosen from scores: the highest, or at random among the `percent` % highest."""

    spacing: float = 10
    """Of `top`: no two picks of a round within so many pixels, while there is room."""
    percent: float | None = None


class ImageSession:
    """Everything that belongs to one image while it is being labelled.

    Args:
        image: `(H, W, 3)` uint8.
        askable: `(H, W)` bool, the pixels that may be asked. To leave void out is to know beforehand where it
            lies, which no person does.
        classes: C, 2 to 254: larger labels stand for UNSURE and VOID.
        network: a name in `lowpix.networks.NETWORKS`.
        members: networks per image; the network's own number if not given.
        dropout: share of what the last layer reads that is dropped, in training and, if above 0, to draw the
            members that acquisitions see: `samples` of them from one network (Monte-Carlo dropout).
        samples: how many, with dropout.
        acquisition: a name in `lowpix.reveal.acquisition.ACQUISITIONS`.
        selection: from scores to pixels.
        seed: of first pixels, initial weights, noise and ties. Two sessions of one image and seed share them,
            whatever their settings.
        truth: `(H, W)` uint8, read by privileged acquisitions only.
        device: where the networks are trained.
        inputs: what `network.inputs` gave for this image, to share it among sessions.
        history: how many fits `undo` can go back without training afresh.

    Raises:
        InputError: unknown names, too few or too many classes, shapes that differ, nothing askable, a privileged
            acquisition without the truth, or one member where an acquisition compares several.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        askable: NDArray[np.bool_],
        classes: int,
        *,
        network: str = "mlp",
        members: int | None = None,
        dropout: float = 0,
        samples: int = 32,
        acquisition: str = "margin",
        selection: Selection | None = None,
        seed: int = 0,
        truth: NDArray[np.uint8] | None = None,
        device: torch.device | str = "cpu",
        inputs: torch.Tensor | None = None,
        history: int = 0,
    ) -> None:
        self.network = find_network(network)
        self.members = 1 if dropout else members or self.network.members
        self.dropout = dropout
        self.samples = samples
        self.acquisition = find_acquisition(acquisition)
        self.selection = selection or Selection()
        # of two classes these rank pixels alike; margin alone keeps near ties apart, which rounding would swap
        alike = classes == 2 and self.acquisition.score in (entropy, least_confidence)
        self._score = margin if alike else self.acquisition.score
        self.classes = classes
        self.seed = seed
        self.device = torch.device(device)
        self.shape = image.shape[:2]
        if classes < 2:
            raise InputError(f"{classes} class: there is nothing to ask with fewer than two")
        if classes > UNSURE:
            raise InputError(
                f"{classes} classes: there can be at most {UNSURE}, since larger labels are no classes"
            )
        if askable.shape != self.shape:
            raise InputError(f"askable pixels {askable.shape}: must have the shape of the image {self.shape}")
        if not askable.any():
            raise InputError("no pixel of the image may be asked")
        if (samples if dropout else self.members) < (least := self.acquisition.least_members):
            raise InputError(
                f"--acquisition {acquisition}: compares members, so it needs at least {least}: "
                "--members, or --members-from dropout"
            )
        if self.acquisition.privileged and (truth is None or truth.shape != self.shape):
            raise InputError(f"--acquisition {acquisition}: needs the true label map, so no person can use it")
        self.truth = truth
        self.askable = askable.copy()
        self.pixels: list[int] = []  # the log, append-only but for undo: flat indices asked,
        self.answers: list[int] = []  # and what was answered
        self.scores: NDArray[np.float32] | None = None
        self.inputs = self.network.inputs(image, self.device) if inputs is None else inputs
        self.learner = self._fresh_learner()
        self._asked = np.zeros(self.shape, np.bool_)
        self._fitted = 0  # pixels asked when the networks were last trained
        self._history: deque[tuple[int, Learner]] = deque(maxlen=history)

    @property
    def asked(self) -> int:
        """Pixels asked so far: clicks."""
        return len(self.pixels)

    @property
    def revealed(self) -> int:
        """Answers that carry a class."""
        return sum(answer < self.classes for answer in self.answers)

    @property
    def askable_left(self) -> bool:
        """Whether any pixel can still be asked."""
        return bool((self.askable & ~self._asked).any())

    def ask(self, count: int) -> NDArray[np.int64]:
        """The `count` pixels to ask for next, `(k, 2)` rows and columns, from the last score map.

        Before the first `predict` they are drawn uniformly. Fewer come back where askable pixels run out.
        """
        askable = self.askable & ~self._asked
        draw = np.random.default_rng(seed_for(self.seed, "ask", self.asked))
        if self.acquisition.spread is not None and self.asked:
            asked = np.stack(np.divmod(np.array(self.pixels), self.shape[1]), 1)
            return self.acquisition.spread(
                askable, asked, count, np.random.default_rng(seed_for(self.seed, "spread"))
            )
        if self.scores is None:
            return top_percent(np.zeros(self.shape, np.float32), askable, count, 100, draw)
        if self.selection.percent is not None and not self.acquisition.privileged:
            return top_percent(self.scores, askable, count, self.selection.percent, draw)
        picks = top(self.scores, askable, count, self._radius(), draw)
        if len(picks) < count:  # no room so far apart: all settings keep to one schedule all the same
            askable[tuple(picks.T)] = False
            picks = np.concatenate([picks, top(self.scores, askable, count - len(picks), 0, draw)])
        return picks

    def tell(self, question: NDArray[np.int64], answers: NDArray[np.uint8]) -> None:
        """Append answers `(k,)` to pixels `(k, 2)` to the log: class ids, VOID or UNSURE.

        Raises:
            InputError: a pixel outside the image or told before, or an answer that is none of these.
        """
        question = np.asarray(question, np.int64).reshape(-1, 2)
        if len(question) != len(answers):
            raise InputError(f"{len(answers)} answers to {len(question)} pixels: must be one each")
        seen = set(self.pixels)
        flat = []
        for (row, column), answer in zip(question.tolist(), np.asarray(answers).tolist(), strict=True):
            if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1]):
                raise InputError(f"pixel ({row}, {column}): lies outside the image of {self.shape}")
            if not 0 <= answer < self.classes and answer not in (IGNORE, UNSURE):
                raise InputError(f"answer {answer} at ({row}, {column}): must be a class under {self.classes}")
            pixel = row * self.shape[1] + column
            if pixel in seen:
                raise InputError(f"pixel ({row}, {column}): was told before; undo first to change its answer")
            seen.add(pixel)
            flat.append(pixel)
        self.pixels += flat
        self.answers += [int(answer) for answer in answers]
        self._asked.ravel()[flat] = True

    def undo(self, count: int = 1) -> None:
        """Take the last `count` answers back; the networks return to the last fit that had not seen them.

        Where that fit is further back than `history`, they return to their initial weights, and the next `fit`
        trains them on the whole log. The score map is that of the last `predict` until the next.
        """
        keep = max(0, self.asked - count)
        self._asked.ravel()[self.pixels[keep:]] = False
        del self.pixels[keep:], self.answers[keep:]
        while self._history and self._history[-1][0] > keep:
            self._history.pop()
        if self._fitted > keep:
            self._fitted, learner = self._history[-1] if self._history else (0, self._fresh_learner())
            self.learner = learner.copy()

    def training_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat indices and classes of the revealed pixels, each `(n,)` int64."""
        known = [(p, a) for p, a in zip(self.pixels, self.answers, strict=True) if a < self.classes]
        pixels, classes = torch.tensor(known, dtype=torch.int64, device=self.device).reshape(-1, 2).unbind(1)
        return pixels, classes

    def probabilities(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """A tile of n pixels at a time: where it lies, and what each member says, `(M, C, n)` float32."""
        keep = None
        if self.dropout:
            draw = torch.Generator().manual_seed(seed_for(self.seed, "samples", self.asked))
            keep = self._kept(draw, self.samples, self.network.width)
        for where, logits in self.network.tiles(self.learner.parameters, self.inputs, keep):
            yield where, logits.float().softmax(1)

    @torch.no_grad()
    def predict(self) -> Prediction:
        """Label every pixel, and renew the score map that `ask` reads."""
        labels, confidence, scores = self._judged()
        prediction = Prediction(
            labels.cpu().numpy().reshape(self.shape), confidence.cpu().numpy().reshape(self.shape)
        )
        if self.truth is not None and self.acquisition.privileged:
            judged = (self.truth != IGNORE) & ~self._asked
            self.scores = error_depth(prediction.labels, np.where(judged, self.truth, prediction.labels))
        else:
            self.scores = scores.cpu().numpy().reshape(self.shape)
        return prediction

    def _judged(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of every pixel the label, the largest mean probability and the score, each `(N,)` on the device."""
        if not (self.dropout or self.acquisition.members or self.acquisition.noisy):
            fused = evaluate(self.network, self.learner.parameters, self.inputs, self._score)
            if fused is not None:
                return fused
        pixels = self.shape[0] * self.shape[1]
        labels = torch.empty(pixels, dtype=torch.uint8, device=self.device)
        confidence = torch.empty(pixels, device=self.device)
        scores = torch.empty(pixels, device=self.device)
        noise = self._noise(pixels) if self.acquisition.noisy else None
        for where, members in self.probabilities():
            mean = members.mean(0, keepdim=True)
            largest, label = mean[0].max(0)
            labels[where], confidence[where] = label, largest.clamp(max=1)
            if self._score is not None:
                # (M, n, C) in shape, class-major in memory; the mean serves every score that needs no more
                given = (members if self.acquisition.members else mean).transpose(1, 2)
                scores[where] = self._score(given, *(() if noise is None else (noise[where],)))
        return labels, confidence, scores

    def overwrite(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pseudo-label map: predicted labels `(H, W)` with the oracle's answers in their place.

        Void answers become IGNORE; pixels answered UNSURE keep the prediction.
        """
        result = labels.copy()
        told = [(p, a) for p, a in zip(self.pixels, self.answers, strict=True) if a != UNSURE]
        if told:
            pixels, answers = np.array(told).T
            result.ravel()[pixels] = answers
        return result

    def remember(self) -> None:
        """Keep the networks as they are, just trained, for `undo`."""
        self._fitted = self.asked
        if self._history.maxlen:
            self._history.append((self.asked, self.learner.copy()))

    @property
    def selection_name(self) -> str:
        """How this session selects, for tables."""
        if self.acquisition.privileged:
            return "top, each clear of the mistakes before"
        if self.acquisition.spread is not None:
            return self.acquisition.name
        if self.selection.percent is not None:
            return f"random among the top {self.selection.percent:g} %"
        return f"top, {self._radius():g} px apart"

    def _radius(self) -> float | NDArray[np.float32]:
        """What each pick keeps clear of later ones; spacing would make random choice less than random."""
        if self.acquisition.privileged:
            assert self.scores is not None
            return self.scores  # its depth: each mistake is asked once a round
        return 0 if self.acquisition.name == "random" else self.selection.spacing

    def _fresh_learner(self) -> Learner:
        draw = torch.Generator().manual_seed(seed_for(self.seed, "initial weights"))
        parameters = self.network.initial(self.inputs, self.classes, self.members, draw)
        return Learner({name: value.to(self.device) for name, value in parameters.items()})

    def kept_in_training(self) -> Iterator[torch.Tensor]:
        """For each step of the next fit `(M, width, n)`: what dropout leaves of what the last layer reads."""
        draw = torch.Generator().manual_seed(seed_for(self.seed, "dropout", self.asked))
        while True:
            yield self._kept(draw, self.members, self.network.width, self.revealed)

    def _kept(self, draw: torch.Generator, *shape: int) -> torch.Tensor:
        """Dropout: 0 for what is dropped, and for the rest what keeps the mean."""
        kept = torch.rand(shape, generator=draw) >= self.dropout
        return (kept / (1 - self.dropout)).to(self.device, non_blocking=True)

    def _noise(self, pixels: int) -> torch.Tensor:
        """`(N,)` uniform, by seed, round and pixel."""
        draw = torch.Generator().manual_seed(seed_for(self.seed, "noise", self.asked))
        return torch.rand(pixels, generator=draw).to(self.device)


def fit(sessions: Sequence[ImageSession]) -> None:
    """Train these sessions' networks in place, in stacks of sessions whose networks have the same shapes.

    A session without a revealed pixel is left as it is. On a CPU a session's new parameters do not depend on
    which others are in the list, nor on their order.
    """
    stacks: dict[object, list[ImageSession]] = {}
    for index, session in enumerate(sessions):
        if session.revealed:
            network, learner = session.network, session.learner
            shapes = tuple(value.shape for value in learner.parameters.values())
            alike = (padded(session.revealed), learner.step > 0, session.dropout) if network.stacks else index
            stacks.setdefault((network.name, shapes, session.device, alike), []).append(session)
    for stack in stacks.values():
        network = stack[0].network
        steps = network.steps if stack[0].learner.step else network.first_steps
        rows, answers = [], []
        for session in stack:
            pixels, classes = session.training_rows()
            rows.append(network.rows(session.inputs, pixels))
            answers.append(classes)
        keeps = [session.kept_in_training() for session in stack] if stack[0].dropout else None
        train(network, [session.learner for session in stack], rows, answers, steps, keeps)
        for session in stack:
            session.remember()
