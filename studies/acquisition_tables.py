"""Tables of which pixel should be asked for, for `tables.py`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from lowpix.compare.comparison import read_comparison
from studies.cells import interval_of, pair_of
from studies.headline_tables import curves_of, difference, pixels_by_image

RESULTS = Path(__file__).parents[1] / "results"
COLUMNS = {
    "CamVid, to 85 %": ("camvid_acquisitions", 0.85),
    "to 90 %": ("camvid_acquisitions", 0.9),
    "nuclei, to 95 %": ("nuclei_acquisitions", 0.95),
    "vnc, to 85 %": ("vnc_acquisitions", 0.85),
}
MEMBERS = ("camvid_starts/4", "camvid_starts/16")
"""Studies of ensembles of 4 and 16 networks; the second has every second of the images."""
SEEDS = {
    "camvid": ("**CamVid**, 24 test images, three seeds", (0.85, 0.9, 0.95)),
    "vnc": ("**vnc**, 16 test tiles, two seeds", (0.85,)),
}
STARTS = {"to 85 %": ("camvid_starts/4", 0.85), "to 90 %": ("camvid_starts/4", 0.9)}
LAST = 300  # revealed pixels at the end of each run
BASELINE = "stratified"

Rows = Iterable[list[str]]


def acquisitions() -> Rows:
    """Mean pixels to an accuracy, and in pairs against stratified."""
    yield from _pixels(COLUMNS)


def other_starts() -> Rows:
    """The same on CamVid after an even start."""
    yield from _pixels(STARTS)


def more_seeds() -> Rows:
    """Mean pixels in more than one seed, and in pairs what each other way needs more than facility."""
    yield ["", "", "to 85 %", "more", "to 90 %", "more", "to 95 %", "more"]
    for data, (name, targets) in SEEDS.items():
        found = {target: pixels_over_seeds(data, target) for target in targets}
        for way in sorted(found[0.85], key=lambda way: found[0.85][way].mean()):
            cells = []
            for pixels in found.values():
                more = difference(pixels[way] - pixels["facility"], 0, len(pixels) - 1)
                cells += [f"{pixels[way].mean():.0f}", "" if way == "facility" else more]
            yield [name, _label(way), *cells, *[""] * (6 - len(cells))]
            name = ""


def pixels_over_seeds(data: str, target: float) -> dict[str, pd.Series]:
    """By way, pixels by image, the mean over the seeds of `<data>_acquisitions` and `<data>_seeds`."""
    more = curves_of(f"{data}_seeds")
    ways = list(more["acquisition"].unique())
    first = curves_of(f"{data}_acquisitions")
    curves = pd.concat([first[first["acquisition"].isin(ways)], more])
    return {way: pixels_by_image(curves, way, target, LAST) for way in ways}


def more_members() -> Rows:
    """Mean pixels with 4 and with 16 networks, and in pairs."""
    targets = {"to 85 %": 0.85, "to 90 %": 0.9}
    yield ["", *(head for name in targets for head in (f"{name}, 4 networks", "16 networks", "difference"))]
    few, many = (curves_of(study) for study in MEMBERS)
    for way in _ways(_comparison(MEMBERS[0])):
        cells = []
        for target in targets.values():
            more = pixels_by_image(many, way, target, LAST)
            fewer = pixels_by_image(few, way, target, LAST).loc[more.index]
            change = difference(more - fewer, 0, many["acquisition"].nunique())
            cells += [f"{fewer.mean():.0f}", f"{more.mean():.0f}", change]
        yield [_label(way), *cells]


def acquisitions_at_the_end() -> Rows:
    """Points of accuracy and mIoU against stratified at the last budget."""
    yield ["", *(f"{name}, {what}" for name in ("CamVid", "nuclei", "vnc") for what in ("accuracy", "mIoU"))]
    tables = [_comparison(study) for study in dict.fromkeys(study for study, _ in COLUMNS.values())]
    for way in _ways(tables[0]):
        if way != BASELINE:
            pairs = [_at_the_end(table, way, what) for table in tables for what in ("accuracy", "miou")]
            yield [_label(way), *pairs]


def _pixels(columns: Mapping[str, tuple[str, float]]) -> Rows:
    tables = {study: _comparison(study) for study, _ in columns.values()}
    yield ["", *(head for name in columns for head in (name, f"against {BASELINE}"))]
    for way in _ways(next(iter(tables.values()))):
        cells = (_cells(tables[study], way, target) for study, target in columns.values())
        yield [_label(way), *(cell for two in cells for cell in two)]


def agreement() -> Rows:
    """The share of the first pixels that a second draw of the members asks first, too."""
    table = pd.read_csv(RESULTS / "benchmarks" / "agreement.csv")
    split = table["what"].str.extract(r"(?P<function>\w+)_(?P<members>\w+-\d+)$")
    shares = split.assign(share=table["value"]).pivot(index="function", columns="members", values="share")
    columns = {"ensemble-4": "4 networks", "ensemble-16": "16 networks"}
    columns |= {"dropout-32": "32 samples of dropout", "dropout-128": "128 samples"}
    yield ["", *columns.values()]
    for function in shares.sort_values("ensemble-4", ascending=False).index:
        yield [str(function), *(f"{100 * shares.loc[function, column]:.0f} %" for column in columns)]


def _comparison(study: str) -> pd.DataFrame:
    return read_comparison(RESULTS / study / "comparison.csv")


def _ways(table: pd.DataFrame) -> list[str]:
    """The acquisitions of a comparison by pixels to its headline target, privileged ones last."""
    rows = table[(table["kind"] == "setting") & (table["quantity"] == "pixels") & table["headline"]]
    settings = rows.sort_values(["privileged", "value"], kind="stable")["setting"]
    return [setting.removeprefix("mlp-").removesuffix("-edges") for setting in settings]


def _label(way: str) -> str:
    if way == "error_depth":
        return f"*{way}, privileged*"
    return "**facility, the default**" if way == "facility" else way


def _cells(table: pd.DataFrame, way: str, target: float) -> tuple[str, str]:
    """Mean pixels, and the difference to stratified with wins and losses."""
    value, pair = pair_of(table, f"mlp-{way}-edges", "pixels", target=target)
    against = "" if pair is None else f"{interval_of(pair, 0)} {pair['wins']}–{pair['losses']}"
    return f"{value:.0f}", against


def _at_the_end(table: pd.DataFrame, way: str, quantity: str) -> str:
    _, pair = pair_of(table, f"mlp-{way}-edges", quantity, budget=LAST)
    assert pair is not None
    return interval_of(pair, 1, 100)
