"""An image study that asks the pixels of an earlier study."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from image_runs import study
from refusals import refused

from lowpix.study.image_runs import Tables

pytestmark = pytest.mark.usefixtures("undrawn_images")

PIXELS = ["image", "seed", "order", "row", "column", "label"]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tables]:
    """Tests only read it."""
    folder = tmp_path_factory.mktemp("replay") / "earlier"
    return folder, study(folder, stop="budget", repeats=2)


def test_the_same_pixels_and_rounds_give_the_same_networks(earlier: tuple[Path, Tables], tmp_path: Path) -> None:
    folder, tables = earlier
    again = study(tmp_path, stop="budget", repeats=2, pixels_of=folder)
    pd.testing.assert_frame_equal(again.revealed, tables.revealed, check_exact=True)
    differ = ["selection", "seconds"]
    pd.testing.assert_frame_equal(
        again.curves.drop(columns=differ), tables.curves.drop(columns=differ), check_exact=True
    )
    assert set(again.curves["selection"]) == {"as in an earlier study"}


def test_another_network_and_schedule_see_the_same_pixels(earlier: tuple[Path, Tables], tmp_path: Path) -> None:
    """It ends with the pixels that were given, though its budget is larger."""
    folder, tables = earlier
    options: dict[str, Any] = {"network": ("gp",), "first_pixels": 4, "pixels_per_round": "5", "max_pixels": 99}
    again = study(tmp_path, stop="budget", pixels_of=folder, limit=2, **options)
    first = tables.revealed[tables.revealed["seed"] == 0]
    first = first[first["image"].isin(again.revealed["image"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.revealed[PIXELS], first[PIXELS], check_exact=True)
    assert [*again.curves.groupby("image")["asked"].apply(list)] == [[4, 9, 14]] * 2
    assert not again.curves["accuracy"].isin(tables.curves["accuracy"]).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"acquisition": ("bald",)}, "--acquisition bald: must name one setting of"),
        ({"repeats": 3}, "mlp-margin has no pixels of image scene_000, seed 2"),
        ({"scene_count": 4}, "mlp-margin has no pixels of image scene_003, seed 0"),
        ({"seed": 1, "repeats": 1}, "is of other images"),
        ({"split": "test"}, "is a study of other images: split train, not test"),
    ],
)
def test_what_is_not_there_is_named(
    options: dict[str, Any], told: str, earlier: tuple[Path, Tables], tmp_path: Path
) -> None:
    with refused(told):
        study(tmp_path / "out", stop="budget", pixels_of=earlier[0], **options)
    assert not (tmp_path / "out").exists()


def test_a_study_that_does_not_hold_its_pixels_is_refused(earlier: tuple[Path, Tables], tmp_path: Path) -> None:
    with refused(f"--pixels-of {tmp_path / 'none'}: is no active or image study"):
        study(tmp_path / "out", pixels_of=tmp_path / "none")
    copy = shutil.copytree(earlier[0], tmp_path / "copy")
    (copy / "curves.parquet").unlink()
    with refused(f"--pixels-of {copy}: has no tables yet"):
        study(tmp_path / "out", pixels_of=copy)
    study(tmp_path / "refuses", stop="budget", limit=1, max_pixels=5, oracle_refusal=0.5)
    with refused("asked pixels that got no class"):
        study(tmp_path / "out", pixels_of=tmp_path / "refuses", limit=1, max_pixels=5)


def test_a_source_that_was_made_again_with_other_pixels_is_refused(
    earlier: tuple[Path, Tables], tmp_path: Path
) -> None:
    folder, _ = earlier
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(folder, source)
    study(out, stop="budget", pixels_of=source, oracle_refusal=0.3)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    study(source, stop="budget", repeats=2, first_pixels=4, fresh=True)
    with refused(f"--pixels-of {source}: has other pixels of image scene_000, seed 0", "--fresh"):
        study(out, stop="budget", pixels_of=source, oracle_refusal=0.3, repeats=2)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    shutil.rmtree(source)
    shutil.copytree(folder, source)
    more = study(out, stop="budget", pixels_of=source, oracle_refusal=0.3, repeats=2)
    assert set(more.summary["seed"]) == {0, 1}
