"""The interface of a small network that is trained for one image.

Shapes: `S` sessions in a stack, `M` networks per image, `C` classes, `n` pixels. Parameters are a plain dict of
float32 tensors, each with a leading `M`; a stack of sessions adds a leading `S`. Logits are class-major,
`(…, C, n)`: contiguous pixels make softmax and maxima over classes several times faster on a CPU.
"""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

Parameters = dict[str, torch.Tensor]


class Network(Protocol):
    """A small network, trained from scratch for one image. It is stateless: all sessions share one object."""

    name: str
    members: int
    """Default number of networks per image."""
    stacks: bool
    """Whether several sessions are trained faster together than one by one."""
    learning_rate: float
    """Of Adam; a `Solver` does not read it."""
    width: int
    """Number of values that the last layer reads per pixel; 0 without such a layer, so without dropout."""
    reads_features: bool
    """Whether `inputs` are the `pixel_features` of the image, `(N, F)`."""
    first_steps: int
    """Training steps in the first round."""
    steps: int
    """Training steps in every later round, which starts from the last round's parameters."""

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """The network's input from an image `(H, W, 3)`, computed once. Its form depends on the network."""
        ...

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """Initial parameters, each `(M, …)` float32 on the CPU. All random draws come from `draw`."""
        ...

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> Any:
        """The part of the inputs needed to train on `pixels` (flat indices, `(n,)` int64).

        If `stacks` is true, this is a tensor with the pixels on its last axis, so that sessions can be stacked.
        """
        ...

    def logits(self, parameters: Parameters, rows: Any, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`(S, M, C, n)` logits of stacked parameters `(S, M, …)` on stacked rows; differentiable.

        `keep`, `(S, M, width, n)`, holds dropout factors that multiply the input of the last layer.
        """
        ...

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """All pixels of one image, one tile at a time: its slice of the flat pixels and its logits `(M, C, n)`.

        With dropout factors `keep`, `(K, width)`, each member gives K samples, `(M·K, C, n)`. The input of the
        last layer is computed once per pixel and multiplied by each row of `keep`.
        """
        ...


@runtime_checkable
class Solver(Network, Protocol):
    """A network whose parameters follow exactly from the revealed pixels. Nothing is trained by steps.

    A solution counts as one step: `first_steps` and `steps` are 1. There is one member, because others would be
    the same. Sizes that grow with the revealed pixels are 0 in `initial`.
    """

    def solve(self, parameters: Parameters, rows: Any, answers: torch.Tensor) -> Parameters:
        """New parameters from the `rows` of the revealed pixels and their classes `(n,)` int64.

        `parameters` are those of the last solution, or the initial ones.
        """
        ...
