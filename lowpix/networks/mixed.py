"""The mean of trained networks and a Gaussian process on the same features. They err in different places."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.networks.gp import GaussianProcess
from lowpix.networks.network import Parameters
from lowpix.networks.pixel_mlp import PixelMLP


class MixedNetwork:
    """M trained networks and as many copies of the solved one: each kind is half of the mean.

    `trained` and `solved` learn apart, see `lowpix.networks.learner.Mixture`. Functions that compare members see
    the copies as members, too.
    """

    name = "mlp+gp"
    trained = PixelMLP()
    solved = GaussianProcess()
    members = trained.members
    stacks = trained.stacks
    learning_rate = trained.learning_rate
    width = 0
    reads_features = True
    first_steps = trained.first_steps
    steps = trained.steps

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """`(N, F)` pixel features, in the dtype in which the trained networks are evaluated."""
        return self.trained.inputs(image, device)

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """The initial parameters of both; M leading for the trained ones, 1 for the solved one."""
        trained = self.trained.initial(inputs, classes, members, draw)
        return trained | self.solved.initial(inputs, classes, 1, draw)

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """`(F, n)` float32: the features of these pixels."""
        return self.trained.rows(inputs, pixels)

    def logits(self, parameters: Parameters, rows: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`(S, 2 M, C, n)` from rows `(S, F, n)`."""
        trained = self.trained.logits(parameters, rows)
        solved = torch.cat(
            [
                self.solved.logits({name: value[session, None] for name, value in parameters.items()}, own.T)
                for session, own in enumerate(rows)
            ]
        )
        return torch.cat([trained, solved.expand_as(trained)], 1)

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Tiles of the trained networks, `(2 M, C, n)` float32."""
        for where, trained in self.trained.tiles(parameters, inputs):
            parts = self.solved.tiles(parameters, inputs[where].float())
            solved = torch.cat([logits for _, logits in parts], -1)
            yield where, torch.cat([trained.float(), solved.expand_as(trained)])
