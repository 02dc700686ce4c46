"""What the tests of active studies share: a small study on generated scenes, and what to compare of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from lowpix.active_study import Options, active_study
from lowpix.active_study.tables import ActiveTables
from lowpix.data import Dataset, open_dataset

SCENES: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 3, "scene_classes": 4}
SMALL: dict[str, Any] = SCENES | {
    "acquisition": ("margin", "random"),
    "first_pixels": 6,
    "pixels_per_round": "6",
    "max_pixels": 18,
    "epochs": 2,
    "batch": 2,
    "width": 4,
}


def study(out: Path, **options: Any) -> ActiveTables:
    """Run a small active study without pictures, which take most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowpix.active_study.study.active_pictures", lambda *_, **__: {})
        return active_study(Options(**SMALL | {"out": out} | options)).tables()


def same(one: ActiveTables, other: ActiveTables) -> bool:
    """Bit for bit in every column but `seconds`."""
    for a, b in zip(one, other, strict=True):
        columns = {"columns": "seconds", "errors": "ignore"}
        pd.testing.assert_frame_equal(a.drop(**columns), b.drop(**columns), check_exact=True)
    return True


def part(tables: ActiveTables, *settings: str) -> ActiveTables:
    """The rows of some settings; pairs are left out, as they need both sides."""
    rows = [table[table["setting"].isin(settings)].reset_index(drop=True) for table in tables]
    return ActiveTables(*rows[:-1], tables.pairs.iloc[:0])


def scenes(split: str) -> Dataset:
    return open_dataset("scenes", split=split, **SCENES)


def truth(dataset: Dataset, name: str) -> NDArray[np.uint8]:
    labels = dataset.labels(name)
    assert labels is not None
    return labels
