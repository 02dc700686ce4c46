"""Facility location: ask pixels that stand for many uncertain pixels unlike any pixel asked before.

An acquisition function scores each pixel by itself. If the networks have never seen a class, they confidently take
it for another, so no score finds it. Facility location also sees that nothing like these pixels was ever asked.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.reveal.selection import stratified

NODES = 2048
LENGTH = 4.0  # pixels at this distance in feature space have similarity exp(−1/2)
FLOOR = 0.2  # weight that a certain pixel has at first; it falls to 0 at UNTIL
UNTIL = 80  # pixels asked; from here on scores choose


class Facility:
    """Facility location on the nodes of an image: an evenly spread sample of its pixels, however many it has.

    Args:
        features: `(N, F)`, the `pixel_features` of the image.
        askable: `(H, W)` bool, the pixels that may be asked; the nodes are among them.
        seed: seed of the nodes' places.
    """

    def __init__(self, features: torch.Tensor, askable: NDArray[np.bool_], seed: int) -> None:
        nodes = stratified(askable, np.empty((0, 2), np.int64), NODES, seed)
        self._features = features
        self._shape = askable.shape
        self._pixels = self._flat(nodes)
        self._nodes = features[self._pixels].float()
        self._similarity = _similarity(self._nodes, self._nodes)

    def pick(
        self,
        count: int,
        margins: NDArray[np.float32] | None,
        candidates: NDArray[np.bool_],
        asked: NDArray[np.int64],
        spacing: float,
    ) -> NDArray[np.int64]:
        """Pick the next pixels to ask, among the nodes.

        The facility location function (Wei, Iyer and Bilmes 2015, "Submodularity in data subset selection and
        active learning"), weighted by uncertainty as in CLUE (arXiv 2010.08666), is maximised greedily: the next
        pick is argmax_i Σ_j U_j max(0, K_ij − c_j). c_j is the largest similarity of node j to a pixel that was
        asked or picked, and U_j = 1 − (m₁ − m₂) + ε. A node's gain therefore depends on all other nodes. The floor
        ε falls from FLOOR to 0 at UNTIL pixels asked: a class that was never asked is first looked for where the
        networks are sure, too.

        Args:
            count: number of picks.
            margins: `(H, W)`, the scores of `lowpix.reveal.acquisition.margin`, −1 to 0; None before the first
                fit, when all pixels are equally uncertain.
            candidates: `(H, W)` bool, the pixels that may still be asked.
            asked: `(n, 2)` int64, rows and columns of all pixels asked so far.
            spacing: chessboard distance in pixels that the picks keep from each other, while there is room.

        Returns:
            `(k, 2)` int64 rows and columns, in order; k < `count` if no node is left.
        """
        device = self._pixels.device
        uncertainty = torch.ones(len(self._pixels), device=device)
        if margins is not None:
            uncertainty += torch.from_numpy(margins.ravel()).to(device)[self._pixels]
        left = torch.from_numpy(candidates.ravel()).to(device)[self._pixels]
        covered = torch.zeros_like(uncertainty)
        if len(asked):
            covered = _similarity(self._nodes, self._features[self._flat(asked)].float()).amax(1)
        rows, columns = self._pixels // self._shape[1], self._pixels % self._shape[1]
        picks: list[int] = []
        apart = left
        for number in range(len(asked), len(asked) + min(count, int(left.sum()))):
            if not apart.any():
                apart = left
            weight = uncertainty + FLOOR * max(0.0, 1 - number / UNTIL)
            gains = (self._similarity - covered).clamp_(min=0) @ weight
            best = int(gains.masked_fill(~apart, -1).argmax())
            picks.append(int(self._pixels[best]))
            covered = torch.maximum(covered, self._similarity[best])
            near = torch.maximum((rows - rows[best]).abs(), (columns - columns[best]).abs()) <= spacing
            left = left & (self._pixels != self._pixels[best])
            apart = apart & ~near
        return np.stack(np.divmod(np.array(picks, np.int64), self._shape[1]), 1)

    def _flat(self, pixels: NDArray[np.int64]) -> torch.Tensor:
        """Flat indices of `(k, 2)` rows and columns."""
        return torch.from_numpy(np.ravel_multi_index(tuple(pixels.T), self._shape)).to(self._features.device)


def _similarity(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`(I, J)` from features `(I, F)` and `(J, F)`."""
    return torch.cdist(one, other).square_().div_(-2 * LENGTH**2).exp_()
