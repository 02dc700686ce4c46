"""The store of a person's answers: each is kept once, and undone without end."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from lowpix.annotate.frame import WORK, Frame
from lowpix.annotate.keys import COMMANDS, FREE, keys_of
from lowpix.annotate.requests import AUDIT, do
from lowpix.annotate.store import Store
from lowpix.reveal.log import UNSURE, VOID


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    opened.set_classes(["sky", "wall"], ["1", "2"])
    opened.add_images(["a", "b"])
    opened.set_size(1, 30, 40, "")
    opened.set_size(2, 30, 40, "")
    yield opened
    opened.close()


def answer(uid: int, row: int, column: int, label: int = 0, **more: Any) -> dict[str, Any]:
    given = {"type": "answer", "image": 1, "row": row, "column": column, "answer": label, "kind": "asked"}
    return {"uid": f"request-{uid}", "seconds": 0.9, **given, **more}


def undo(uid: int) -> dict[str, Any]:
    return {"uid": f"request-{uid}", "type": "undo"}


def told(store: Store, image: int = 1) -> list[tuple[int, int, int]]:
    return [(known.row, known.column, known.answer) for known in store.answers(image)]


def test_a_request_that_is_sent_again_changes_nothing(store: Store) -> None:
    first = do(store, [answer(1, 3, 4), answer(2, 5, 6, 1)])
    assert do(store, [answer(1, 3, 4), answer(2, 5, 6, 1)]) == first
    assert told(store) == [(3, 4, 0), (5, 6, 1)]
    taken = do(store, [undo(3)])
    assert do(store, [undo(3)]) == taken
    assert told(store) == [(3, 4, 0)]


def test_all_of_a_batch_or_nothing(store: Store) -> None:
    with refused("answer 7", "class"):
        do(store, [answer(1, 3, 4), answer(2, 5, 6, 7)])
    assert told(store) == []
    do(store, [answer(1, 3, 4)])  # its uid was not used up
    assert told(store) == [(3, 4, 0)]


def test_the_same_pixel_from_two_tabs_counts_once(store: Store) -> None:
    do(store, [answer(1, 3, 4)])
    (second,) = do(store, [answer(2, 3, 4, 1)])
    assert "ignored" in second
    assert told(store) == [(3, 4, 0)]


def test_a_shown_pixel_changes_its_answer_and_undo_changes_it_back(store: Store) -> None:
    do(store, [answer(1, 3, 4), answer(2, 9, 9)])
    do(store, [answer(3, 3, 4, 1, kind="shown")])
    assert told(store) == [(9, 9, 0), (3, 4, 1)]
    do(store, [undo(4)])
    assert told(store) == [(3, 4, 0), (9, 9, 0)]


def test_an_audit_pixel_that_is_clicked_stays_in_the_audit(store: Store) -> None:
    """Otherwise whoever mends the mistakes that an audit found would mend the audit."""
    do(store, [answer(1, 3, 4, kind="audit"), answer(2, 5, 6, kind="audit")])
    (same,) = do(store, [answer(3, 3, 4, kind="shown")])
    assert "audit" in same["ignored"]
    do(store, [answer(4, 5, 6, 1, kind="shown")])
    assert [(known.answer, known.kind) for known in store.answers(1)] == [(0, "audit"), (1, "audit")]
    do(store, [undo(5)])
    assert [(known.answer, known.kind) for known in store.answers(1)] == [(0, "audit"), (0, "audit")]


def test_undo_goes_back_to_the_image_before_and_opens_it_again(store: Store) -> None:
    do(store, [answer(1, 3, 4), {"uid": "request-2", "type": "status", "image": 1, "status": "done"}])
    do(store, [answer(3, 7, 8, image=2)])
    assert [result["image"] for result in do(store, [undo(4), undo(5)])] == [2, 1]
    assert store.image(1).status == "open"
    assert "nothing" in do(store, [undo(6)])[0]


def test_void_unsure_audit_and_status(store: Store) -> None:
    with refused("image a", "no answer to learn from"):
        do(store, [{"uid": "request-0", "type": "status", "image": 1, "status": "done"}])
    do(store, [answer(1, 3, 4, VOID), answer(2, 5, 6, UNSURE)])
    do(
        store,
        [{"uid": "request-3", "type": "audit", "image": 1}, {"uid": "request-4", "type": "audit", "image": 1}],
    )
    assert store.image(1).audits == AUDIT  # the second one waits until the first is answered
    do(store, [{"uid": "request-5", "type": "absent", "image": 1, "class": 1}])
    assert store.absent(1) == {1}


@pytest.mark.parametrize(
    "broken",
    [
        {"uid": "short"},
        {"uid": 12345678},
        {"type": "drop"},
        {"row": 30},
        {"row": -1},
        {"row": 1.5},
        {"row": True},
        {"column": "4"},
        {"answer": 253},
        {"kind": "guessed"},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"image": 3},
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_refused(store: Store, broken: dict[str, Any]) -> None:
    with refused():
        do(store, [answer(1, 3, 4) | broken])
    assert told(store) == []


def test_classes_come_in_and_change_their_names(store: Store) -> None:
    store.add_class("roof", "r")
    store.rename_class(0, "heaven")
    assert store.classes() == [("heaven", "1"), ("wall", "2"), ("roof", "r")]
    for name, key in (("roof", "z"), ("door", "r"), ("", "z"), ("a,b", "z"), (" ", "z"), ("grade:A", "z")):
        with refused("class" if key == "z" else "key r"):
            store.add_class(name, key)
    with refused("class 9"):
        store.rename_class(9, "door")


def test_what_was_answered_is_there_after_reopening_and_a_second_one_is_refused(
    store: Store, tmp_path: Path
) -> None:
    do(store, [answer(1, 3, 4), answer(2, 5, 6)])
    with refused(str(tmp_path), "another annotate"):
        Store(tmp_path)
    store.close()
    reopened = Store(tmp_path)
    assert told(reopened) == [(3, 4, 0), (5, 6, 0)]
    reopened.close()
    with sqlite3.connect(tmp_path / "answers.sqlite") as plain:  # a reader of its own
        assert plain.execute("SELECT count(*) FROM answers").fetchone() == (2,)


def test_another_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_text("a diary " * 1000)
    with refused("answers.sqlite", "cannot be read as answers"):
        Store(tmp_path)


@given(st.integers(1, 9000), st.integers(1, 9000), st.data())
def test_cells_and_pixels_of_a_photograph_fit(height: int, width: int, data: st.DataObject) -> None:
    """A cell's pixel lies in the cell, and each pixel lies in the cell whose part of the photograph holds it."""
    frame = Frame(height, width)
    small = frame.shape
    assert small[0] * small[1] <= max(WORK * 1.02, height) or min(small) == 1
    cell = data.draw(st.integers(0, small[0] * small[1] - 1))
    assert frame.cell(*frame.pixel(cell)) == cell
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    found = np.array(divmod(frame.cell(row, column), small[1]))
    middle = (np.array([row, column]) + 0.5) * small / np.array([height, width])
    assert (np.floor(middle + 1e-9) == found).all() or (np.floor(middle - 1e-9) == found).all()


def test_keys_never_clash() -> None:
    keys = keys_of([f"class {index}" for index in range(len(FREE))])
    assert len(set(keys)) == len(keys)
    assert not COMMANDS & set(keys)
    assert keys_of(["sky", "road", "car"], "sky,road:r,car") == ["1", "r", "2"]
    for text, part in (("sky:u,road", "'u'"), ("sky:z,road:z", "two classes")):
        with refused("--classes sky", part):
            keys_of(["sky", "road"], text)
    with refused("keys"):
        keys_of([f"class {index}" for index in range(len(FREE) + 1)])
