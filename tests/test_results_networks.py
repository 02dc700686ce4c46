"""Sentences about networks of a data set say what the tables in results/ say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from result_sentences import RESULTS, Sentence, collector, interval_text, require_said
from scipy import stats

from studies.dataset_tables import CAMVID, miou_of

SAYS: list[Sentence] = []
says = collector(SAYS)


def ratio(study: str, setting: str) -> str:
    row = pd.read_csv(RESULTS / study / "ratios.csv").set_index("setting").loc[setting]
    return interval_text(row["ratio"], row["low"], row["high"], digits=3)


def against_random(study: str) -> pd.DataFrame:
    """Points of test mIoU against random with the interval over seeds, by setting and pixels asked."""
    pairs = pd.read_csv(RESULTS / study / "pairs.csv").query("against == 'deeplab-random'")
    return 100 * pairs.set_index(["setting", "asked"])[["difference", "low", "high"]]


def shown(differences: pd.DataFrame) -> pd.DataFrame:
    """Those whose interval excludes zero."""
    return differences[differences["low"] * differences["high"] > 0]


@says("results/README.md")
def trained_out() -> str:
    nuclei, camvid, vnc = (ratio(f"{data}_long", "pseudo-1000") for data in ("nuclei", "camvid", "vnc"))
    return f"{nuclei} of the test mIoU of full annotation on nuclei, {camvid} on CamVid and {vnc} on vnc"


@says("results/README.md")
def what_is_lost() -> str:
    said = []
    for data, most in (("vnc", ["glia", "membrane"]), ("camvid", ["pole", "pavement"])):
        runs = pd.read_csv(RESULTS / f"{data}_long" / "summary.csv").set_index(["setting", "seed"])
        iou = 100 * runs.filter(regex="^iou_").rename(columns=lambda name: name.removeprefix("iou_"))
        loss = iou.loc["full"] - iou.loc["pseudo-1000"]
        low, _ = stats.t.interval(0.95, len(loss) - 1, loss.mean(), stats.sem(loss))
        lost = loss.mean()[low > 0].sort_values(ascending=False)
        assert list(lost.index[:2]) == most
        full, pseudo = (iou.loc[setting].mean() for setting in ("full", "pseudo-1000"))
        said += [f"{pseudo[name]:.0f}{{}} instead of {full[name]:.0f}" for name in most]
        if data == "vnc":
            assert (iou.loc["pseudo-1000", "synapse"] == 0).sum() == 2
            assert (iou.loc["full", "synapse"] > 20).all()
    glia, membrane, pole, pavement = said
    vnc = f"On vnc glia has an IoU of {glia.format(' %')} and membrane {membrane.format('')}"
    camvid = f"on CamVid poles have {pole.format('')} and pavement {pavement.format('')}"
    return f"{vnc}, and two of the three networks find no synapse; {camvid}"


def test_ratios_over_test_images_lie_below_one() -> None:
    for data in ("nuclei", "camvid", "vnc"):
        row = pd.read_csv(RESULTS / f"{data}_long" / "ratios.csv").set_index("setting").loc["pseudo-1000"]
        assert row["images_high"] < 1


@says("results/README.md")
def pseudo_labels_of_nuclei() -> str:
    most, few = (ratio("nuclei_dataset", f"pseudo-{budget}") for budget in (1000, 100))
    return f"1,000 pixels an image is {most} of `full` and with 100 pixels {few}"


@says("results/README.md")
def pseudo_labels_of_camvid() -> str:
    return f"it is {ratio('camvid_dataset', 'pseudo-1000')} with 1,000"


@says("results/README.md")
def break_even_of_whole_maps() -> str:
    """Minutes a map at which whole maps reach the mIoU of pseudo in the same hours; linear in log hours."""
    summary = pd.read_csv(RESULTS / "camvid_dataset" / "summary.csv")
    means = summary.groupby("setting")[["hours"]].mean().assign(miou=miou_of(CAMVID).mean())
    maps = means.loc[["few_full-100", "few_full-300", "few_full-1000", "full"]]
    clicks = means.loc[["pseudo-100", "pseudo-300", "pseudo-1000"]]
    needed = np.exp(np.interp(clicks["miou"], maps["miou"], np.log(maps["hours"])))
    few, some, many = 60 * clicks["hours"] / needed
    return f"a map of CamVid would have to take {few:.0f}, {some:.0f} or {many:.0f} minutes instead of 60"


@says("results/README.md")
def network_that_asks() -> str:
    rounds = pd.read_csv(RESULTS / "camvid_active" / "rounds.csv")
    last = 100 * rounds[rounds["asked"] == 100].groupby("setting")["miou"].mean()
    full = 100 * rounds.loc[rounds["setting"] == "full", "miou"].mean()
    row = against_random("camvid_active").loc[("deeplab-margin", 100)]
    ways = f"margin gives {last['deeplab-margin']:.1f} % test mIoU and random {last['deeplab-random']:.1f}"
    more = f"in pairs over three seeds {interval_text(*row, what='points')}"
    more += f", and balent {last['deeplab-balent']:.1f}"
    return f"{ways}, {more}; on full label maps the same network comes to {full:.1f} in as many steps"


def over_seeds(study: str, column: str, together: int = 1) -> pd.DataFrame:
    """Points against random at the last pixels, with t-intervals over seeds, by setting."""
    miou = pd.read_csv(RESULTS / study / "summary.csv").pivot(index="seed", columns="setting", values=column)
    ways = miou.columns.difference(["full", "deeplab-random"])
    more = 100 * miou[ways].sub(miou["deeplab-random"], axis=0)
    low, high = stats.t.interval(1 - 0.05 / together, len(more) - 1, more.mean(), stats.sem(more))
    return pd.DataFrame({"difference": more.mean(), "low": low, "high": high}, index=ways)


@says("results/README.md")
def functions_that_beat_random_when_trained_again() -> str:
    again = over_seeds("camvid_active", "miou_again")
    assert len(shown(again)) == 4
    kept = shown(over_seeds("camvid_active", "miou_again", together=4)).index
    assert list(kept) == ["deeplab-balent", "deeplab-entropy"]
    assert shown(over_seeds("camvid_active", "miou", together=4)).empty
    assert shown(over_seeds("balent", "miou", together=6)).empty
    most = again["difference"]
    return f"all four functions are ahead of random, by {most.min():.1f} to {most.max():.1f} points"


@says("results/README.md")
def one_budget_by_the_other_recipe() -> str:
    rounds = pd.read_csv(RESULTS / "camvid_active" / "rounds.csv").query("seed == 0")
    pixels = 100 * rounds.query("setting == 'deeplab-margin' and asked == 100")["miou"].item()
    full = 100 * rounds.query("setting == 'full'")["miou"].item()
    return f"the same seed gives {pixels:.1f} from the pixels and {full:.1f} from full maps"


@says("results/README.md")
def measures_of_balent() -> str:
    rows = against_random("balent").xs(40, level="asked")
    assert sorted(shown(rows).index) == ["deeplab-bald", "deeplab-margin"]
    less, low, high = -rows.loc["deeplab-bald", ["difference", "high", "low"]]
    margin = interval_text(*rows.loc["deeplab-margin"], what="points")
    return f"margin is ahead of random by {margin} and bald behind by {interval_text(less, low, high)}; of balent"


def test_no_measure_of_disagreement_is_ahead_of_another() -> None:
    """In pairs of a seed, with a t-interval."""
    miou = pd.read_csv(RESULTS / "balent" / "summary.csv").pivot(index="seed", columns="setting", values="miou")
    for one, other in combinations(("bald", "mean_std", "power_bald", "balent"), 2):
        less = miou[f"deeplab-{one}"] - miou[f"deeplab-{other}"]
        low, high = stats.t.interval(0.95, len(less) - 1, less.mean(), stats.sem(less))
        assert low < 0 < high


@says("results/README.md")
def balent_after_four_rounds() -> str:
    row = against_random("camvid_active").loc[("deeplab-balent", 100)]
    rounds = pd.read_csv(RESULTS / "camvid_active" / "rounds.csv").query("asked == 40")
    miou = 100 * rounds.groupby("setting")["miou"].mean()
    level = f"{miou['deeplab-balent']:.1f} and {miou['deeplab-random']:.1f} %"
    more = interval_text(*row, what="points")
    return f"balent and random is shown after one round, {level}, and balent is ahead after four, by {more}"


@says("results/README.md")
def pixels_drawn_again() -> str:
    miou = [
        pd.read_csv(RESULTS / study / "summary.csv")["miou"].item() for study in ("pixelpick", "pixelpick_again")
    ]
    seeds = 100 * pd.read_csv(RESULTS / "balent" / "summary.csv").query("setting == 'deeplab-margin'")["miou"]
    moved = f"another draw of pixels moves the first row by {100 * (miou[1] - miou[0]):.1f} points"
    return f"{moved}, four seeds of this setting in the next table come to {seeds.min():.1f} to {seeds.max():.1f}"


@says("README.md")
def network_that_asks_in_short() -> str:
    rounds = pd.read_csv(RESULTS / "camvid_active" / "rounds.csv").query("asked == 100 or setting == 'full'")
    last = 100 * rounds.groupby("setting")["miou"].mean()
    ways = f"{last['deeplab-margin']:.1f} % test mIoU by margin, {last['deeplab-random']:.1f} at random"
    return f"{ways}, and {last['full']:.1f} on full label maps"


@says("results/README.md")
def one_budget_in_three_ways() -> str:
    table = pd.read_csv(RESULTS / "nuclei_active_ways" / "three_ways.csv")
    miou = 100 * table.pivot(index="way", columns="seed", values="miou")
    filled, both, full = miou.mean(axis=1)[["alone", "both", "full"]].round()
    assert filled == both == full == 87
    assert round(miou.loc["carried", 0]) == 77
    assert round(miou.loc["carried", 1]) == 87
    one, other = miou.loc["asks"]
    alone = f"the pixels alone {one:.0f} and {other:.0f} %"
    return f"maps filled in without help give {both:.0f} % on average, whoever asked, as full ones do, and {alone}"


@says("results/README.md")
def one_budget_in_three_ways_on_camvid() -> str:
    table = pd.read_csv(RESULTS / "camvid_active_ways" / "three_ways.csv").set_index("way")
    miou = 100 * table["miou"]
    filled = miou[["alone", "both", "carried"]]
    first = f"from the asked pixels alone, {miou['asks']:.1f} % test mIoU, than from label maps that the images'"
    rest = f"have filled in, {filled.min():.1f} to {filled.max():.1f}, and even from full ones in as many steps"
    return f"{first} networks {rest}, {miou['full']:.1f}"


@says("results/README.md")
def networks_that_ask_for_nuclei() -> str:
    against = against_random("nuclei_active")
    ((excluding, row),) = shown(against).iterrows()
    assert excluding == ("deeplab-power_bald", 30)
    margin = against.loc[("deeplab-margin", 50)]
    pairs = pd.read_csv(RESULTS / "nuclei_active" / "pairs.csv")
    full = pairs.query("against == 'full' and asked == 50").set_index("setting")["ratio"]
    shares = f"{full['deeplab-margin']:.2f} of the mIoU of full label maps, random {full['deeplab-random']:.2f}"
    first = f"excludes zero, {interval_text(*row, what='points')}. Margin's at 50 is"
    second = f"{interval_text(*margin, what='points')}: a seed moves a network by more."
    return f"{first} {second} There margin has {shares}"


@says("results/README.md")
def asked_pixels_alone_by_the_other_recipe() -> str:
    rounds = pd.read_csv(RESULTS / "nuclei_active" / "rounds.csv")
    last = 100 * rounds.query("setting == 'deeplab-margin' and asked == 50").set_index("seed")["miou"]
    return f"the pixels of nuclei alone gave {last[0]:.0f} and {last[1]:.0f} %"


@says("results/README.md")
def pixels_alone_that_mislead() -> str:
    """In pairs of one seed and one kind of machine."""
    miou = 100 * miou_of(CAMVID)
    less = (miou["sparse_random-1000"] - miou["sparse-1000"]).dropna()
    return f"by {' and '.join(f'{value:.1f}' for value in less)} points against as many random ones, in two pairs"


@says("results/README.md")
def pixels_or_whole_maps() -> str:
    miou = 100 * miou_of(CAMVID)
    few, some, many = ((miou[f"pseudo-{n}"] - miou[f"few_full-{n}"]).dropna() for n in (100, 300, 1000))
    low, high = stats.t.interval(0.95, len(few) - 1, few.mean(), stats.sem(few))
    assert stats.ttest_1samp(some, 0).pvalue > 0.05
    nuclei = 100 * miou_of(["nuclei_dataset"])
    for budget in (100, 300, 1000):
        assert stats.ttest_rel(nuclei[f"pseudo-{budget}"], nuclei[f"few_full-{budget}"]).pvalue > 0.05
    two = " and ".join(f"{value:.1f}" for value in many)
    return f"by {interval_text(few.mean(), low, high)} for 3 hours; for 33 hours by {two}, in two pairs"


@says("results/README.md")
def networks_trained_on_two_machines() -> str:
    full = (100 * miou_of(CAMVID)["full"]).unstack("machine").dropna()
    with_it = next(column for column in full if column.endswith("bfloat16"))
    without = full.columns.drop(with_it)[0]
    assert without.endswith("float32")
    assert list(full.index) == [0, 1]
    half, single = (" and ".join(f"{value:.1f}" for value in full[kind]) for kind in (with_it, without))
    return f"({half} %, where the same seeds had come to {single} without)"


@says("results/README.md")
def networks_trained_again() -> str:
    summary = pd.read_csv(RESULTS / "camvid_active" / "summary.csv").dropna(subset="miou_again")
    most = 100 * (summary["miou_again"] - summary["miou"]).abs().max()
    again = 100 * summary.groupby("setting")["miou_again"].mean()
    last = against_random("camvid_active").xs(100, level="asked")
    tied = last.index.difference(shown(last).index).str.removeprefix("deeplab-")
    ways = f"{' and '.join(tied)}, of which no difference to random is shown over seeds after the warm rounds"
    come = " and ".join(f"{again[f'deeplab-{way}']:.1f}" for way in tied)
    return f"on the same pixels, a run moves by up to {most:.1f} points, and {ways}, come to {come} when"


@pytest.mark.parametrize("sentence", SAYS, ids=str)
def test_figures_in_sentences_follow_from_tables(sentence: Sentence) -> None:
    require_said(sentence)
