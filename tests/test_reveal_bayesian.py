"""Balanced entropy: that it is what its paper says, and that none of the traps it has is stepped into."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from acquisition_samples import balent as reference
from acquisition_samples import draw, draw_hard, exact_beta_entropy, marginals
from numpy.typing import NDArray
from scipy import integrate, special, stats

from lowpix.reveal.bayesian import RESOLUTION, bald, balent, beta_entropy, power_bald, variation_ratio

MEANS = [1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9]
SHARES = [1e-10, 1e-8, 1e-7, 1e-5, 1e-2, 0.3, 0.5, 0.9, 0.999]  # of v in m(1 − m)


def parameters(mean: float, share: float) -> tuple[float, float]:
    """Of the Beta that the label's class leaves, as `balent` takes it."""
    strength = 1 / share - 1
    return mean * strength + 1, (1 - mean) * strength


def h(a: float, b: float) -> float:
    return beta_entropy(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)).item()


def balances(scores: torch.Tensor) -> torch.Tensor:
    """BalEnt of the score."""
    return torch.where(scores > 0, 1 / scores.where(scores > 0, 1), scores)


@pytest.mark.parametrize("mean", MEANS)
def test_beta_entropy_against_mpmath(mean: float) -> None:
    """Over all that the clips of `balent` leave, both parameters of up to 1e10 included."""
    for share in SHARES:
        a, b = parameters(mean, share)
        assert h(a, b) == pytest.approx(exact_beta_entropy(a, b), rel=1e-9, abs=1e-9), (mean, share)


def test_beta_entropy_against_scipy() -> None:
    random = np.random.default_rng(0)
    a, b = 1 + 10 ** random.uniform(-3, 6, 300), 10 ** random.uniform(-3, 6, 300)
    ours = beta_entropy(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(ours, stats.beta.entropy(a, b), rtol=1e-8, atol=1e-8)


def test_clamp_of_beta_entropy_moves_it_by_rounding_alone() -> None:
    """No density on (0, 1) has a differential entropy over 0, that of the uniform one."""
    assert h(1, 1) == pytest.approx(0, abs=1e-9)
    mean = np.concatenate([np.geomspace(1e-9, 0.5, 400), 1 - np.geomspace(1e-9, 0.5, 400)])[:, None]
    strength = 1 / np.concatenate([np.geomspace(1e-10, 0.5, 400), np.linspace(0.5, 0.999, 100)]) - 1
    values = beta_entropy(torch.from_numpy(mean * strength + 1), torch.from_numpy((1 - mean) * strength))
    assert values.max() < 1e-6
    both_large = [(4e6, 4e6), (5e6, 9e9), (9e9, 5e6), (1e10, 1e10)]
    for a, b in both_large:
        assert h(a, b) == pytest.approx(exact_beta_entropy(a, b), abs=1e-9)
        assert h(a, b) < 0


@pytest.mark.parametrize("seed", range(6))
def test_joint_entropy_against_numerical_integration(seed: int) -> None:
    """Σ_c m_c h_c + H(m) is the entropy of the label and the probability that its class was given.

    The paper (2105.14559) takes the probability P_c of class c for Beta(α_c, β_c) with density f_c, and the label
    for c with probability P_c: label c at P_c = x has the joint density x f_c(x). Its entropy is
    −Σ_c ∫ x f_c(x) ln(x f_c(x)) dx, here integrated as it stands.
    """
    random = np.random.default_rng(seed)
    p = random.dirichlet([4, 2, 1], (6, 1)) * 0.5 + 0.5 * random.dirichlet([8, 8, 8], (1, 1))
    m, alpha, beta = (value[0] for value in marginals(p))
    assert min(alpha.min(), beta.min()) > 0.5

    def minus_joint(x: float, a: float, b: float) -> float:
        return float(-special.xlogy(density := x * stats.beta.pdf(x, a, b), density))

    joint = sum(integrate.quad(minus_joint, 0, 1, (a, b), limit=200)[0] for a, b in zip(alpha, beta, strict=True))
    label = special.entr(m).sum()
    ours = balances(balent(torch.from_numpy(p))).item() * (label + np.log(2))
    assert ours == pytest.approx(joint, rel=1e-6, abs=1e-6)


# A function as public code has it, right but for one trap.


def written_out(
    p: torch.Tensor,
    *,
    labels: float = 1,
    log_beta: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
    clip: float = 1e-9,
    least: float | None = None,
    most: float = 0.999,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """Scores of `p` by the formula, h summed as it stands; `least`: floor of v itself, not of its share."""
    p = p.to(dtype)
    m = p.mean(-3).clamp(clip, 1 - clip)
    v = p.var(-3)
    whole = m * (1 - m)
    v = torch.minimum(v, most * whole)
    v = torch.maximum(v, 1e-10 * whole if least is None else torch.full_like(v, least))
    strength = whole / v - 1
    a, b = m * strength, (1 - m) * strength
    first = plain_log_beta(a + 1, b) if log_beta is None else log_beta(a + 1, b)
    h = first - a * (a + 1).digamma() - (b - 1) * b.digamma() + (a + b - 1) * (a + b + 1).digamma()
    label = torch.special.entr(m).sum(-1)
    ratio = ((m * h).sum(-1) + labels * label) / (label + np.log(2))
    return torch.where(ratio >= 0, 1 / ratio.clamp(min=1e-12), ratio)


def plain_log_beta(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


def floored_log_beta(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (plain_log_beta(a, b).exp() + 1e-32).log()


def chosen(scores: torch.Tensor, share: float = 0.01) -> set[int]:
    return set(scores.topk(round(len(scores) * share)).indices.tolist())


def sample(spread: float = 0.3, members: int = 16) -> torch.Tensor:
    """2,000 pixels of 11 classes: the first 200 have identical members, the next 100 saturated ones, all alike."""
    return draw_hard(5, members, 2000, 11, spread)[0]


IDENTICAL, SATURATED = set(range(200)), set(range(200, 300))


def expected(p: torch.Tensor) -> NDArray[np.float64]:
    """By mpmath where parameters are large, of pixels whose members differ: of the others it would take long."""
    return reference(p.double().numpy())


def test_written_out_without_traps_chooses_the_same() -> None:
    p = sample()
    others = p[:, 300:]  # where it is precise enough
    assert len(chosen(written_out(others)) & chosen(balent(others))) >= 16


def test_trap_of_adding_the_label_entropy_twice() -> None:
    p = sample()
    right = chosen(balent(p))
    assert not right & chosen(written_out(p, labels=2))
    best = sorted(right)
    assert (expected(p[:, best]) > 1).all()  # ours lie by the pole: BalEnt over 0, and by little
    assert balances(balent(p[:, best])).max() < 0.1


def test_trap_of_the_exponential_of_lgamma_with_a_floor() -> None:
    """Under e^-73 the floor stands in for B, so that h comes out positive where members nearly agree."""
    a, b = (torch.tensor([x], dtype=torch.float64) for x in parameters(0.3, 1e-4))
    trapped = (
        floored_log_beta(a, b) - (a - 1) * a.digamma() - (b - 1) * b.digamma() + (a + b - 2) * (a + b).digamma()
    )
    assert trapped.item() > 1000
    assert h(a.item(), b.item()) == pytest.approx(exact_beta_entropy(a.item(), b.item()), abs=1e-9)
    assert h(a.item(), b.item()) < -3
    p = sample(spread=0.03)[:, 300:]
    scores, wrong = balent(p), written_out(p, log_beta=floored_log_beta)
    assert len(chosen(scores) & chosen(wrong)) < len(chosen(scores)) / 2
    assert ((scores < 0) & (wrong > 0)).double().mean() > 0.3  # flipped signs


def test_trap_of_more_variance_than_a_mean_allows() -> None:
    """Unbiased, the variance of (0, 1) is ½: over m(1 − m) = ¼ α and β are negative, which are no Beta's."""
    certain, close = [[1.0, 0.0], [0.0, 1.0]], [[0.52, 0.48], [0.48, 0.52]]
    p = torch.tensor([certain, close]).transpose(0, 1)
    trapped, ours = written_out(p, most=np.inf), balent(p)
    assert 0 < trapped[0] < 1  # BalEnt over 1, which cannot be
    assert trapped.argmax() == 0
    assert ours.argmax() == 1
    np.testing.assert_allclose(ours, expected(p), rtol=1e-6)
    several = sample(spread=3, members=2)
    wrong, right = written_out(several, most=np.inf), balent(several)
    assert ((wrong > 0) & (wrong < 1)).double().mean() > 0.3
    assert not ((right > 0) & (right < 1)).any()


def test_trap_of_a_variance_floor_so_small_that_identical_members_win() -> None:
    """Parameters of 1e17: sums of 1e18 leave multiples of 128 for an h of -20, over 0 as often as under."""
    p = sample(spread=0.03)
    assert chosen(written_out(p, least=1e-18)) <= IDENTICAL
    assert not chosen(balent(p), 0.1) & IDENTICAL
    assert (balent(p)[:200] < 0).all()


def test_trap_of_saturated_classes_that_win() -> None:
    """Unclipped, a mean of 1 has no variance to share: not a number, which topk takes for the largest."""
    p = sample()
    assert chosen(written_out(p, clip=0)) <= SATURATED | set(range(300, 400))
    assert not chosen(balent(p)) & SATURATED
    assert (balent(p)[200:300] < balent(p).median()).all()


def test_trap_of_float32_in_which_the_clip_is_none() -> None:
    assert torch.tensor(1 - 1e-9, dtype=torch.float32) == 1
    p = sample()
    assert p.dtype == torch.float32
    assert written_out(p, dtype=torch.float32)[200:300].isnan().all()
    assert balent(p)[200:300].isfinite().all()
    torch.testing.assert_close(balent(p), balent(p.double()))


def test_bald_is_nothing_where_members_agree() -> None:
    p, noise = draw(0, members=1)
    assert bald(p.expand(7, -1, -1)).max() < RESOLUTION / 1e5
    assert torch.equal(power_bald(p.expand(7, -1, -1), noise).argsort(), noise.argsort())  # by luck alone
    certain = torch.eye(3)[:, None]  # three members, each certain of a class of its own
    assert bald(certain).item() == pytest.approx(np.log(3))


def test_power_bald_draws_in_proportion_to_a_power_of_bald() -> None:
    pair = torch.tensor([[[0.9, 0.1], [0.6, 0.4]], [[0.1, 0.9], [0.4, 0.6]]], dtype=torch.float64)
    weights = bald(pair)
    noise = torch.rand(40_000, 2, generator=torch.Generator().manual_seed(0))
    for beta in (0, 0.5, 1):
        first = power_bald(pair.expand(40_000, -1, -1, -1), noise, beta).argmax(-1) == 0
        share = (weights[0] ** beta / (weights**beta).sum()).item()
        assert first.double().mean().item() == pytest.approx(share, abs=0.01)
    assert power_bald(pair, torch.zeros(2)).isfinite().all()


def test_variation_ratio_counts_every_class_that_a_member_holds_most_probable() -> None:
    tie, first, second = [0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [0.3, 0.5, 0.2]
    p = torch.tensor([[tie, tie, first, first], [tie, second, second, first], [tie, second, tie, second]])
    np.testing.assert_allclose(variation_ratio(p), [0, 0, 1 / 3, 1 / 3])
