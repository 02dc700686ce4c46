"""What the tests of data-set studies share: a small study on generated scenes, and what to compare of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lowpix.dataset_study import Options, dataset_study
from lowpix.dataset_study.tables import DatasetTables
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study

WEIGHTS = Path(__file__).parents[2] / "shared" / "weights" / "mobilenet_v2_1.0_imagenet"

SCENES: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 3, "scene_classes": 4}
SMALL: dict[str, Any] = SCENES | {"budgets": (8,), "epochs": 2, "batch": 2, "width": 4}


@contextmanager
def without_pictures() -> Iterator[None]:
    """For fixtures of a module, to which the fixture `undrawn` of a test comes too late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowpix.image_study.study.image_pictures", lambda *_, **__: {})
        patch.setattr("lowpix.dataset_study.study.dataset_pictures", lambda *_, **__: {})
        yield


def study(out: Path, settings: Sequence[str] = ("full", "pseudo"), **options: Any) -> DatasetTables:
    """Run a small data-set study; without `image_study` it runs an image study of its own."""
    return dataset_study(Options(**SMALL | {"settings": tuple(settings), "out": out} | options)).tables()


def images(out: Path, **options: Any) -> Path:
    """Run an image study of the same scenes, without pictures; gives its folder."""
    plain = {"acquisition": ("margin",), "smoothing": ("none",)}
    given = SCENES | plain | {"stop": "budget", "max_pixels": 8, "out": out} | options
    with without_pictures():
        return image_study(ImageOptions(**given)).folder


def same(one: DatasetTables, other: DatasetTables) -> bool:
    """Bit for bit in every column but `seconds`."""
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(
            a.drop(columns="seconds", errors="ignore"),
            b.drop(columns="seconds", errors="ignore"),
            check_exact=True,
        )
    return True


def identity(out: Path, pattern: str) -> dict[Path, tuple[int, int]]:
    """Which files these are, and when they were written."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob(pattern)}


def trained(out: Path) -> list[Path]:
    """The files of finished runs."""
    return sorted(out.glob("runs/*/*.json"))


def save_tiny_segformer(folder: Path, classes: int) -> Path:
    """A model of `transformers` of a few thousand weights; without `transformers` the test is skipped."""
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_labels=classes,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    return folder


def save_tiny_mobilenet(folder: Path, classes: int = 0) -> Path:
    """A MobileNetV2 of transformers of about 40,000 weights: with a head for `classes`, or for photographs."""
    transformers = pytest.importorskip("transformers")
    config = transformers.MobileNetV2Config(
        depth_multiplier=0.1, finegrained_output=False, num_labels=classes or 5
    )
    kind = "ForSemanticSegmentation" if classes else "ForImageClassification"
    model = getattr(transformers, f"MobileNetV2{kind}")(config)
    model.save_pretrained(folder)
    return folder
