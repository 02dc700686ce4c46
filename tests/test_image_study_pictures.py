"""The pictures of an image study: drawn of whatever a study comes to, and never blank."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowpix.image_study import Options, image_study


@pytest.mark.parametrize(
    "options",
    [{"acquisition": ("margin", "error_depth")}, {"target": 1.0}, {"oracle_refusal": 1.0}, {"limit": 1}],
    ids=["two settings", "all of it", "nothing revealed", "one image"],
)
@pytest.mark.filterwarnings("error")
def test_pictures_are_drawn(tmp_path: Path, options: dict[str, Any]) -> None:
    small = {"scene_size": (24, 32), "scene_count": 2, "max_pixels": 8, "pixels_per_round": "3"}
    image_study(Options(**small | {"out": tmp_path} | options))
    for name in ("overview.png", "curves.png"):
        shown = np.array(Image.open(tmp_path / name).convert("L"))
        assert min(shown.shape) > 100
        assert shown.std() > 10  # not blank
