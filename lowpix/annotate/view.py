"""What the page shows of an image: questions, labels' version, audits, and when it is enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowpix.annotate.audit import estimate
from lowpix.annotate.bench import FIRST, Bench
from lowpix.annotate.store import Answer, Store


@dataclass(frozen=True)
class Stop:
    """When an image counts as done."""

    how: str
    """person, budget or audit."""
    most: int
    """Largest number of answers to learn from."""
    target: float
    """Share of pixels labelled right, which an audit must bound from below."""
    audit_every: int = 50
    """With `audit`: answers between two audits."""


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
    learnt = [answer for answer in answers if answer.kind != "audit"]
    frame, answered, behind = bench.frame, {answer.cell for answer in answers}, bench.behind(answers)
    audit = _audit(store, image, known.audits, len(answers) - len(learnt))
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
        "over": _over(stop, len(learnt), audit),
    }


def _over(stop: Stop, learnt: int, audit: dict[str, Any] | None) -> str | None:
    """Why the image is done, in words; None while it is not."""
    if learnt >= stop.most:
        return f"the budget of {stop.most} answers is spent"
    if stop.how == "audit" and audit and audit["low"] is not None and audit["low"] >= stop.target:
        return f"the audit bounds the share of right pixels by {100 * audit['low']:.1f} %"
    return None


def _audit(store: Store, image: int, wanted: int, told: int) -> dict[str, Any] | None:
    """The audit so far: `told` of the `wanted` pixels are answered, and what the last look at them gave."""
    if not wanted:
        return None
    audit: dict[str, Any] = {"told": told, "wanted": wanted, "looks": 0, "low": None}
    if looks := store.looks(image):
        _, asked, right = looks[-1]
        audit |= estimate(asked, right, len(looks))._asdict()
    return audit


def _unseen(store: Store, image: int, answers: Sequence[Answer]) -> int | None:
    """The first class that was neither seen nor said to be absent, once there are some answers."""
    if len(answers) < 2 * FIRST:
        return None
    seen = {answer.answer for answer in answers} | store.absent(image)
    return next((label for label in range(len(store.classes())) if label not in seen), None)
