"""Ask, tell, fit, predict: one image's session, and many of them together."""

import re
from typing import Any

import numpy as np
import pytest
import torch
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
    shared_inputs,
    start,
    weights,
)

from lowpix.errors import InputError
from lowpix.reveal.acquisition import ACQUISITIONS
from lowpix.reveal.oracle import UNSURE, VOID
from lowpix.reveal.session import ImageSession, Selection, fit


@every_acquisition
@every_network
def test_a_session_learns_and_never_asks_twice(acquisition: str, network: str) -> None:
    session = start(acquisition, network, selection=Selection(spacing=2))
    prediction = play(session, [6, 1, 1, 4, 8])
    assert session.asked == session.revealed == 20
    assert len(set(session.pixels)) == 20
    assert ASKABLE.ravel()[session.pixels].all()
    assert prediction.labels.shape == prediction.confidence.shape == SHAPE
    assert (prediction.labels.dtype, prediction.confidence.dtype) == (np.uint8, np.float32)
    assert 0 <= prediction.confidence.min() <= prediction.confidence.max() <= 1
    assert prediction.labels.max() < CLASSES
    overwritten = session.overwrite(prediction.labels)
    assert (overwritten == TRUTH).mean() > 0.6  # a constant answer gets 0.35
    assert (overwritten.ravel()[session.pixels] == TRUTH.ravel()[session.pixels]).all()


def test_ask_gives_rows_and_columns_and_changes_nothing() -> None:
    session = start()
    play(session, [5])
    question = session.ask(4)
    assert question.shape == (4, 2)
    assert question.dtype == np.int64
    np.testing.assert_array_equal(session.ask(4), question)
    np.testing.assert_array_equal(session.ask(2), question[:2])
    assert session.asked == 5
    assert session.ask(0).shape == (0, 2)


def test_everything_askable_is_asked_in_the_end() -> None:
    session = start(selection=Selection(spacing=0))
    play(session, [5])
    question = session.ask(10_000)
    assert len(question) == ASKABLE.sum() - 5
    assert session.askable_left
    session.tell(question, right(question))
    assert not session.askable_left
    assert len(session.ask(1)) == 0
    np.testing.assert_array_equal(session.overwrite(np.zeros(SHAPE, np.uint8))[ASKABLE], TRUTH[ASKABLE])


def test_predict_says_what_the_members_say_on_average() -> None:
    session = start(members=3)
    prediction = play(session, [9, 3])
    logits = torch.cat([tile for _, tile in session.network.tiles(session.learner.parameters, session.inputs)], -1)
    mean = logits.double().softmax(1).mean(0).numpy()  # (C, N)
    np.testing.assert_array_equal(prediction.labels.ravel(), mean.argmax(0))
    np.testing.assert_allclose(prediction.confidence.ravel(), mean.max(0), atol=1e-5)
    two = np.sort(mean, axis=0)[-2:]
    np.testing.assert_allclose(session.scores.ravel(), two[0] - two[1], atol=1e-5)  # type: ignore[union-attr]


@every_network
def test_same_seed_same_bits_and_another_seed_others(network: str) -> None:
    one, same, other = start(network=network), start(network=network), start(network=network, seed=4)
    torch.manual_seed(0)
    np.random.seed(0)  # global random state must be of no account
    play(one, [5, 1, 3])
    torch.manual_seed(1)
    np.random.seed(1)
    play(same, [5, 1, 3])
    play(other, [5, 1, 3])
    assert_same_bits(one, same)
    assert one.pixels[:5] != other.pixels[:5]
    assert not all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_all_settings_share_first_pixels_and_initial_weights() -> None:
    selections = [Selection(), Selection(spacing=0), Selection(percent=5)]
    sessions = [start(name, selection=selection) for name in ACQUISITIONS for selection in selections]
    first = sessions[0]
    for other in sessions[1:]:
        np.testing.assert_array_equal(first.ask(7), other.ask(7))
        assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(other), strict=True))
    predictions = [play(session, [7]) for session in sessions]
    assert all((prediction.labels == predictions[0].labels).all() for prediction in predictions)
    second = {tuple(map(tuple, session.ask(3).tolist())) for session in sessions}
    assert len(second) > len(ACQUISITIONS)  # from here on they go their own ways


def test_first_pixels_are_uniform_and_a_smaller_first_round_is_not_another_place() -> None:
    hits = np.zeros(SHAPE)
    for seed in range(300):
        hits[tuple(start(seed=seed).ask(8).T)] += 1
    assert not hits[~ASKABLE].any()
    quarters = hits[:12, :16].sum(), hits[:12, 16:].sum(), hits[12:, :16].sum(), hits[12:, 16:].sum()
    areas = np.array([192 - 15, 192, 192, 192]) / ASKABLE.sum()
    np.testing.assert_allclose(np.array(quarters) / 2400, areas, atol=0.04)


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
    left = session.scores.copy()
    left[tuple(np.divmod(session.pixels, left.shape[1]))] = -np.inf
    left[~session.askable] = -np.inf
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
    left = ASKABLE.copy()
    left.ravel()[session.pixels] = False
    lowest = np.sort(session.scores[left])[::-1][round(left.sum() * 0.05) - 1]
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
    assert (session.asked, session.revealed) == (8, 6)
    taught = [0, 1, 3, 4, 6, 7]
    other.tell(question[taught], answers[taught])
    fit([session, other])
    assert all(torch.equal(a, b) for a, b in zip(weights(session), weights(other), strict=True))
    predicted = session.predict().labels
    whole = session.overwrite(predicted)
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


def test_part_of_a_question_may_be_told() -> None:
    session = start()
    question = session.ask(6)
    session.tell(question[[4, 1]], right(question[[4, 1]]))
    assert session.pixels == [row * SHAPE[1] + column for row, column in question[[4, 1]].tolist()]
    session.tell(np.empty((0, 2), np.int64), np.empty(0, np.uint8))
    assert session.asked == 2


@pytest.mark.parametrize(
    ("question", "answers", "message"),
    [
        ([[24, 0]], [1], "pixel (24, 0): lies outside the image of (24, 32)"),
        ([[0, 32]], [1], "pixel (0, 32): lies outside the image of (24, 32)"),
        ([[-1, 4]], [1], "pixel (-1, 4): lies outside the image of (24, 32)"),
        ([[9, 9]], [3], "answer 3 at (9, 9): must be a class under 3"),
        ([[9, 9]], [-1], "answer -1 at (9, 9): must be a class under 3"),
        ([[9, 9]], [253], "answer 253 at (9, 9): must be a class under 3"),
        ([[9, 9], [8, 8]], [1], "1 answers to 2 pixels: must be one each"),
        ([[5, 5]], [1], "pixel (5, 5): was told before; undo first to change its answer"),
        ([[9, 9], [9, 9]], [1, 1], "pixel (9, 9): was told before; undo first to change its answer"),
        ([[8, 8], [9, 9], [30, 9]], [0, 1, 1], "pixel (30, 9): lies outside the image of (24, 32)"),
    ],
)
def test_tell_refuses_and_takes_nothing(question: list[list[int]], answers: list[int], message: str) -> None:
    session = start()
    session.tell(np.array([[5, 5]]), np.array([1]))
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        session.tell(np.array(question), np.array(answers))
    assert (session.pixels, session.answers) == ([5 * 32 + 5], [1])
    assert len(session.ask(10_000)) == ASKABLE.sum() - 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 1}, "1 class: there is nothing to ask with fewer than two"),
        ({"classes": 255}, "255 classes: there can be at most 254, since larger labels are no classes"),
        ({"askable": np.ones((9, 9), bool)}, "askable pixels (9, 9): must have the shape of the image (24, 32)"),
        ({"askable": np.zeros(SHAPE, bool)}, "no pixel of the image may be asked"),
        ({"acquisition": "error_depth"}, "--acquisition error_depth: needs the true label map"),
        ({"acquisition": "guess"}, "--acquisition guess: unknown; choose from"),
        ({"network": "cnn"}, "--network cnn: unknown; choose from mlp, mlp_float32, unet"),
    ],
)  # fmt: skip
def test_a_session_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"image": image(), "askable": ASKABLE, "classes": CLASSES} | changes
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        ImageSession(**arguments)


def test_what_is_askable_is_the_sessions_own() -> None:
    askable = ASKABLE.copy()
    session = ImageSession(image(), askable, CLASSES, inputs=shared_inputs("mlp"))
    askable[:] = False
    assert len(session.ask(4)) == 4


@every_network
def test_fit_of_many_is_fit_of_each(network: str) -> None:
    """With other seeds, acquisitions, members, images, numbers of revealed pixels, and entering late."""
    shared_inputs(network)

    def sessions() -> list[ImageSession]:
        smaller = ImageSession(image()[:17, :19], ASKABLE[:17, :19], CLASSES, network=network, members=2, seed=9)
        kinds = [start("margin", network), start("random", network), start("margin", network, seed=8)]
        return [*kinds, start("margin", network, members=1), smaller]

    def answer(each: list[ImageSession], count: int) -> None:
        for index, session in enumerate(each):
            question = session.ask(count + index)
            session.tell(question, right(question))

    alone, together = sessions(), sessions()
    for group in (alone, together):
        for entered in (2, 5):
            answer(group[:entered], 9)
            if group is alone:
                for session in group[:entered]:
                    fit([session])
            else:
                fit(group[:entered][::-1])
            for session in group[:entered]:
                session.predict()
    for one, other in zip(alone, together, strict=True):
        assert_same_bits(one, other)


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
        logs.append(session.pixels)
    assert logs[0] == logs[1] == logs[2]
