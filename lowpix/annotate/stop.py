"""When an image is done: audits of its labels, and why it is enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowpix.annotate.audit import estimate
from lowpix.annotate.bench import Bench
from lowpix.annotate.requests import AUDIT, do, is_learnable
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


def over(answers: Sequence[Answer], audit: dict[str, Any] | None, stop: Stop) -> str | None:
    """Why it is enough, in words; None while it is not. `audit` is what `audit_of` gives."""
    if sum(answer.kind != "audit" for answer in answers) >= stop.most:
        return f"the budget of {stop.most} answers is spent"
    if stop.how == "audit" and audit and audit["low"] is not None and audit["low"] >= stop.target:
        return f"the audit bounds the share of right pixels by {100 * audit['low']:.1f} %"
    return None


def audit_of(store: Store, image: int, answers: Sequence[Answer]) -> dict[str, Any] | None:
    """The audit so far: how many of the wanted pixels are answered, and what the last look at them gave."""
    wanted, told = store.image(image).audits, sum(answer.kind == "audit" for answer in answers)
    if not wanted:
        return None
    audit: dict[str, Any] = {"told": told, "wanted": wanted, "looks": 0, "low": None}
    if looks := store.looks(image):
        _, asked, right = looks[-1]
        audit |= estimate(asked, right, len(looks))._asdict()
    return audit


def look(store: Store, image: int, bench: Bench, answers: Sequence[Answer], stop: Stop) -> None:
    """Compare audit answers with the labels when an audit is complete, and begin one if it is due."""
    wanted, audits = store.image(image).audits, [answer for answer in answers if answer.kind == "audit"]
    looks = store.looks(image)
    if audits and len(audits) == wanted and (not looks or looks[-1][0] != audits[-1].number):
        store.add_look(image, audits[-1].number, *bench.right(answers))
    if stop.how == "audit" and len(audits) == wanted:
        due = (len(answers) - len(audits)) // stop.audit_every * AUDIT
        if wanted < due:
            do(store, [{"uid": f"audit-{image}-{due}", "type": "audit", "image": image}])


def end(store: Store, image: int, answers: Sequence[Answer], stop: Stop) -> bool:
    """Count an open image as done if that is not left to the person, and it is enough. Returns whether it did."""
    open_ = stop.how != "person" and store.image(image).status == "open"
    if not open_ or not any(map(is_learnable, answers)):
        return False
    if over(answers, audit_of(store, image, answers), stop) is None:
        return False
    uid = f"enough-{image}-{answers[-1].number}"
    do(store, [{"uid": uid, "type": "status", "image": image, "status": "done"}])
    return True
