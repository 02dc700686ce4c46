"""What the tests of active studies share: a small study on generated scenes, and what to compare of it."""

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from lowpix.active_study import Options, active_study
from lowpix.active_study.tables import ActiveTables
from lowpix.data import Dataset, open_dataset
from lowpix.data.scenes import Scenes

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
    """Run a small active study, without pictures and with each scene drawn only once, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowpix.active_study.study.active_pictures", lambda *_, **__: {})
        for part in ("image", "labels"):
            patch.setattr(Scenes, part, DRAWN[part])
        return active_study(Options(**SMALL | {"out": out} | options)).tables()


def _drawn_once(draw: Callable[[Scenes, str], NDArray[np.uint8]]) -> Callable[[Scenes, str], NDArray[np.uint8]]:
    kept: dict[str, NDArray[np.uint8]] = {}

    @wraps(draw)
    def copied(scenes: Scenes, name: str) -> NDArray[np.uint8]:
        key = f"{scenes.settings} {scenes.split} {name}"
        if key not in kept:
            kept[key] = draw(scenes, name)
        return kept[key].copy()

    return copied


DRAWN = {"image": _drawn_once(Scenes.image), "labels": _drawn_once(Scenes.labels)}


def same(one: ActiveTables, other: ActiveTables) -> bool:
    """Bit for bit in every column but `seconds`."""
    for a, b in zip(one, other, strict=True):
        columns = {"columns": "seconds", "errors": "ignore"}
        pd.testing.assert_frame_equal(a.drop(**columns), b.drop(**columns), check_exact=True)
    return True


def part(tables: ActiveTables, repeats: int, *settings: str) -> ActiveTables:
    """The rows of some settings and the first seeds; pairs are left out, as they need both sides."""
    rows = [table[table["setting"].isin(settings)] for table in tables[:-1]]
    rows = [table[table["seed"] < repeats].reset_index(drop=True) for table in rows]
    return ActiveTables(*rows, tables.pairs.iloc[:0])


@cache
def scenes(split: str) -> Dataset:
    return open_dataset("scenes", split=split, **SCENES)


@cache
def truth(dataset: Dataset, name: str) -> NDArray[np.uint8]:
    labels = dataset.labels(name)
    assert labels is not None
    labels.flags.writeable = False
    return labels
