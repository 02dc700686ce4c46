"""Sentences about which pixel should be asked for say what the tables in results/ say."""

import pandas as pd
import pytest
from result_sentences import Sentence, collector, interval_text, require_said

from studies.acquisition_tables import LAST, SEEDS, pixels_over_seeds
from studies.headline_tables import bounds, bounds_over_places, curves_of, pixels_by_image

SAYS: list[Sentence] = []
says = collector(SAYS)


def pixels(study: str, way: str, target: float) -> pd.Series:
    """Pixels by image, the mean over seeds."""
    return pixels_by_image(curves_of(study), way, target, LAST)


@says("results/README.md")
def default_against_all_others() -> str:
    curves = curves_of("camvid_acquisitions")
    means = {
        target: {way: pixels_by_image(curves, way, target, LAST).mean() for way in curves["acquisition"].unique()}
        for target in (0.85, 0.9)
    }
    soon, late = means[0.85], means[0.9]
    others = min(mean for way, mean in soon.items() if way not in ("facility", "error_depth"))
    assert sorted(late, key=lambda way: late[way])[:4] == ["error_depth", "facility", "margin", "power_bald"]
    first = f"a mean of {soon['facility']:.0f} pixels, an even spread {soon['stratified']:.0f}"
    second = f"to 90 % it needs {late['facility']:.0f}, margin {late['margin']:.0f}"
    second += f", power_bald {late['power_bald']:.0f} and an even spread {late['stratified']:.0f}"
    return f"{first}, and no other way that a person could follow fewer than {others:.0f}; {second}"


@says("results/README.md")
def margin_and_power_bald() -> str:
    margin, other = (pixels("camvid_acquisitions", way, 0.9) for way in ("margin", "power_bald"))
    low, high = bounds(margin - other)
    assert low < 0 < high
    return f"to 90 % {interval_text((margin - other).mean(), low, high, 'pixels', sign='+')}"


def means_and_level(study: str, target: float) -> tuple[dict[str, float], set[str]]:
    """Mean pixels by way, and the ways that no person is told by whose difference to the default is not shown."""
    found = {way: pixels(study, way, target) for way in curves_of(study)["acquisition"].unique()}
    others = [way for way in found if way not in ("facility", "error_depth")]
    level = set()
    for way in others:
        low, high = bounds(found[way] - found["facility"], len(others))
        assert high > 0
        level |= {way} if low < 0 else set()
    return {way: values.mean() for way, values in found.items()}, level


@says("results/README.md")
def default_on_nuclei_and_vnc() -> str:
    nuclei, level = means_and_level("nuclei_acquisitions", 0.95)
    assert level == set(nuclei) - {"facility", "stratified", "random", "spaced", "error_depth"}
    vnc, level = means_and_level("vnc_acquisitions", 0.85)
    assert level == {"balent", "variation_ratio", "power_bald", "margin"}
    assert min(set(vnc) - {"error_depth"}, key=lambda way: vnc[way]) == "facility"
    first = f"a mean of {nuclei['facility']:.0f} instead of {nuclei['stratified']:.0f} pixels to 95 %"
    second = f"{vnc['facility']:.0f} instead of {vnc['stratified']:.0f} to 85 %"
    return f"{first}, and on 16 vnc tiles of four places, {second}"


@says("results/README.md")
def default_over_places_of_vnc() -> str:
    lead = pixels("vnc_acquisitions", "stratified", 0.85) - pixels("vnc_acquisitions", "facility", 0.85)
    low, high = bounds_over_places(lead)
    return f"facility's lead over an even spread is {lead.mean():.0f} pixels [{low:.0f}, {high:.0f}]"


def test_entropy_and_least_confidence_choose_as_margin_does_between_two_classes() -> None:
    margin, *others = (
        pixels("nuclei_acquisitions", way, 0.95) for way in ("margin", "entropy", "least_confidence")
    )
    assert all(other.equals(margin) for other in others)


@says("results/README.md")
def targets_that_all_reach() -> str:
    """The headline targets of the table: the highest that four of five runs of every setting reach."""
    highest = []
    for study in ("camvid_acquisitions", "nuclei_acquisitions", "vnc_acquisitions"):
        best = curves_of(study).groupby(["setting", "image", "seed"])["accuracy"].max()
        reached = {
            target: (best >= target).groupby("setting").mean().min() for target in (0.8, 0.85, 0.9, 0.95, 0.98)
        }
        highest.append(max(target for target, share in reached.items() if share >= 0.8))
    assert highest == [0.85, 0.95, 0.85]
    best = curves_of("camvid_acquisitions").groupby(["acquisition", "image"])["accuracy"].max()
    reached = (best >= 0.9).groupby("acquisition").mean()
    assert reached.idxmin() == "entropy"
    most = "the highest of 80, 85, 90, 95 and 98 % that 80 % of every setting's runs reach"
    return f"{most}, and CamVid's 90 %, which entropy reaches in {100 * reached.min():.0f} %"


@says("results/README.md")
def classes_never_found_on_nuclei() -> str:
    last = curves_of("nuclei_acquisitions").sort_values("round").groupby(["acquisition", "image"]).last()
    failed = last["classes_missed"].gt(0).groupby("acquisition").sum()
    assert failed["bald"] == failed["mean_std"]
    assert failed.drop(["bald", "mean_std"]).max() == 1
    return f"bald and mean_std never find a nucleus in {failed['bald']} of the 30 images"


@says("results/README.md")
def default_and_margin_with_smoothing() -> str:
    """On the images of defaults_camvid, and on those of camvid_acquisitions and camvid_seeds."""
    curves = curves_of("defaults_camvid")
    smooth = curves[curves["setting"].str.endswith("edges")]
    default, margin = (pixels_by_image(smooth, way, 0.9, LAST) for way in ("facility", "margin"))
    train = margin - default
    found = pixels_over_seeds("camvid", 0.9)
    test = found["margin"] - found["facility"]
    (low, high), (worst, best) = bounds(train), bounds(test)
    first = f"the mean lead to 90 % is {train.mean():.0f} pixels [{low:.0f}, {high:.0f}]"
    on_test = interval_text(test.mean(), worst, best, digits=0)
    return f"{first}, and in three seeds on the 24 test images of the last question {on_test}"


@says("README.md")
def default_and_margin_on_test_images() -> str:
    found = pixels_over_seeds("camvid", 0.9)
    return f"a mean of {found['facility'].mean():.0f} instead of {found['margin'].mean():.0f} to 90 %"


@says("results/README.md")
def default_in_more_seeds() -> str:
    for data, (_, targets) in SEEDS.items():
        for target in targets:
            found = pixels_over_seeds(data, target)
            for way in set(found) - {"facility"}:
                lead = found[way] - found["facility"]
                assert bounds(lead, len(found) - 1)[0] > 0
                assert data != "vnc" or bounds_over_places(lead)[0] < 0
    first = "facility is ahead of margin, power_bald and an even spread to all three accuracies"
    return f"{first}. On vnc, with the second seed, it is ahead of the other four, too"


@says("results/README.md")
def what_an_even_start_saves() -> str:
    ways = curves_of("camvid_starts/4")["acquisition"].unique()
    saved = {way: pixels("camvid_acquisitions", way, 0.9) - pixels("camvid_starts/4", way, 0.9) for way in ways}
    means = {way: difference.mean() for way, difference in saved.items()}
    shown = {way: bounds(difference, len(ways)) for way, difference in saved.items()}
    assert [way for way, (low, high) in shown.items() if low > 0 or high < 0] == ["entropy"]
    disagree = [means[way] for way in ("variation_ratio", "bald", "mean_std", "balent")]
    others = max(abs(means[way]) for way in ("margin", "power_bald", "stratified"))
    low, high = shown["entropy"]
    entropy = f"which needs {means['entropy']:.0f} pixels fewer to 90 % after an even one [{low:.0f}, {high:.0f}]"
    fall = f"fall by {min(disagree):.0f} to {max(disagree):.0f}, which is not shown"
    rest = f"of margin, power_bald and stratified none moves by more than {others:.0f}"
    return f"{entropy}. The means of the four functions of disagreement {fall}, and {rest}"


@says("results/README.md")
def what_more_members_save() -> str:
    more = {}
    ways = curves_of("camvid_starts/16")["acquisition"].unique()
    assert len(ways) == 8
    for target in (0.85, 0.9):
        for way in ways:
            many = pixels("camvid_starts/16", way, target)
            change = many - pixels("camvid_starts/4", way, target).loc[many.index]
            low, high = bounds(change, len(ways))
            assert low < 0 < high
            more[way] = change.mean()
    disagree = [more[way] for way in ("variation_ratio", "bald", "mean_std", "balent")]
    few, many = min(disagree), max(disagree)
    return f"the four functions of disagreement need {few:.0f} to {many:.0f} pixels more to 90 % on average"


@says("results/README.md")
def on_other_images() -> str:
    text = []
    ways = curves_of("camvid_unsmoothed")["acquisition"].unique()
    for way in ("margin", "power_bald"):
        for target in (0.85, 0.9):
            means = {one: pixels("camvid_unsmoothed", one, target) for one in ways}
            fewer = means["stratified"] - means[way]
            low, high = bounds(fewer, len(ways) - 1)
            text.append(f"{fewer.mean():.0f} {{}}[{low:.0f}, {high:.0f}]")
            most = "entropy" if target == 0.85 else "random"
            assert max(means, key=lambda one: means[one].mean()) == most
    one, two, three, four = text
    first = f"{one.format('pixels fewer than an even spread to 85 % ')}, and {two.format('fewer to 90 % ')}"
    return f"margin needs {first}, power_bald {three.format('')} and {four.format('')}"


@pytest.mark.parametrize("sentence", SAYS, ids=str)
def test_figures_in_sentences_follow_from_tables(sentence: Sentence) -> None:
    require_said(sentence)
