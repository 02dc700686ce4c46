"""Acquisition functions that read each member for itself: where the members disagree there is something to learn.

As in `lowpix.reveal.acquisition`: probabilities `p` `(…, M, N, C)` of M members at N pixels over C classes, of any
floating dtype and memory layout, to scores `(…, N)`, here in float64: members that nearly agree leave a small
difference of nearly equal numbers. All are fastest on views `(M, N, C)` of memory `(M, C, N)`.

Members are added up one by one: a reduction over their axis of such a view takes torch fifteen times as long.
"""

import math
from functools import reduce

import torch

from lowpix.errors import InputError

RESOLUTION = 1e-9
"""Nats of `bald` that its rounding, 1e-15, moves by a millionth: less is no sign of disagreement."""
BLOCK = 16384
"""Pixels × classes worked on at once: temporaries stay in a cache, and are so small that their memory is kept for
the next block rather than handed back to the system, which makes a call up to twice as slow."""


def mean_of_members(p: torch.Tensor) -> torch.Tensor:
    """The mean `(…, N, C)` over the members of `p` `(…, M, N, C)`, in its dtype."""
    return reduce(torch.add, p.unbind(-3)) / p.shape[-3]


def bald(p: torch.Tensor) -> torch.Tensor:
    """H(m) − mean_k H(p_k), the mutual information of label and member: 0 (they agree) to ln min(C, M) nats.

    Houlsby et al. 2011 (arXiv 1112.5745). Large where each member is certain, and not of the same class.

    Raises:
        InputError: a single member.
    """
    members = _several(p, "bald")
    information = torch.zeros((), dtype=torch.float64, device=p.device)
    for block in _blocks(p):
        each = [member.double() for member in block.unbind(-3)]
        within = reduce(torch.add, (torch.special.entr(member) for member in each)) / members
        of_mean = torch.special.entr(reduce(torch.add, each) / members)
        information = information + (of_mean - within).sum(-1)
    return information.clamp(min=0)  # rounding leaves a little under 0 of members that agree


def power_bald(p: torch.Tensor, noise: torch.Tensor, beta: float = 1) -> torch.Tensor:
    """β ln BALD + Gumbel noise: the k highest are a draw of k pixels, each in proportion to BALD^β.

    Kirsch et al. 2021 (arXiv 2106.12059), who give the noise the scale 1/β instead, which ranks the same. β = 0
    draws uniformly, β → ∞ is `bald`. Unbounded; large where members disagree, or by luck. BALD is floored at
    RESOLUTION: ln 0 is not finite, and far below it is rounding that would rank pixels.

    Args:
        p: probabilities `(…, M, N, C)`, M at least 2.
        noise: `(…, N)` uniform in [0, 1), drawn once a round.
        beta: β ≥ 0.

    Raises:
        InputError: a single member.
    """
    _several(p, "power_bald")
    # torch draws float32 noise in steps of 2^-24: 0 stands for all below a step
    gumbel = -noise.double().clamp(min=2**-25).log().neg().log()
    return beta * bald(p).clamp(min=RESOLUTION).log() + gumbel


def mean_std(p: torch.Tensor) -> torch.Tensor:
    """Σ_c σ_c / C with σ_c² = Σ_k (p_kc − m_c)²/M, the spread of each class over the members: 0 (they agree) to ½.

    Kampffmeyer et al. 2016; Gal et al. 2017 (arXiv 1703.02910). Large where members disagree about many classes.

    Raises:
        InputError: a single member.
    """
    members = _several(p, "mean_std")
    deviations = (_moments(block)[1].div_(members).sqrt_().sum(-1) for block in _blocks(p))
    return reduce(torch.add, deviations) / p.shape[-1]


def variation_ratio(p: torch.Tensor) -> torch.Tensor:
    """1 − share of the members that vote for the modal class: 0 (all of one mind) to 1 − 1/min(C, M).

    Freeman 1965; Gal 2016, section 3.3.1. A member with several most probable classes votes for each of them, so
    that the order of classes is of no account. Large where votes are scattered, however certain each.

    Raises:
        InputError: a single member.
    """
    members = _several(p, "variation_ratio")
    votes = reduce(torch.add, ((one == one.amax(-1, keepdim=True)).to(torch.int16) for one in p.unbind(-3)))
    return 1 - votes.amax(-1).double() / members


def balent(p: torch.Tensor) -> torch.Tensor:
    """Balanced entropy, greedy (BalEntAcq): 1/BalEnt where BalEnt ≥ 0, else BalEnt.

        BalEnt = (Σ_c m_c h_c + H(m)) / (H(m) + ln 2)

    Woo 2021 (arXiv 2105.14559). The members' probabilities of class c are taken for draws from a Beta(α, β) of
    their mean m_c and unbiased variance v_c; h_c is the differential entropy of Beta(α + 1, β), what that becomes
    once the label turns out to be c; the numerator is the joint entropy of label and probability. BalEnt is under
    1 and unbounded below, so scores are over 1 and up to 1e12, or negative. Large where BalEnt is just over 0: the
    label is as uncertain as the members' probabilities are sharp. That is a pole: which pixels come first depends
    much on the draw of the members, of which 32 are a sensible least.

    m is kept within [1e-9, 1 − 1e-9] and v within [1e-10, 0.999] of m(1 − m), the most that it can be.

    Raises:
        InputError: a single member.
    """
    members = _several(p, "balent")
    spread = label = torch.zeros((), dtype=torch.float64, device=p.device)
    for block in _blocks(p):
        m, squares = _moments(block)
        m = m.clamp_(1e-9, 1 - 1e-9)
        share = squares.div_(m * (1 - m)).div_(members - 1).clamp_(1e-10, 0.999)  # v / m(1 − m)
        strength = 1 / share - 1
        h = beta_entropy(m * strength + 1, (1 - m) * strength)
        spread = spread + (m * h.clamp_(max=0)).sum(-1)
        label = label + torch.special.entr(m).sum(-1)
    ratio = (spread + label) / (label + math.log(2))
    return torch.where(ratio >= 0, 1 / ratio.clamp(min=1e-12), ratio)


def beta_entropy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Differential entropy of Beta(a, b) in nats, for a ≥ 1 and b > 0 in float64, never over 0 but by rounding.

        h = ln B(a, b) − (a − 1) ψ(a) − (b − 1) ψ(b) + (n − 2) ψ(n),  n = a + b

    Summed as it stands, terms of order n ln n leave a difference of order 1. So each of a, b, n is written as
    ln Γ(x) = (x − ½) ln x − x + ½ ln 2π + μ(x) and ψ(x) = ln x − q(x), x shifted to where the series of μ and q
    (Stirling's) converge; what is large cancels on paper, and one logarithm of a product is left. Right to 1e-9
    of max(1, |h|) wherever b is over 1e-12 and both are under 1e11.
    """
    x = torch.stack([a, b, a + b])
    y = x + SHIFT
    # x(x + 1)…(x + 5) by its pairs x(x + 5), (x + 1)(x + 4), (x + 2)(x + 3), and its derivative by x
    pair = (x + 5).mul_(x)
    product = (pair + 10).mul_(pair).add_(24).mul_(pair)
    slope = pair.mul(3).add_(20).mul_(pair).add_(24).mul_(pair.copy_(x).mul_(2).add_(5))
    inverse = y.reciprocal()
    square = inverse * inverse
    q = _series(DIGAMMA, square).mul_(square).add_(inverse, alpha=0.5).add_(slope.div_(product))
    rest = _series(STIRLING, square).mul_(inverse).addcmul_(x.sub_(1), q)
    power = torch.mul(y, y, out=square)
    power = torch.mul(power, power, out=inverse).mul_(power).div_(product)  # y^6 / product, 1 where x is large
    ratio = (power[0] * power[1]).div_(power[2]).square_().mul_(y[0]).mul_(y[1]).div_(y[2] ** 3)
    return ratio.log_().mul_(0.5).add_(CONSTANT).add_(rest[0]).add_(rest[1]).sub_(rest[2]).add_(q[2])


SHIFT = 6
CONSTANT = 0.5 * math.log(2 * math.pi) - SHIFT
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30)
STIRLING = tuple(number / (2 * j * (2 * j - 1)) for j, number in enumerate(BERNOULLI, 1))
DIGAMMA = tuple(number / (2 * j) for j, number in enumerate(BERNOULLI, 1))


def _series(coefficients: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    """c₀ + c₁ x + c₂ x² + …"""
    result = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result.add_(coefficient).mul_(x)
    return result.add_(coefficients[0])


def _several(p: torch.Tensor, name: str) -> int:
    """The number of members, of which there must be several."""
    if p.shape[-3] < 2:
        raise InputError(f"--acquisition {name}: compares members, so it needs at least two, not {p.shape[-3]}")
    return p.shape[-3]


def _blocks(p: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`p` in blocks of classes, which are slices of memory where it is class-major."""
    return p.tensor_split(min(p.shape[-1], -(-p.numel() // (BLOCK * p.shape[-3]))), -1)


def _moments(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The members' mean m and Σ_k (p_k − m)², `(…, N, C)` float64.

    One pass over the differences from the first member: identical members leave exactly 0.
    """
    first, *others = p.unbind(-3)
    origin = first.to(torch.float64, copy=True)  # to be written to
    total, squares, difference = torch.zeros_like(origin), torch.zeros_like(origin), torch.empty_like(origin)
    for member in others:
        difference.copy_(member).sub_(origin)
        total += difference
        squares.addcmul_(difference, difference)
    mean = total / p.shape[-3]
    return origin.add_(mean), squares.addcmul_(total, mean, value=-1).clamp_(min=0)
