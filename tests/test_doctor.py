"""The doctor's report and its exit code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_samples import DATA, needs_nuclei, write, write_folder

from lowpix.doctor import main


def test_clean_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, ("a", "b", "c"), split="test", ignore_index=7)
    write(tmp_path / "test/labels/a.png", np.repeat([0, 0, 1, 7], 12).reshape(6, 8))
    assert main(["--dataset", "folder", "--data-root", str(tmp_path), "--split", "test"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "folder, split test: 3 images, 2 classes"
    assert [line.split()[:4] for line in out[3:5]] == [
        ["0", "up", "54.55%", "3"],
        ["1", "down", "45.45%", "3"],
    ]
    assert out[5].split()[:2] == ["void", "8.33%"]
    assert "no warnings" in out
    assert "no faults" in out


def test_every_fault_is_listed_and_the_exit_code_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    write(tmp_path / "labels/a.png", np.full((6, 8), 37))
    write(tmp_path / "labels/b.png", np.zeros((5, 8)))
    assert main(["--dataset", "folder", "--data-root", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "2 faults" in out
    assert "a.png: label 37 at (0, 0) (row, column): with 2 classes labels are 0 to 1" in out
    assert "b.png: label map of 5×8 for an image of 6×8" in out
    assert main(["--dataset", "folder", "--data-root", str(tmp_path), "--limit", "1"]) == 2
    out = capsys.readouterr().out
    assert out.startswith("folder, split all: 1 of 2 images")
    assert "1 fault\n" in out
    assert main(["--dataset", "folder", "--data-root", str(tmp_path), "--no-labels"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "coco"], "--dataset coco: unknown; choose from"),
        (
            ["--dataset", "folder", "--data-root", "nowhere"],
            "--data-root nowhere: must be an existing folder",
        ),
        (["--dataset", "scenes", "--limit", "0"], "--limit 0: must be at least 1"),
    ],
)
def test_one_line_and_no_traceback(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "lowpix.doctor", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_scenes_by_default_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "scenes", "--limit", "2"]) == 0
    assert "2 of 8 images, 6 classes" in capsys.readouterr().out


@needs_nuclei
def test_nuclei(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "folder", "--data-root", str(DATA / "nuclei"), "--split", "test"]) == 0
    out = capsys.readouterr().out
    assert "30 images, 2 classes" in out
    assert "nucleus" in out
