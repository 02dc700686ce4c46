"""Ratios of test mIoU and their intervals, against scipy and plain loops."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lowpix.dataset_study.ratios import ratios


def cells_of(rows: list[dict[str, Any]], images: int = 15) -> pd.DataFrame:
    """Rows of `confusion.parquet`: random counts of three classes, of which an image holds two or three."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {"setting": row["setting"], "seed": row["seed"], "image": f"{image:02}", "true": true}
        | {"predicted": predicted, "pixels": int(draw.integers(1, 9 + 20 * (true == predicted)))}
        for row in rows
        for image in range(images)
        for true in range(2 + image % 2)
        for predicted in range(3)
    )


def test_ratios_over_test_images_are_a_bootstrap() -> None:
    keys = [{"setting": setting, "seed": seed} for setting in ("full", "pseudo") for seed in (0, 1)]
    cells = cells_of(keys)
    matrices = np.zeros((4, 15, 3, 3))
    number = [keys.index({"setting": cell.setting, "seed": cell.seed}) for cell in cells.itertuples()]
    matrices[number, cells["image"].astype(int), cells["true"], cells["predicted"]] = cells["pixels"]

    def log_ratio(images: np.ndarray) -> float:
        scores = []
        for matrix in matrices[:, images].sum(axis=1):
            right = np.diagonal(matrix)
            ious = right / (matrix.sum(0) + matrix.sum(1) - right)
            scores.append(np.log(ious[matrix.sum(1) > 0].mean()))
        return float(np.mean([scores[2] - scores[0], scores[3] - scores[1]]))

    summary = pd.DataFrame([key | {"miou": 0.5, "label_seed": 0} for key in keys])
    found = ratios(summary, cells).iloc[0]
    expected = stats.bootstrap(
        (np.arange(15),), log_ratio, n_resamples=1999, vectorized=False, method="percentile", rng=1
    ).confidence_interval
    np.testing.assert_allclose(np.log([found["images_low"], found["images_high"]]), expected, atol=0.006)
    assert found["images_high"] - found["images_low"] > 0.05  # so that this shows something
    pd.testing.assert_series_equal(ratios(summary, cells).iloc[0], found)


def test_ratios_are_those_of_a_paired_t_test() -> None:
    draw = np.random.default_rng(0)
    scores = {"full": draw.uniform(0.5, 0.6, 5), "pseudo": draw.uniform(0.48, 0.6, 5), "sparse": draw.random(5)}
    rows = [
        {"setting": setting, "seed": seed, "miou": value, "label_seed": seed // 2}
        for setting, values in scores.items()
        for seed, value in enumerate(values)
        if (setting, seed) != ("sparse", 3)  # a seed without a pair
    ]
    found = ratios(pd.DataFrame(rows), cells_of(rows)).set_index("setting")
    assert list(found["pairs"]) == [5, 4]
    assert list(found["label_seeds"]) == [3, 3]
    for setting, seeds in (("pseudo", [0, 1, 2, 3, 4]), ("sparse", [0, 1, 2, 4])):
        result = stats.ttest_rel(np.log(scores[setting][seeds]), np.log(scores["full"][seeds]))
        low, high = np.exp(result.confidence_interval(0.95))
        assert found.loc[setting, "low"] == pytest.approx(low)
        assert found.loc[setting, "high"] == pytest.approx(high)
        assert low < found.loc[setting, "ratio"] < high
    unpaired = [{"setting": "sparse", "seed": 9, "miou": 0.5, "label_seed": 9}]
    wider = ratios(pd.DataFrame(rows + unpaired), cells_of(rows + unpaired))
    assert list(wider["label_seeds"]) == [3, 3]  # no pair, no label seed
    single = ratios(pd.DataFrame(rows).query("seed == 0"), cells_of(rows))
    assert single["low"].isna().all()
    assert single.set_index("setting").loc["pseudo", "ratio"] == pytest.approx(
        scores["pseudo"][0] / scores["full"][0]
    )
