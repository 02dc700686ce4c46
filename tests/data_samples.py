"""Where the real data sets are, and small folders that are written for a test."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(os.environ.get("LOWPIX_DATA", Path(__file__).parents[2] / "shared" / "data"))
needs_camvid = pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason=f"{DATA / 'camvid'} is not there")
needs_nuclei = pytest.mark.skipif(not (DATA / "nuclei").is_dir(), reason=f"{DATA / 'nuclei'} is not there")


def write(path: Path, array: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)
    return path


def write_folder(root: Path, names: tuple[str, ...] = ("a", "b"), split: str = "", **classes: object) -> Path:
    """A small data set of two classes, top half and bottom half."""
    for name in names:
        write(root / split / "images" / f"{name}.png", np.full((6, 8, 3), 90))
        write(root / split / "labels" / f"{name}.png", np.repeat([[0], [1]], 3, axis=0) * np.ones((1, 8)))
    (root / "classes.json").write_text(json.dumps({"classes": ["up", "down"], **classes}))
    return root
