"""Training in a stack: the same bits as alone, and the same numbers as torch.optim.Adam."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lowpix.networks import NETWORKS, MixedNetwork, Network, Parameters
from lowpix.networks.learner import Learner, padded, train

FEATURES = 21


class Pupil:
    """A session's share of a stack: features of 500 pixels, some of them revealed, and a learner."""

    def __init__(self, network: Network, seed: int, revealed: int, classes: int = 3, members: int = 2) -> None:
        draw = torch.Generator().manual_seed(seed)
        inputs = torch.randn(500, FEATURES, generator=draw)
        pixels = torch.randperm(500, generator=draw)[:revealed]
        self.network = network
        self.rows = network.rows(inputs, pixels)
        self.answers = torch.randint(classes, (revealed,), generator=draw)
        self.learner = Learner(network.initial(inputs, classes, members, draw))

    def state(self) -> list[torch.Tensor]:
        return [self.learner.flat, self.learner.first, self.learner.second]


def train_together(pupils: list[Pupil], steps: int) -> None:
    network = pupils[0].network
    train(network, [p.learner for p in pupils], [p.rows for p in pupils], [p.answers for p in pupils], steps)


def assert_same_bits(pupils: list[Pupil], others: list[Pupil]) -> None:
    for pupil, other in zip(pupils, others, strict=True):
        assert pupil.learner.step == other.learner.step
        assert all(torch.equal(a, b) for a, b in zip(pupil.state(), other.state(), strict=True))


single = [network for network in NETWORKS.values() if not isinstance(network, MixedNetwork)]
stacking = [network for network in single if network.stacks]
every_stacking_network = pytest.mark.parametrize("network", stacking, ids=lambda network: network.name)


@every_stacking_network
@settings(max_examples=15)
@given(
    revealed=st.lists(st.integers(0, 2**20), min_size=2, max_size=7),
    room=st.sampled_from([8, 24, 104, 288]),
    classes=st.integers(2, 11),
    members=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)
def test_stacked_is_alone_to_the_bit(
    network: Network, revealed: list[int], room: int, classes: int, members: int, order: object
) -> None:
    same_room = [count for count in range(1, room + 1) if padded(count) == room]
    counts = [same_room[number % len(same_room)] for number in revealed]

    def pupils() -> list[Pupil]:
        return [Pupil(network, seed, count, classes, members) for seed, count in enumerate(counts)]

    alone, together, shuffled = pupils(), pupils(), pupils()
    for pupil in alone:
        train_together([pupil], 3)
    train_together(together, 3)
    another_order = shuffled.copy()
    order.shuffle(another_order)  # type: ignore[attr-defined]
    train_together(another_order, 3)
    assert_same_bits(alone, together)
    assert_same_bits(alone, shuffled)


@every_stacking_network
def test_entering_late_changes_no_bit(network: Network) -> None:
    alone = [Pupil(network, seed, 17 + seed) for seed in range(3)]
    for pupil, steps in zip(alone, ([6, 4, 5], [4, 5], [5]), strict=True):
        for count in steps:
            train_together([pupil], count)
    together = [Pupil(network, seed, 17 + seed) for seed in range(3)]
    train_together(together[:1], 6)
    train_together(together[:2], 4)
    train_together(together, 5)
    assert [pupil.learner.step for pupil in together] == [15, 9, 5]
    assert_same_bits(alone, together)


@every_stacking_network
def test_what_fills_the_room_teaches_nothing(network: Network) -> None:
    pupil, other = Pupil(network, 0, 20), Pupil(network, 0, 20)
    # each pixel twice: the mean loss is the same, and only the room that is left empty differs
    other.rows, other.answers = other.rows.repeat(1, 2), other.answers.repeat(2)
    assert padded(20) - 20 != padded(40) - 40
    for each in (pupil, other):
        train_together([each], 10)
    for a, b in zip(pupil.state(), other.state(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_snapshot_is_left_as_it_is() -> None:
    pupil = Pupil(NETWORKS["mlp"], 0, 12)
    train_together([pupil], 2)
    snapshot = pupil.learner.copy()
    kept = [snapshot.flat.clone(), snapshot.first.clone()]
    train_together([pupil], 2)
    assert torch.equal(snapshot.flat, kept[0])
    assert torch.equal(snapshot.first, kept[1])
    assert not torch.equal(snapshot.flat, pupil.learner.flat)
    assert (snapshot.step, pupil.learner.step) == (2, 4)


class Linear:
    """The least network there is, in whatever precision its parameters have."""

    name, members, stacks, learning_rate, first_steps, steps = "linear", 2, True, 0.02, 1, 1

    def logits(self, parameters: Parameters, rows: torch.Tensor, keep: object) -> torch.Tensor:
        return parameters["weight"] @ rows[:, None] + parameters["bias"]


def test_adam_is_that_of_torch() -> None:
    """In float64, with sessions of different ages and different numbers of revealed pixels in one stack."""
    classes, members, counts, ages = 4, 2, [17, 21, 24], [40, 0, 7]
    draw = torch.Generator().manual_seed(0)
    learners, references, rows, answers = [], [], [], []
    for count in counts:
        shapes = {"weight": (members, classes, 6), "bias": (members, classes, 1)}
        start = {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
        learners.append(Learner(dict(start)))
        references.append({name: value.clone().requires_grad_() for name, value in start.items()})
        rows.append(torch.randn(6, count, generator=draw, dtype=torch.float64))
        answers.append(torch.randint(classes, (count,), generator=draw))
    network = Linear()
    for index, age in enumerate(ages):
        if age:
            train(network, [learners[index]], [rows[index]], [answers[index]], age)  # type: ignore[arg-type,list-item]
    train(network, learners, rows, answers, 25)  # type: ignore[arg-type]

    for learner, reference, row, answer, age in zip(learners, references, rows, answers, ages, strict=True):
        optimizer = torch.optim.Adam(list(reference.values()), lr=network.learning_rate)
        for _ in range(age + 25):
            optimizer.zero_grad()
            logits = reference["weight"] @ row + reference["bias"]  # (M, C, n)
            sum(functional.cross_entropy(member.T, answer) for member in logits).backward()  # type: ignore[union-attr]
            optimizer.step()
        assert learner.step == age + 25
        for name, value in reference.items():
            torch.testing.assert_close(learner.parameters[name], value.detach(), rtol=1e-5, atol=1e-6)
        moments = [optimizer.state[value] for value in reference.values()]
        first = torch.cat([each["exp_avg"].flatten() for each in moments])
        second = torch.cat([each["exp_avg_sq"].flatten() for each in moments])
        torch.testing.assert_close(learner.first, first, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(learner.second, second, rtol=1e-4, atol=1e-9)


def test_unet_trains_as_with_torch_adam() -> None:
    network = NETWORKS["unet"]
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 3, 16, 24, generator=draw)
    pixels, answers = torch.arange(0, 384, 30), torch.arange(13) % 3
    start = network.initial(inputs, 3, 1, draw)
    reference = {name: value.clone().requires_grad_() for name, value in start.items()}
    learner, optimizer = Learner(dict(start)), torch.optim.Adam(reference.values(), lr=network.learning_rate)
    rows = network.rows(inputs, pixels)
    train(network, [learner], [rows], [answers], 3)
    for _ in range(3):
        optimizer.zero_grad()
        logits = network.logits({name: value[None] for name, value in reference.items()}, rows)
        functional.cross_entropy(logits[0, 0].T, answers).backward()
        optimizer.step()
    for name, value in reference.items():
        torch.testing.assert_close(learner.parameters[name], value.detach(), rtol=1e-3, atol=2e-4)


@given(st.integers(1, 100_000))
def test_padded_makes_room_but_little_more(count: int) -> None:
    room = padded(count)
    assert count <= room
    assert room - count < max(8, count / 8)
    assert padded(room) == room
    assert room <= padded(count + 1)


def test_padded_takes_few_values() -> None:
    values = {padded(count) for count in range(1, 1001)}
    assert len(values) <= 8 * math.log2(1000)
