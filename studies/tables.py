"""python -m studies.tables: write the tables of README.md and results/README.md from the tables in results/.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function of this file,
of `headline_tables.py`, `acquisition_tables.py`, `dataset_tables.py` or `active_tables.py`.
"""

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lowpix.compare.comparison import read_comparison
from lowpix.storage import write_bytes
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.tables import pixels_to, pixels_to_stay
from studies.acquisition_tables import (
    acquisitions,
    acquisitions_at_the_end,
    agreement,
    more_members,
    more_seeds,
    other_starts,
)
from studies.active_tables import balent, camvid_active, nuclei_active, pixelpick, three_ways
from studies.cells import interval_of, pair_of
from studies.dataset_tables import camvid_dataset, nuclei_dataset, trained_out
from studies.headline_tables import bounds, capped, curves_of, difference, median, noise, pixels, pixels_in_pairs

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGES = (ROOT / "README.md", RESULTS / "README.md")
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
LAST = 300  # revealed pixels at the end of studies that stop at a budget

Rows = Iterable[list[str]]


def written(page: str) -> str:
    """The text of a page with its tables written anew."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{_markdown(TABLES[block[2]]())}\n", page)


def _markdown(rows: Rows) -> str:
    head, *body = ("| " + " | ".join(row) + " |\n" for row in rows)
    return "".join([head, "|---" * (head.count("|") - 1) + "|\n", *body])


def resolution() -> Rows:
    """Mean pixels of the same scenes at three sizes, first passage and staying, and ratios to the largest."""
    curves = {rows: curves_of(f"camvid_resolution/{rows}") for rows in (90, 180)}
    largest = curves_of("defaults_camvid")
    largest = largest[largest["setting"] == "mlp-facility-edges"]
    curves[360] = largest[largest["image"].isin(curves[90]["image"])]
    targets = (0.85, 0.9, 0.95)
    yield ["", *(text for target in targets for text in (f"{100 * target:.0f} %", "to stay", "against 360 rows"))]
    for rows, rounds in curves.items():
        cells = []
        for target in targets:
            first, stays = (capped(of(rounds, target), LAST) for of in (pixels_to, pixels_to_stay))
            ratios = (first / capped(pixels_to(curves[360], target), LAST)).map(np.log)
            middle, low, high = np.exp([ratios.mean(), *bounds(ratios)])
            against = "" if rows == 360 else f"× {middle:.2f} [{low:.2f}, {high:.2f}]"
            cells += [f"{first.mean():.0f}", f"{stays.mean():.0f}", against]
        yield [f"{rows} × {rows * 4 // 3}", *cells]


def precision() -> Rows:
    """Mean pixels by margin in float32 and in bfloat16, and in pairs."""
    whole, half = curves_of("camvid_float32"), curves_of("camvid_unsmoothed")
    half = half[half["setting"] == "mlp-margin"]
    targets = (0.8, 0.85, 0.9, 0.95)
    yield ["", *(f"{100 * target:.0f} %" for target in targets)]
    full, short = ([capped(pixels_to(own, target), LAST) for target in targets] for own in (whole, half))
    yield ["float32", *(f"{pixels.mean():.1f}" for pixels in full)]
    yield ["bfloat16", *(f"{pixels.mean():.1f}" for pixels in short)]
    pairs = zip(short, full, strict=True)
    yield ["difference", *(difference(one - other, 1, len(targets)) for one, other in pairs)]


def sizes() -> Rows:
    """Times of larger images, as multiples of those of 360×480, and the memory of the process."""
    table = pd.read_csv(RESULTS / "benchmarks" / "scaling.csv").set_index("what")["value"]
    yield ["", "pixels", "to begin", "a round", "memory, GB"]
    of = [what.removeprefix("memory_of_") for what in table.index if what.startswith("memory_of_")]
    areas = [math.prod(map(int, size.split("x"))) for size in of]
    for size, area in zip(of, areas, strict=True):
        times = (table[f"{what}_of_{size}"] / table[f"{what}_of_{of[0]}"] for what in ("features", "round"))
        multiples = (f"× {multiple:.0f}" for multiple in (area / areas[0], *times))
        yield [size.replace("x", "×"), *multiples, f"{table[f'memory_of_{size}'] / 1000:.1f}"]


def defaults() -> Rows:
    """The default and its parts against margin alone."""
    head = ["", "", "pixels", "against margin", "acc @60", "mIoU @60", "acc @300", "mIoU @300", "missed @60"]
    yield [*head, "@300"]
    targets = {"camvid": ("**CamVid**, 24 train images, to 90 %", 0.9)}
    targets["vnc"] = "**vnc**, 16 train tiles, to 85 %", 0.85
    targets["nuclei"] = "**nuclei**, 16 train images, to 95 %", 0.95
    labels = {"mlp-facility-edges": "**facility, edges**", "mlp-facility": "facility"}
    labels |= {"mlp-margin-edges": "margin, edges", "mlp-margin": "margin"}
    for data, (name, target) in targets.items():
        folder = RESULTS / f"defaults_{data}"
        table, curves = read_comparison(folder / "comparison.csv"), Study(folder, IMAGES).tables().curves
        for setting, label in labels.items():
            value, pair = pair_of(table, setting, "pixels", target=target)
            rounds = curves[curves["setting"] == setting]
            at = {budget: _at(rounds, budget) for budget in (60, LAST)}
            cells = [f"{100 * at[budget][of]:.1f}" for budget in (60, LAST) for of in ("accuracy", "miou")]
            missed = [f"{100 * at[budget]['missed']:.0f} %" for budget in (60, LAST)]
            yield [name, label, f"{value:.0f}", "" if pair is None else interval_of(pair, 0), *cells, *missed]
            name = ""


def _at(rounds: pd.DataFrame, budget: int) -> pd.Series:
    """Means over images of a setting's runs at a budget; `missed` is the share of runs that missed a class."""
    last = rounds[rounds["revealed"] <= budget].sort_values("round").groupby(["image", "seed"]).last()
    last["missed"] = (last["classes_missed"] > 0).astype(float)
    return last.groupby("image")[["accuracy", "miou", "missed"]].mean().mean()


def to98() -> Rows:
    """Median pixels of the default and of margin alone to three accuracies, and the share of runs there."""
    yield ["six images each, two seeds", "", "90 %", "95 %", "98 %"]
    for data in ("camvid", "vnc", "nuclei"):
        name = f"**{'CamVid' if data == 'camvid' else data}**"
        curves = curves_of(f"to98_{data}")
        for setting, label in (("mlp-facility-edges", "facility, edges"), ("mlp-margin", "margin")):
            rounds = curves[curves["setting"] == setting]
            yield [name, label, *(median(rounds, target) for target in (0.9, 0.95, 0.98))]
            name = ""


def networks() -> Rows:
    """The networks of an image against the mlp."""
    yield ["", "", "images", "pixels", "against mlp", "wins"]
    targets = {"camvid": ("**CamVid**, to 90 %", 0.9), "vnc": ("**vnc**, to 85 %", 0.85)}
    targets["nuclei"] = "**nuclei**, to 95 %", 0.95
    for data, (name, target) in targets.items():
        folder = RESULTS / f"networks_{data}"
        table = read_comparison(folder / "comparison.csv")
        images = str(table["images"].iloc[0])
        for network in ("mlp", "gp", "mlp+gp"):
            value, pair = pair_of(table, f"{network}-facility-edges", "pixels", target=target)
            against = ["", ""] if pair is None else [interval_of(pair, 0), f"{pair['wins']}–{pair['losses']}"]
            yield [name, network, images, f"{value:.0f}", *against]
            name = images = ""


def carry_over() -> Rows:
    """The second 25 images of a data set, without and with what the first 25 told."""
    budgets = (5, 10, 19, 52, 100)
    head = ["", "help", "pixels, median", "mean", "against none", "wins"]
    yield [*head, *(f"right at {budget}" for budget in budgets), "mIoU at 5", "at 100"]
    targets = {"camvid": ("**CamVid**, to 90 %", 0.9), "nuclei": ("**nuclei**, to 95 %", 0.95)}
    for data, (name, target) in targets.items():
        table = read_comparison(RESULTS / f"{data}_carry_over" / "comparison.csv")
        own = table[table["kind"] == "setting"]
        medians = own[(own["quantity"] == "median_pixels") & (own["target"] == target)].set_index("setting")
        for setting in sorted(medians.index, key=len):
            value, pair = pair_of(table, setting, "pixels", target=target)
            against = ["", ""] if pair is None else [interval_of(pair, 0), f"{pair['wins']}–{pair['losses']}"]
            at = [("accuracy", budget) for budget in budgets] + [("miou", 5), ("miou", 100)]
            cells = [f"{100 * pair_of(table, setting, what, budget=budget)[0]:.1f}" for what, budget in at]
            help_ = "none" if pair is None else "25 images"
            yield [name, help_, f"{medians.loc[setting, 'value']:.0f}", f"{value:.0f}", *against, *cells]
            name = ""


def asking() -> Rows:
    """Seconds of a simulated person by keys, clicks and mixtures, and their ratio to keys."""
    table = pd.read_csv(RESULTS / "annotate_simulated" / "seconds.csv")
    targets = (0.9, 0.95, 0.98)
    yield ["", "", *(text for target in targets for text in (f"s to {100 * target:.0f} %", "× keys"))]
    for study, name in (("camvid", "**CamVid**, {} train images"), ("nuclei", "**nuclei**, {} test images")):
        own = table[table["study"] == study]
        name = name.format(own["images"].iloc[0])
        for way, rows in own.groupby("way", sort=False):
            cells = []
            for target in targets:
                row = rows[rows["target"] == target].iloc[0]
                cells += [_seconds(row), _ratio_to_keys(row)]
            yield [name, str(way), *cells]
            name = ""


def _seconds(row: pd.Series) -> str:
    """The median seconds, and the share of images that got there, if not all did."""
    seconds = row["seconds"]
    text = "–" if np.isinf(seconds) else f"{seconds:.{1 if seconds < 10 else 0}f}"
    return text if row["reached"] == 1 else f"{text} ({100 * row['reached']:.0f} %)"


def _ratio_to_keys(row: pd.Series) -> str:
    """The ratio with its interval, bold if that excludes 1; empty if most images never got there."""
    if pd.isna(row["ratio"]) or row["reached"] < 0.5:
        return ""
    text = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
    return f"**{text}**" if row["ratio_low"] > 1 or row["ratio_high"] < 1 else text


def order() -> Rows:
    """Training in order against the other arms."""
    names = {
        "at_once": "all 300 pixels at once",
        "at_once_weighted": "at once, but each as often as the order draws it",
    }
    names |= {"shuffled": "the same pixels in a random order", "reversed": "the last one first"}
    names |= {"full": "the full label map", "full_plateau": "the full label map until the loss plateaus"}
    pairs = pd.read_csv(RESULTS / "camvid_order" / "order_pairs.csv").set_index(["quantity", "against"])
    yield ["against", "accuracy, points", "mIoU, points"]
    for arm, name in names.items():
        rows = pairs.loc[[("accuracy", arm), ("miou", arm)]]
        yield [name, *(interval_of(row, 1, 100) for _, row in rows.iterrows())]


TABLES: dict[str, Callable[[], Rows]] = {
    made.__name__: made
    for made in (
        pixels,
        pixels_in_pairs,
        noise,
        acquisitions,
        acquisitions_at_the_end,
        more_seeds,
        other_starts,
        more_members,
        agreement,
        resolution,
        precision,
        sizes,
        defaults,
        to98,
        networks,
        carry_over,
        asking,
        camvid_dataset,
        nuclei_dataset,
        trained_out,
        camvid_active,
        nuclei_active,
        three_ways,
        pixelpick,
        balent,
        order,
    )
}


if __name__ == "__main__":
    for path in PAGES:
        write_bytes(path, written(path.read_text(encoding="utf-8")).encode())
