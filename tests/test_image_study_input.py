"""What an image study refuses, and how it says so: options, TOML files, data."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_lines import run_command
from data_samples import write, write_folder

from lowpix.command import parse
from lowpix.compare import Options as CompareOptions
from lowpix.errors import InputError
from lowpix.image_study import Options, image_study

pytestmark = pytest.mark.usefixtures("undrawn_images")

# The command line


def run(*arguments: object) -> int:
    """The exit code of the command."""
    return run_command("lowpix.image_study", [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--dataset folder --data-root nowhere", "--data-root nowhere"),
        ("--dataset camvid --data-root nowhere", "--data-root nowhere"),
        ("--split dusk --dataset folder --data-root .", "--split dusk"),
        ("--acquisition margn", "--acquisition margn: unknown; choose from random, stratified"),
        ("--acquisition margin guess", "--acquisition guess: unknown; choose from random, stratified"),
        ("--acquisition", "--acquisition ()"),
        ("--images zebra", "--images zebra: must be one of the 8 images of scenes train, such as scene_000"),
        ("--limit 0", "--limit 0"),
        ("--members 0", "--members 0"),
        ("--members 1 --acquisition bald", "--acquisition bald"),
        ("--members 2 --members-from dropout", "--members 2"),
        ("--mc-samples 0", "--mc-samples 0"),
        ("--dropout 1", "--dropout 1.0"),
        ("--repeats 0", "--repeats 0"),
        ("--jobs 0", "--jobs 0"),
        ("--stack 0", "--stack 0"),
        ("--network unet --stack 2", "--stack 2: must be 1, since unet"),
        ("--network mlp gp --members 4", "--members 4: must be 1, since gp has a single solution"),
        ("--network mlp gp --members-from dropout", "--network gp: must be one with a last layer"),
        ("--network mlp gp --acquisition bald", "--acquisition bald: must be given at least 2 members"),
        ("--oracle-noise 1.5", "--oracle-noise 1.5"),
        ("--oracle-noise nan", "--oracle-noise nan"),
        ("--oracle-refusal -0.1", "--oracle-refusal -0.1"),
        ("--target 0", "--target 0.0"),
        ("--target 98", "--target 98.0: must be above 0, at most 1"),
        ("--max-pixels 0", "--max-pixels 0"),
        ("--keep-at 8 2000", "--keep-at 8 2000"),
        ("--first-pixels 0", "--first-pixels 0"),
        ("--first-pixels 9 --max-pixels 8", "--first-pixels 9"),
        ("--pixels-per-round few", "--pixels-per-round few"),
        ("--spacing -1", "--spacing -1.0"),
        ("--spacing inf", "--spacing inf"),
        ("--percent 0", "--percent 0.0"),
        ("--seed -1", "--seed -1"),
        ("--scene-size 8 8", "--scene-size 8 8"),
        ("--scene-count 0", "--scene-count 0"),
        ("--scene-classes 1", "--scene-classes 1"),
        ("--device tpu", "--device tpu"),
        ("--device meta", "--device meta"),
        ("--device cuda:99", "--device cuda:99"),
        ("--out pyproject.toml", "pyproject.toml: is a file"),
        ("--out /dev/null/study", "/dev/null/study: cannot be written to"),
        ("--out lowpix/../tests/nothing --config", "--config: must be followed by a TOML file"),
        ("--config nowhere.toml", "--config nowhere.toml"),
        ("--config pyproject.toml", "--config pyproject.toml: no option 'build-system'"),
        ("--config README.md", "--config README.md: cannot be read"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    arguments: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    assert run(*arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert named in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--target high", ["--target", "high"]),
        ("--scene-size 24", ["--scene-size"]),
        ("--zebra 3", ["--zebra"]),
        ("--acquisitin margin", ["--acquisition"]),  # what was meant
        ("--dataset coco", ["--dataset", "coco", "camvid", "folder", "scenes"]),
        ("--network cnn", ["--network", "cnn", "mlp", "mlp_float32", "gp", "mlp+gp", "unet"]),
        ("--stop never", ["--stop", "never", "target", "budget"]),
        ("--members-from hope", ["--members-from", "hope", "ensemble", "dropout"]),
    ],
)
def test_an_option_that_cannot_be_read_is_named(
    arguments: str, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(name in err for name in named)
    assert "Traceback" not in err


def test_help_names_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    for option in Options.__dataclass_fields__:
        assert f"--{option.replace('_', '-')}" in text
    assert "(default: 0.98)" in text
    assert "--config" in text


CONFIG = """
scene-size = [24, 32]
scene_count = 2
acquisition = ["margin", "entropy"]
max-pixels = 9
pixels_per_round = 4
ask-void = true
target = 0.5
"""


def test_config_file_and_the_command_line_that_wins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "study.toml", tmp_path / "out"
    config.write_text(CONFIG)
    wins = ["--acquisition", "random", "--target", "1", "--out", str(out), "--no-ask-void"]
    assert run("--config", config, *wins) == 0
    settings = tomllib.loads((out / "study.toml").read_text())["settings"]
    expected = {"scene_size": [24, 32], "scene_count": 2, "max_pixels": 9, "pixels_per_round": "4"}
    expected |= {"acquisition": ["random"], "target": 1.0, "ask_void": False, "first_pixels": 5}
    assert {key: settings[key] for key in expected} == expected
    shown = capsys.readouterr().out
    assert "mlp-random" in shown
    assert f"tables and pictures: {out}" in shown
    # wherever it stands
    options = parse(Options, ["--out", str(tmp_path / "after"), f"--config={config}"], "lowpix.image_study")
    assert options.out == tmp_path / "after"
    assert options.acquisition == ("margin", "entropy")
    assert (options.target, options.ask_void) == (0.5, True)


def test_a_config_file_may_hold_what_has_no_name_on_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "compare.toml"
    config.write_text('studies = ["one", "two"]\nbaseline = "mlp-margin"\n')
    options = parse(CompareOptions, ["--config", str(config)], "lowpix.compare")
    assert (options.studies, options.baseline) == ((Path("one"), Path("two")), "mlp-margin")
    options = parse(CompareOptions, ["three", "--config", str(config)], "lowpix.compare")
    assert options.studies == (Path("three"),)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("targt = 0.9", "no option 'targt'"),
        ("[study]\ntarget = 0.9", "no option 'study'"),
        ("target = ", "cannot be read"),
        ("target = 7", "--target 7.0"),
    ],
)
def test_a_bad_config_file(tmp_path: Path, text: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "x.toml"
    config.write_text(text)
    assert run("--config", config, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert named in error
    assert "--target" in named or str(config) in error
    assert not (tmp_path / "out").exists()


def test_a_config_file_is_typed_like_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_text("target = 'high'")
    assert run("--config", tmp_path / "x.toml") == 2
    assert "--target" in capsys.readouterr().err


# Bad data: found before training, and nothing is written


def spoil_label(root: Path) -> None:
    labels = np.zeros((6, 8))
    labels[3:], labels[4, 5] = 1, 37
    write(root / "labels/b.png", labels)


def spoil_size(root: Path) -> None:
    write(root / "labels/b.png", np.zeros((6, 7)))


def spoil_colours(root: Path) -> None:
    write(root / "labels/b.png", np.zeros((6, 8, 3)))


def spoil_image(root: Path) -> None:
    (root / "images/b.png").write_text("not an image")


def cut_image(root: Path) -> None:
    whole = (root / "images/b.png").read_bytes()
    (root / "images/b.png").write_bytes(whole[:-20])


def cut_labels(root: Path) -> None:
    whole = (root / "labels/b.png").read_bytes()
    (root / "labels/b.png").write_bytes(whole[: len(whole) // 2])


def spoil_void(root: Path) -> None:
    write(root / "labels/b.png", np.full((6, 8), 9))


def declare_one(root: Path) -> None:
    (root / "classes.json").write_text('{"classes": ["all"]}')
    for name in "ab":
        write(root / f"labels/{name}.png", np.zeros((6, 8)))


def hold_one(root: Path) -> None:
    for name in "ab":
        write(root / f"labels/{name}.png", np.ones((6, 8)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_label, r"labels/b.png: label 37 at \(4, 5\) \(row, column\): with 2 classes labels are 0 to 1"),
        (spoil_size, r"labels/b.png: label map of 6×7 for an image of 6×8: sizes must be equal"),
        (spoil_colours, r"labels/b.png: RGB label map: expected one class id per pixel"),
        (spoil_image, r"images/b.png: cannot be read as an image"),
        (cut_image, r"images/b.png: cannot be read as an image"),
        (cut_labels, r"labels/b.png: cannot be read as an image"),
        (spoil_void, r"labels/b.png: no labelled pixel: all 48 are void"),
        (declare_one, r"declares only the class all: there must be at least 2"),
        (hold_one, r"its label maps hold only the class down: there must be at least 2"),
    ],
)
def test_bad_data_is_one_line_before_training(
    tmp_path: Path, spoil: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folder(tmp_path / "data", ignore_index=9)
    spoil(root)
    out = tmp_path / "out"
    arguments = ["--dataset", "folder", "--data-root", str(root), "--out", str(out), "--max-pixels", "9"]
    assert run(*arguments) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(error) == 1
    assert re.search(f"^error: .*{message}", error[0])
    assert not out.exists()


def test_only_what_is_used_is_checked(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    spoil_label(root)
    tables = image_study(Options("folder", root, images=("a",), max_pixels=6, out=tmp_path / "out")).tables()
    assert list(tables.summary["image"]) == ["a"]


def test_several_faults_point_to_the_doctor(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ("a", "b", "c"))
    spoil_size(root)
    write(root / "labels/c.png", np.zeros((5, 5)))
    with pytest.raises(InputError, match=r"and 1 more: python -m lowpix\.doctor, with the same"):
        image_study(Options("folder", root, out=tmp_path / "out"))


def test_a_single_image_of_one_class_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_folder(tmp_path / "data")
    write(root / "labels/b.png", np.zeros((6, 8)))
    tables = image_study(Options("folder", root, max_pixels=6, out=tmp_path / "out")).tables()
    assert "warning: " in (err := capsys.readouterr().err)
    assert "b.png: holds a single class, up" in err
    assert list(tables.summary["classes"]) == [2, 1]
