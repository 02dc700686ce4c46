"""Sentences about the headline, sizes of scenes and wrong answers say what the tables in results/ say."""

import numpy as np
import pandas as pd
import pytest
from data_samples import DATA, needs_nuclei
from result_sentences import ROOT, Sentence, collector, interval_text, require_said

from lowpix.data import open_dataset
from lowpix.study.tables import pixels_to
from studies import headline_tables
from studies.headline_tables import curves_of

PAGE = "results/README.md"
SAYS: list[Sentence] = []
says = collector(SAYS)


@says("results/README.md")
def medians_of_the_headline() -> str:
    curves = curves_of("camvid_image")
    default = curves[curves["acquisition"] == headline_tables.DEFAULT]
    middle, high, higher = (headline_tables.median(default, target).split()[0] for target in (0.9, 0.95, 0.98))
    assert higher == "–"
    found = f"median of {middle} labels for 90 % of a CamVid image, {high} for 95 %"
    return f"{found}, and mostly more than 1,000 for 98 %"


def pixels_of_all(study: str, target: float) -> list[pd.Series]:
    """Pixels by image of the default, of evenly spread and of random pixels."""
    curves = curves_of(study)
    return [headline_tables.pixels_by_image(curves, way, target) for way in ("facility", "stratified", "random")]


def miou_at(study: str, target: float) -> float:
    """The mean over images of the default's mIoU, in percent, in the first round with this accuracy."""
    curves = curves_of(study)
    there = curves[(curves["acquisition"] == headline_tables.DEFAULT) & (curves["accuracy"] >= target)]
    first = there.sort_values("round").groupby(["image", "seed"])["miou"].first()
    return 100 * float(first.groupby("image").mean().mean())


@says("results/README.md")
def miou_at_an_accuracy() -> str:
    camvid = f"a CamVid image is {miou_at('camvid_image', 0.9):.0f} % on average"
    camvid += f" and at 95 % {miou_at('camvid_image', 0.95):.0f}"
    others = f"a vnc tile at 90 % {miou_at('vnc_image', 0.9):.0f}"
    return f"{camvid}; that of {others}, and of a nuclei image at 95 % {miou_at('nuclei_image', 0.95):.0f}"


@says("README.md")
def miou_at_an_accuracy_in_short() -> str:
    low, high = (miou_at("camvid_image", target) for target in (0.9, 0.95))
    return f"the mIoU of a CamVid image is {low:.0f} % on average, at 95 % {high:.0f}"


@says("results/README.md")
def nuclei_that_five_pixels_settle() -> str:
    curves = curves_of("nuclei_image")
    first = curves[curves["round"] == 0].set_index("acquisition")
    assert (first["revealed"] == 5).all()
    there = (first["accuracy"] >= 0.9).groupby("acquisition").agg(["sum", "size"])
    default, runs = there.loc[headline_tables.DEFAULT]
    own = f"The default's first five pixels bring {default} of the {runs} runs on them to 90 %"
    return f"{own}, five random ones {there.loc['random', 'sum']}"


@says("results/README.md")
def more_pixels_of_the_median_image() -> str:
    default, even, _ = pixels_of_all("nuclei_image", 0.95)
    return f"because of a few images: the median one needs {(even - default).median():.0f} more"


@says("results/README.md")
def smallest_scenes() -> str:
    small, large = curves_of("camvid_resolution/90"), curves_of("defaults_camvid")
    own = large[(large["setting"] == "mlp-facility-edges") & large["image"].isin(small["image"])]
    first, second = (headline_tables.capped(pixels_to(curves, 0.9), 300) for curves in (small, own))
    ratios = (first / second).map(np.log)
    low, high = headline_tables.bounds(ratios, 6)
    times = f"{np.exp(ratios.mean()):.1f} times the pixels of 360 rows to 90 % (the geometric mean)"
    return f"{times}, [{np.exp(low):.2f}, {np.exp(high):.2f}] with all six comparisons counted"


@says("results/README.md")
def images_that_need_fewer() -> str:
    less = []
    for study in ("camvid_image", "vnc_image"):
        default, even, _ = pixels_of_all(study, 0.9)
        less.append((default < even).sum())
        assert less[-1] == len(default)
        assert default.mean() < even.mean() / 2
    for target in (0.95, 0.98):
        default, even, _ = pixels_of_all("nuclei_image", target)
        assert default.mean() / even.mean() == pytest.approx(0.5, abs=0.05)
    return f"on all {less[0]} images of CamVid and all {less[1]} of vnc, on average more than twice as many"


@says("results/README.md")
def times_of_random_pixels() -> str:
    camvid, vnc = (
        random.mean() / default.mean()
        for default, _, random in (pixels_of_all(study, 0.9) for study in ("camvid_image", "vnc_image"))
    )
    times = f"{camvid:.1f} times the default's on CamVid and at least {vnc:.1f} times on vnc"
    return f"random pixels are on average {times}"


@says("results/README.md")
def lead_over_places() -> str:
    leads = []
    for target in (0.85, 0.9):
        default, even, _ = pixels_of_all("vnc_image", target)
        leads.append(((even - default).mean(), *headline_tables.bounds_over_places(even - default)))
    (_, low, high), to90 = leads
    assert low < 0 < high
    return f"{interval_text(*to90, what='pixels', digits=0)}, and to 85 % none is shown"


@says("results/README.md")
def cost_of_wrong_answers() -> str:
    _, _, camvid_2, camvid_5, _, nuclei_2, nuclei_5 = headline_tables.noise()
    camvid, nuclei = (row[3].strip("*").replace("+", "").split(" ", 1) for row in (camvid_5, nuclei_5))
    assert "**" not in camvid_2[3] + nuclei_2[3]
    more = (
        f"{camvid[0]} more pixels to 90 % of CamVid {camvid[1]} and {nuclei[0]} more to 95 % of nuclei {nuclei[1]}"
    )
    cells = (camvid_5[5], nuclei_5[5], camvid_5[7])
    lost, of_nuclei, miou = (cell.strip("*−").split()[0] for cell in cells)
    return f"{more}; at 300, {lost} and {of_nuclei} points of accuracy are lost, and on CamVid {miou} of mIoU"


@says("results/README.md")
def images_that_wrong_answers_cost() -> str:
    clean, wrong = (
        headline_tables.pixels_by_image(curves_of(f"camvid_noise{end}"), headline_tables.DEFAULT, 0.9, 300)
        for end in ("", "_2")
    )
    return f"on CamVid {(wrong > clean).sum()} images need more and {(wrong < clean).sum()} fewer"


@needs_nuclei
def test_what_background_alone_would_be_on_nuclei() -> None:
    """Said on both pages; the label maps are not in results/."""
    nuclei = open_dataset("folder", DATA / "nuclei", "test")
    images = curves_of("nuclei_image")["image"].unique()
    background = [labels == 0 for name in images if (labels := nuclei.labels(name)) is not None]
    share = 100 * sum(map(np.count_nonzero, background)) / sum(map(np.size, background))
    as_good = sum(float(one.mean()) >= 0.9 for one in background)
    readme, results = (" ".join((ROOT / page).read_text("utf-8").split()) for page in ("README.md", PAGE))
    assert f"where background alone would be {share:.0f} % right" in readme
    assert f"on {as_good} of the {len(images)} images a map of background alone is as good" in results


@pytest.mark.parametrize("sentence", SAYS, ids=str)
def test_figures_in_sentences_follow_from_tables(sentence: Sentence) -> None:
    require_said(sentence)
