"""The oracle of an image study: void, wrong answers and refusals."""

from pathlib import Path

import numpy as np
import pytest
from data_samples import write, write_folder
from image_runs import scenes, study
from PIL import Image

from lowpix.data import IGNORE

pytestmark = pytest.mark.usefixtures("undrawn_images")


def half_void(root: Path) -> Path:
    """A folder of two images of two classes, the right half of which is void."""
    random = np.random.default_rng(0)
    write_folder(root, ignore_index=9)
    for name in ("a", "b"):
        labels = np.repeat([[0], [1]], 10, axis=0).repeat(24, axis=1)
        image = np.where(labels[..., None] == 1, (200, 90, 60), (50, 90, 180)) + random.normal(0, 15, (20, 24, 3))
        labels[:, 12:] = 9
        write(root / "images" / f"{name}.png", image.clip(0, 255))
        write(root / "labels" / f"{name}.png", labels)
    return root


def test_void_is_never_asked_unless_it_may_be(tmp_path: Path) -> None:
    options = {"dataset": "folder", "data_root": half_void(tmp_path / "data"), "acquisition": ("random", "margin")}
    options |= {"max_pixels": 60, "pixels_per_round": "11", "target": 1.0, "stop": "budget", "spacing": 0}
    curves, revealed, _ = study(tmp_path / "never", **options)
    assert (revealed["column"] < 12).all()
    assert (curves["asked"] == curves["revealed"]).all()
    assert set(curves["void"]) == {"never asked"}
    curves, revealed, summary = study(tmp_path / "asked", ask_void=True, **options)
    assert set(summary["void"]) == set(curves["void"]) == {"asked"}
    assert (revealed["column"] < 12).all()  # void is an answer, but reveals no class
    random = curves[(curves["acquisition"] == "random") & (curves["asked"] == 60)]
    assert len(random) == 2
    assert random["revealed"].between(15, 45).all()  # half of what a uniform choice asks is void
    counts = revealed.groupby(["setting", "image"]).size()
    assert counts.to_dict() == summary.set_index(["setting", "image"])["revealed"].to_dict()
    np.testing.assert_allclose(summary["fraction"], summary["revealed"] / 480)
    labels = np.array(Image.open(tmp_path / "asked/pseudo_labels/mlp-random/0/a.png"))
    assert (labels[:, 12:] == IGNORE).any()  # pseudo-labels say void where the oracle said so


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_a_noisy_oracle_is_believed(tmp_path: Path, noise: float) -> None:
    options = {"acquisition": ("random", "margin"), "max_pixels": 60, "pixels_per_round": "28", "target": 1.0}
    _, revealed, summary = study(tmp_path, oracle_noise=noise, **options)
    dataset = scenes()
    wrong = []
    for (setting, image), told in revealed.groupby(["setting", "image"]):
        truth = dataset.labels(image)
        where = told["row"].to_numpy(), told["column"].to_numpy()
        assert truth is not None
        wrong.append((told["label"] != truth[where]).mean())
        labels = np.array(Image.open(tmp_path / f"pseudo_labels/{setting}/0/{image}.png"))
        assert (labels[where] == told["label"]).all()
        known = truth != IGNORE
        accuracy = summary.query("setting == @setting and image == @image")["accuracy"].item()
        assert accuracy == pytest.approx((labels == truth)[known].mean())
    assert np.mean(wrong) == pytest.approx(noise, abs=0.1)
    assert set(summary["oracle"]) == {f"label map, {noise:g} wrong, 0 refused"}


def test_a_refusal_costs_a_click(tmp_path: Path) -> None:
    options = {"acquisition": ("random",), "max_pixels": 60, "pixels_per_round": "28", "target": 1.0}
    curves, revealed, summary = study(tmp_path, oracle_refusal=0.5, **options)
    last = curves[curves["asked"] == 60]
    assert len(last) == 3
    assert last["revealed"].between(15, 45).all()
    assert len(revealed) == summary["revealed"].sum() == last["revealed"].sum()
    everything = study(tmp_path / "all", oracle_refusal=1.0, **options)
    assert len(everything.revealed) == 0
    assert (everything.summary["revealed"] == 0).all()
