"""The command as a whole: what it refuses, prints and writes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_lines import run_command
from comparison_runs import budget_run, curves, rising
from matplotlib.figure import Figure
from PIL import Image

from lowpix.compare import Options, compare
from lowpix.compare.comparable import comparable
from lowpix.compare.comparison import Comparison, compare_settings, read_comparison
from lowpix.compare.pictures import VERDICTS, comparison_picture, draw_accuracies, draw_differences
from lowpix.compare.report import describe
from lowpix.errors import InputError
from lowpix.image_study import Options as StudyOptions
from lowpix.image_study import image_study
from lowpix.study.folder import open_study
from lowpix.study.image_runs import IMAGES as IMAGE_STUDIES
from lowpix.study.image_runs import Run
from lowpix.study.plots import figure_png

SLOPES = {"random": 0.85, "margin": 0.95, "error_depth": 0.99}
IMAGES = ("0001TP_006690", "0001TP_006930", "0006R0_f00930", "0006R0_f01230", "Seq05VD_f00000")


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a small comparison's time is its picture."""
    monkeypatch.setattr("lowpix.compare.study.comparison_picture", lambda *_: Figure())


def runs_of(settings: Sequence[str], images: Sequence[str] = IMAGES, seeds: int = 1, **facts: Any) -> list[Run]:
    return [
        budget_run(image, setting, seed, rising(0.4 + 0.01 * k, SLOPES.get(setting, 0.9) - 0.02 * seed), **facts)
        for setting in settings
        for k, image in enumerate(images)
        for seed in range(seeds)
    ]


def write_study(folder: Path, runs: Sequence[Run], **settings: Any) -> Path:
    study = open_study(folder, IMAGE_STUDIES, {"dataset": "scenes", **settings})
    for run in runs:
        study.save(run)
    study.write_tables()
    return folder


def compared(*studies: Path, **options: Any) -> Comparison:
    return compare(Options(studies, **{"targets": (0.8,), "budgets": (50,)} | options))


def refusal(*studies: Path, **options: Any) -> str:
    with pytest.raises(InputError) as fault:
        compare(Options(studies, **options))
    assert "\n" not in str(fault.value)
    return str(fault.value)


# The command


def test_from_a_folder_to_a_printed_table_and_two_files_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "study", runs_of(["random", "margin", "error_depth"], seeds=2))
    given = [str(folder), "--budgets", "10", "100"]
    assert run_command("lowpix.compare", given) == 0
    printed = capsys.readouterr().out
    assert f"{folder / 'comparison.csv'}, {folder / 'comparison.png'}" in printed
    table = read_comparison(folder / "comparison.csv")
    assert set(table["setting"]) == {"random", "margin", "error_depth"}
    with Image.open(folder / "comparison.png") as picture:
        assert picture.width > 900
        assert np.array(picture.convert("L")).std() > 10
    assert not list(tmp_path.rglob("*.tmp"))
    assert "scenes: 3 settings on 5 images, 2 seeds, from 10 to 100 revealed pixels" in printed
    assert (
        "Headline: 80 %, the highest target that 80 % of every setting's runs reach (the worst: 100 %)" in printed
    )
    assert "Against random, in pairs: mean difference over images, 95 % intervals" in printed
    assert "CamVid" in printed
    assert "Few images (5)" in printed
    lines = printed.splitlines()
    headings = [k for k, line in enumerate(lines) if line == "privileged: chooses with the true label map"]
    assert len(headings) == 4
    assert all(lines[k + 1].startswith("error_depth") and not lines[k + 2] for k in headings)
    (margin,) = [line for line in lines if line.startswith("margin") and "fewer pixels" in line]
    found = table[(table["kind"] == "pair") & (table["setting"] == "margin") & table["headline"]].iloc[0]
    assert f"{found['value']:+.1f}" in margin
    assert run_command("lowpix.compare", given) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.usefixtures("undrawn")
def test_a_real_study_is_compared_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"scene_size": (24, 32), "scene_count": 2, "max_pixels": 12, "pixels_per_round": "3", "stop": "budget"}
    every = ("random", "margin", "error_depth")
    study = image_study(StudyOptions(**small, acquisition=every, smoothing=("none",), out=tmp_path / "study"))  # type: ignore[arg-type]
    found = compare(Options((tmp_path / "study",), targets=(0.3, 0.5), out=tmp_path / "out"))
    assert found.baseline == "mlp-random"
    assert found.settings[-1] == "mlp-error_depth"
    assert (found.start, found.budget) == (5, 12)
    last = study.tables().summary.groupby("setting")["accuracy"].mean()
    table = found.table[(found.table["kind"] == "setting") & (found.table["quantity"] == "accuracy")]
    ten = table[table["budget"] == 10].set_index("setting")["value"]
    curves = study.tables().curves
    at = (
        curves[curves["revealed"] <= 10].groupby(["setting", "image"])["accuracy"].last().groupby("setting").mean()
    )
    for setting in last.index:
        assert ten[setting] == pytest.approx(at[setting])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"comparison.csv", "comparison.png", "comparison.sha256"}
    assert "mlp-margin" in capsys.readouterr().out


def test_pairs_from_different_machines_are_warned_of(
    tmp_path: Path, no_picture: None, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [replace(run, machine="A, bfloat16") for run in runs_of(["random", "margin"])]
    compared(write_study(tmp_path / "alike", runs))
    assert "warning" not in capsys.readouterr().err
    runs = [replace(run, machine="B, float32") if run.image == IMAGES[2] else run for run in runs]
    compared(write_study(tmp_path / "in pairs", runs))
    assert "warning" not in capsys.readouterr().err
    runs[0] = replace(runs[0], machine="B, float32")
    compared(write_study(tmp_path / "mixed", runs))
    assert "warning: in 1 of 5 pairs of runs" in capsys.readouterr().err


def test_options_are_documented_and_defaults_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("lowpix.compare", ["--help"]) == 0
    shown = capsys.readouterr().out
    for option in ("--targets", "--budgets", "--baseline", "--group-by", "--block-frames", "--common", "--out"):
        assert option in shown


@pytest.mark.usefixtures("no_picture")
def test_settings_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    one = write_study(tmp_path / "x" / "camvid", runs_of(["random", "margin"]))
    same = write_study(tmp_path / "y" / "camvid", runs_of(["margin"]))
    better = [
        replace(run, rounds=run.rounds.assign(accuracy=run.rounds["accuracy"] + 0.005))
        for run in runs_of(["margin"])
    ]
    other = write_study(tmp_path / "nuclei", better)
    assert set(compared(one, other).settings) == {"random", "camvid/margin", "nuclei/margin"}
    together = set(compared(one, same, other).settings)
    assert {"random", "x/camvid/margin = y/camvid/margin"} < together
    (third,) = together - {"random", "x/camvid/margin = y/camvid/margin"}
    assert third.endswith("/nuclei/margin")
    assert "given twice" in refusal(one, one)


@pytest.mark.usefixtures("no_picture")
def test_whole_sequences_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_study(tmp_path / "study", runs_of(["random", "margin"]))
    found = compared(folder, group_by="^([^_]+)_")
    assert set(found.table["groups"]) == {3}
    printed = capsys.readouterr().out
    assert "Intervals draw whole groups, 3 of them (5 images)" in printed
    assert "Few groups (3)" in printed
    assert set(compared(folder, block_frames=2).table["groups"]) == {3}
    assert "--block-frames 0: must be at least 1" in refusal(folder, block_frames=0)
    assert "--group-by (_)" in refusal(folder, group_by="(_)")


# Refusals name what differs


def test_a_study_that_stops_at_the_target_is_refused(tmp_path: Path) -> None:
    runs = [replace(run, stop="target") for run in runs_of(["random", "margin"])]
    folder = write_study(tmp_path / "study", runs)
    message = refusal(folder)
    assert str(folder) in message
    assert "--stop budget" in message
    with pytest.raises(InputError, match="--stop budget"):
        comparable(curves({"random": {("a", 0): [0.5]}}).assign(stop="target"))


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        (
            {"oracle": "label map, 0.1 wrong"},
            ["oracle", "'label map, 0.1 wrong' in margin", "'label_map' in random"],
        ),
        ({"void": "asked"}, ["void", "'asked' in margin"]),
        ({"dataset": "camvid"}, ["dataset", "'camvid' in margin"]),
        ({"per_round": 5}, ["pixels per round differ", "margin has asked 5", "random 10"]),
    ],
)
def test_other_oracles_voids_data_sets_and_schedules_are_refused(
    tmp_path: Path, facts: Mapping[str, Any], named: Sequence[str]
) -> None:
    one = write_study(tmp_path / "one", runs_of(["random"]))
    other = write_study(tmp_path / "other", runs_of(["margin"], **facts))
    message = refusal(one, other)
    for text in named:
        assert text in message


@pytest.mark.usefixtures("no_picture")
def test_other_images_and_seeds_are_refused_unless_common(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_study(tmp_path / "one", runs_of(["random", "entropy"], seeds=2))
    fewer = write_study(tmp_path / "fewer", runs_of(["margin"], IMAGES[1:]))
    message = refusal(one, fewer)
    for text in ("margin", IMAGES[0], "seed 0", "6 of 10", "--common"):
        assert text in message
    found = compared(one, fewer, common=True)
    assert set(found.table["images"]) == {4}
    assert set(found.table["runs"]) == {4}
    assert "Left out: 6 of 10 image × seed, 1 images whole" in capsys.readouterr().out
    elsewhere = write_study(tmp_path / "elsewhere", runs_of(["margin"], ["other"]))
    assert "no image and seed" in refusal(one, elsewhere, common=True)


@pytest.mark.usefixtures("no_picture")
def test_other_data_of_one_name_are_refused(tmp_path: Path) -> None:
    one = write_study(tmp_path / "one", runs_of(["random"]), seed=0)
    seeded = write_study(tmp_path / "seeded", runs_of(["margin"]), seed=1)
    assert "seed differs: 0 in" in refusal(one, seeded)
    runs = [
        replace(run, pixels=run.pixels * 2, rounds=run.rounds.assign(fraction=run.rounds["fraction"] / 2))
        for run in runs_of(["margin"])
    ]
    larger = write_study(tmp_path / "larger", runs, seed=0)
    message = refusal(one, larger)
    assert f"size of image {IMAGES[0]}" in message
    assert "3456 in margin" in message


def test_folders_without_a_study_are_refused(tmp_path: Path) -> None:
    assert "no study is named" in refusal()
    assert f"{tmp_path / 'nowhere'}: holds no finished run" in refusal(tmp_path / "nowhere")
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "study.toml").write_text('kind = "dataset"\nproduced = []\n[settings]\n')
    assert f"{tmp_path / 'networks'}: is a study of kind dataset" in refusal(tmp_path / "networks")
    folder = write_study(tmp_path / "study", runs_of(["random", "margin"]))
    (tmp_path / "file").write_text("")
    assert "cannot be written to" in refusal(folder, out=tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"targets": (1.2,)}, "--targets 1.2"),
        ({"targets": ()}, "--targets"),
        ({"budgets": (5,)}, "--budgets 5: must lie between 10 and 100"),
        ({"budgets": (101,)}, "--budgets 101"),
        ({"budgets": ()}, "--budgets"),
        ({"baseline": "nothing"}, "--baseline nothing"),
        ({"baseline": "error_depth"}, "is privileged"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    folder = write_study(tmp_path / "study", runs_of(["random", "margin", "error_depth"], IMAGES[:2]))
    assert named in refusal(folder, **options)


def test_the_baseline_is_stratified_else_random_else_asked_for() -> None:
    def against(*names: str, baseline: str | None = None) -> str:
        made = {name: {("a", 0): rising(0.4 + 0.01 * k, 0.9)} for k, name in enumerate(names)}
        return compare_settings(curves(made), targets=[0.8], budgets=[50], baseline=baseline).baseline

    assert against("random", "margin", "stratified") == "stratified"
    assert against("random", "margin") == "random"
    assert against("random", "margin", baseline="margin") == "margin"
    with pytest.raises(InputError, match="stratified or random: no such setting; name one of bald, margin"):
        against("bald", "margin")
    two = curves({name: {("a", 0): rising(0.4 + 0.1 * k, 0.9)} for k, name in enumerate(("unet-x", "mlp-x"))})
    two["acquisition"] = "random"
    with pytest.raises(InputError, match="could be mlp-x or unet-x"):
        compare_settings(two)
    assert compare_settings(two, [0.8], [50], baseline="mlp-x").baseline == "mlp-x"


def test_runs_without_a_number_of_pixels_in_common_are_refused() -> None:
    with pytest.raises(InputError, match="image a, seed 0: ends at 10 revealed pixels"):
        compare_settings(curves({"random": {("a", 0): [0.5]}}))


# The picture


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "settings", [["random"], ["random", "error_depth"], [f"s{k}" for k in range(9)] + ["random"]]
)
def test_pictures_of_any_number_of_settings(settings: list[str]) -> None:
    made = {
        name: {(image, 0): rising(0.3 + 0.01 * k, 0.6 + 0.03 * k) for image in "ab"}
        for k, name in enumerate(settings)
    }
    found = compare_settings(comparable(curves(made)), targets=[0.6, 0.8], budgets=[50])
    one, two = (figure_png(comparison_picture(found)) for _ in range(2))
    assert one == two
    with Image.open(BytesIO(one)) as picture:
        assert np.array(picture.convert("L")).std() > 10
    assert describe(found, found.curves)
    left, right = Figure().subplots(1, 2)
    draw_accuracies(left, found)
    assert len(left.get_lines()) == len(settings)
    assert {text.get_text().removesuffix(" (privileged)") for text in left.texts} == set(settings)
    draw_differences(right, found)
    assert len(right.get_yticklabels()) == len(settings) - 1 or len(settings) == 1


def test_colours_tell_the_verdict() -> None:
    made = {
        name: {(f"{k}", 0): rising(0.3 + 0.001 * k, end) for k in range(5)}
        for name, end in (("random", 0.85), ("margin", 0.97), ("bald", 0.81))
    }
    found = compare_settings(curves(made), targets=[0.8], budgets=[50])
    axes = Figure().subplots()
    draw_differences(axes, found)
    pairs = found.table[(found.table["kind"] == "pair") & found.table["headline"]]
    drawn = {
        float(line.get_xdata()[0]): line.get_color() for line in axes.get_lines() if len(line.get_xdata()) == 1
    }
    assert drawn == {pair.value: VERDICTS[pair.verdict] for pair in pairs.itertuples()}


@pytest.mark.usefixtures("no_picture")
def test_study_files_stay_as_they_were(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", runs_of(["random", "margin"], IMAGES[:2]))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    compared(folder)
    assert {path: path.read_bytes() for path in before} == before
