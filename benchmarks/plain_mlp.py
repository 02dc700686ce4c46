"""A straightforward image study of `mlp`: ordinary PyTorch modules, one image, whole frames in float32.

Features, widths, learning rate, steps per round and warm start are those of `lowpix.networks.PixelMLP`. There is
one Euclidean distance transform for each class with errors.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import nn

from lowpix.data import IGNORE
from lowpix.networks import Parameters, PixelMLP
from lowpix.networks.features import pixel_features

SPACING = 10  # least distance in pixels between the picks of a round by margin


class PlainMLP:
    """An ensemble of MLPs on the pixels of one image; a label map answers.

    Args:
        image: `(H, W, 3)` uint8.
        truth: `(H, W)` uint8; pixels with IGNORE are not asked.
        classes: C.
        acquisition: `error_depth` or `margin`.
        initial: initial weights `(M, …)`, from `PixelMLP.initial`.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        truth: NDArray[np.uint8],
        classes: int,
        acquisition: str,
        initial: Parameters,
    ) -> None:
        self.features = pixel_features(image)  # (N, F)
        self.truth = truth
        self.acquisition = acquisition
        self.models = [self._model(classes, initial, member) for member in range(PixelMLP.members)]
        self.optimizers = [torch.optim.Adam(model.parameters(), PixelMLP.learning_rate) for model in self.models]
        self.asked = np.zeros(truth.shape, bool)
        self.question = np.empty((0, 2), np.int64)
        self.steps = PixelMLP.first_steps

    def tell(self, question: NDArray[np.int64]) -> None:
        """Reveal pixels `(k, 2)`, rows and columns."""
        self.question = np.concatenate([self.question, question])
        self.asked[tuple(question.T)] = True

    def fit(self) -> None:
        """Train on all revealed pixels."""
        rows, columns = self.question.T
        x = self.features[torch.from_numpy(rows * self.truth.shape[1] + columns)]
        y = torch.from_numpy(self.truth[rows, columns]).long()
        for model, optimizer in zip(self.models, self.optimizers, strict=True):
            for _ in range(self.steps):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        self.steps = PixelMLP.steps

    @torch.no_grad()
    def predict(self) -> NDArray[np.uint8]:
        """Label every pixel, `(H, W)`."""
        self.probabilities = torch.stack([model(self.features).softmax(1) for model in self.models]).mean(0)
        self.labels = self.probabilities.argmax(1).byte().numpy().reshape(self.truth.shape)
        return self.labels

    def accuracy(self) -> float:
        """Accuracy of the label map, including revealed pixels, over the non-void pixels."""
        right = (self.labels == self.truth) | self.asked
        return float(right[self.truth != IGNORE].mean())

    def ask(self, count: int) -> NDArray[np.int64]:
        """The pixels to reveal next, `(count, 2)`."""
        scores = self._error_depth() if self.acquisition == "error_depth" else self._margin()
        scores[self.asked | (self.truth == IGNORE)] = -np.inf
        y, x = np.ogrid[: scores.shape[0], : scores.shape[1]]
        picks = []
        for _ in range(count):
            row, column = np.unravel_index(scores.argmax(), scores.shape)
            picks.append((row, column))
            radius = scores[row, column] if self.acquisition == "error_depth" else SPACING
            scores[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = -np.inf
        return np.array(picks, np.int64)

    def _margin(self) -> NDArray[np.float32]:
        largest, second = self.probabilities.topk(2, dim=1).values.T
        scores: NDArray[np.float32] = (second - largest).numpy().reshape(self.truth.shape)
        return scores

    def _error_depth(self) -> NDArray[np.float64]:
        wrong = (self.labels != self.truth) & (self.truth != IGNORE) & ~self.asked
        depth = np.zeros(self.truth.shape)
        for label in np.unique(self.truth[wrong]):
            errors = np.pad(wrong & (self.truth == label), 1)  # the image border ends a region, too
            depth = np.maximum(depth, distance_transform_edt(errors)[1:-1, 1:-1])
        return depth

    def _model(self, classes: int, initial: Parameters, member: int) -> nn.Sequential:
        width = PixelMLP.width
        model = nn.Sequential(
            nn.Linear(self.features.shape[1], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, classes),
        )
        values = [value[member] for value in initial.values()]  # weight, bias, weight, …
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(value.reshape(parameter.shape))
        return model
