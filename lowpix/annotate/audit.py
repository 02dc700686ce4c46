"""How much of an image is labelled right, from a few random pixels that were never learnt from."""

from typing import NamedTuple

from scipy.special import betaincinv

LEVEL = 0.95


class Estimate(NamedTuple):
    """The share of an image's pixels that is labelled right, with an interval that counts all looks so far."""

    asked: int
    right: int
    looks: int
    low: float
    high: float


def estimate(asked: int, right: int, looks: int = 1) -> Estimate:
    """The Clopper-Pearson interval (Biometrika 1934) of `right` of `asked` random pixels.

    Whoever looks again and again until a number pleases needs wider intervals. The k-th look may err with
    probability 0.05 / (k (k + 1)). These sum to 0.05, so all intervals together hold with 95 %.
    """
    error = (1 - LEVEL) / (looks * (looks + 1))
    # quantiles of the beta distribution
    low = float(betaincinv(right, asked - right + 1, error / 2)) if right else 0.0
    high = float(betaincinv(right + 1, asked - right, 1 - error / 2)) if right < asked else 1.0
    return Estimate(asked, right, looks, low, high)
