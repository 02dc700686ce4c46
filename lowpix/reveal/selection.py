"""From scores to the pixels to ask for."""

import numpy as np
from numpy.typing import NDArray


def top(
    scores: NDArray[np.float32],
    askable: NDArray[np.bool_],
    count: int,
    radius: float | NDArray[np.float32],
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """The highest scores, no pick within an earlier pick's radius; ties are drawn at random.

    Args:
        scores: `(H, W)`, finite.
        askable: `(H, W)`, the pixels that may be picked.
        count: how many to pick.
        radius: chessboard distance, pixels, that each pick keeps clear of later ones: one for all, or `(H, W)`
            one for each. 0 keeps nothing clear but the pick itself.
        draw: for ties.

    Returns:
        `(k, 2)` rows and columns in the order of picking; k < `count` where askable pixels run out.
    """
    left = np.where(askable, scores, -np.inf)
    picks = []
    for _ in range(count):
        best = left.max()
        if best == -np.inf:
            break
        row, column = divmod(int(draw.choice(np.flatnonzero(left == best))), left.shape[1])
        picks.append((row, column))
        clear = int(radius if np.isscalar(radius) else radius[row, column])  # type: ignore[index,arg-type]
        left[max(0, row - clear) : row + clear + 1, max(0, column - clear) : column + clear + 1] = -np.inf
    return np.array(picks, np.int64).reshape(-1, 2)


def top_percent(
    scores: NDArray[np.float32],
    askable: NDArray[np.bool_],
    count: int,
    percent: float,
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """Uniformly among the `percent` % highest scores of the askable pixels (PixelPick, arXiv 2104.06394).

    Shapes as in `top`; at least `count` pixels, where there are so many, are drawn among.
    """
    candidates = np.flatnonzero(askable)
    among = min(len(candidates), max(count, round(len(candidates) * percent / 100)))
    if among == 0:
        return np.empty((0, 2), np.int64)
    order = np.argpartition(-scores.ravel()[candidates], among - 1)[:among]
    picks = draw.choice(candidates[order], min(count, among), replace=False)
    return np.stack(np.divmod(picks, scores.shape[1]), 1).astype(np.int64)
