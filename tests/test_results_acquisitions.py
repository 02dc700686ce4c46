"""Sentences about which pixel should be asked for say what the tables in results/ say."""

import pandas as pd
import pytest
from result_sentences import Sentence, collector, interval_text, require_said

from lowpix.study.intervals import interval
from studies.acquisition_tables import LAST
from studies.headline_tables import curves_of, pixels_by_image

SAYS: list[Sentence] = []
says = collector(SAYS)


def pixels(study: str, way: str, target: float) -> pd.Series:
    """Pixels by image, the mean over seeds."""
    return pixels_by_image(curves_of(study), way, target, LAST)


def bounds(difference: pd.Series, together: int = 1) -> tuple[float, float]:
    """The interval of a mean over images, for so many of them to hold together."""
    return interval(difference, pd.Series(difference.index, index=difference.index), 1 - 0.05 / together)


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
    second = f"to 90 % it needs {late['facility']:.0f}, margin alone {late['margin']:.0f}"
    second += f", power_bald {late['power_bald']:.0f} and an even spread {late['stratified']:.0f}"
    return f"{first}, and no other way that a person could follow fewer than {others:.0f}; {second}"


@says("results/README.md")
def margin_and_power_bald() -> str:
    margin, other = (pixels("camvid_acquisitions", way, 0.9) for way in ("margin", "power_bald"))
    low, high = bounds(margin - other)
    assert low < 0 < high
    return f"to 90 % {interval_text((margin - other).mean(), low, high, 'pixels', sign='+')}"


@says("results/README.md")
def default_on_nuclei() -> str:
    ways = curves_of("nuclei_acquisitions")["acquisition"].unique()
    found = {way: pixels("nuclei_acquisitions", way, 0.95) for way in ways}
    others = ("margin", "power_bald", "variation_ratio", "balent", "bald", "mean_std")
    for way in others:  # entropy and least_confidence choose as margin does
        low, high = bounds(found[way] - found["facility"], len(ways) - 1)
        assert low < 0 < high
    assert found["entropy"].equals(found["margin"])
    assert found["least_confidence"].equals(found["margin"])
    default, even = (found[way].mean() for way in ("facility", "stratified"))
    return f"a mean of {default:.0f} instead of {even:.0f} pixels to 95 %"


@says("results/README.md")
def classes_never_found_on_nuclei() -> str:
    last = curves_of("nuclei_acquisitions").sort_values("round").groupby(["acquisition", "image"]).last()
    failed = last["classes_missed"].gt(0).groupby("acquisition").sum()
    assert failed["bald"] == failed["mean_std"]
    assert failed.drop(["bald", "mean_std"]).max() == 1
    return f"bald and mean_std never find a nucleus in {failed['bald']} of the 30 images"


@says("results/README.md")
def facility_and_margin() -> str:
    (soon, low, high), (late, *ends) = (
        (difference.mean(), *bounds(difference))
        for difference in (
            pixels("camvid_acquisitions", "margin", target) - pixels("camvid_acquisitions", "facility", target)
            for target in (0.85, 0.9)
        )
    )
    assert ends[0] < 0 < ends[1]
    ahead = f"facility is {soon:.0f} pixels ahead of margin to 85 % [{low:.0f}, {high:.0f}]"
    return f"{ahead}; to 90 % the {late:.0f} that are left are not shown"


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
def on_other_images() -> str:
    text = []
    ways = curves_of("camvid_unsmoothed")["acquisition"].unique()
    for way in ("margin", "power_bald"):
        for target in (0.85, 0.9):
            means = {one: pixels("camvid_unsmoothed", one, target) for one in ways}
            fewer = means["stratified"] - means[way]
            low, high = bounds(fewer, len(ways) - 1)
            text.append(f"{fewer.mean():.0f} {{}}[{low:.0f}, {high:.0f}]")
            if target == 0.85:
                assert max(means, key=lambda one: means[one].mean()) == "entropy"
    one, two, three, four = text
    first = f"{one.format('pixels fewer than an even spread to 85 % ')}, and {two.format('fewer to 90 % ')}"
    return f"margin needs {first}, power_bald {three.format('')} and {four.format('')}"


@pytest.mark.parametrize("sentence", SAYS, ids=str)
def test_figures_in_sentences_follow_from_tables(sentence: Sentence) -> None:
    require_said(sentence)
