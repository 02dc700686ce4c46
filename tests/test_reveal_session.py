"""Ask, tell, fit, predict: one image's session, and many of them together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refused
from session_samples import (
    ASKABLE,
    CLASSES,
    SHAPE,
    TRUTH,
    assert_same_bits,
    every_acquisition,
    every_network,
    image,
    play,
    right,
    same_weights,
    shared_inputs,
    start,
    weights,
)

from lowpix.networks import NETWORKS
from lowpix.reveal.acquisition import ACQUISITIONS
from lowpix.reveal.log import UNSURE, VOID
from lowpix.reveal.selection import Selection
from lowpix.reveal.session import ImageSession, fit


def check_learning(session: ImageSession, counts: list[int]) -> None:
    prediction = play(session, counts)
    log, asked = session.log, tuple(session.log.pixels.T)
    assert log.asked == log.revealed == sum(counts)
    assert len(np.unique(log.pixels, axis=0)) == sum(counts)
    assert ASKABLE[asked].all()
    assert prediction.labels.shape == prediction.confidence.shape == SHAPE
    assert (prediction.labels.dtype, prediction.confidence.dtype) == (np.uint8, np.float32)
    assert 0 <= prediction.confidence.min() <= prediction.confidence.max() <= 1
    assert prediction.labels.max() < CLASSES
    overwritten = log.overwrite(prediction.labels)
    assert (overwritten == TRUTH).mean() > 0.6  # a constant answer gets 0.35
    np.testing.assert_array_equal(overwritten[asked], TRUTH[asked])


@every_acquisition
def test_a_session_learns_and_never_asks_twice(acquisition: str) -> None:
    check_learning(start(acquisition, selection=Selection(spacing=2)), [6, 1, 1, 4, 8])


@pytest.mark.slow
@pytest.mark.parametrize("acquisition", ["margin", "power_bald", "error_depth"])
def test_so_does_one_of_another_network(acquisition: str) -> None:
    """With one acquisition of each kind: of the mean, of members and noise, of the truth."""
    check_learning(start(acquisition, "unet", selection=Selection(spacing=2)), [8, 12])


def test_ask_gives_rows_and_columns_and_changes_nothing() -> None:
    session = start()
    play(session, [5])
    question = session.ask(4)
    assert question.shape == (4, 2)
    assert question.dtype == np.int64
    np.testing.assert_array_equal(session.ask(4), question)
    np.testing.assert_array_equal(session.ask(2), question[:2])
    assert session.log.asked == 5
    assert session.ask(0).shape == (0, 2)


def test_everything_askable_is_asked_in_the_end() -> None:
    session = start(selection=Selection(spacing=0))
    play(session, [5])
    question = session.ask(10_000)
    assert len(question) == ASKABLE.sum() - 5
    assert session.log.candidates().any()
    session.tell(question, right(question))
    assert not session.log.candidates().any()
    assert len(session.ask(1)) == 0
    np.testing.assert_array_equal(session.log.overwrite(np.zeros(SHAPE, np.uint8))[ASKABLE], TRUTH[ASKABLE])


def test_predict_says_what_the_members_say_on_average() -> None:
    session = start(members=3, smoothing="none")
    prediction = play(session, [9, 3])
    logits = torch.cat([tile for _, tile in session.network.tiles(session.learner.parameters, session.inputs)], -1)
    mean = logits.double().softmax(1).mean(0).numpy()  # (C, N)
    np.testing.assert_array_equal(prediction.labels.ravel(), mean.argmax(0))
    np.testing.assert_allclose(prediction.confidence.ravel(), mean.max(0), atol=1e-5)
    two = np.sort(mean, axis=0)[-2:]
    np.testing.assert_allclose(session.scores.ravel(), two[0] - two[1], atol=1e-5)  # type: ignore[union-attr]


@every_network
def test_same_seed_same_bits_and_another_seed_others(network: str) -> None:
    one, same, other = (start(network=network, members=1, seed=seed) for seed in (3, 3, 4))
    assert network == "gp" or not same_weights(one, other)  # gp draws none
    assert one.ask(5).tolist() != other.ask(5).tolist()
    torch.manual_seed(0)
    np.random.seed(0)  # global random state must be of no account
    play(one, [5, 3])
    torch.manual_seed(1)
    np.random.seed(1)
    play(same, [5, 3])
    assert_same_bits(one, same)


def test_all_settings_share_first_pixels_and_initial_weights() -> None:
    selections = [Selection(), Selection(spacing=0), Selection(percent=5)]
    uniform = [name for name, acquisition in ACQUISITIONS.items() if not acquisition.facility]
    sessions = [start(name, selection=selection) for name in uniform for selection in selections]
    first = sessions[0]
    for other in sessions[1:]:
        np.testing.assert_array_equal(first.ask(7), other.ask(7))
        assert same_weights(first, other)
    predictions = [play(session, [7]) for session in sessions]
    assert all((prediction.labels == predictions[0].labels).all() for prediction in predictions)
    second = {tuple(map(tuple, session.ask(3).tolist())) for session in sessions}
    assert len(second) > len(uniform)  # from here on they go their own ways


def test_spacing_keeps_picks_of_a_round_apart_but_random_ignores_it() -> None:
    def nearest(acquisition: str) -> int:
        session = start(acquisition, selection=Selection(spacing=6))
        play(session, [5])
        picks = session.ask(8)
        between = np.abs(picks[:, None] - picks[None]).max(-1)
        return int(between[~np.eye(len(picks), dtype=bool)].min())

    assert nearest("margin") > 6
    assert nearest("entropy") > 6
    assert nearest("random") <= 6  # 8 uniform picks in 24×32 all 7 apart: next to impossible


@pytest.mark.parametrize("acquisition", ["random", "margin"])
def test_a_round_asks_for_as_many_as_told_even_where_spacing_leaves_no_room(acquisition: str) -> None:
    session = start(acquisition, selection=Selection(spacing=50))
    play(session, [5])
    picks = session.ask(20)
    assert len(np.unique(picks, axis=0)) == 20
    assert session.scores is not None
    left = np.where(session.log.candidates(), session.scores, -np.inf)
    np.testing.assert_array_equal(left[tuple(picks.T)], np.sort(left, axis=None)[:-21:-1])


def test_random_asks_a_fresh_draw_every_round() -> None:
    session = start("random")
    play(session, [4])
    scores = session.scores
    play(session, [4])
    assert not np.array_equal(scores, session.scores)
    assert session.scores is not None
    assert abs(session.scores.mean() - 0.5) < 0.05


def test_percent_draws_among_the_highest_scores() -> None:
    session = start(selection=Selection(percent=5))
    play(session, [5])
    assert session.scores is not None
    left = session.scores[session.log.candidates()]
    lowest = np.sort(left)[::-1][round(len(left) * 0.05) - 1]
    assert (session.scores[tuple(session.ask(10).T)] >= lowest).all()
    assert session.selection_name == "random among the top 5 %"


def test_selection_names() -> None:
    assert start().selection_name == "top, 10 px apart"
    assert start("random").selection_name == "top, 0 px apart"
    assert start("error_depth").selection_name == "top, each clear of the mistakes before"


def test_error_depth_asks_only_for_mistakes() -> None:
    session = start("error_depth")
    prediction = play(session, [4])
    question = session.ask(3)
    assert (prediction.labels[tuple(question.T)] != right(question)).all()


def test_error_depth_counts_no_revealed_pixel_as_a_mistake() -> None:
    session = start("error_depth")
    question = session.ask(8)
    session.tell(question, (right(question) + 1) % CLASSES)  # misled, so that it errs where it was told
    fit([session])
    wrong = session.predict().labels != TRUTH
    assert wrong[tuple(question.T)].any()
    wrong[tuple(question.T)] = False
    assert session.scores is not None
    np.testing.assert_array_equal(session.scores > 0, wrong)


def test_error_depth_never_asks_void_for_a_mistake() -> None:
    void = TRUTH.copy()
    void[:, 16:] = VOID
    session = ImageSession(
        image(), np.ones(SHAPE, bool), CLASSES, acquisition="error_depth", truth=void, inputs=shared_inputs("mlp")
    )
    question = session.ask(6)
    session.tell(question, void[tuple(question.T)])
    fit([session])
    session.predict()
    assert session.scores is not None
    assert session.scores.any()
    assert not session.scores[:, 16:].any()


def test_void_and_unsure_cost_a_click_and_teach_nothing() -> None:
    session, other = start(), start()
    question = session.ask(8)
    answers = right(question)
    answers[[2, 5]] = VOID, UNSURE
    session.tell(question, answers)
    assert (session.log.asked, session.log.revealed) == (8, 6)
    taught = [0, 1, 3, 4, 6, 7]
    other.tell(question[taught], answers[taught])
    fit([session, other])
    assert same_weights(session, other)
    predicted = session.predict().labels
    whole = session.log.overwrite(predicted)
    assert whole[tuple(question[2])] == VOID
    assert whole[tuple(question[5])] == predicted[tuple(question[5])]
    assert not {tuple(pixel) for pixel in question.tolist()} & set(map(tuple, session.ask(600).tolist()))


def test_with_nothing_revealed_there_is_nothing_to_fit() -> None:
    session = start()
    before = weights(session)
    question = session.ask(3)
    session.tell(question, np.array([VOID, UNSURE, VOID], np.uint8))
    fit([session])
    assert session.learner.step == 0
    assert all(a is b for a, b in zip(before, weights(session), strict=True))
    session.predict()
    assert len(session.ask(2)) == 2


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"classes": 1}, ["1 class", "two"]),
        ({"classes": 255}, ["255 classes", "254"]),
        ({"image": image().astype(np.float32)}, ["image float32", "uint8"]),
        ({"image": image()[..., :2]}, ["image uint8 (24, 32, 2)", "(H, W, 3)"]),
        ({"askable": ASKABLE.astype(np.uint8)}, ["askable", "uint8", "bool"]),
        ({"askable": np.ones((9, 9), bool)}, ["askable", "(9, 9)", "(24, 32)"]),
        ({"askable": np.zeros(SHAPE, bool)}, ["no pixel"]),
        ({"acquisition": "error_depth"}, ["--acquisition error_depth", "true label map"]),
        ({"acquisition": "error_depth", "truth": TRUTH[1:]}, ["--acquisition error_depth", "true label map"]),
        ({"acquisition": "bald", "members": 1}, ["--acquisition bald", "at least 2", "--members"]),
        ({"acquisition": "guess"}, ["--acquisition guess", *ACQUISITIONS]),
        ({"network": "cnn"}, ["--network cnn", *NETWORKS]),
    ],
)
def test_a_session_that_cannot_be(changes: dict[str, Any], parts: list[str]) -> None:
    arguments: dict[str, Any] = {"image": image(), "askable": ASKABLE, "classes": CLASSES} | changes
    with refused(*parts):
        ImageSession(**arguments)


def test_what_is_askable_is_the_sessions_own() -> None:
    askable = ASKABLE.copy()
    session = ImageSession(image(), askable, CLASSES, inputs=shared_inputs("mlp"))
    askable[:] = False
    assert len(session.ask(4)) == 4


def check_fit_of_many(sessions: Callable[[], list[ImageSession]], enter: tuple[int, ...]) -> None:
    """So many of the sessions are told and fitted in each round: one by one, and together the other way round."""

    def tell_each(each: list[ImageSession]) -> None:
        for index, session in enumerate(each):
            question = session.ask(9 + index)
            session.tell(question, right(question))

    alone, together = sessions(), sessions()
    for entered in enter:
        for group in (alone, together):
            tell_each(group[:entered])
        for session in alone[:entered]:
            fit([session])
        fit(together[:entered][::-1])
        for session in (*alone[:entered], *together[:entered]):
            session.predict()
    for one, other in zip(alone, together, strict=True):
        assert_same_bits(one, other)


def smaller_session(network: str) -> ImageSession:
    """Of another image, with another seed."""
    part = image()[:17, :19]
    return ImageSession(part, ASKABLE[:17, :19], CLASSES, network=network, members=2, seed=9)


def test_fit_of_many_is_fit_of_each() -> None:
    """With other seeds, acquisitions, members, images, numbers of revealed pixels, and entering late."""

    def sessions() -> list[ImageSession]:
        kinds = [start("margin"), start("random"), start("margin", seed=8), start("margin", members=1)]
        return [*kinds, smaller_session("mlp")]

    check_fit_of_many(sessions, (2, 5))


@pytest.mark.slow
def test_so_it_is_of_networks_that_are_not_stacked() -> None:
    check_fit_of_many(lambda: [start("margin", "unet", members=1), smaller_session("unet")], (1, 2))


def test_fit_takes_no_sessions() -> None:
    fit([])


def test_two_classes_are_asked_alike_by_entropy_least_confidence_and_margin() -> None:
    """To the pixel, for many rounds: in float32 their values near a tie would rank otherwise."""
    logs = []
    for acquisition in ("entropy", "least_confidence", "margin"):
        session = ImageSession(image(), ASKABLE, 2, acquisition=acquisition, seed=1, inputs=shared_inputs("mlp"))
        for count in (5, *[1] * 10, *[3] * 5):
            question = session.ask(count)
            session.tell(question, np.minimum(right(question), 1))
            fit([session])
            session.predict()
        logs.append(session.log.pixels)
    np.testing.assert_array_equal(logs[1], logs[0])
    np.testing.assert_array_equal(logs[2], logs[0])
