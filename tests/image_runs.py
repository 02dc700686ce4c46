"""What the tests of image studies share: a small study on generated scenes."""

from pathlib import Path
from typing import Any

from lowpix.data import Dataset, open_dataset
from lowpix.image_study import Options, image_study
from lowpix.study.image_runs import Tables

SMALL: dict[str, Any] = {
    "scene_size": (24, 32),
    "scene_count": 3,
    "max_pixels": 14,
    "pixels_per_round": "3",
    "acquisition": ("margin",),
    "smoothing": ("none",),
}


def study(out: Path, **options: Any) -> Tables:
    return image_study(Options(**SMALL | {"out": out} | options)).tables()


def scenes(seed: int = 0) -> Dataset:
    return open_dataset("scenes", scene_size=SMALL["scene_size"], scene_count=SMALL["scene_count"], seed=seed)
