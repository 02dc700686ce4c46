"""The tables about networks that ask, for `studies/tables.py`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lowpix.study.intervals import drawn_miou
from studies.cells import signed

RESULTS = Path(__file__).parents[1] / "results"
RUN = ["setting", "seed", "round"]
FIRST_ROW = "pixelpick"
PIXELPICK = {
    FIRST_ROW: "as `studies/pixelpick.toml` says",
    "pixelpick_again": "the same, but other pixels drawn among equal scores",
    "pixelpick_top": "the highest scores, instead of a draw among the 5 % highest",
    "pixelpick_scratch": "random first weights, instead of ImageNet's; all layers at the same rate",
    "pixelpick_width_16": "16 channels in the head, instead of 64",
    "pixelpick_20": "half of the images, twice the pixels each",
    "pixelpick_80": "twice the images, half of the pixels each",
    "pixelpick_noise_5": "5 % wrong answers",
    "pixelpick_noise_10": "10 % wrong answers",
    "pixelpick_noise_20": "20 % wrong answers",
    "pixelpick_border_5": "5 % wrong answers among those within 2 px of a border, {near:.0f} % of all",
    "pixelpick_border_10": "10 % wrong answers among those within 2 px of a border, {near:.0f} % of all",
    "pixelpick_border_20": "20 % wrong answers among those within 2 px of a border, {near:.0f} % of all",
}
"""The studies of PixelPick's questions, and what differs in them."""

Rows = Iterable[list[str]]


def camvid_active() -> Rows:
    """Test mIoU of networks that ask, by pixels an image of CamVid."""
    return _active("camvid_active")


def nuclei_active() -> Rows:
    """The same of nuclei."""
    return _active("nuclei_active")


def balent() -> Rows:
    """The same of the measures of BalEnt, on fewer images of CamVid and in fewer steps."""
    return _active("balent")


def _active(study: str) -> Rows:
    rounds, summary, pairs = (
        pd.read_csv(RESULTS / study / f"{name}.csv") for name in ("rounds", "summary", "pairs")
    )
    asking = rounds[rounds["setting"] != "full"]
    budgets = sorted(asking["asked"].unique())
    again = summary["miou_again"].notna().any()
    last = asking[asking["asked"] == budgets[-1]].groupby("setting")["miou"].mean()
    yield [
        "",
        "seeds",
        *(f"{budget:.0f}" for budget in budgets),
        *(["trained again"] if again else []),
        "against random, over seeds",
        "over test images",
    ]
    for setting in last.sort_values(ascending=False).index:
        own = rounds[rounds["setting"] == setting]
        means = 100 * own.groupby("asked")["miou"].mean()
        ends = 100 * summary.loc[summary["setting"] == setting, "miou_again"].mean()
        yield [
            setting.removeprefix("deeplab-"),
            str(own["seed"].nunique()),
            *(f"{means[budget]:.1f}" for budget in budgets),
            *([f"{ends:.1f}"] if again else []),
            *_against_random(pairs, setting),
        ]
    full = summary[summary["setting"] == "full"]
    if len(full):
        blank = [""] * (len(budgets) - 1)
        label = "full label maps, the same steps"
        yield [label, str(len(full)), *blank, f"{100 * full['miou'].mean():.1f}", *([""] if again else []), "", ""]


def _against_random(pairs: pd.DataFrame, setting: str) -> list[str]:
    """Points of mIoU after the last round, with the t-interval over seeds and the interval over test images."""
    own = pairs[(pairs["setting"] == setting) & (pairs["against"] == "deeplab-random")].sort_values("round")
    if own.empty:
        return ["", ""]
    last = own.iloc[-1]
    over_images = _points(*last[["difference", "images_low", "images_high"]])
    return ["" if last["seeds"] == 1 else _points(*last[["difference", "low", "high"]]), over_images]


def three_ways() -> Rows:
    """What the same clicks teach in three ways."""
    yield ["", "", "labels right", "their mIoU", "test mIoU", "against *asks*"]
    names = {"alone": "the images' networks ask and label", "asks": "one network asks, nothing else is labelled"}
    names |= {
        "both": "one network asks, the images' networks label",
        "carried": "likewise, helped by the one that asked",
    }
    names["full"] = "full label maps"
    studies = {"nuclei_active_ways": "**nuclei**, 50 pixels an image", "camvid_active_ways": "**CamVid**, 100"}
    for study, title in studies.items():
        table = pd.read_csv(RESULTS / study / "three_ways.csv")
        drawn = _drawn_ways(RESULTS / study, table)
        for way, name in names.items():
            means = 100 * table[table["way"] == way][["label_accuracy", "label_miou", "miou"]].mean()
            less = means["miou"] - 100 * table.loc[table["way"] == "asks", "miou"].mean()
            low, high = np.quantile(drawn[way] - drawn["asks"], [0.025, 0.975])
            against = "" if way == "asks" else _points(less / 100, low, high)
            cells = [f"{mean:.1f}" for mean in means]
            # the pixels that were asked are right, and there are no others
            yield [title, name, *(["", "", cells[2]] if way == "asks" else cells), against]
            title = ""


def _drawn_ways(folder: Path, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The mIoU of each way on the same draws of test images, the mean over seeds."""
    found = {}
    for way in table["way"].unique():
        study, kind = {"asks": ("both", "sparse"), "full": ("alone", "full")}.get(way, (way, "pseudo"))
        counts = pd.read_parquet(folder / study / "confusion.parquet")
        own = counts[counts["setting"].str.split("-").str[0] == kind]
        found[way] = np.mean(list(drawn_miou(own, ["setting", "seed"]).values()), axis=0)
    return found


def pixelpick() -> Rows:
    """Test mIoU when one thing differs from `studies/pixelpick.toml`, in pairs against it."""
    yield ["", "images", "pixels each", "mIoU", "against the first row"]
    first = _last_drawn(FIRST_ROW)
    for study, name in PIXELPICK.items():
        folder = RESULTS / study
        if not (folder / "summary.csv").exists():
            continue
        row = pd.read_csv(folder / "summary.csv").iloc[0]
        base = pd.read_csv(RESULTS / FIRST_ROW / "summary.csv").iloc[0]
        ends = np.quantile(_last_drawn(study) - first, [0.025, 0.975])
        against = "" if study == FIRST_ROW else _points(row["miou"] - base["miou"], *ends)
        near = 100 * pd.read_csv(folder / "rounds.csv")["near_border"].iloc[-1]
        yield [
            name.format(near=near),
            str(row["images"]),
            f"{row['pixels_per_image']:.0f}",
            f"{100 * row['miou']:.1f}",
            against,
        ]


def _last_drawn(study: str) -> np.ndarray:
    """The mIoU of a study's only run after its last round, on draws of the test images."""
    confusion = pd.read_parquet(RESULTS / study / "confusion.parquet")
    (drawn,) = drawn_miou(confusion[confusion["round"] == confusion["round"].max()], RUN).values()
    return drawn


def _points(value: float, low: float, high: float) -> str:
    """A difference of shares, in points."""
    return signed(100 * value, 100 * low, 100 * high, 1)
