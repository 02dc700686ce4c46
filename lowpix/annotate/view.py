"""What the page shows of an image: questions, labels' version, audits, and when it is enough."""

from collections.abc import Sequence
from typing import Any

from lowpix.annotate.bench import FIRST, Bench
from lowpix.annotate.stop import Stop, audit_of, over
from lowpix.annotate.store import Answer, Store


def view_of(store: Store, image: int, bench: Bench | None, stop: Stop) -> dict[str, Any]:
    """The view of an image as JSON. `bench` is None until its photograph is read."""
    known, answers = store.image(image), store.answers(image)
    view: dict[str, Any] = {
        "image": image,
        "name": known.name,
        "status": known.status,
        "answers": [(answer.row, answer.column, answer.answer, answer.kind) for answer in answers],
        "hint": _unseen(store, image, answers),
    }
    if known.height is None or bench is None:
        return view | {"size": None, "questions": [], "version": 0, "work": "preparing"}
    frame, answered, behind = bench.frame, {answer.cell for answer in answers}, bench.behind(answers)
    audit = audit_of(store, image, answers)
    return view | {
        "size": (frame.height, frame.width),
        "cells": frame.shape,
        "questions": [(*frame.pixel(cell), kind) for cell, kind in bench.questions if cell not in answered],
        "version": bench.version if bench.labels is not None else 0,
        "behind": behind,
        "learnt": bench.learnt,
        "helped_by": bench.helped_by,
        "work": "preparing" if bench.session is None else "training" if behind or not bench.renewed else "ready",
        "audit": audit,
        "over": over(answers, audit, stop),
    }


def _unseen(store: Store, image: int, answers: Sequence[Answer]) -> int | None:
    """The first class that was neither seen nor said to be absent, once there are some answers."""
    if len(answers) < 2 * FIRST:
        return None
    seen = {answer.answer for answer in answers} | store.absent(image)
    return next((label for label in range(len(store.classes())) if label not in seen), None)
