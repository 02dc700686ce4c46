"""What a person does on the page: answers, undo, status, classes that are absent, and audits.

A request has an id of its own. One whose id was seen before is not done again, so a page that does not know
whether a request arrived sends it again.
"""

import json
from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from lowpix.annotate.store import Answer, Store
from lowpix.errors import InputError, is_plain
from lowpix.reveal.log import UNSURE, VOID

AUDIT = 20
"""Pixels of an audit."""
AUDITED = "belongs to the audit, so nothing is learnt from it: click the pixels beside it"


def do(store: Store, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Do what the page requests, in order: all of it or, after a fault, nothing. Returns the results.

    A request has a `uid` and a `type`: answer, undo, status, absent or audit. One whose uid was seen before is
    not done again; its first result is returned.

    Raises:
        InputError: a request breaks a rule.
    """
    with store.all_or_nothing():
        return [_once(store, request) for request in requests]


def _once(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    uid, kind = request.get("uid"), request.get("type")
    if not isinstance(uid, str) or not 8 <= len(uid) <= 64 or not is_plain(uid):
        raise InputError("a request needs a uid of 8 to 64 characters")
    seen = store.rows("SELECT result FROM requests WHERE uid = ?", uid)
    if seen:
        return dict(json.loads(seen[0][0]))
    actions = {
        "answer": _answer,
        "undo": _undo,
        "status": _status,
        "absent": _absent,
        "audit": _audit,
    }
    if kind not in actions:
        raise InputError(f"request {kind!r}: must be one of {', '.join(actions)}")
    result = actions[str(kind)](store, request)
    store.execute("INSERT INTO requests VALUES (?, ?)", (uid, json.dumps(result)))
    return result


def _answer(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    image = store.image(_whole(request, "image"))
    frame, kind = image.frame, request.get("kind")
    row, column = _whole(request, "row"), _whole(request, "column")
    answer, seconds = _whole(request, "answer"), request.get("seconds")
    if not (row < frame.height and column < frame.width):
        raise InputError(f"pixel ({row}, {column}): lies outside image {image.name}")
    if answer >= len(store.classes()) and answer not in (VOID, UNSURE):
        raise InputError(f"answer {answer}: must be a class, {VOID} for void or {UNSURE} for unsure")
    if kind not in ("asked", "shown", "audit"):
        raise InputError(f"kind {kind!r}: must be asked, shown or audit")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e7:
        raise InputError(f"seconds {seconds!r}: must be a number from 0")
    cell = frame.cell(row, column)
    known = "SELECT number, answer, kind FROM answers WHERE image = ? AND cell = ? AND NOT gone"
    replaced = None
    for replaced, before, its_kind in store.rows(known, image.id, cell):  # one, if any
        if kind != "shown":
            return {"image": image.id, "ignored": "was answered before, perhaps in another tab"}
        if its_kind == "audit":
            # learnt from, it would leave the audit: an audit without the mistakes that were found shows too few
            kind = "audit"
            if before == answer:
                return {"image": image.id, "ignored": AUDITED}
        store.execute("UPDATE answers SET gone = 1 WHERE number = ?", (replaced,))
    store.execute(
        "INSERT INTO answers (image, cell, row, column, answer, kind, seconds, time, replaces) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (image.id, cell, row, column, answer, kind, seconds, time(), replaced),
    )
    store.execute("UPDATE images SET status = 'open' WHERE id = ?", (image.id,))
    return {"image": image.id, "replaced": replaced is not None}


def _undo(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    last = store.rows(
        "SELECT number, image, row, column, answer, kind, replaces FROM answers WHERE NOT gone "
        "ORDER BY number DESC LIMIT 1"
    )
    if not last:
        return {"nothing": "there is nothing to undo"}
    number, image, row, column, answer, kind, replaces = last[0]
    store.execute("UPDATE answers SET gone = 1 WHERE number = ?", (number,))
    if replaces is not None:
        store.execute("UPDATE answers SET gone = 0 WHERE number = ?", (replaces,))
    store.execute("UPDATE images SET status = 'open' WHERE id = ?", (image,))
    undone = {"row": row, "column": column, "answer": answer, "kind": kind}
    return {"image": image, "undone": undone}


def _status(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    image, status = store.image(_whole(request, "image")), request.get("status")
    if status not in ("open", "done", "skipped"):
        raise InputError(f"status {status!r}: must be open, done or skipped")
    if status == "done" and not any(map(is_learnable, store.answers(image.id))):
        raise InputError(f"image {image.name}: has no answer to learn from: answer a question, or skip it")
    store.execute("UPDATE images SET status = ? WHERE id = ?", (status, image.id))
    return {"image": image.id, "status": status}


def _absent(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    image, label = store.image(_whole(request, "image")), _whole(request, "class")
    store.execute("INSERT OR IGNORE INTO absent VALUES (?, ?)", (image.id, label))
    return {"image": image.id}


def _audit(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    image = store.image(_whole(request, "image"))
    told = sum(known.kind == "audit" for known in store.answers(image.id))
    if told >= image.audits:
        store.execute("UPDATE images SET audits = ? WHERE id = ?", (told + AUDIT, image.id))
    return {"image": image.id}


def is_learnable(answer: Answer) -> bool:
    """Whether the networks of an image can learn from an answer."""
    return answer.answer < UNSURE and answer.kind != "audit"


def _whole(request: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 in a request."""
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InputError(f"{name} {value!r}: must be a whole number from 0")
    return value
