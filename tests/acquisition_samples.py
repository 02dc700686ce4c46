"""Probabilities to score, and every function of them written out in numpy and scipy, or in mpmath."""

from collections.abc import Callable

import mpmath  # type: ignore[import-untyped]  # comes with torch, by way of sympy
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from lowpix.reveal.acquisition import ACQUISITIONS, Acquisition

OF_PROBABILITIES = [one for one in ACQUISITIONS.values() if one.score is not None and not one.facility]

Floats = NDArray[np.float64]


def score(acquisition: Acquisition, p: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    assert acquisition.score is not None
    return acquisition.score(p, noise) if acquisition.noisy else acquisition.score(p)


def draw(
    seed: int, members: int = 4, pixels: int = 50, classes: int = 5, batch: tuple[int, ...] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 probabilities `(…, M, N, C)` from nearly certain to nearly uniform, and noise `(…, N)`."""
    random = np.random.default_rng(seed)
    sharpness = 10 ** random.uniform(-1, 2, (*batch, 1, pixels, 1))
    logits = torch.from_numpy(random.normal(size=(*batch, members, pixels, classes)) * sharpness)
    return logits.softmax(-1), torch.from_numpy(random.random((*batch, pixels)))


def draw_hard(
    seed: int, members: int, pixels: int, classes: int, spread: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 probabilities `(M, N, C)` of class-major memory, as sessions give them, and noise `(N,)`.

    Members differ by `spread` in their logits; in a tenth of the pixels they are identical, and in a twentieth
    each they are saturated all alike, or some of them, or of different classes.
    """
    random = np.random.default_rng(seed)
    common = random.normal(size=(1, classes, pixels)) * 10 ** random.uniform(-1, 1, pixels)
    logits = common + spread * random.normal(size=(members, classes, pixels))
    tenth, twentieth = pixels // 10, pixels // 20
    logits[:, :, :tenth] = logits[:1, :, :tenth]
    p = torch.from_numpy(logits).float().softmax(1)
    certain = torch.eye(classes)[:, torch.from_numpy(random.integers(0, classes, twentieth))]
    alike, some, various = (slice(tenth + i * twentieth, tenth + (i + 1) * twentieth) for i in range(3))
    p[:, :, alike] = certain
    p[: members // 2, :, some] = certain
    p[:, :, various] = torch.stack([certain.roll(int(turn), 0) for turn in random.integers(0, 2, members)])
    return p.transpose(1, 2), torch.from_numpy(random.random(pixels)).float()


def exact_beta_entropy(a: float, b: float) -> float:
    """Differential entropy of Beta(a, b) by mpmath, with digits to spare where terms of order n ln n cancel."""
    with mpmath.workdps(35):
        x, y = mpmath.mpf(a), mpmath.mpf(b)
        n = x + y
        log_beta = mpmath.loggamma(x) + mpmath.loggamma(y) - mpmath.loggamma(n)
        rest = (n - 2) * mpmath.digamma(n) - (x - 1) * mpmath.digamma(x) - (y - 1) * mpmath.digamma(y)
        return float(log_beta + rest)


def plain_beta_entropy(a: Floats, b: Floats) -> Floats:
    """The same, summed as it stands in float64: right to 1e-8 while both are under 1e6."""
    n = a + b
    rest = (n - 2) * special.psi(n) - (a - 1) * special.psi(a) - (b - 1) * special.psi(b)
    return np.asarray(special.betaln(a, b) + rest)


def beta_entropy(a: Floats, b: Floats) -> Floats:
    """The same, by mpmath where the sum as it stands is not right."""
    result = plain_beta_entropy(a, b)
    for index in np.argwhere(np.maximum(a, b) > 1e6):
        where = tuple(index)
        result[where] = exact_beta_entropy(float(a[where]), float(b[where]))
    return result


def entropy(p: Floats) -> Floats:
    return np.asarray(special.entr(p.mean(-3)).sum(-1))


def bald(p: Floats) -> Floats:
    return np.asarray(np.maximum(entropy(p) - special.entr(p).sum(-1).mean(-2), 0))


def variation_ratio(p: Floats) -> Floats:
    votes = np.eye(p.shape[-1])[p.argmax(-1)]
    return np.asarray(1 - votes.sum(-3).max(-1) / p.shape[-3])


def vote_entropy(p: Floats) -> Floats:
    modal = p == p.max(-1, keepdims=True)
    shares = (modal / modal.sum(-1, keepdims=True)).sum(-3)
    return np.asarray(stats.entropy(shares, axis=-1).round(12))  # equal votes for other classes are ties


def marginals(p: Floats) -> tuple[Floats, Floats, Floats]:
    """The mean of each class, and α and β of the Beta that its members are taken for, each `(…, N, C)`."""
    m = p.mean(-3).clip(1e-9, 1 - 1e-9)
    v = p.var(-3, ddof=1).clip(1e-10 * m * (1 - m), 0.999 * m * (1 - m))
    s = m * (1 - m) / v - 1
    return m, m * s, (1 - m) * s


def balance(p: Floats, of_beta: Callable[[Floats, Floats], Floats] = beta_entropy) -> Floats:
    """BalEnt, before the pole."""
    m, alpha, beta = marginals(p)
    label = special.entr(m).sum(-1)
    return np.asarray(((m * of_beta(alpha + 1, beta)).sum(-1) + label) / (label + np.log(2)))


def balent(p: Floats, of_beta: Callable[[Floats, Floats], Floats] = beta_entropy) -> Floats:
    balances = balance(p, of_beta)
    return np.where(balances >= 0, 1 / np.maximum(balances, 1e-12), balances)


def second(p: Floats) -> Floats:
    return np.asarray(np.sort(p.mean(-3), axis=-1)[..., -2])


REFERENCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "random": lambda p, noise: noise,
    "entropy": lambda p, _: entropy(p),
    "least_confidence": lambda p, _: 1 - p.mean(-3).max(-1),
    "margin": lambda p, _: second(p) - p.mean(-3).max(-1),
    "bald": lambda p, _: bald(p),
    "mean_std": lambda p, _: p.std(-3).mean(-1),
    "variation_ratio": lambda p, _: variation_ratio(p),
    "vote_entropy": lambda p, _: vote_entropy(p),
    "consensus_entropy": lambda p, _: entropy(p),
    "power_bald": lambda p, noise: np.log(np.maximum(bald(p), 1e-9)) + stats.gumbel_r.ppf(noise),
    "balent": lambda p, _: balent(p),
}
