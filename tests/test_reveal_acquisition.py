"""Every acquisition function against its formula in float64, and what they all must keep."""

import numpy as np
import pytest
import torch
from acquisition_samples import (
    OF_PROBABILITIES,
    REFERENCES,
    balent,
    draw,
    draw_hard,
    plain_beta_entropy,
    score,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from lowpix.reveal.acquisition import ACQUISITIONS, Acquisition, find_acquisition

every_acquisition = pytest.mark.parametrize("acquisition", OF_PROBABILITIES, ids=lambda one: one.name)

sizes = {
    "seed": st.integers(0, 2**32),
    "members": st.integers(1, 6),
    "pixels": st.integers(1, 40),
    "classes": st.integers(2, 12),
}


def test_every_acquisition_has_a_reference() -> None:
    assert {one.name for one in OF_PROBABILITIES} == REFERENCES.keys()


@every_acquisition
@settings(max_examples=20)
@given(**sizes, batch=st.lists(st.integers(1, 3), max_size=2).map(tuple))
def test_shapes_with_leading_axes(
    acquisition: Acquisition, seed: int, members: int, pixels: int, classes: int, batch: tuple[int, ...]
) -> None:
    p, noise = draw(seed, max(members, acquisition.least_members), pixels, classes, batch)
    scores = score(acquisition, p, noise)
    assert scores.shape == (*batch, pixels)
    assert scores.is_floating_point()
    each = [
        score(acquisition, p[index], noise[index]) for index in np.ndindex(*batch)
    ]  # every image as if it were alone
    torch.testing.assert_close(scores.reshape(-1, pixels), torch.stack(each), rtol=1e-9, atol=1e-12)


@every_acquisition
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("classes", [2, 3, 150])
def test_finite_at_zero_and_one_and_for_identical_members(
    acquisition: Acquisition, dtype: torch.dtype, classes: int
) -> None:
    certain = torch.eye(classes, dtype=dtype)  # one pixel per class
    uniform = torch.full((classes, classes), 1 / classes, dtype=dtype)
    smallest = torch.full((classes, classes), torch.finfo(dtype).tiny, dtype=dtype)
    smallest[:, 0] = 1
    noise = torch.rand(classes, dtype=dtype, generator=torch.Generator().manual_seed(0))
    noise[0] = 0
    for first in (certain, uniform, smallest):
        for second in (first, first.roll(1, -1)):  # identical members, and members that disagree
            for copies in (1, 8):
                p = torch.stack([first, second] * copies)
                assert score(acquisition, p, noise).isfinite().all()
                assert score(acquisition, p, noise).float().isfinite().all()  # as sessions keep them
        if acquisition.least_members == 1:
            assert score(acquisition, first[None], noise).isfinite().all()


@pytest.mark.parametrize("name", [name for name, one in ACQUISITIONS.items() if one.members])
def test_those_that_compare_members_refuse_a_single_one(name: str) -> None:
    acquisition = find_acquisition(name)
    assert acquisition.members
    assert acquisition.least_members == 2
    p, noise = draw(0, members=1)
    with refused(f"--acquisition {name}: ", "two", "not 1"):
        score(acquisition, p, noise)


@pytest.mark.parametrize("acquisition", [one for one in OF_PROBABILITIES if not one.members], ids=lambda a: a.name)
def test_the_others_need_no_more_than_the_mean(acquisition: Acquisition) -> None:
    p, noise = draw(1)
    whole, of_mean = (score(acquisition, q, noise) for q in (p, p.mean(0, keepdim=True)))
    torch.testing.assert_close(whole, of_mean, rtol=0, atol=1e-12)


@every_acquisition
@settings(max_examples=20)
@given(**sizes)
def test_order_of_members_and_classes_is_of_no_account(
    acquisition: Acquisition, seed: int, members: int, pixels: int, classes: int
) -> None:
    p, noise = draw(seed, max(members, acquisition.least_members), pixels, classes)
    random = np.random.default_rng(seed)
    order, classes_order = random.permutation(len(p)), random.permutation(classes)
    for dtype in (torch.float32, torch.float64):
        scores = score(acquisition, p.to(dtype), noise)
        shuffled = p.to(dtype)[order][..., classes_order]
        # balent reaches from -1e12 to 1e12, so that a millionth is of the score where that is over 1
        torch.testing.assert_close(score(acquisition, shuffled, noise), scores, rtol=1e-6, atol=1e-6)


@every_acquisition
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 49))
def test_a_score_depends_on_no_other_pixel(acquisition: Acquisition, seed: int, cut: int) -> None:
    p, noise = draw(seed)
    scores = score(acquisition, p, noise)
    tiles = [score(acquisition, p[:, tile], noise[tile]) for tile in (slice(cut), slice(cut, None))]
    torch.testing.assert_close(torch.cat(tiles), scores, rtol=1e-9, atol=1e-12)
    others = p.clone()
    others[:, cut:] = draw(seed + 1)[0][:, cut:]
    torch.testing.assert_close(score(acquisition, others, noise)[:cut], scores[:cut], rtol=1e-9, atol=1e-12)


@every_acquisition
@pytest.mark.parametrize("classes", [2, 11, 150])
def test_layout_of_memory_is_of_no_account(acquisition: Acquisition, classes: int) -> None:
    single, noise = draw_hard(1, 4, 2048, classes, 0.3)
    for p in (single, single.double()):
        assert p.stride() == (classes * 2048, 1, 2048)
        before = p.clone()
        scores = score(acquisition, p, noise)
        torch.testing.assert_close(score(acquisition, p.contiguous(), noise), scores, rtol=1e-6, atol=1e-6)
        assert torch.equal(p, before)  # and nothing was written to


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=15)
@given(**sizes)
def test_agrees_with_its_formula(name: str, seed: int, members: int, pixels: int, classes: int) -> None:
    least = ACQUISITIONS[name].least_members
    check_formula(name, *draw(seed, max(members, least), pixels, classes))


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_its_formula_for_150_classes(name: str) -> None:
    p, noise = draw(3, 8, 30, 150)
    p[:, :3] = 0
    p[:, :3, 7] = 1  # certain, with exact zeros
    p[:, 3:6] = 1 / 150
    check_formula(name, p, noise)


def check_formula(name: str, p: torch.Tensor, noise: torch.Tensor) -> None:
    """Float64 and float32 probabilities, each against the formula of just those."""
    for dtype, rtol, atol in ((torch.float64, 1e-6, 1e-9), (torch.float32, 1e-5, 2e-6)):
        q, u = p.to(dtype), noise.to(dtype)
        scores = score(find_acquisition(name), q, u).double().numpy()
        expected = REFERENCES[name](q.double().numpy(), u.double().numpy())
        if name == "balent":  # by BalEnt itself, which has no pole
            scores, expected = (np.where(s > 0, 1 / np.where(s > 0, s, 1), s) for s in (scores, expected))
        np.testing.assert_allclose(scores, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("spread", [0.03, 0.3, 3], ids=["small", "medium", "large"])
@pytest.mark.parametrize("members", [4, 16])
@pytest.mark.parametrize("classes", [2, 11, 150])
def test_chooses_what_its_formula_chooses(name: str, classes: int, members: int, spread: float) -> None:
    """Counted with ties: who scores by the formula what its last one scores, is as good as chosen by it."""
    p, noise = draw_hard(classes + members, members, 1000, classes, spread)
    share = share_of_choice(score(find_acquisition(name), p, noise), name, p, noise)
    assert share >= 0.95


def share_of_choice(scores: torch.Tensor, name: str, p: torch.Tensor, noise: torch.Tensor) -> float:
    count = len(scores) // 100
    chosen = scores.topk(count).indices.numpy()
    exact, given = p.double().numpy(), noise.double().numpy()
    among = np.arange(len(scores))
    if name == "balent":  # by mpmath only where it may matter: it takes a millisecond for each class of a pixel
        roughly = balent(exact, plain_beta_entropy)
        hopeful = np.argsort(np.where(np.isfinite(roughly), roughly, np.inf))[-3 * count :]
        among = np.union1d(chosen, hopeful)
    expected = np.full(len(scores), -np.inf)
    expected[among] = REFERENCES[name](exact[:, among], given[among])
    return float((expected[chosen] >= np.sort(expected)[-count]).mean())


def test_scores_by_hand() -> None:
    p = torch.tensor([[[0.7, 0.2, 0.1]], [[0.5, 0.4, 0.1]]], dtype=torch.float64)  # mean 0.6, 0.3, 0.1
    noise = torch.tensor([0.25])
    of_mean = -(0.6 * np.log(0.6) + 0.3 * np.log(0.3) + 0.1 * np.log(0.1))
    first = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1))
    second = -(0.5 * np.log(0.5) + 0.4 * np.log(0.4) + 0.1 * np.log(0.1))
    disagreement = of_mean - (first + second) / 2
    by_hand = {
        "random": 0.25,
        "entropy": of_mean,
        "least_confidence": 0.4,
        "margin": -0.3,
        "bald": disagreement,
        "mean_std": (0.1 + 0.1 + 0) / 3,
        "variation_ratio": 0,
        "vote_entropy": 0,
        "consensus_entropy": of_mean,
        "power_bald": np.log(disagreement) - np.log(np.log(4)),
    }
    for name, expected in by_hand.items():
        assert score(find_acquisition(name), p, noise).item() == pytest.approx(expected, abs=1e-12)


def test_two_classes_rank_pixels_the_same() -> None:
    p, noise = draw(1, members=3, pixels=400, classes=2)
    order = score(find_acquisition("margin"), p, noise).argsort()
    for name in ("entropy", "least_confidence"):
        ranked = score(find_acquisition(name), p, noise)[order]
        assert (ranked.diff() >= -1e-12).all()


@pytest.mark.parametrize("spread", [0.03, 0.3, 3])
def test_two_classes_choose_the_same_pixels(spread: float) -> None:
    p, noise = draw_hard(2, 4, 2000, 2, spread)
    chosen = score(find_acquisition("margin"), p, noise).topk(20).indices.sort().values
    for name in ("entropy", "least_confidence"):
        scores = score(find_acquisition(name), p.double(), noise)
        assert (scores[chosen] >= scores.topk(20).values[-1] - 1e-7).all()


def test_random_is_the_noise() -> None:
    p, noise = draw(0)
    assert torch.equal(score(find_acquisition("random"), p, noise), noise)


def test_only_error_depth_is_privileged() -> None:
    assert [name for name, one in ACQUISITIONS.items() if one.privileged] == ["error_depth"]


def test_each_chooses_in_one_way() -> None:
    for one in ACQUISITIONS.values():
        assert (one.score is not None) + (one.spread is not None) + one.privileged == 1
    assert [name for name, one in ACQUISITIONS.items() if one.spread is not None] == ["stratified", "spaced"]
    assert [name for name, one in ACQUISITIONS.items() if one.noisy] == ["random", "power_bald"]
