"""Files that are there whole or not at all, and what a killed process leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowpix.storage import HOST, atomic, remove_leftovers, write_bytes


def test_atomic_leaves_the_old_file_when_the_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.csv"

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with atomic(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("letter", ["a", "ä", "字", "🛰"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, letter: str) -> None:
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".png")
    write_bytes(path, b"1")
    assert path.read_bytes() == b"1"


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    return process.pid


def test_leftovers_of_dead_processes_of_this_machine_go(tmp_path: Path) -> None:
    """Those of living ones and of other machines stay, and all that only looks alike."""
    dead = dead_process()
    killed = [
        f".summary.csv.{HOST}-{dead}.tmp",
        f".summary.csv.{dead}.tmp",  # of an older version
        f"runs/margin/0/.a b.parquet.{HOST}-{dead}.tmp",
        f"pseudo_labels/deep/er/.図.png.{HOST}-{dead}.tmp",
    ]
    others = [
        f".summary.csv.{HOST}-{os.getpid()}.tmp",
        f"runs/.a.parquet.{HOST}-{os.getppid()}.tmp",
        f".summary.csv.elsewhere-{dead}.tmp",
        f"summary.csv.{HOST}-{dead}.tmp",
        f".summary.csv.{HOST}-{dead}.tmp.bak",
        f".summary.csv.{HOST}-{dead}x.tmp",
        ".tmp",
        ".notes.tmp",
        f"mine/.summary.csv.{HOST}-{dead}.tmp",  # in a folder that is not the program's
    ]
    for name in [*killed, *others]:
        write_bytes(tmp_path / name, b"1")
    remove_leftovers(tmp_path, ["runs", "pseudo_labels", "missing", "summary.csv"])
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == set(others)


def test_a_temporary_name_tells_who_writes(tmp_path: Path) -> None:
    with atomic(tmp_path / "summary.csv") as temporary:
        assert temporary.name == f".summary.csv.{HOST}-{os.getpid()}.tmp"
        temporary.touch()
        remove_leftovers(tmp_path)
        assert temporary.exists()
