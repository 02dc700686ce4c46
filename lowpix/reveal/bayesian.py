"""Acquisition functions that compare members: members disagree where there is something to learn.

As in `lowpix.reveal.acquisition`, they map probabilities `p` `(…, M, N, C)` of M members at N pixels over C
classes to scores `(…, N)`. Any floating dtype and memory layout is accepted; views `(M, N, C)` of memory
`(M, C, N)` are fastest. Scores are float64: members that nearly agree leave tiny differences.

Members are added one by one: torch's own reduction over the member axis of such a view is fifteen times slower.
"""

import math
from functools import reduce

import torch

from lowpix.errors import InputError

RESOLUTION = 1e-9
"""Smallest `bald`, in nats, that counts as disagreement. A rounding error of 1e-15 is a millionth of it."""
BLOCK = 16384
"""Pixels × classes per block. Temporaries of this size stay in the cache, and their memory is reused for the next
block. Returning it to the system would make a call up to twice as slow."""


def mean_of_members(p: torch.Tensor) -> torch.Tensor:
    """The ensemble mean `(…, N, C)` of `p` `(…, M, N, C)`, in the dtype of `p`."""
    return reduce(torch.add, p.unbind(-3)) / p.shape[-3]


def bald(p: torch.Tensor) -> torch.Tensor:
    """H(m) − mean_k H(p_k), the mutual information of label and member: 0 (they agree) to ln min(C, M) nats.

    Houlsby et al. 2011 (arXiv 1112.5745). Large if members are certain of different classes.

    Raises:
        InputError: a single member.
    """
    members = _member_count(p, "bald")
    information = torch.zeros((), dtype=torch.float64, device=p.device)
    for block in _blocks(p):
        each = [member.double() for member in block.unbind(-3)]
        of_members = reduce(torch.add, (torch.special.entr(member) for member in each)) / members
        of_mean = torch.special.entr(reduce(torch.add, each) / members)
        information = information + (of_mean - of_members).sum(-1)
    return information.clamp(min=0)  # rounding can give slightly negative values if members agree


def power_bald(p: torch.Tensor, noise: torch.Tensor, beta: float = 1) -> torch.Tensor:
    """β ln BALD + Gumbel noise. The k highest scores are a random draw of k pixels in proportion to BALD^β.

    Kirsch et al. 2021 (arXiv 2106.12059). They scale the noise by 1/β instead, which gives the same ranking. β = 0
    draws uniformly; β → ∞ gives `bald`. Unbounded. BALD is floored at RESOLUTION: ln 0 is not finite, and far
    smaller values are only rounding.

    Args:
        p: probabilities `(…, M, N, C)`, M at least 2.
        noise: `(…, N)` uniform in [0, 1), drawn once a round.
        beta: β ≥ 0.

    Raises:
        InputError: a single member.
    """
    _member_count(p, "power_bald")
    # torch draws float32 noise in steps of 2^-24; half a step replaces 0
    gumbel = -noise.double().clamp(min=2**-25).log().neg().log()
    return beta * bald(p).clamp(min=RESOLUTION).log() + gumbel


def mean_std(p: torch.Tensor) -> torch.Tensor:
    """Σ_c σ_c / C with σ_c² = Σ_k (p_kc − m_c)²/M, the mean standard deviation of classes: 0 (members agree) to ½.

    Kampffmeyer et al. 2016; Gal et al. 2017 (arXiv 1703.02910). Large if members disagree about many classes.

    Raises:
        InputError: a single member.
    """
    members = _member_count(p, "mean_std")
    deviations = (_moments(block)[1].div_(members).sqrt_().sum(-1) for block in _blocks(p))
    return reduce(torch.add, deviations) / p.shape[-1]


def variation_ratio(p: torch.Tensor) -> torch.Tensor:
    """1 − share of the members that vote for the modal class: 0 (all vote alike) to 1 − 1/min(C, M).

    Freeman 1965; Gal 2016, section 3.3.1. A member with several most probable classes votes for each of them, so
    the order of classes does not matter. Large if members vote for different classes, however certain they are.

    Raises:
        InputError: a single member.
    """
    members = _member_count(p, "variation_ratio")
    votes = reduce(
        torch.add, ((member == member.amax(-1, keepdim=True)).to(torch.int16) for member in p.unbind(-3))
    )
    return 1 - votes.amax(-1).double() / members


def consensus_entropy(p: torch.Tensor) -> torch.Tensor:
    """H(m) of the ensemble mean m, in nats: query by committee with soft votes, 0 to ln C.

    Settles 2009, section 2.3. It is `entropy`, but always of members: where one network gives both a prediction
    and Monte-Carlo samples, this is of the samples.

    Raises:
        InputError: a single member.
    """
    _member_count(p, "consensus_entropy")
    terms: torch.Tensor = torch.special.entr(mean_of_members(p))
    return terms.sum(-1)


def vote_entropy(p: torch.Tensor) -> torch.Tensor:
    """H(v) of the shares v_c of the votes, in nats: query by committee with hard votes, 0 to ln min(C, M).

    Dagan and Engelson 1995. A member with several most probable classes splits its vote, so the order of
    classes does not matter.

    Raises:
        InputError: a single member.
    """
    members = _member_count(p, "vote_entropy")
    modal = ((member == member.amax(-1, keepdim=True)).double() for member in p.unbind(-3))
    votes = reduce(torch.add, (classes / classes.sum(-1, keepdim=True) for classes in modal))
    terms: torch.Tensor = torch.special.entr(votes / members)
    return terms.sum(-1)


def balent(p: torch.Tensor) -> torch.Tensor:
    """Balanced entropy, greedy (BalEntAcq): 1/BalEnt where BalEnt ≥ 0, else BalEnt.

        BalEnt = (Σ_c m_c h_c + H(m)) / (H(m) + ln 2)

    Woo 2021 (arXiv 2105.14559). For each class c, a Beta(α, β) is fitted to the mean m_c and unbiased variance v_c
    of the members' probabilities. h_c is the differential entropy of Beta(α + 1, β), the posterior if the label is
    c. The numerator is the joint entropy of label and probability. BalEnt is under 1 and unbounded below, so
    scores are either above 1, up to 1e12, or negative. They are largest where BalEnt is just over 0: the label is
    as uncertain as the members' probabilities are sharp. BalEnt = 0 is a pole, near which the ranking depends
    strongly on the random draw of the members. Use at least 32.

    m is clipped to [1e-9, 1 − 1e-9], and v to [1e-10, 0.999] times its maximum m(1 − m).

    Raises:
        InputError: a single member.
    """
    members = _member_count(p, "balent")
    of_probability = of_label = torch.zeros((), dtype=torch.float64, device=p.device)
    for block in _blocks(p):
        m, squares = _moments(block)
        m = m.clamp_(1e-9, 1 - 1e-9)
        share = squares.div_(m * (1 - m)).div_(members - 1).clamp_(1e-10, 0.999)  # v / m(1 − m)
        strength = 1 / share - 1
        h = beta_entropy(m * strength + 1, (1 - m) * strength)
        of_probability = of_probability + (m * h.clamp_(max=0)).sum(-1)
        of_label = of_label + torch.special.entr(m).sum(-1)
    balanced = (of_probability + of_label) / (of_label + math.log(2))
    return torch.where(balanced >= 0, 1 / balanced.clamp(min=1e-12), balanced)


def beta_entropy(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Differential entropy of Beta(a, b) in nats, for a ≥ 1 and b > 0 in float64. At most 0 up to rounding.

        h = ln B(a, b) − (a − 1) ψ(a) − (b − 1) ψ(b) + (n − 2) ψ(n),  n = a + b

    A direct sum loses precision: terms of order n ln n leave a difference of order 1. So for x = a, b, n the code
    uses ln Γ(x) = (x − ½) ln x − x + ½ ln 2π + μ(x) and ψ(x) = ln x − q(x), and shifts x so that Stirling's series
    for μ and q converge. The large terms cancel in the formula, and one logarithm of a product remains. The error
    is at most 1e-9 max(1, |h|) if b is over 1e-12 and both are under 1e11.
    """
    x = torch.stack([a, b, a + b])
    y = x + SHIFT
    # product = x(x + 1)…(x + 5) from the pairs x(x + 5), (x + 1)(x + 4), (x + 2)(x + 3); slope = its derivative
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


def _member_count(p: torch.Tensor, name: str) -> int:
    """The number of members M. Raises InputError if it is under 2."""
    if p.shape[-3] < 2:
        raise InputError(f"--acquisition {name}: compares members, so it needs at least two, not {p.shape[-3]}")
    return p.shape[-3]


def _blocks(p: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`p` in blocks of classes. If `p` is class-major, each block is a contiguous slice of memory."""
    return p.tensor_split(min(p.shape[-1], -(-p.numel() // (BLOCK * p.shape[-3]))), -1)


def _moments(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The ensemble mean m and Σ_k (p_k − m)², each `(…, N, C)` float64.

    One pass over the differences from the first member, so identical members give exactly 0.
    """
    first, *others = p.unbind(-3)
    origin = first.to(torch.float64, copy=True)  # a copy, because it is overwritten below
    total, squares, difference = torch.zeros_like(origin), torch.zeros_like(origin), torch.empty_like(origin)
    for member in others:
        difference.copy_(member).sub_(origin)
        total += difference
        squares.addcmul_(difference, difference)
    mean = total / p.shape[-3]
    return origin.add_(mean), squares.addcmul_(total, mean, value=-1).clamp_(min=0)
