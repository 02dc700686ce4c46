"""An image study that asks the pixels of an active study, helped by the network that asked for them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from active_runs import SCENES
from active_runs import study as active
from refusals import refused

from lowpix.data import IGNORE, open_dataset
from lowpix.image_study import Options, image_study
from lowpix.reveal.session import ImageSession, fit
from lowpix.seeds import seed_for
from lowpix.segmenter.evaluation import class_probabilities
from lowpix.segmenter.model import load_model
from lowpix.study.folder import Study
from lowpix.study.image_runs import Run, Tables

pytestmark = pytest.mark.usefixtures("undrawn_images")

GIVEN: dict[str, Any] = SCENES | {
    "acquisition": ("margin",),
    "stop": "budget",
    "first_pixels": 6,
    "pixels_per_round": "6",
    "max_pixels": 18,
    "smoothing": ("none",),
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An active study of two seeds; tests only read it."""
    folder = tmp_path_factory.mktemp("asker") / "active"
    active(folder, full=False, repeats=2)
    return folder


def study(out: Path, **options: Any) -> Study[Run, Tables]:
    return image_study(Options(**GIVEN | {"out": out} | options))


def test_each_image_is_helped_by_the_network_of_its_seed(asked: Path, tmp_path: Path) -> None:
    done = study(tmp_path / "both", pixels_of=asked, carry_over=("none", "asker"), repeats=2)
    tables = done.tables()
    helped = "mlp-margin-carry_asker"
    assert set(tables.summary["setting"]) == {"mlp-margin", helped}
    pixels = tables.revealed.set_index(["setting", "image", "seed", "order"])[["row", "column", "label"]]
    assert pixels.loc["mlp-margin"].equals(pixels.loc[helped])
    scenes = open_dataset("scenes", **SCENES)
    for seed in (0, 1):
        name = scenes.images[1]
        model = load_model(asked / f"models/unet-margin/{seed}.safetensors")
        image, truth = scenes.image(name), scenes.labels(name)
        assert truth is not None
        session = ImageSession(
            image,
            truth != IGNORE,
            len(scenes.classes),
            acquisition="margin",
            smoothing="none",
            seed=seed_for(seed, "scenes", name, "session"),
            prior=class_probabilities(model.network, image, model.scale, torch.device("cpu")),
        )
        rows = pixels.loc[helped, name, seed]
        for start in range(0, 18, 6):
            told = rows.iloc[start : start + 6]
            session.tell(told[["row", "column"]].to_numpy(np.int64), told["label"].to_numpy(np.uint8))
            fit([session])
        right = session.log.overwrite(session.predict().labels) == truth
        curve = tables.curves.set_index(["setting", "image", "seed", "asked"])["accuracy"]
        assert curve.loc[helped, name, seed, 18] == pytest.approx(right[truth != IGNORE].mean(), abs=0)


def test_what_cannot_help_is_refused(asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with refused("--carry-over asker: must be given with --pixels-of an active study"):
        study(out, carry_over=("asker",))
    study(tmp_path / "images")
    with refused("--carry-over asker", f"{tmp_path / 'images'} is no active study"):
        study(out, pixels_of=tmp_path / "images", carry_over=("asker",))
    model = asked / "models/unet-margin/1.safetensors"
    kept = model.read_bytes()
    model.unlink()
    try:
        with refused(f"--carry-over asker: {model} is not there: run the active study again"):
            study(out, pixels_of=asked, carry_over=("asker",), repeats=2)
    finally:
        model.write_bytes(kept)
    assert not out.exists()
