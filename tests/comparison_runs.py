"""Curves of runs to the budget, made by hand, for the tests of comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from image_run_samples import make_run

from lowpix.study.image_runs import Run
from lowpix.study.tables import CURVE_COLUMNS

PRIVILEGED = ("error_depth",)


def budget_run(image: str, setting: str, seed: int, accuracies: Sequence[float], **facts: Any) -> Run:
    """A run to its budget, ten pixels asked and revealed in each round."""
    options = {key: facts.pop(key) for key in ("per_round", "void_share") if key in facts}
    made = make_run(
        image,
        setting,
        seed,
        accuracies=list(accuracies),
        privileged=setting in PRIVILEGED,
        **{"void_share": 0, **options},
    )
    return replace(made, stop="budget", **facts)


def curves_of(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.concat([run.frame()[list(CURVE_COLUMNS)] for run in runs], ignore_index=True)


def curves(accuracies: Mapping[str, Mapping[tuple[str, int], Sequence[float]]]) -> pd.DataFrame:
    """Curves by setting and (image, seed)."""
    return curves_of(
        [
            budget_run(image, setting, seed, rounds)
            for setting, runs in accuracies.items()
            for (image, seed), rounds in runs.items()
        ]
    )


def rising(start: float, end: float, rounds: int = 10) -> list[float]:
    return [start + (end - start) * k / (rounds - 1) for k in range(rounds)]
