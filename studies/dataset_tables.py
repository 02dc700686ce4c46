"""Tables of networks for a data set, trained on full label maps and on fewer labels, for `tables.py`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lowpix.dataset_study.ratios import mean_ratio

RESULTS = Path(__file__).parents[1] / "results"
CAMVID = ("camvid_dataset", "camvid_dataset_bfloat16")
"""The first was trained on two kinds of machines; the second has two more networks of its `full`."""
INTERVAL_FROM = 3  # pairs; the t-interval of two is wider than anything that it could tell

Rows = Iterable[list[str]]


def camvid_dataset() -> Rows:
    """Test mIoU of CamVid's data-set networks."""
    hours = {100: "94 pixels an image, 3.1 hours", 300: "284 pixels, 9.5 hours", 1000: "1,000 pixels, 33 hours"}
    return _ratios(CAMVID, "**CamVid**", 120, hours)


def nuclei_dataset() -> Rows:
    """Test mIoU of the data-set networks of nuclei."""
    hours = {100: "100 pixels an image, 2.5 hours", 300: "300 pixels, 7.5 hours", 1000: "1,000 pixels, 25 hours"}
    return _ratios(("nuclei_dataset",), "**nuclei**", 45, hours)


def miou_of(studies: Iterable[str]) -> pd.DataFrame:
    """Test mIoU, a column per setting. Networks in one row are of one seed and one kind of machine: pairs."""
    summary = pd.concat(pd.read_csv(RESULTS / study / "summary.csv") for study in studies)
    summary["machine"] = summary.get("machine", pd.Series("one", summary.index))  # of an earlier version
    return summary.pivot(index=["seed", "machine"], columns="setting", values="miou")


def _ratios(studies: Iterable[str], name: str, full_hours: int, budgets: dict[int, str]) -> Rows:
    pairs = miou_of(studies)
    miou = 100 * pairs.mean()
    yield [f"{name}, `full` {miou['full']:.1f} %, {full_hours} hours", *budgets.values()]
    for setting in ("pseudo", "pseudo_stratified", "sparse_random", "sparse", "few_full"):
        cells = [f"`{setting}`"]
        for budget in budgets:
            logs = np.log((pairs[f"{setting}-{budget}"] / pairs["full"]).dropna().to_numpy())
            ratio, low, high = mean_ratio(logs)
            interval = f" [{low:.2f}, {high:.2f}]" if len(logs) >= INTERVAL_FROM else ""
            cells.append(f"{miou[f'{setting}-{budget}']:.1f} % · {ratio:.2f}{interval}")
        yield cells


def trained_out() -> Rows:
    """Networks that learn for longer, on full label maps and on the default's pseudo-labels of 1,000 pixels."""
    yield ["180 epochs", "labels right", "`full`", "`pseudo`", "`pseudo` / `full`"]
    names = {
        "camvid_long": "**CamVid**, 120 train and 233 test images",
        "nuclei_long": "**nuclei**, 90 train and 30 test images",
        "vnc_long": "**vnc**, 64 train and 16 test tiles",
    }
    for study, name in names.items():
        row = pd.read_csv(RESULTS / study / "ratios.csv").set_index("setting").loc["pseudo-1000"]
        runs = pd.read_csv(RESULTS / study / "summary.csv")
        means = 100 * runs.groupby("setting")[["label_accuracy", "miou"]].mean()
        full, pseudo = means.loc["full"], means.loc["pseudo-1000"]
        ratio = f"{row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        yield [
            name,
            f"{pseudo['label_accuracy']:.1f} %",
            f"{full['miou']:.1f} %",
            f"{pseudo['miou']:.1f} %",
            ratio,
        ]
