"""From scores, or from nothing but where the pixels lie, to the pixels to ask for."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

PLASTIC = 1.32471795724474602596
"""The root of x³ = x + 1: its powers are to the plane what the golden ratio is to the line."""
CANDIDATES = 20
"""Candidates of `spaced` for each pixel asked: with 10 its picks are hardly farther apart than `stratified`'s."""


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


def stratified(
    askable: NDArray[np.bool_], asked: NDArray[np.int64], count: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """The next pixels of a sequence that is spread evenly over the image wherever it is stopped.

    The additive recurrence R2 (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), shifted
    at random, where it hits askable pixels. Other pixels are skipped, so any part of the image gets its share.
    With a `draw` of the same seed in each round, the rounds continue one sequence: what was asked is not askable.

    Args:
        askable: `(H, W)`, the pixels that may be picked, without those asked.
        asked: `(n, 2)` int64, rows and columns of all pixels asked so far.
        count: how many to pick.
        draw: shifts the sequence.

    Returns:
        `(k, 2)` int64 rows and columns, in order; k < `count` where askable pixels run out.
    """
    shift = draw.random(2)
    left = int(askable.sum())
    wanted = min(count, left)
    # points that should do, with a margin; then twice as many, until the sequence would hit most pixels twice over
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
    if len(picks) < wanted:  # the few pixels that so many points miss, in an order that outlasts the round
        order = draw.permutation(askable.size)
        rest = order[askable.ravel()[order]]
        picks = np.concatenate([picks, rest[~np.isin(rest, picks)][: wanted - len(picks)]])
    return np.stack(np.divmod(picks, askable.shape[1]), 1).astype(np.int64)


def spaced(
    askable: NDArray[np.bool_], asked: NDArray[np.int64], count: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """Blue noise: each pick is, of many candidates drawn uniformly, the farthest from all asked and picked before.

    Mitchell's best candidate ("Spectrally optimal sampling for distribution ray tracing", 1991). Distances are
    those on a torus: else the borders, beyond which nothing is ever asked, would draw more picks than the middle.

    Shapes as in `stratified`; `draw` should differ from round to round.
    """
    pixels = np.flatnonzero(askable)
    wanted = min(count, len(pixels))
    if wanted == 0:
        return np.empty((0, 2), np.int64)
    pool = draw.choice(pixels, min(len(pixels), CANDIDATES * (len(asked) + wanted)), replace=False)
    candidates = np.stack(np.divmod(pool, askable.shape[1]), 1)
    distance: NDArray[np.float64] = np.full(len(pool), np.inf)
    if len(asked):
        distance = np.asarray(KDTree(asked, boxsize=askable.shape).query(candidates)[0])
    picks = np.empty(wanted, np.int64)
    for index in range(wanted):
        best = int(distance.argmax())
        picks[index] = best
        apart = np.abs(candidates - candidates[best])
        distance = np.minimum(distance, np.hypot(*np.minimum(apart, askable.shape - apart).T))
        distance[best] = -1  # not again, not even where no other is left
    return candidates[picks].astype(np.int64)
