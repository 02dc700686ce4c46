"""What the tests of order studies share: a small image study, and an order study of it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.order_study import Options, order_study
from lowpix.order_study.tables import OrderTables

SMALL: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 2, "max_pixels": 12, "pixels_per_round": "4"}
TINY: dict[str, Any] = {"batch": 8, "plateau_cap": 2}


def studied(out: Path, **options: Any) -> Path:
    """Run an image study without pictures: five to twelve pixels in three rounds; gives its folder."""
    plain = {"acquisition": ("margin",), "smoothing": ("none",)}
    given = SMALL | plain | {"stop": "budget", "repeats": 2, "out": out} | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowpix.image_study.study.image_pictures", lambda *_, **__: {})
        return image_study(ImageOptions(**given)).folder


def ordered(study: Path, out: Path, **options: Any) -> OrderTables:
    """Run an order study of it, or go on with the one in `out`."""
    return order_study(Options(**TINY | {"image_study": study, "out": out} | options))


def lasting(out: Path) -> str:
    """All that must be the same, as text: the digits of a float tell all its bits."""
    table = pd.read_csv(out / "order.csv", dtype=str).drop(columns="seconds")
    return table.to_csv(index=False) + (out / "order_pairs.csv").read_text()
