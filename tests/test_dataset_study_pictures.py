"""The pictures of a data-set study."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dataset_runs import images, study
from matplotlib.figure import Figure
from PIL import Image

from lowpix.dataset_study.pictures import draw_classes, draw_costs


def test_costs_of_equal_runs_are_drawn() -> None:
    """The mean of three equal numbers may be larger than each of them."""
    for miou in np.random.default_rng(0).random(20):
        rows = [{"kind": "mine", "setting": "mine-8", "hours": 1.0, "miou": miou}] * 3
        axes = Figure().subplots()
        draw_costs(axes, pd.DataFrame(rows), "hours")
        (line,) = axes.get_lines()
        assert line.get_ydata()[0] == pytest.approx(miou)


def test_bars_of_classes_are_means_over_seeds() -> None:
    rows = {"setting": ["full", "full", "pseudo-8"], "iou_sky": [0.2, 0.4, 0.5], "iou_road": [0.6, 0.8, 0.1]}
    axes = Figure().subplots()
    draw_classes(axes, pd.DataFrame(rows), ["full", "pseudo-8"])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["sky", "road"]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [0.3, 0.7, 0.5, 0.1])


def test_pictures_are_drawn(tmp_path: Path) -> None:
    study(tmp_path, repeats=2, epochs=1, image_study=images(tmp_path / "image_study"))
    for name in ("overview.png", "history.png", "costs.png"):
        shown = np.array(Image.open(tmp_path / name).convert("L"))
        assert min(shown.shape) > 100
        assert shown.std() > 10  # not blank
