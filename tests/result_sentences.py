"""What the tests of results share: parts of sentences with figures from tables, and the pages that say them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
Part = Callable[[], str]
"""Gives a part of a sentence, with figures from the tables."""


class Sentence(NamedTuple):
    page: str
    part: Part

    def __str__(self) -> str:
        return self.part.__name__


def collector(said: list[Sentence]) -> Callable[[str], Callable[[Part], Part]]:
    """A decorator that names the page of a part, and keeps both in the list."""

    def says(page: str) -> Callable[[Part], Part]:
        def keep(part: Part) -> Part:
            said.append(Sentence(page, part))
            return part

        return keep

    return says


def require_said(sentence: Sentence) -> None:
    page = (ROOT / sentence.page).read_text(encoding="utf-8")
    said = sentence.part()
    assert said in re.sub(r"\s+", " ", page), f"{sentence.page} does not say: {said}"


def interval_text(value: float, low: float, high: float, what: str = "", digits: int = 1, sign: str = "") -> str:
    upper = f"{high:{sign}.{digits}f}"
    return f"{value:.{digits}f} {what}{' ' * bool(what)}[{low:.{digits}f}, {upper}]".replace("-", "−")
