"""The mean of trained and solved networks, compared with sessions of either kind on the same pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from network_samples import tolerance
from refusals import refused
from session_samples import CLASSES, TRUTH, assert_same_weights, right, start

from lowpix.image_study import Options, image_study
from lowpix.networks import NETWORKS, GaussianProcess
from lowpix.networks.learner import Learner, Mixture, Solution
from lowpix.order_study.study import read_given
from lowpix.reveal.session import ImageSession, fit
from lowpix.study.source import Source


def mean(session: ImageSession) -> torch.Tensor:
    """`(C, N)`."""
    with torch.no_grad():
        return torch.cat([members.mean(0) for _, members in session.probabilities()], -1)


def told_alike(*sessions: ImageSession) -> None:
    question = sessions[0].ask(9)
    for session in sessions:
        session.tell(question, right(question))


def test_its_probabilities_are_the_mean_of_both() -> None:
    mixed, trained = start(network="mlp+gp"), start()
    inputs = mixed.inputs
    for _ in range(3):
        told_alike(mixed, trained)
        fit([mixed, trained])
        mixed.predict()
    pixels, answers = mixed.training_rows()
    gp = GaussianProcess()
    solution = Solution(gp, gp.initial(inputs, CLASSES, 1, torch.Generator()))
    for count in (9, 18, 27):
        solution.solve(inputs[pixels[:count]].float(), answers[:count])
    (solved,) = [logits.softmax(1)[0] for _, logits in gp.tiles(solution.parameters, inputs.float())]
    torch.testing.assert_close(mean(mixed), (mean(trained) + solved) / 2, atol=1e-5, rtol=1e-4)
    (members,) = [members for _, members in mixed.probabilities()]
    assert members.shape == (4, CLASSES, TRUTH.size)


def test_its_trained_half_has_the_bits_of_the_network_alone() -> None:
    """In one stack with it, and with another mixed session."""
    mixed, other, trained = start(network="mlp+gp"), start(network="mlp+gp", seed=5), start()
    told_alike(mixed, trained)
    told_alike(other)
    alone = start(network="mlp+gp")
    alone.tell(mixed.log.pixels, mixed.log.answers)
    for _ in range(2):
        fit([other, mixed, trained])
        fit([alone])
    assert_same_weights(mixed, alone)
    assert isinstance(mixed.learner, Mixture)
    assert isinstance(trained.learner, Learner)
    assert torch.equal(mixed.learner.trained.flat, trained.learner.flat)
    assert mixed.learner.step == trained.learner.step == 80


def test_logits_at_some_pixels_are_those_of_the_tiles() -> None:
    session, network = start(network="mlp+gp"), NETWORKS["mlp+gp"]
    told_alike(session)
    fit([session])
    pixels = torch.arange(0, TRUTH.size, 41)
    stacked = {name: value[None] for name, value in session.learner.parameters.items()}
    with torch.no_grad():
        found = network.logits(stacked, network.rows(session.inputs, pixels)[None])[0]
        whole = torch.cat([logits for _, logits in network.tiles(session.learner.parameters, session.inputs)], -1)
    torch.testing.assert_close(found, whole[..., pixels], **tolerance(session.inputs))


def test_half_a_file_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    path, session = tmp_path / "networks.safetensors", start(network="mlp+gp")
    told_alike(session)
    fit([session])
    before = {name: value.clone() for name, value in session.learner.tensors.items()}
    assert isinstance(session.learner, Mixture)
    for part in (session.learner.trained, session.learner.solved, start(network="mlp+gp", members=3).learner):
        part.save(path)
        with refused(path, "shapes"):
            session.learner.load(path)
    after = session.learner.tensors
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_dropout_and_an_order_study_are_refused(tmp_path: Path) -> None:
    with refused("--members-from dropout", "mlp+gp"):
        start(network="mlp+gp", dropout=0.5)
    options = Options(
        scene_count=1,
        scene_size=(24, 32),
        network=("mlp+gp",),
        max_pixels=8,
        stop="budget",
        out=tmp_path / "study",
    )
    assert set(image_study(options).tables().summary["setting"]) == {"mlp+gp-facility-edges"}
    with refused(tmp_path / "study", "mlp+gp is solved"):
        read_given(Source(tmp_path / "study"))


@pytest.mark.parametrize("acquisition", ["bald", "balent"])
def test_members_may_be_compared(acquisition: str) -> None:
    session = start(acquisition, network="mlp+gp")
    for _ in range(2):
        told_alike(session)
        fit([session])
        session.predict()
    assert session.scores is not None
    assert np.isfinite(session.scores).all()
