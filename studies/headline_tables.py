"""Tables of what the default needs on images that it was not chosen on, for `tables.py`."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.intervals import interval
from lowpix.study.overview import median_to_target
from lowpix.study.tables import pixels_to
from studies.cells import signed

RESULTS = Path(__file__).parents[1] / "results"
STUDIES = {
    "camvid_image": "**CamVid**, 32 test images, 11 classes, 360×480",
    "nuclei_image": "**nuclei**, 30 test images, 2 classes, 256×256 to 360×360",
    "vnc_image": "**vnc**, 16 test tiles, 5 classes, 512×512",
}
NEW_DRIVE = "Seq05VD"  # the drive of CamVid's test images that no train image is of
DEFAULT = "facility"
WAYS = {
    DEFAULT: "**default**",
    "stratified": "stratified",
    "random": "random",
    "error_depth": "*error_depth, privileged*",
}
TARGETS = (0.85, 0.9, 0.95, 0.98)
MOST = 1000  # revealed pixels at which a run ends that has not reached 98 %
NOISE = {
    "camvid": ("**CamVid**, 24 test images, to 90 %", 0.9),
    "nuclei": ("**nuclei**, 30 test images, to 95 %", 0.95),
}
WRONG = {0: "", 2: "_2", 5: "_5"}  # percent of the answers, and how the study's name ends
BUDGET = 300  # revealed pixels of each run with wrong answers

Rows = Iterable[list[str]]


@cache
def curves_of(study: str) -> pd.DataFrame:
    """The rounds of an image study; read once, and not to be changed."""
    return Study(RESULTS / study, IMAGES).tables().curves


def pixels() -> Rows:
    """Median pixels to each accuracy but the lowest, and the share of runs that got there."""
    yield ["", "chosen by", *(f"{100 * target:.0f} %" for target in TARGETS[1:])]
    for study, name in STUDIES.items():
        curves = curves_of(study)
        for way, label in WAYS.items():
            rounds = curves[curves["acquisition"] == way]
            yield [name, label, *(median(rounds, target) for target in TARGETS[1:])]
            name = ""


def median(rounds: pd.DataFrame, target: float) -> str:
    """The median over images, each the median of its seeds, and the share of runs that got there."""
    found = pixels_to(rounds, target)
    last = rounds.groupby(["setting", "image", "seed"])["revealed"].max().reset_index()["revealed"]
    summary = found.assign(pixels_to_target=found["pixels"], revealed=last)
    middle = median_to_target(summary).median
    reached = 1 - found["censored"].mean()
    share = "" if reached == 1 else f" ({100 * reached:.0f} %)"
    return ("–" if middle.censored else middle.text()) + share


def pixels_in_pairs() -> Rows:
    """Mean pixels to each accuracy, and in pairs what each other way needs more than the default."""
    yield ["", "chosen by", *(text for target in TARGETS for text in (f"{100 * target:.0f} %", "more"))]
    for name, curves in _groups():
        default = {target: pixels_by_image(curves, DEFAULT, target) for target in TARGETS}
        for way, label in WAYS.items():
            cells = []
            for target in TARGETS:
                own, none = pixels_by_image(curves, way, target), default[target].min() == MOST
                digits = int(own.mean() < 20)
                more = difference(own - default[target], digits, len(WAYS) - 1)
                cells.append("–" if own.min() == MOST else f"{own.mean():.{digits}f}")
                cells.append("" if none or way == DEFAULT else more)
            yield [name, label, *cells]
            name = ""


def _groups() -> Iterator[tuple[str, pd.DataFrame]]:
    """Each study, and of CamVid the new drive by itself."""
    for study, name in STUDIES.items():
        curves = curves_of(study)
        yield name, curves
        if study == "camvid_image":
            new = curves[curves["image"].str.startswith(NEW_DRIVE)]
            yield f"{new['image'].nunique()} of these, of the drive {NEW_DRIVE}", new


def pixels_by_image(curves: pd.DataFrame, way: str, target: float, most: int = MOST) -> pd.Series:
    """Pixels by image, the mean over seeds; `most` for a run that needs more."""
    return capped(pixels_to(curves[curves["acquisition"] == way], target), most)


def capped(runs: pd.DataFrame, most: int) -> pd.Series:
    """Pixels by image of what `pixels_to` found, the mean over seeds; `most` for a run that needs more."""
    found = runs["pixels"].astype(float).fillna(most).clip(upper=most)
    return found.groupby(runs["image"]).mean()


def difference(by_image: pd.Series, digits: int, together: int) -> str:
    """A mean with its interval, for so many of them to hold together; bold if that excludes zero."""
    return signed(by_image.mean(), *bounds(by_image, together), digits)


def bounds(by_image: pd.Series, together: int = 1) -> tuple[float, float]:
    """The interval of a mean over images, for so many of them to hold together at 95 %."""
    return interval(by_image, pd.Series(by_image.index, index=by_image.index), 1 - 0.05 / together)


def bounds_over_places(by_tile: pd.Series) -> tuple[float, float]:
    """The 95 % interval of a mean over tiles of vnc, with a place as one: the last letter of a tile's name."""
    return interval(by_tile, pd.Series(by_tile.index.str[-1], index=by_tile.index), 0.95)


def noise() -> Rows:
    """What wrong answers cost the default: pixels to an accuracy, and accuracy and mIoU at the end, in pairs."""
    yield ["", "wrong answers", "pixels", "more", "accuracy", "change, points", "mIoU", "change, points"]
    for data, (name, target) in NOISE.items():
        found = {wrong: _of_noise(curves_of(f"{data}_noise{end}"), target) for wrong, end in WRONG.items()}
        for wrong, own in found.items():
            cells = []
            for column, digits in (("pixels", 0), ("accuracy", 1), ("miou", 1)):
                change = own[column] - found[0][column]
                cells.append(f"{own[column].mean():.{digits}f}")
                cells.append(difference(change, digits, len(WRONG) - 1) if wrong else "")
            yield [name, f"{wrong} %", *cells]
            name = ""


def _of_noise(curves: pd.DataFrame, target: float) -> pd.DataFrame:
    """By image, means over seeds: pixels to the target, BUDGET if it takes more, and percent right at the end."""
    last = curves.sort_values("round").groupby(["image", "seed"])[["accuracy", "miou"]].last()
    at_the_end = 100 * last.groupby("image").mean()
    return at_the_end.assign(pixels=pixels_by_image(curves, DEFAULT, target, BUDGET))
