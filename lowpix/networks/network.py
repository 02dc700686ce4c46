"""What a network owes the reveal loop.

Shapes: `S` sessions in a stack, `M` networks per image, `C` classes, `n` pixels. Parameters are a plain dict
of float32 tensors, each with a leading `M`; a stack of sessions adds a leading `S`. Logits are class-major,
`(…, C, n)`: with the pixels contiguous, softmax and the largest classes are several times faster on a CPU.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Parameters = dict[str, torch.Tensor]


class Network(Protocol):
    """A small network that is trained from scratch for one image; stateless, so one serves every session."""

    name: str
    members: int
    """Networks per image unless the user asks for another number."""
    stacks: bool
    """Whether several sessions are trained faster together than one by one."""
    learning_rate: float
    width: int
    """What the last layer reads of a pixel: so many numbers."""
    first_steps: int
    """Training steps in the first round."""
    steps: int
    """Training steps in every later round, from the parameters of the round before."""

    def inputs(self, image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """What the network reads of an image `(H, W, 3)`, computed once; its form is the network's own."""
        ...

    def initial(self, inputs: torch.Tensor, classes: int, members: int, draw: torch.Generator) -> Parameters:
        """Fresh parameters, each tensor `(M, …)` float32 on the CPU, drawn from `draw` alone."""
        ...

    def rows(self, inputs: torch.Tensor, pixels: torch.Tensor) -> Any:
        """What training on `pixels` (flat indices, `(n,)` int64) reads of the inputs.

        Where `stacks` is true: a tensor whose last axis is the pixels, so that sessions can be stacked.
        """
        ...

    def logits(self, parameters: Parameters, rows: Any, keep: torch.Tensor | None = None) -> torch.Tensor:
        """`(S, M, C, n)` logits of stacked parameters `(S, M, …)` on stacked rows; differentiable.

        `keep`, `(S, M, width, n)`, multiplies what the last layer reads, for dropout.
        """
        ...

    def tiles(
        self, parameters: Parameters, inputs: torch.Tensor, keep: torch.Tensor | None = None
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """All pixels of one image, a tile at a time: where it lies, and its logits `(M, C, n)`.

        With `keep`, `(K, width)`, each member gives K samples, `(M·K, C, n)`, one for each row of it: what the
        last layer reads is computed once a pixel and multiplied by the row.
        """
        ...
