"""Label one image by asking: `ask` for pixels, `tell` their labels, `fit` many sessions at once.

An image study runs lists of sessions with a label map as the oracle. A web page runs one session with a person.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE
from lowpix.errors import InputError, choose
from lowpix.networks import Network, Parameters, Solver, find_network
from lowpix.networks.features import pixel_features
from lowpix.networks.fused_mlp import Judged, evaluate
from lowpix.networks.learner import Learner, Mixture, Solution, padded, parts, train, untrained
from lowpix.reveal.acquisition import entropy, error_depth, find_acquisition, least_confidence, margin
from lowpix.reveal.facility import UNTIL, Facility
from lowpix.reveal.judging import Prediction, Smoother, judge
from lowpix.reveal.lattice import Lattice
from lowpix.reveal.log import UNSURE, Log
from lowpix.reveal.prior import Prior
from lowpix.reveal.selection import Selection
from lowpix.reveal.smoothing import SMOOTHINGS, Edges, smooth
from lowpix.seeds import seed_for


class ImageSession:
    """The state of one image while it is labelled: its log, networks and score map.

    Args:
        image: `(H, W, 3)` uint8.
        askable: `(H, W)` bool, the pixels that may be asked. Leaving void out is privileged: a person does not
            know beforehand where void lies.
        classes: C, 2 to 254. Larger labels stand for UNSURE and VOID.
        network: a name in `lowpix.networks.NETWORKS`.
        members: networks per image; None takes the network's default.
        dropout: dropout probability of the last layer's input. If above 0, one network is trained with dropout and
            acquisitions get `samples` members drawn from it (Monte-Carlo dropout).
        samples: number of Monte-Carlo samples, used with dropout.
        acquisition: a name in `lowpix.reveal.acquisition.ACQUISITIONS`, or your own `module:function`.
        selection: how pixels are chosen from scores.
        smoothing: `"edges"` smooths the probabilities along the edges of the image (`lowpix.reveal.smoothing`).
            Labels and confidence come from the smoothed ones; scores do not, because small regions that were
            wiped out would never be asked. `"none"` does not smooth.
        seed: seed of first pixels, initial weights, noise and ties. Sessions with the same image and seed share
            them, whatever their settings.
        truth: `(H, W)` uint8, read only by privileged acquisitions.
        device: where the networks are trained.
        inputs: the result of `network.inputs` for this image, if sessions share it.
        edges: the result of `Edges.of` for this image, likewise.
        prior: `(H, W, C)` float32, the class probabilities of the image by a network of other images, for example
            from `lowpix.segmenter.carry_over.prior_of`. They help the networks as `lowpix.reveal.prior` says;
            a network that does not read pixel features only learns the virtual clicks.
        history: number of fits after which the networks are kept, for `undo`; it can go back to the oldest.

    Raises:
        InputError: an unknown name, too few or too many classes, another type or shape, no pixel that may be
            asked, a privileged acquisition without the truth, fewer members than the acquisition compares, or
            several members or dropout of a network that is solved.
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
        acquisition: str = "facility",
        selection: Selection | None = None,
        smoothing: str = "edges",
        seed: int = 0,
        truth: NDArray[np.uint8] | None = None,
        device: torch.device | str = "cpu",
        inputs: torch.Tensor | None = None,
        edges: Edges | None = None,
        prior: NDArray[np.float32] | None = None,
        history: int = 0,
    ) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"image {image.dtype} {image.shape}: must be uint8 of shape (H, W, 3)")
        self.network = find_network(network)
        self.members = 1 if dropout else members or self.network.members
        self.dropout = dropout
        self.samples = samples
        self.acquisition = find_acquisition(acquisition)
        self.selection = selection or Selection()
        if self.acquisition.privileged or self.acquisition.noisy:  # noisy scores are a draw already
            self.selection = replace(self.selection, percent=None)
        # for two classes these rank pixels like margin, but rounding would swap near ties
        same_ranking = classes == 2 and self.acquisition.score in (entropy, least_confidence)
        self._score = margin if same_ranking else self.acquisition.score
        self.classes = classes
        self.seed = seed
        self.device = torch.device(device)
        self.shape = image.shape[:2]
        if classes < 2:
            raise InputError(f"{classes} class: there is nothing to ask with fewer than two")
        if classes > UNSURE:
            raise InputError(f"{classes} classes: there can be at most {UNSURE}; larger labels are no classes")
        if askable.dtype != np.bool_ or askable.shape != self.shape:
            raise InputError(f"askable pixels {askable.dtype} {askable.shape}: must be bool of shape {self.shape}")
        if not askable.any():
            raise InputError("no pixel of the image may be asked")
        if (samples if dropout else self.members) < (least := self.acquisition.least_members):
            raise InputError(
                f"--acquisition {acquisition}: compares members, so it needs at least {least}: "
                "--members, or --members-from dropout"
            )
        if dropout and not self.network.width:
            raise InputError(f"--members-from dropout: {network} has no last layer to drop out")
        if isinstance(self.network, Solver) and self.members != 1:
            raise InputError(f"--members {self.members}: must be 1, since {network} has a single solution")
        if prior is not None and prior.shape != (*self.shape, classes):
            raise InputError(f"prior {prior.shape}: must have the shape {(*self.shape, classes)}")
        if self.acquisition.privileged and (truth is None or truth.shape != self.shape):
            raise InputError(f"--acquisition {acquisition}: needs the true label map, so no person can use it")
        self.truth = truth
        self.log = Log(classes, askable, seed)
        self.scores: NDArray[np.float32] | None = None
        self.lattice: Lattice | None = None
        """The points that the last `predict` judged; None for every pixel."""
        self.inputs = self.network.inputs(image, self.device) if inputs is None else inputs
        find = choose("--smoothing", smoothing, SMOOTHINGS)
        self.edges = edges or find(image, self.device) if find else None
        self._facility: Facility | None = None
        if self.acquisition.facility:
            features = self.inputs if self.network.reads_features else pixel_features(image).to(self.device)
            self._facility = Facility(features, askable, seed_for(seed, "nodes"))
        self.prior = None if prior is None else Prior(prior, seed_for(seed, "virtual clicks"))
        if self.prior and self.network.reads_features:
            self.inputs = torch.cat([self.inputs, self.prior.features().to(self.inputs)], 1)
        self.learner = self._fresh_learner()
        self._history: deque[tuple[int, Learner | Solution | Mixture]] = deque(maxlen=history)

    def ask(self, count: int) -> NDArray[np.int64]:
        """The next pixels to ask, `(k, 2)` rows and columns, from the last score map.

        Before the first `predict`, pixels are drawn uniformly, but not by facility location. k < `count` if
        candidate pixels run out.
        """
        if self.acquisition.spread is not None and self.log.asked:
            seed = seed_for(self.seed, "spread")
            return self.acquisition.spread(self.log.candidates(), self.log.pixels, count, seed)
        if self._facility and self.log.asked < UNTIL:
            return self._facility.pick(
                count, self.scores, self.log.candidates(), self.log.pixels, self.selection.spacing
            )
        return self.log.ask(count, self.scores, self._radius(), self.selection.percent, self.lattice)

    def tell(self, question: NDArray[np.int64], answers: NDArray[np.uint8]) -> None:
        """Append answers `(k,)` to pixels `(k, 2)` to the log: class ids, VOID or UNSURE.

        Raises:
            InputError: a pixel is outside the image or already answered, or an answer is none of these.
        """
        self.log.tell(question, answers)

    def undo(self, count: int = 1) -> None:
        """Take back the last `count` answers. The networks return to the last fit that did not use them.

        If that fit is further back than `history`, the networks return to their initial weights, and the next
        `fit` trains them on the whole log. The score map does not change until the next `predict`.
        """
        fits = self.log.fits
        self.log.undo(count)
        while self._history and self._history[-1][0] > self.log.asked:
            self._history.pop()
        if self.log.fits == fits:
            return  # no fit used these answers
        if self._history:
            self.learner = self._history[-1][1].copy()
        else:
            self.learner, self.log.fits = self._fresh_learner(), []

    def restore(self, log: Log, networks: Path | None = None) -> None:
        """Take over a log of the same image, and restore the networks as they were after its last fit.

        Each fit continues from the last one, so the networks depend on all fits. They are loaded from the file
        `networks`, which `save_networks` wrote after the last fit. Without it they are trained again, fit by fit,
        to the same bits. Call `predict` afterwards to renew the score map.

        Raises:
            InputError: an answer that does not fit this image, or a file of other networks.
        """
        whole = Log(self.classes, self.log.askable, self.seed)
        whole.tell(log.pixels, log.answers)
        whole.fits = log.fits.copy()
        learner = self._fresh_learner()
        if networks:
            if (about := learner.load(networks)).get("prior") != (self.prior and self.prior.digest):
                raise InputError(f"{networks}: trained with another prior, or without one")
            steps = self.network.first_steps + (len(whole.fits) - 1) * self.network.steps if whole.fits else 0
            if learner.step != steps:
                raise InputError(f"{networks}: trained for {learner.step} steps, the log's fits took {steps}")
            if about.get("log") != whole.digest():
                raise InputError(f"{networks}: trained on other answers than the log's")
        self.learner, self.scores = learner, None  # no InputError from here on
        self._history.clear()
        if networks:
            self._history.append((whole.fits[-1] if whole.fits else 0, learner.copy()))
        else:
            for end in whole.fits:
                self.log = whole.until(end)
                fit([self])
        self.log = whole

    def save_networks(self, path: Path) -> None:
        """Write the networks with their moments and step count to a safetensors file, for `restore`."""
        self.learner.save(path, {"log": self.log.digest()} | ({"prior": self.prior.digest} if self.prior else {}))

    def training_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat indices and classes of what networks learn, each `(n,)` int64: answers, then virtual clicks."""
        pixels, classes = self.labelled_rows()
        if self.prior is None:
            return pixels, classes
        virtual, guessed = (part.to(self.device) for part in self.prior.clicks(self.log))
        return torch.cat([pixels, virtual]), torch.cat([classes, guessed])

    def labelled_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat indices and classes of the labelled pixels, each `(n,)` int64."""
        pixels, classes = self.log.labelled()
        flat = np.ravel_multi_index(tuple(pixels.T), self.shape)
        return torch.from_numpy(flat).to(self.device), torch.from_numpy(classes.astype(np.int64)).to(self.device)

    def probabilities(self, inputs: torch.Tensor | None = None) -> Iterator[tuple[slice, torch.Tensor]]:
        """All pixels, one tile of n pixels at a time: its slice, and each member's `(M, C, n)` float32.

        With `inputs` `(N, F)`, only the pixels that these rows belong to.
        """
        keep = None
        if self.dropout:
            draw = torch.Generator().manual_seed(seed_for(self.seed, "samples", self.log.asked))
            keep = self._kept(draw, self.samples, self.network.width)
        inputs = self.inputs if inputs is None else inputs
        for where, logits in self.network.tiles(self.learner.parameters, inputs, keep):
            yield where, logits.float().softmax(1)

    @torch.no_grad()
    def predict(self, step: int = 1) -> Prediction:
        """Predict the label of every pixel, and renew the score map that `ask` reads.

        With a `step` above 1, only the points of a lattice are judged, if the image is large enough: every
        `step`-th row and column. The prediction then holds these alone, and `ask` chooses among them until the
        next `predict`. `lattice` says which they are. Privileged acquisitions judge every pixel.
        """
        step = 1 if self.acquisition.privileged else step
        self.lattice = Lattice.of_round(self.shape, step, len(self.log.fits), self.seed)
        shape = self.shape if self.lattice is None else np.empty(self.shape, np.bool_)[self.lattice.where].shape
        labels, confidence, scores = self._judged()
        prediction = Prediction(labels.cpu().numpy().reshape(shape), confidence.cpu().numpy().reshape(shape))
        if self.lattice is not None:
            self.scores = self.lattice.spread(scores.cpu().numpy().reshape(shape))
        elif self.truth is not None and self.acquisition.privileged:
            scored = self.truth != IGNORE
            scored[tuple(self.log.pixels.T)] = False
            self.scores = error_depth(prediction.labels, np.where(scored, self.truth, prediction.labels))
        else:
            self.scores = scores.cpu().numpy().reshape(self.shape)
        return prediction

    def _judged(self) -> Judged:
        """Label, largest mean probability and score of every pixel, or point of the lattice: each `(N,)`."""
        inputs, smoother = self.inputs, self._smoother()
        pixels = self.shape[0] * self.shape[1]
        noise = self._noise(pixels) if self.acquisition.noisy else None
        if self.lattice is not None:
            inputs = inputs.view(*self.shape, -1)[self.lattice.where].flatten(0, 1)
            noise = None if noise is None else noise.view(self.shape)[self.lattice.where].flatten()
            pixels = len(inputs)
        if not (self.dropout or self.acquisition.members or self.acquisition.noisy or smoother):
            fused = evaluate(self.network, self.learner.parameters, inputs, self._score)
            if fused is not None:
                return fused
        return judge(
            self.probabilities(inputs),
            pixels,
            self.device,
            score=self._score,
            members=self.acquisition.members,
            noise=noise,
            smoother=smoother,
        )

    def smoothed(self, mean: torch.Tensor) -> torch.Tensor:
        """Smooth, if so set, the mean probabilities `(C, N)` of all pixels, or points of the lattice, in place."""
        smoother = self._smoother()
        if smoother is None:
            return mean
        own = smoother.smooth(mean[smoother.learned])
        mean.zero_()[smoother.learned] = own
        return mean

    def _smoother(self) -> Smoother | None:
        """What smooths the mean probabilities; None if so set, or with a single learned class."""
        if self.edges is None:
            return None
        learned: torch.Tensor = self.training_rows()[1].unique()  # type: ignore[no-untyped-call]
        if len(learned) < 2:
            return None
        edges, (known, answers) = self.edges, self.labelled_rows()
        if self.lattice is not None:
            edges = edges.at(self.lattice)
            near = self.lattice.nearest(self.log.labelled()[0])
            known = torch.from_numpy(np.ravel_multi_index(tuple(near.T), edges.shape)).to(self.device)
        rows = torch.searchsorted(learned, answers)
        return Smoother(learned, lambda mean: smooth(edges, mean, known, rows))

    def remember(self) -> None:
        """Record a fit in the log, and keep a copy of the networks for `undo`."""
        self.log.fits.append(self.log.asked)
        if self._history.maxlen:
            self._history.append((self.log.asked, self.learner.copy()))

    @property
    def selection_name(self) -> str:
        """How this session selects pixels, as written in tables."""
        if self.acquisition.privileged:
            return "top, each clear of the mistakes before"
        if self.acquisition.spread is not None:
            return self.acquisition.name
        facility = f"facility location until {UNTIL} pixels, then " if self.acquisition.facility else ""
        if self.selection.percent is not None:
            return f"{facility}random among the top {self.selection.percent:g} %"
        return f"{facility}top, {self._radius():g} px apart"

    def _radius(self) -> float | NDArray[np.float32]:
        """The distance that later picks of a round keep from each pick. `random` has no spacing."""
        if self.acquisition.privileged:
            return 0 if self.scores is None else self.scores  # the depth, so each mistake is asked once per round
        return 0 if self.acquisition.name == "random" else self.selection.spacing

    def _fresh_learner(self) -> Learner | Solution | Mixture:
        return untrained(self.network, self._initial)

    def _initial(self, network: Network) -> Parameters:
        draw = torch.Generator().manual_seed(seed_for(self.seed, "initial weights"))
        members = 1 if isinstance(network, Solver) else self.members
        parameters = network.initial(self.inputs, self.classes, members, draw)
        return {name: value.to(self.device) for name, value in parameters.items()}

    def kept_in_training(self) -> Iterator[torch.Tensor]:
        """For each step of the next fit, the dropout factors of the last layer's input, `(M, width, n)`."""
        draw = torch.Generator().manual_seed(seed_for(self.seed, "dropout", self.log.asked))
        count = len(self.training_rows()[0])
        while True:
            yield self._kept(draw, self.members, self.network.width, count)

    def _kept(self, draw: torch.Generator, *shape: int) -> torch.Tensor:
        """Dropout factors: 0, or 1 / (1 − dropout), which keeps the mean."""
        kept = torch.rand(shape, generator=draw) >= self.dropout
        return (kept / (1 - self.dropout)).to(self.device, non_blocking=True)

    def _noise(self, pixels: int) -> torch.Tensor:
        """`(N,)` uniform noise, determined by seed, round and pixel."""
        draw = torch.Generator().manual_seed(seed_for(self.seed, "noise", self.log.asked))
        return torch.rand(pixels, generator=draw).to(self.device)


def fit(sessions: Sequence[ImageSession], steps: int | None = None) -> None:
    """Train the networks of these sessions in place. Sessions with networks of the same shapes form a stack.

    A session without a revealed pixel is not changed. On a CPU a session's new parameters do not depend on the
    other sessions in the list or on their order.

    Args:
        sessions: each with its own network.
        steps: number of training steps, to time them; by default the network's own number. A `Solver` takes one.
    """
    learning = [session for session in sessions if session.log.revealed]
    stacks: dict[object, list[tuple[ImageSession, Network, Learner, Any, torch.Tensor]]] = {}
    for index, session in enumerate(learning):
        pixels, classes = session.training_rows()
        for network, learner in parts(session.network, session.learner):
            rows = network.rows(session.inputs, pixels)
            if isinstance(learner, Solution):
                learner.solve(rows, classes)
                continue
            shapes = tuple(value.shape for value in learner.parameters.values())
            group = (padded(len(classes)), learner.step > 0, session.dropout) if network.stacks else index
            key = (network.name, shapes, session.device, group)
            stacks.setdefault(key, []).append((session, network, learner, rows, classes))
    for stack in stacks.values():
        network = stack[0][1]
        trained, _, learners, rows_of, answers = map(list, zip(*stack, strict=True))
        own = network.steps if learners[0].step else network.first_steps
        keeps = [session.kept_in_training() for session in trained] if trained[0].dropout else None
        train(network, learners, rows_of, answers, own if steps is None else steps, keeps)
    for session in learning:
        session.remember()
