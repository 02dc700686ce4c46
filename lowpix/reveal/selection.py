"""Selection: from scores, or from the positions of pixels alone, to the pixels to ask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

PLASTIC = 1.32471795724474602596
"""The root of x³ = x + 1. Its powers spread points over the plane as the golden ratio does over a line."""
CANDIDATES = 20
"""Pixels that `spaced` draws per pixel asked. With 10, its picks are hardly farther apart than `stratified`'s."""


@dataclass(frozen=True)
class Selection:
    """How pixels are chosen from scores: the highest, or at random among the `percent` % highest."""

    spacing: float = 10
    """Minimum distance in pixels between the picks of a round, while there is room. Not used with `percent`."""
    percent: float | None = None


def top(
    scores: NDArray[np.float32],
    askable: NDArray[np.bool_],
    count: int,
    radius: float | NDArray[np.float32],
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """Pick the pixels with the highest scores; no pick lies within the radius of an earlier one.

    Args:
        scores: `(H, W)`, finite.
        askable: `(H, W)` bool, the candidate pixels.
        count: number of picks.
        radius: chessboard distance in pixels, one number or `(H, W)`, one per pixel. Later picks lie farther away
            than this; 0 excludes only the pick itself.
        draw: breaks ties at random.

    Returns:
        `(k, 2)` int64 rows and columns in the order of picking; k < `count` if candidate pixels run out.
    """
    left = np.where(askable, scores, -np.inf)
    picks = []
    for _ in range(count):
        best = left.max()
        if best == -np.inf:
            break
        row, column = divmod(int(draw.choice(np.flatnonzero(left == best))), left.shape[1])
        picks.append((row, column))
        near = int(radius if np.isscalar(radius) else radius[row, column])  # type: ignore[index,arg-type]
        left[max(0, row - near) : row + near + 1, max(0, column - near) : column + near + 1] = -np.inf
    return np.array(picks, np.int64).reshape(-1, 2)


def top_percent(
    scores: NDArray[np.float32],
    askable: NDArray[np.bool_],
    count: int,
    percent: float,
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """Pick uniformly among the candidate pixels with the `percent` % highest scores (PixelPick, arXiv 2104.06394).

    Shapes are as in `top`. The draw is among at least `count` pixels, or among all if there are fewer. Which of
    several pixels with the lowest of these scores are among them is drawn, too: many scores are equal where all
    members agree.
    """
    candidates = np.flatnonzero(askable)
    among = min(len(candidates), max(count, round(len(candidates) * percent / 100)))
    if among == 0:
        return np.empty((0, 2), np.int64)
    found = scores.ravel()[candidates]
    order = np.argpartition(-found, among - 1)[:among]
    lowest = found[order[-1]]
    if np.count_nonzero(found >= lowest) > among:
        above, equal = np.flatnonzero(found > lowest), np.flatnonzero(found == lowest)
        order = np.concatenate([above, draw.permutation(equal)])[:among]
    picks = draw.choice(candidates[order], min(count, among), replace=False)
    return np.stack(np.divmod(picks, scores.shape[1]), 1).astype(np.int64)


def stratified(askable: NDArray[np.bool_], asked: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Pick the next candidate pixels of a sequence that covers the image evenly wherever it stops.

    The sequence is the additive recurrence R2 (Roberts 2018, "The unreasonable effectiveness of quasirandom
    sequences"), shifted at random. It skips pixels that are not candidates, so each part of the image gets a share
    in proportion to its candidates. With the same seed in each round, the rounds continue one sequence.

    Args:
        askable: `(H, W)` bool, the candidate pixels, without those asked.
        asked: `(n, 2)` int64, rows and columns of all pixels asked so far.
        count: number of picks.
        seed: of the shift, the same in each round.

    Returns:
        `(k, 2)` int64 rows and columns, in order; k < `count` if candidate pixels run out.
    """
    draw = np.random.default_rng(seed)
    shift = draw.random(2)
    left = int(askable.sum())
    wanted = min(count, left)
    # start with about enough points and double them, up to four points per pixel
    points = 64 + 2 * (len(asked) + wanted) * askable.size // max(left, 1)
    while True:
        steps = np.arange(min(points, 4 * askable.size))[:, None]
        where = (shift + steps / [PLASTIC, PLASTIC**2]) % 1 * askable.shape
        hit = np.ravel_multi_index(tuple(where.astype(np.int64).T), askable.shape)
        hit = hit[askable.ravel()[hit]]
        first = np.sort(np.unique(hit, return_index=True)[1])[:wanted]
        if len(first) == wanted or points >= 4 * askable.size:
            break
        points *= 2
    picks = hit[first]
    if len(picks) < wanted:  # add pixels that the points miss, in an order that is the same in each round
        order = draw.permutation(askable.size)
        rest = order[askable.ravel()[order]]
        picks = np.concatenate([picks, rest[~np.isin(rest, picks)][: wanted - len(picks)]])
    return np.stack(np.divmod(picks, askable.shape[1]), 1).astype(np.int64)


def spaced(askable: NDArray[np.bool_], asked: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Pick blue noise: a random pool of candidate pixels is drawn, and each pick is the pool's farthest pixel.

    Distances are to all pixels asked or picked before (Mitchell's best candidate, "Spectrally optimal sampling for
    distribution ray tracing", 1991). They are measured on a torus. Otherwise pixels at the borders would have
    fewer neighbours and be picked more often.

    Arguments are as in `stratified`. Each round draws another pool: one drawn again would hold few pixels far from
    those that were picked from it before.
    """
    draw = np.random.default_rng((seed, len(asked)))
    pixels = np.flatnonzero(askable)
    wanted = min(count, len(pixels))
    if wanted == 0:
        return np.empty((0, 2), np.int64)
    drawn = draw.choice(pixels, min(len(pixels), CANDIDATES * (len(asked) + wanted)), replace=False)
    pool = np.stack(np.divmod(drawn, askable.shape[1]), 1)
    distance: NDArray[np.float64] = np.full(len(pool), np.inf)
    if len(asked):
        distance = np.asarray(KDTree(asked, boxsize=askable.shape).query(pool)[0])
    picks = np.empty(wanted, np.int64)
    for index in range(wanted):
        best = int(distance.argmax())
        picks[index] = best
        apart = np.abs(pool - pool[best])
        distance = np.minimum(distance, np.hypot(*np.minimum(apart, askable.shape - apart).T))
        distance[best] = -1  # never pick it again
    return pool[picks].astype(np.int64)
