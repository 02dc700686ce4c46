"""Every n-th row and column of a large image: between rounds, networks need not judge the pixels in between.

The lattice moves from round to round, so that each pixel may be asked sooner or later.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowpix.seeds import seed_for

LEAST = 10_000
"""Points that a lattice must have; smaller images are judged at every pixel."""


@dataclass(frozen=True)
class Lattice:
    """The pixels of every `step`-th row and column."""

    shape: tuple[int, int]
    """Height and width of the image."""
    step: int
    row: int
    """The first row, under `step`."""
    column: int

    @classmethod
    def of_round(cls, shape: tuple[int, int], step: int, number: int, seed: int) -> "Lattice | None":
        """The lattice of a round; None if every pixel is judged. In `step`² rounds each pixel has its turn."""
        if step == 1 or shape[0] * shape[1] < LEAST * step**2:
            return None
        turns = np.random.default_rng(seed_for(seed, "lattice")).permutation(step**2)
        row, column = divmod(int(turns[number % step**2]), step)
        return cls(shape, step, row, column)

    @property
    def where(self) -> tuple[slice, slice]:
        """Its rows and columns: they index `(H, W, …)` arrays."""
        return slice(self.row, None, self.step), slice(self.column, None, self.step)

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(H, W)` from the values `(h, w)` at its points: each pixel takes that of the nearest one."""
        rows, columns = (
            np.clip((np.arange(side) - first + self.step // 2) // self.step, 0, points - 1)
            for side, first, points in zip(self.shape, (self.row, self.column), values.shape, strict=True)
        )
        return values[rows[:, None], columns]

    def nearest(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The points next to pixels `(n, 2)`, as rows and columns of the lattice, `(n, 2)`."""
        points = -(-(np.array(self.shape) - [self.row, self.column]) // self.step)
        return np.clip((pixels - [self.row, self.column] + self.step // 2) // self.step, 0, points - 1)
