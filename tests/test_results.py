"""The pages about results say what the tables in results/ say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_samples import DATA, needs_camvid
from numpy.typing import NDArray
from result_sentences import RESULTS, ROOT, Sentence, collector, interval_text, require_said

from lowpix.compare.comparison import read_comparison
from lowpix.compare.measures import measures
from lowpix.data import IGNORE, open_dataset
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.tables import pixels_to
from studies import tables
from studies.headline_tables import bounds, bounds_over_places, curves_of

DEFAULT, MARGIN, RANDOM = "mlp-facility-edges", "mlp-margin", "mlp-random-edges"


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_as_written_by_their_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == len(tables.BLOCK.findall(text)) > 0
    assert tables.written(text) == text, "python -m studies.tables writes them anew"


# Figures within sentences


def at(curves: pd.DataFrame, setting: str, pixels: int, column: str = "accuracy") -> pd.Series:
    """Means over seeds at this number of pixels, by image."""
    rounds = curves[(curves["setting"] == setting) & (curves["revealed"] <= pixels)].sort_values("round")
    return rounds.groupby(["image", "seed"])[column].last().groupby("image").mean()


def in_pairs(difference: pd.Series, what: str, sign: str = "") -> str:
    return interval_text(float(difference.mean()), *bounds(difference), what=what, sign=sign)


def pair(study: str, setting: str, quantity: str, **where: float) -> NDArray[np.float64]:
    """Value and interval of a setting's difference to the baseline."""
    row = compared(study, kind="pair", setting=setting, quantity=quantity, **where)
    return row[["value", "low", "high"]].to_numpy(float)


def compared(study: str, **where: object) -> pd.Series:
    """The one row of a comparison with these values."""
    table = read_comparison(RESULTS / study / "comparison.csv")
    for column, value in where.items():
        table = table[table[column] == value]
    (_, row), *others = table.iterrows()
    assert not others
    return row


def mean_pixels(study: str, setting: str, target: float) -> float:
    return float(measures(curves_of(study), [target], [])[0].per_image()[setting].mean())


def medians(study: str, target: float) -> tuple[float, float]:
    """The median pixels of the default and of margin alone."""
    default, margin = (
        compared(study, setting=setting, quantity="median_pixels", target=target)["value"]
        for setting in (DEFAULT, MARGIN)
    )
    return default, margin


def least_share(study: str, acquisition: str) -> float:
    """The mean share of the pixels to 98 %, in percent; a run that ran out counts with its last."""
    summary = pd.read_csv(RESULTS / study / "summary.csv")
    own = summary[summary["acquisition"] == acquisition]
    spent = own["fraction_to_target"].fillna(own["fraction"])
    return 100 * float(spent.groupby(own["image"]).mean().mean())


def pixels_by_seed(study: str, setting: str, target: float) -> pd.DataFrame:
    """Pixels to the target by image and seed; a run that ran out counts with its last."""
    curves = curves_of(study)
    own = curves[curves["setting"] == setting]
    found = pixels_to(own, target)
    last = own.groupby(["image", "seed"], as_index=False)["revealed"].max()
    runs = found.merge(last, on=["image", "seed"])
    pixels = runs["pixels"].astype(float).fillna(runs["revealed"])
    return runs.assign(pixels=pixels).pivot(index="image", columns="seed", values="pixels")


SAYS: list[Sentence] = []
says = collector(SAYS)


@says("results/README.md")
def missed_by_intervals() -> str:
    table = pd.read_csv(RESULTS / "benchmarks" / "coverage.csv")
    most = 100 * table[table["what"].str.startswith("24 images")].groupby("unit")[["value", "baseline"]].max()
    (wide, wide_bca), (plain, plain_bca) = most.loc[["share missed at 99.5 %", "share missed at 95 %"]].to_numpy()
    first = f"missed the true mean in at most {wide:.1f} % of 1,000, scipy's BCa in up to {wide_bca:.1f} %"
    assert round(wide / 0.5) == 4
    few = 100 * table[table["what"].str.startswith("12") & table["unit"].str.contains("99.5")]["value"].max()
    assert round(few / 0.5) == 7
    return f"{first}; 95 % intervals in at most {plain:.1f} %, BCa's in up to {plain_bca:.1f} %"


@says("results/README.md")
def spread_of_a_repeat() -> str:
    to90, to95 = (pixels_by_seed("camvid_image", DEFAULT, target) for target in (0.9, 0.95))
    factors = np.exp(np.log(to90[0] / to90[1]).abs())
    middle, high = factors.median(), factors.quantile(0.9)
    image = f"by a factor of {middle:.1f} in the median image, and of {high:.1f} or more in one of ten"
    (one, other), (far, farther) = (table.median() for table in (to90, to95))
    medians = f"the medians of the two seeds over images are {one:.0f} and {other:.0f}"
    return f"{image}; {medians}, and to 95 % {far:.0f} and {farther:.0f}"


@says("results/README.md")
def spread_of_another_precision() -> str:
    full = pixels_by_seed("camvid_float32", "mlp_float32-margin", 0.85)
    half = pixels_by_seed("camvid_unsmoothed", MARGIN, 0.85)
    factor = np.exp(np.median(np.log(full / half.loc[full.index]).abs()))
    return f"moves the same seed's count to 85 %, by margin without smoothing, by a factor of {factor:.1f} in the"


@says("results/README.md")
def seeds_of_the_default() -> str:
    found = {
        (setting, target): [
            f"{1e-9 + median:.0f}" for median in pixels_by_seed("defaults_camvid", setting, target).median()
        ]
        for setting in (DEFAULT, MARGIN)
        for target in (0.9, 0.95)
    }
    first, second = (
        f"{' and '.join(found[DEFAULT, target])} instead of {' and '.join(found[MARGIN, target])}"
        for target in (0.9, 0.95)
    )
    return f"the first and the second seed alone give {first}, and {second}"


@says("results/README.md")
def share_of_the_pixels() -> str:
    camvid, nuclei, vnc = (
        [least_share(f"{data}_image", way) for way in ("facility", "error_depth")]
        for data in ("camvid", "nuclei", "vnc")
    )
    default = f"at least {camvid[0]:.2f} % of the pixels by default on CamVid, {nuclei[0]:.2f} on nuclei"
    privileged = f"{camvid[1]:.2f}, {nuclei[1]:.2f} and {vnc[1]:.2f} by error_depth"
    return f"{default} and {vnc[0]:.2f} on vnc, and {privileged}"


@says("results/README.md")
def missed_classes() -> str:
    summary = pd.read_csv(RESULTS / "camvid_image" / "summary.csv")
    missed = summary[summary["classes_missed"] > 0].groupby("setting")["accuracy"]
    (default, random), there = missed.size()[[DEFAULT, RANDOM]], (missed.get_group(DEFAULT) >= 0.98).sum()
    ours = f"{default} of 64 by default, {there} of which had reached 98 %"
    return f"{ours}, and {random} of 64 random ones"


@needs_camvid
def test_classes_that_no_answer_held_are_small() -> None:
    camvid = open_dataset("camvid", DATA, "test")
    tables = Study(RESULTS / "camvid_image", IMAGES).tables()
    keys = ["setting", "image", "seed"]
    missed = tables.summary[tables.summary["classes_missed"] > 0].set_index(keys).loc[[DEFAULT, RANDOM]]
    answers = tables.revealed.groupby(keys)["label"].unique()
    for setting, image, seed in missed.index:
        labels = camvid.labels(image)
        assert labels is not None
        counts = np.bincount(labels[labels != IGNORE], minlength=len(camvid.classes))
        counts[[label for label in answers[setting, image, seed] if label < len(counts)]] = 0
        assert 0 < counts.max() < 0.005 * labels.size
    assert "less than 0.5 % of its image" in " ".join((RESULTS / "README.md").read_text("utf-8").split())


@says("results/README.md")
def default_on_camvid() -> str:
    default, margin = (mean_pixels("defaults_camvid", setting, 0.9) for setting in (DEFAULT, MARGIN))
    return f"a mean of {default:.0f} instead of {margin:.0f} pixels to 90 %"


def test_no_lead_on_vnc_is_shown_over_places() -> None:
    pixels = measures(curves_of("defaults_vnc"), [0.85], [])[0].per_image()
    lead = pixels[MARGIN] - pixels[DEFAULT]
    low, high = bounds_over_places(lead)
    assert low < 0 < high


@says("README.md")
@says("results/README.md")
def default_on_vnc() -> str:
    default, margin = (mean_pixels("defaults_vnc", setting, 0.85) for setting in (DEFAULT, MARGIN))
    return f"{default:.0f} instead of {margin:.0f} to 85 %"


@says("results/README.md")
def default_at_300_on_vnc() -> str:
    row = pair("defaults_vnc", DEFAULT, "accuracy", budget=300)
    return f"ahead of margin by {interval_text(*(100 * row), what='points of accuracy', digits=2)} on vnc"


@says("results/README.md")
def default_at_300_on_camvid() -> str:
    return f"with {interval_text(*(100 * pair('defaults_camvid', DEFAULT, 'accuracy', budget=300)), digits=2)}"


@says("results/README.md")
def medians_of_the_default() -> str:
    (default_90, margin_90), (default_95, margin_95) = (medians("defaults_camvid", to) for to in (0.9, 0.95))
    to_90 = f"CamVid takes {default_90:.0f} instead of {margin_90:.0f} pixels to 90 %"
    return f"{to_90} and {default_95:.0f} instead of {margin_95:.0f} to 95 %"


@says("README.md")
def medians_of_the_default_in_short() -> str:
    (default_90, margin_90), (default_95, margin_95) = (medians("defaults_camvid", to) for to in (0.9, 0.95))
    to_90 = f"a median of {default_90:.0f} pixels instead of margin's {margin_90:.0f} to 90 %"
    return f"{to_90}, and {default_95:.0f} instead of {margin_95:.0f} to 95 %"


@says("README.md")
def walk_through() -> str:
    table = pd.read_csv(RESULTS / "benchmarks" / "walkthrough.csv").set_index("what")["value"]
    percent = 100 * table[table.index.str.contains("accuracy|mIoU")]
    answers, minutes = table["answers an image, audits included"], table["minutes at 0.9 s an answer, all images"]
    maps = f"{percent['label maps: accuracy']:.1f} % right (mIoU {percent['label maps: mIoU']:.1f} %)"
    model = [f"{percent[f'model on the test images: {what}']:.1f} %" for what in ("accuracy", "mIoU")]
    spent = f"{answers:.0f} answers each for 10 images of nuclei, {minutes:.0f} minutes at 0.9 s an answer"
    return f"{spent}, give label maps {maps}; the network's of 30 test images {model[0]} ({model[1]})"


@says("README.md")
def carried_over() -> str:
    folder = "camvid_carry_over"
    plain, helped = (
        compared(folder, setting=DEFAULT + suffix, quantity="median_pixels", target=0.9)["value"]
        for suffix in ("", "-carry_mobilenet_v2_1.0_imagenet")
    )
    return f"a median of {helped:.0f} pixels instead of {plain:.0f} to 90 %"


@says("results/README.md")
def carried_over_on_the_page() -> str:
    table = pd.read_csv(RESULTS / "benchmarks" / "carrying.csv")
    own = table[(table["learned_from"] == 20) & table["what"].str.startswith("answers to 90%")].iloc[0]
    interval_of = interval_text(own["difference"] - 1e-9, own["low"], own["high"])
    return f"mean of {own['with']:.0f} answers to 90 % instead of {own['without']:.0f}, {interval_of}"


@says("results/README.md")
def off_the_borders() -> str:
    curves = curves_of("defaults_camvid")
    default, margin = (100 * at(curves, one, 173, "accuracy_off_border").median() for one in (DEFAULT, MARGIN))
    return f"is {default:.1f} % right at 173 pixels instead of {margin:.1f} %"


@says("results/README.md")
def bfloat16_against_float32() -> str:
    said = ""
    for target in (0.8, 0.85, 0.9, 0.95):
        full = pixels_by_seed("camvid_float32", "mlp_float32-margin", target).mean(axis=1)
        half = pixels_by_seed("camvid_unsmoothed", MARGIN, target).mean(axis=1).loc[full.index]
        low, high = bounds(half - full, 4)
        assert low < 0 < high
        if target == 0.85:
            said = f"{half.mean():.1f} pixels to 85 % in bfloat16 and {full.mean():.1f} in float32, in pairs "
            said += in_pairs(half - full, "")
    return said


@says("results/README.md")
def answers_to_the_miou_of_an_image() -> str:
    table = pd.read_csv(RESULTS / "annotate_simulated" / "noc.csv").query("study == 'nuclei' and cap == 300")
    answers = table[table["miou"] == 0.85].set_index("way")["noc"]
    rounds = pd.read_parquet(RESULTS / "annotate_simulated" / "rounds.parquet").query("study == 'nuclei'")
    rounds = rounds.assign(seconds=0.9 * rounds["keys"] + 2.4 * rounds["clicks"])
    there = rounds[rounds["miou"] >= 0.85].groupby(["way", "image"])["seconds"].min().unstack("way")
    there = there.reindex(rounds["image"].unique()).fillna(300 * 0.9)  # what 300 keys take
    low, high = bounds(there["clicks"] - there["keys"])
    assert low < 0 < high
    return f"an mIoU of 85 %, a mean of {answers['clicks']:.0f} instead of {answers['keys']:.0f} by keys"


@says("results/README.md")
def images_that_clicks_and_keys_finish() -> str:
    table = pd.read_csv(RESULTS / "annotate_simulated" / "seconds.csv").query("study == 'camvid'")
    done = table[table["target"] == 0.95].set_index("way").eval("images * reached").round()
    assert done["clicks"] == 24
    rounds = pd.read_parquet(RESULTS / "annotate_simulated" / "rounds.parquet").query("study == 'camvid'")
    clicks = rounds[(rounds["way"] == "clicks") & (0.9 * rounds["keys"] + 2.4 * rounds["clicks"] <= 270)]
    soon = clicks[clicks["accuracy"] >= 0.95]["image"].nunique()
    all_of_them = f"to 95 % on all {done['clicks']:.0f} images instead of {done['keys']:.0f}"
    return f"{all_of_them}. Within 270 s they, too, get there on {soon}"


@says("results/README.md")
def seconds_of_the_default() -> str:
    summary = pd.read_csv(RESULTS / "camvid_image" / "summary.csv").query("acquisition == 'facility'")
    return f"{summary['seconds'].median():.0f} s in the median run of `camvid_image`"


@says("results/README.md")
def memory_of_more_images() -> str:
    table = pd.read_csv(RESULTS / "benchmarks" / "memory.csv").set_index("what")
    row = table.loc["study_of_40_images_vs_4_all_processes"]
    more = 100 * (row["value"] / row["baseline"] - 1)
    return f"took {more:.0f} % more memory than one of 4, {row['value'] / 1000:.2f} GB"


@pytest.mark.parametrize("sentence", SAYS, ids=str)
def test_figures_in_sentences_follow_from_tables(sentence: Sentence) -> None:
    require_said(sentence)
