"""The doctor's report and its exit code."""

from pathlib import Path

import numpy as np
import pytest
from command_lines import run_command
from data_samples import DATA, needs_nuclei, write, write_folder


def doctor(*arguments: object) -> int:
    """The exit code of the command."""
    return run_command("lowpix.doctor", [str(argument) for argument in arguments])


def test_clean_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, ("a", "b", "c"), split="test", ignore_index=7)
    write(tmp_path / "test/labels/a.png", np.repeat([0, 0, 1, 7], 12).reshape(6, 8))
    assert doctor("--dataset", "folder", "--data-root", tmp_path, "--split", "test") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "folder, split test: 3 images, 2 classes"
    assert [line.split()[:4] for line in out[3:5]] == [
        ["0", "up", "54.55%", "3"],
        ["1", "down", "45.45%", "3"],
    ]
    assert out[5].split()[:2] == ["void", "8.33%"]
    assert "no warnings" in out
    assert "no faults" in out


def test_a_class_whose_id_means_void_is_warned_of_with_its_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, ("a", "b"), classes=["up", "down", "left"], ignore_index=0)
    write(tmp_path / "labels/a.png", np.repeat([0, 1, 2], [12, 24, 12]).reshape(6, 8))  # 12 of 48; 24 in b
    assert doctor("--dataset", "folder", "--data-root", tmp_path) == 0
    out = capsys.readouterr().out
    assert '"ignore_index" is the id of class up: its pixels, 37.5% of all, are void and never asked' in out


def test_every_fault_is_listed_and_the_exit_code_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    write(tmp_path / "labels/a.png", np.full((6, 8), 37))
    write(tmp_path / "labels/b.png", np.zeros((5, 8)))
    assert doctor("--dataset", "folder", "--data-root", tmp_path) == 2
    out = capsys.readouterr().out
    assert "2 faults" in out
    assert "a.png: label 37 at (0, 0) (row, column): with 2 classes labels are 0 to 1" in out
    assert "b.png: label map of 5×8 for an image of 6×8" in out
    assert doctor("--dataset", "folder", "--data-root", tmp_path, "--limit", "1") == 2
    out = capsys.readouterr().out
    assert out.startswith("folder, split all: 1 of 2 images")
    assert "1 fault\n" in out
    assert doctor("--dataset", "folder", "--data-root", tmp_path, "--no-labels") == 0


@pytest.mark.parametrize(
    "arguments",
    ["--dataset folder --data-root nowhere", "--dataset scenes --limit 0", "--dataset scenes --scene-classes 1"],
)
def test_one_line_and_no_traceback(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(*arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: --{arguments.rpartition('--')[2]}: ")
    assert err.count("\n") == 1


def test_scenes_by_default_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--dataset", "scenes", "--limit", "2") == 0
    assert "2 of 8 images, 6 classes" in capsys.readouterr().out


@needs_nuclei
def test_nuclei(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--dataset", "folder", "--data-root", DATA / "nuclei", "--split", "test") == 0
    out = capsys.readouterr().out
    assert "30 images, 2 classes" in out
    assert "nucleus" in out
