"""Synthetic runs of an image study: any number of rounds, voids and refusals among the answers."""

import math

import numpy as np
import pandas as pd

from lowpix.reveal.log import UNSURE, VOID
from lowpix.study.image_runs import Run

SIZE = (36, 48)


def make_run(
    image: str = "street",
    setting: str = "margin",
    seed: int = 0,
    *,
    accuracies: list[float] | None = None,
    per_round: int = 10,
    target: float = 0.95,
    void_share: float = 0.1,
    privileged: bool = False,
    refused_share: float = 0,
) -> Run:
    """Make a run whose rounds have these accuracies, with `per_round` pixels asked in each, all told.

    Some answers are VOID, some UNSURE. Accuracies of nan are those of an image that nobody has labelled: the
    target and the number of classes are then unknown, too.
    """
    random = np.random.default_rng([seed, *map(ord, image + setting)])
    accuracies = [0.5, 0.8, 0.96] if accuracies is None else accuracies
    rounds = len(accuracies)
    labels = [random.integers(0, 4, per_round).astype(np.uint8) for _ in range(rounds)]
    for told in labels:
        told[random.random(per_round) < void_share] = VOID
        if refused_share:
            told[random.random(per_round) < refused_share] = UNSURE
    revealed = np.cumsum([np.count_nonzero(told < UNSURE) for told in labels])
    known = not np.isnan(accuracies).all()
    pixels = SIZE[0] * SIZE[1]
    frame = pd.DataFrame(
        {
            "round": range(rounds),
            "asked": np.arange(1, rounds + 1) * per_round,
            "revealed": revealed,
            "fraction": revealed / pixels,
            "accuracy": accuracies,
            "accuracy_unrevealed": [accuracy - 0.01 for accuracy in accuracies],
            "accuracy_off_border": [(accuracy + 1) / 2 for accuracy in accuracies],
            "miou": [accuracy / 2 for accuracy in accuracies],
            "classes_missed": [math.nan if math.isnan(accuracy) else 1 for accuracy in accuracies],
            "seconds": np.arange(1, rounds + 1) * 0.5,
            "rows": [random.integers(0, SIZE[0], per_round).astype(np.int32) for _ in range(rounds)],
            "columns": [random.integers(0, SIZE[1], per_round).astype(np.int32) for _ in range(rounds)],
            "labels": labels,
        }
    )
    return Run(
        dataset="scenes",
        setting=setting,
        image=image,
        network="mlp",
        acquisition=setting,
        selection="top",
        oracle="label_map",
        privileged=privileged,
        stop="budget",
        void="never",
        seed=seed,
        target=target if known else math.nan,
        classes=4 if known else None,
        pixels=pixels,
        rounds=frame,
    )
