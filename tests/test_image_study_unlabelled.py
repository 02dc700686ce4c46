"""Images that nobody has labelled: revealed as any others by who answers; what cannot be known stays empty."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from data_samples import DATA, needs_nuclei, write
from numpy.typing import NDArray
from PIL import Image
from refusals import refused

from lowpix.compare import Options as CompareOptions
from lowpix.compare import compare
from lowpix.data import IGNORE, open_dataset
from lowpix.image_study import Options, image_study
from lowpix.reveal.oracle import Oracle
from lowpix.study.image_runs import Tables
from lowpix.study.label_maps import read_label_map
from lowpix.study.overview import overview
from lowpix.study.text import as_text

NAMES = ("a", "b")
BUDGET: dict[str, Any] = {
    "stop": "budget",
    "max_pixels": 30,
    "keep_at": (9,),
    "pixels_per_round": "7",
    "acquisition": ("margin",),
    "smoothing": ("none",),
}
UNKNOWN = [
    "target",
    "pixels_to_target",
    "pixels_to_stay",
    "fraction_to_target",
    "accuracy",
    "accuracy_off_border",
    "miou",
    "classes",
    "classes_missed",
]
"""Columns of summary.csv that only a label map can fill."""


@dataclass(frozen=True)
class Hidden:
    """Answers from maps that the study does not see."""

    maps: dict[str, NDArray[np.uint8]]

    def __call__(self, name: str) -> Oracle:
        return lambda pixels: self.maps[name][tuple(pixels.T)]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces of two photographs of nuclei, in a frame of void."""
    root = tmp_path_factory.mktemp("labelled")
    nuclei = open_dataset("folder", DATA / "nuclei", "test")
    for name, real in zip(NAMES, nuclei.images[4:6], strict=True):
        labels = nuclei.labels(real)
        assert labels is not None
        framed = np.full((80, 96), IGNORE)
        framed[6:-6, 6:-6] = labels[:80, :96][6:-6, 6:-6]
        write(root / "images" / f"{name}.png", nuclei.image(real)[:80, :96])
        write(root / "labels" / f"{name}.png", framed)
    (root / "classes.json").write_text(json.dumps({"classes": nuclei.classes, "ignore_index": IGNORE}))
    return root


@pytest.fixture(scope="module")
def hidden(labelled: Path) -> Hidden:
    return Hidden({name: np.array(Image.open(labelled / f"labels/{name}.png")) for name in NAMES})


def without_labels(labelled: Path, folder: Path, but: tuple[str, ...] = ()) -> Path:
    """The same photographs, and the label maps of none `but` these."""
    for name in NAMES:
        write(folder / "images" / f"{name}.png", Image.open(labelled / f"images/{name}.png"))
    for name in but:
        write(folder / "labels" / f"{name}.png", Image.open(labelled / f"labels/{name}.png"))
    (folder / "classes.json").write_bytes((labelled / "classes.json").read_bytes())
    return folder


def study(data: Path, out: Path, oracles: Callable[[str], Oracle] | None = None, **options: Any) -> Tables:
    return image_study(Options("folder", data, out=out, **BUDGET | options), oracles).tables()


def label_maps(out: Path) -> dict[str, NDArray[np.uint8]]:
    found = sorted((*out.glob("pseudo_labels*/**/*.png"), *out.glob("confidence*/**/*.png")))
    return {str(file.relative_to(out)): read_label_map(file) for file in found}


@needs_nuclei
@pytest.mark.filterwarnings("error")
def test_unlabelled_is_revealed_as_labelled(tmp_path: Path, labelled: Path, hidden: Hidden) -> None:
    """Bit for bit, where void may be asked: without a label map nobody knows where it lies."""
    known = study(labelled, tmp_path / "known", ask_void=True, acquisition=("margin", "random"))
    photos = without_labels(labelled, tmp_path / "photos")
    found = study(photos, tmp_path / "found", hidden, acquisition=("margin", "random"))

    pd.testing.assert_frame_equal(found.revealed, known.revealed)
    assert len(found.revealed) < 4 * 30  # some of the pixels were void
    measured = ["accuracy", "accuracy_unrevealed", "accuracy_off_border", "miou", "classes_missed"]
    own = ["seconds", "oracle", *measured]
    pd.testing.assert_frame_equal(found.curves.drop(columns=own), known.curves.drop(columns=own))
    assert found.curves[measured].isna().all(axis=None)
    assert known.curves[measured].notna().all(axis=None)
    same, maps = label_maps(tmp_path / "known"), label_maps(tmp_path / "found")
    assert len(maps) == 2 * 2 * 2 * 2  # images, settings, budgets, pseudo-labels and confidence
    assert maps.keys() == same.keys()
    assert all((maps[name] == same[name]).all() for name in maps)

    # what the files say, with a reader of its own
    summary = pd.read_csv(tmp_path / "found/summary.csv", dtype=str, keep_default_na=False)
    empty = (summary == "").all()
    assert sorted(empty.index[empty]) == sorted(UNKNOWN)
    assert set(summary["revealed"]) <= set(map(str, range(1, 31)))
    assert set(summary["censored"]) == {"True"}
    assert set(summary["void"]) == {"asked"}

    shown = as_text(overview(found.summary))
    assert "nan" not in shown
    assert "%" not in shown.replace("95 % interval", "")
    assert (tmp_path / "known/curves.png").exists()
    assert not (tmp_path / "found/curves.png").exists()  # there is nothing to draw
    with Image.open(tmp_path / "found/overview.png") as drawn, Image.open(tmp_path / "known/overview.png") as full:
        assert drawn.width == full.width
        assert np.array(drawn.convert("L")).std() > 10


@needs_nuclei
def test_settings_are_not_compared_by_an_accuracy_that_nobody_knows(
    tmp_path: Path, labelled: Path, hidden: Hidden, undrawn_images: None
) -> None:
    photos = without_labels(labelled, tmp_path / "photos", but=("b",))
    study(photos, tmp_path / "out", hidden, acquisition=("margin", "random"), max_pixels=9)
    with refused(tmp_path / "out", "image a", "no label map"):
        compare(CompareOptions((tmp_path / "out",)))


@needs_nuclei
@pytest.mark.filterwarnings("error")
def test_some_are_labelled(
    tmp_path: Path, labelled: Path, hidden: Hidden, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = without_labels(labelled, tmp_path / "photos", but=("b",))
    tables = study(photos, tmp_path / "out", hidden, target=1.0)
    summary = tables.summary.set_index("image")
    assert summary.loc["a", UNKNOWN].isna().all()
    assert summary.loc["b", ["target", "accuracy", "miou", "classes"]].notna().all()
    assert list(summary["void"]) == ["asked", "never asked"]
    table = overview(tables.summary)
    assert sorted(table["target"]) == ["", "100 %"]
    assert (tmp_path / "out/curves.png").exists()
    bar = capsys.readouterr().err
    assert "at target: margin 0%" in bar  # of one image, b


@needs_nuclei
def test_without_any_label_map_nothing_is_said_of_the_target(
    tmp_path: Path, labelled: Path, hidden: Hidden, capsys: pytest.CaptureFixture[str], undrawn_images: None
) -> None:
    study(without_labels(labelled, tmp_path / "photos"), tmp_path / "out", hidden, max_pixels=9)
    out, bar = capsys.readouterr()
    assert "2/2" in bar
    assert "target" not in out + bar


@needs_nuclei
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"stop": "target"}, ["--stop target", "image a"]),
        ({"acquisition": ("margin", "error_depth")}, ["--acquisition error_depth", "image a"]),
    ],
)
def test_what_needs_a_label_map_is_refused_before_anything_is_written(
    tmp_path: Path, labelled: Path, hidden: Hidden, options: dict[str, Any], parts: list[str]
) -> None:
    """Though the other image, the first one to be done, has a label map."""
    photos = without_labels(labelled, tmp_path / "photos", but=("b",))
    with refused(*parts):
        study(photos, tmp_path / "out", hidden, images=("b", "a"), **options)
    assert not (tmp_path / "out").exists()


@needs_nuclei
def test_without_an_oracle_a_label_map_must_be_there(tmp_path: Path, labelled: Path) -> None:
    photos = without_labels(labelled, tmp_path / "photos", but=("b",))
    with refused("images/a.png", "no label map"):
        study(photos, tmp_path / "out", images=("a",))
    assert not (tmp_path / "out").exists()
    setting = Options("folder", photos, **BUDGET).settings()[0]
    with refused("image a", "no label map"):
        setting.start(open_dataset("folder", photos), ("a", 0), torch.device("cpu"))


@needs_nuclei
@pytest.mark.parametrize("classes", [None, [], ["nucleus"]])
def test_the_classes_must_be_named(
    tmp_path: Path, labelled: Path, hidden: Hidden, classes: list[str] | None
) -> None:
    photos = without_labels(labelled, tmp_path / "photos")
    if classes is None:
        (photos / "classes.json").unlink()
    else:
        (photos / "classes.json").write_text(json.dumps({"classes": classes}))
    with refused("folder, split all", "at least 2"):
        study(photos, tmp_path / "out", hidden)
    assert not (tmp_path / "out").exists()
