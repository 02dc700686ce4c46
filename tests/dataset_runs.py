"""What the tests of data-set studies share: a small study on generated scenes, and what to compare of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lowpix.dataset_study import Options, dataset_study
from lowpix.record.dataset_tables import DatasetTables

WEIGHTS = Path(__file__).parents[2] / "shared" / "weights" / "mobilenet_v2_1.0_imagenet"

SMALL: dict[str, Any] = {
    "scene_size": (24, 32),
    "scene_count": 3,
    "scene_classes": 4,
    "budgets": (8,),
    "epochs": 2,
    "batch": 2,
    "width": 4,
}


def study(out: Path, settings: Sequence[str] = ("full", "pseudo"), **options: Any) -> DatasetTables:
    return dataset_study(Options(**SMALL | {"settings": tuple(settings), "out": out} | options)).tables()


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
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob(pattern)}


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
