"""The Gaussian process, compared with scikit-learn, and its choice of hyperparameters with leaving pixels out."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from refusals import refused
from session_samples import CLASSES, TRUTH, assert_same_weights, image, play, right, start
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from lowpix.image_study import Options, image_study
from lowpix.networks import NETWORKS, Parameters
from lowpix.networks import gp as module
from lowpix.networks.features import FEATURES, FOURIER, PLACE, pixel_features
from lowpix.networks.gp import LENGTHS, NOISES, SHARPNESSES, GaussianProcess, choose
from lowpix.networks.learner import Learner, Solution
from lowpix.order_study.study import read_given
from lowpix.reveal.session import fit
from lowpix.study.source import Source

GP = GaussianProcess()
seeds = st.integers(0, 2**32 - 1)


def initial(classes: int) -> Parameters:
    return GP.initial(torch.zeros(0, FEATURES), classes, 1, torch.Generator())


def revealed(count: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features `(n, F)` of pixels around a centre for each class, and their classes."""
    draw = torch.Generator().manual_seed(seed)
    answers = torch.randint(classes, (count,), generator=draw)
    centres = torch.randn(classes, FEATURES, generator=draw)
    return centres[answers] + torch.randn(count, FEATURES, generator=draw), answers


def scaled(rows: torch.Tensor) -> NDArray[np.float64]:
    """Features with place times 2 and Fourier coordinates times ½."""
    values = rows.double().numpy().copy()
    values[:, PLACE] *= 2
    values[:, FOURIER] /= 2
    return values


def one_hot(answers: torch.Tensor) -> NDArray[np.float64]:
    """Less its mean, a column for each class that occurs."""
    targets = (answers.numpy()[:, None] == np.unique(answers.numpy())).astype(float)
    return targets - 1 / targets.shape[1]


def kernel(x: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    return np.asarray(Matern(length_scale=np.sqrt(length), nu=1.5)(x))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(2, 6), seeds)
def test_it_is_the_regression_of_scikit_learn(count: int, classes: int, seed: int) -> None:
    rows, answers = revealed(count, classes, seed)
    solved = GP.solve(initial(classes), rows, answers)
    length, noise, sharpness, at = solved["chosen"][0].double().tolist()
    assert at == count
    regression = GaussianProcessRegressor(Matern(np.sqrt(length), "fixed", nu=1.5), alpha=noise, optimizer=None)
    regression.fit(scaled(rows), one_hot(answers))
    others = torch.cat([rows, revealed(40, classes, seed + 1)[0]])
    expected = regression.predict(scaled(others)).reshape(len(others), -1).T * sharpness
    found = torch.cat([logits for _, logits in GP.tiles(solved, others)], -1)[0]
    seen = torch.unique(answers)
    np.testing.assert_allclose(found[seen], expected, atol=1e-2, rtol=1e-3)
    never = [one for one in range(classes) if one not in seen]
    assert (found.softmax(0)[never] == 0).all()


def left_out(x: NDArray[np.float64], targets: NDArray[np.float64], length: float, noise: float) -> NDArray:
    """What is predicted at each pixel from all others, one regression after another."""
    predictions = np.empty_like(targets)
    for pixel in range(len(x)):
        others = np.arange(len(x)) != pixel
        among = kernel(x, length)
        weights = np.linalg.solve(among[np.ix_(others, others)] + noise * np.eye(others.sum()), targets[others])
        predictions[pixel] = among[pixel, others] @ weights
    return predictions


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 14), st.integers(2, 4), seeds)
def test_hyperparameters_are_those_that_predict_what_is_left_out(count: int, classes: int, seed: int) -> None:
    rows, answers = revealed(count, classes, seed)
    x, targets = scaled(rows), one_hot(answers)
    squared = ((x[:, None] - x) ** 2).sum(-1)
    apart = np.sort(squared[np.triu_indices(count, 1)])
    middle = apart[(len(apart) - 1) // 2]
    tried = {
        (length * middle, noise): left_out(x, targets, length * middle, noise)
        for length, noise in product(LENGTHS, NOISES)
    }
    briers = {which: ((found - targets) ** 2).sum(1).mean() for which, found in tried.items()}

    def loss(which: tuple[float, float], sharpness: float) -> float:
        odds = np.exp(sharpness * tried[which])
        return float(-np.log((odds / odds.sum(1, keepdims=True))[targets > 0]).mean())

    *found, sharpness = choose(torch.from_numpy(squared), torch.from_numpy(targets))
    nearest = min(tried, key=lambda which: abs(which[0] - found[0]) + abs(which[1] - found[1]))
    assert nearest == pytest.approx(found)
    # equal but for rounding, if two are equally good
    assert briers[nearest] == pytest.approx(min(briers.values()), rel=1e-9, abs=1e-12)
    best = min(loss(nearest, one) for one in SHARPNESSES)
    assert loss(nearest, sharpness) == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_many_pixels_are_compared_by_an_even_share_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, answers = revealed(50, 3, 0)
    x, targets = torch.from_numpy(scaled(rows)), torch.from_numpy(one_hot(answers))
    squared = torch.cdist(x, x).square()
    few = choose(squared[::3, ::3], targets[::3])
    monkeypatch.setattr(module, "MOST_COMPARED", 17)
    assert choose(squared, targets) == few


def test_hyperparameters_are_kept_until_8_percent_more_pixels_or_a_new_class() -> None:
    rows, answers = revealed(60, 3, 1)
    answers[:58] %= 2
    answers[58:] = 2
    counts = []
    parameters = initial(3)
    for count in (50, 53, 54, 57, 59, 60):
        parameters = GP.solve(parameters, rows[:count], answers[:count])
        counts.append(int(parameters["chosen"][0, 3]))
        # all else depends on the pixels of now alone
        alone = GP.solve(parameters | {"support": torch.zeros(1, 0, FEATURES)}, rows[:count], answers[:count])
        assert all(torch.equal(parameters[name], alone[name]) for name in parameters)
    assert counts == [50, 50, 54, 54, 59, 59]


def test_one_class_is_certain_and_none_leaves_all_equal() -> None:
    rows, _ = revealed(5, 3, 0)
    (nothing,) = [logits for _, logits in GP.tiles(initial(3), rows)]
    assert (nothing == 0).all()
    for count in (1, 5):
        solved = GP.solve(initial(3), rows[:count], torch.full((count,), 1))
        (logits,) = [logits for _, logits in GP.tiles(solved, rows)]
        assert torch.equal(logits.softmax(1)[0], torch.tensor([0.0, 1, 0])[:, None].expand(3, 5))


def test_pixels_that_look_the_same_are_no_obstacle() -> None:
    rows = torch.zeros(12, FEATURES)
    solved = GP.solve(initial(2), rows, torch.arange(12) % 2)
    (logits,) = [logits for _, logits in GP.tiles(solved, rows)]
    torch.testing.assert_close(logits, torch.zeros(1, 2, 12), atol=1e-4, rtol=0)


def test_tiles_never_hold_the_whole_kernel_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = pixel_features(image().repeat(3, 0))
    rows, answers = revealed(40, 3, 0)
    solved = GP.solve(initial(3), rows, answers)
    (whole,) = [logits for _, logits in GP.tiles(solved, inputs)]
    monkeypatch.setattr(module, "TILE", 1)
    tiles = list(GP.tiles(solved, inputs))
    assert [where.start for where, _ in tiles] == list(range(0, len(inputs), 256))
    torch.testing.assert_close(torch.cat([logits for _, logits in tiles], -1), whole, atol=1e-4, rtol=1e-4)


def test_in_a_list_with_others_its_bits_are_those_of_alone() -> None:
    alone, listed = ([start(network="gp", members=1, seed=seed) for seed in (1, 2)] for _ in range(2))
    others = [start(seed=1), start(seed=2)]
    for count in (6, 3):
        for session in (*alone, *listed, *others):
            question = session.ask(count)
            session.tell(question, right(question))
        for session in alone:
            fit([session])
        fit([others[0], listed[1], others[1], listed[0]])
        for session in (*alone, *listed, *others):
            session.predict()
    for one, other in zip(alone, listed, strict=True):
        assert one.learner.step == 2
        assert_same_weights(one, other)
        np.testing.assert_array_equal(one.ask(9), other.ask(9))


def test_a_session_learns_its_image() -> None:
    session = start(network="gp", members=1)
    prediction = play(session, [5, *[3] * 12])
    assert (session.log.overwrite(prediction.labels) == TRUTH).mean() > 0.8


def test_what_needs_members_or_layers_is_refused() -> None:
    with refused("--members 2", "must be 1", "gp"):
        start(network="gp", members=2)
    with refused("--members-from dropout", "gp"):
        start(network="gp", members=1, dropout=0.5)
    with refused("--acquisition bald", "members"):
        start("bald", network="gp", members=1)


def test_networks_of_other_classes_or_of_torn_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "networks.safetensors"
    session = start(network="gp", members=1)
    play(session, [7])
    before = {name: value.clone() for name, value in session.learner.tensors.items()}
    more = Solution(GP, initial(CLASSES + 1))
    torn = Solution(GP, before | {"weights": before["weights"][:, :-1]})
    wide = Solution(GP, {name: value.double() for name, value in before.items()})
    for other in (
        more,
        torn,
        wide,
        Learner(NETWORKS["mlp"].initial(session.inputs, CLASSES, 1, torch.Generator())),
    ):
        other.save(path)
        with refused(path, "shapes"):
            session.learner.load(path)
    assert all(torch.equal(value, before[name]) for name, value in session.learner.tensors.items())


def test_an_order_study_of_it_is_refused(tmp_path: Path) -> None:
    options = Options(
        scene_count=1,
        scene_size=(24, 32),
        network=("gp",),
        smoothing=("none", "edges"),
        max_pixels=8,
        stop="budget",
        out=tmp_path / "gp",
    )
    tables = image_study(options).tables()
    assert set(tables.summary["setting"]) == {"gp-facility", "gp-facility-edges"}
    with refused(tmp_path / "gp", "gp is solved"):
        read_given(Source(tmp_path / "gp"), "gp-facility")


@pytest.mark.slow
def test_jobs_change_no_bit(tmp_path: Path) -> None:
    tables = []
    for jobs in (1, 2):
        options = Options(
            scene_count=3,
            scene_size=(48, 64),
            network=("gp", "mlp"),
            max_pixels=30,
            pixels_per_round="20%",
            stop="budget",
            jobs=jobs,
            out=tmp_path / str(jobs),
        )
        tables.append(image_study(options).tables())
    for name in ("curves", "revealed"):
        one, other = (getattr(table, name).drop(columns="seconds", errors="ignore") for table in tables)
        assert one.equals(other)
