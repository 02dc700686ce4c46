"""How a command ends when the machine fails it: one line, an exit code, and finished work that is gone on with.

The studies here are real, and small. An oracle brings the fault while the second of three images is asked.
"""

import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stopped_runs import content

from lowpix.command import run
from lowpix.data import open_dataset
from lowpix.image_study import Options, image_study
from lowpix.reveal.oracle import Oracle

SCENES = ["--scene-size", "24", "32", "--scene-count", "3", "--max-pixels", "6", "--stop", "budget"]
NOBODY = 65534
Fault = AbstractContextManager[object]


def ended(command: Callable[[Options], int | None], arguments: Sequence[str] = ()) -> int:
    """The exit code of a command with the options of an image study."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lowpix.image_study", *arguments])
        with pytest.raises(SystemExit) as end:
            run(Options, "lowpix.image_study", command)
    signal.signal(signal.SIGTERM, before)
    assert isinstance(end.value.code, int)
    return end.value.code


def studied(out: Path, fault: Callable[[], Fault] = nullcontext) -> int:
    """The exit code of a study that a fault strikes at its second image and leaves after its end."""
    scenes = open_dataset("scenes", scene_size=(24, 32), scene_count=3)

    def oracles(name: str) -> Oracle:
        truth = scenes.labels(name)
        assert truth is not None

        def answer(pixels: NDArray[np.int64]) -> NDArray[np.uint8]:
            if name == struck and not faults:
                faults.append(lasting.enter_context(fault()))
            told: NDArray[np.uint8] = truth[tuple(pixels.T)]
            return told

        return answer

    struck, faults = "scene_002", list[object]()  # the second in the order of work
    with ExitStack() as lasting:
        return ended(lambda options: image_study(options, oracles) and None, [*SCENES, "--out", str(out)])


def complaints(captured: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on stderr, without those of the bar."""
    lines = captured.readouterr().err.replace("\r", "\n").splitlines()
    return [line for line in lines if line.strip() and not re.search(r"run/s|s/run|\?run", line)]


def tables(out: Path) -> dict[str, bytes]:
    return content(out, ("curves.parquet", "revealed.parquet", "summary.csv"), ("pseudo_labels/**/*.png",))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, as those of pytest are not."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowpix.image_study.study.image_pictures", lambda *_, **__: {})
        assert studied(out) == 0
    return tables(out)


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """This process may have no larger files, or no more open ones, than `most`."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written in a folder; root, who may write everywhere, becomes somebody who may not."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for path in folders:
            path.chmod(0o755)


# What fails during a study


@pytest.mark.usefixtures("undrawn_images")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda out: limited(resource.RLIMIT_FSIZE, 500), "File too large"),
        (lambda out: limited(resource.RLIMIT_NOFILE, 3), "Too many open files"),
        (read_only, "Permission denied"),
    ],
    ids=["full", "files", "read-only"],
)
def test_after_a_fault_of_the_machine_the_same_command_goes_on(
    folder: Path,
    undisturbed: dict[str, bytes],
    fault: Callable[[Path], Fault],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk is a limit on the size of files: both cut a file short."""
    out = folder / "out"
    assert studied(out, lambda: fault(out)) == 1
    (line,) = complaints(capsys)
    assert line.startswith(f"error: {out}/")
    assert line.endswith(f"{said}; finished work is kept; the same command goes on from here")
    (finished,) = out.glob("runs/*/*/*.parquet")
    before = finished.stat()
    assert not list(out.rglob("*.tmp"))
    assert studied(out) == 0
    assert tables(out) == undisturbed
    assert finished.stat().st_mtime_ns == before.st_mtime_ns  # not done again


@pytest.mark.parametrize("most", [0, 100, 300])
def test_a_disk_that_is_full_from_the_beginning_is_the_users_matter(
    tmp_path: Path, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with limited(resource.RLIMIT_FSIZE, most):
        assert studied(tmp_path / "out") == 2
    (line,) = complaints(capsys)
    assert line == f"error: {tmp_path / 'out'}: cannot be written to (File too large)"


class Gone:
    """Files that are removed, by a pattern; there must be some."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __call__(self, out: Path) -> Fault:
        found = [path for path in (out.glob(self.pattern) if self.pattern else [out]) if path.exists()]
        assert found
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return nullcontext()


@pytest.mark.usefixtures("undrawn_images")
@pytest.mark.parametrize("name", ["study.toml", "data.csv", "lowpix.sha256"])
def test_a_record_that_is_removed_during_a_study_is_written_again(
    tmp_path: Path, undisturbed: dict[str, bytes], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert studied(out, lambda: Gone(name)(out)) == 0
    assert complaints(capsys) == [f"warning: {out / name}: was removed during the study; it is written again"]
    assert tables(out) == undisturbed
    assert studied(out) == 0
    assert complaints(capsys) == []


@pytest.mark.usefixtures("undrawn_images")
@pytest.mark.parametrize("pattern", ["runs/*/*/*.parquet", "runs", "*", ""])
def test_a_run_that_is_removed_during_a_study_is_named_and_done_again(
    tmp_path: Path, undisturbed: dict[str, bytes], pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone, or with the folder of all runs, with all files, with the whole folder."""
    out = tmp_path / "out"
    assert studied(out, lambda: Gone(pattern)(out)) == 1
    *warnings, line = complaints(capsys)
    assert line.startswith(f"error: {out}")
    assert line.endswith("the same command tries again") or line.endswith("goes on from here")
    assert all(warning.endswith("it is written again") for warning in warnings)
    assert studied(out) == 0
    assert complaints(capsys) == []
    assert tables(out) == undisturbed


@pytest.mark.usefixtures("undrawn_images")
def test_who_removes_label_maps_does_without_them(
    tmp_path: Path, undisturbed: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """No table needs them, and a study that does says which one is missing."""
    out = tmp_path / "out"
    assert studied(out, lambda: Gone("pseudo_labels")(out)) == 0
    assert complaints(capsys) == []
    kept = tables(out)
    assert kept == {name: undisturbed[name] for name in kept}
    assert len(kept) == len(undisturbed) - 1


@pytest.mark.usefixtures("undrawn_images")
def test_a_clock_that_goes_back_changes_nothing(
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By an hour each time that somebody looks at it."""
    now = iter(range(2_000_000_000, 0, -3600))
    for place in (time, sys.modules["tqdm.std"]):
        monkeypatch.setattr(place, "time", lambda: float(next(now)))
    out = tmp_path / "out"
    assert studied(out) == 0
    assert next(now) < 2_000_000_000 - 2 * 3600
    assert complaints(capsys) == []
    assert tables(out) == undisturbed
    for line in (out / "study.toml").read_text().splitlines():
        assert not line.startswith("wall_seconds") or float(line.split()[2]) >= 0


# What the program or its memory fails at


def raising(fault: BaseException) -> Callable[[Options], int | None]:
    def command(options: Options) -> int | None:
        raise fault

    return command


def test_a_fault_that_nobody_expected_is_said_to_be_the_programs_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert ended(raising(ZeroDivisionError("two\nlines \x1b[2J" + "x" * 900)), ["--target", "0.9"]) == 1
    (line,) = complaints(capsys)
    (file,) = tmp_path.glob("lowpix-*.txt")
    assert line.startswith("error: a bug in lowpix: ZeroDivisionError: two lines ")
    assert line.endswith(f"; please report it with {file}")
    assert line.isprintable()
    assert len(line) < 500
    kept = file.read_text()
    assert kept.startswith("lowpix.image_study --target 0.9\n")
    assert "Traceback (most recent call last)" in kept
    assert "in command" in kept


def test_where_the_traceback_cannot_be_kept_the_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert ended(raising(KeyError("name"))) == 1
    (line,) = complaints(capsys)
    assert "its traceback, which cannot be written to a file (No such file or directory)" in line


@pytest.mark.parametrize("library", ["python", "numpy", "torch"])
def test_memory_that_runs_out_is_not_called_a_bug(library: str, capsys: pytest.CaptureFixture[str]) -> None:
    """More than there can be anywhere: a petabyte."""
    want: dict[str, Callable[[], object]] = {
        "python": lambda: bytearray(1 << 50),
        "numpy": lambda: np.empty(1 << 50, np.uint8),
        "torch": lambda: torch.empty(1 << 50, dtype=torch.uint8),
    }
    assert ended(lambda options: want[library]() and None) == 1
    (line,) = complaints(capsys)
    assert line.startswith("error: memory ran out (")
    assert line.endswith("; finished work is kept; the same command goes on from here")


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_told_in_a_line_and_in_the_exit_code(
    how: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(options: Options) -> None:
        signal.raise_signal(how)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us without
    try:
        assert ended(command) == code
    finally:
        signal.signal(signal.SIGINT, before)
    (line,) = complaints(capsys)
    assert line.endswith("; the same command goes on from here")
