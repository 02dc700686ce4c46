"""A study's folder: how runs come and stay, and what survives a kill."""

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from folder_runs import RUNS, SETTINGS, TABLES, images, keys, table_bytes
from hypothesis import given
from hypothesis import strategies as st
from image_run_samples import make_run
from refusals import refused

from lowpix.errors import WorkError
from lowpix.storage import HOST, write_bytes
from lowpix.study.folder import file_name, open_study
from lowpix.study.image_runs import IMAGES, confidence_name, label_map_name
from lowpix.study.tables import CURVE_COLUMNS, REVEALED_COLUMNS, SUMMARY_COLUMNS


def read_summary(folder: Path) -> pd.DataFrame:
    path = folder / "summary.csv"
    return IMAGES.stored["summary.csv"].read(path, path.read_bytes())


def test_runs_come_back_as_tables(tmp_path: Path) -> None:
    study = images(tmp_path)
    assert study.finished() == set()
    for run in RUNS:
        study.save(run)
    assert study.finished() == keys(RUNS)
    written = study.write_tables()
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    assert tuple(curves.columns) == CURVE_COLUMNS
    assert len(curves) == sum(len(run.rounds) for run in RUNS)
    for run in RUNS:
        own = curves[
            (curves["image"] == run.image) & (curves["setting"] == run.setting) & (curves["seed"] == run.seed)
        ]
        for column in ("round", "asked", "revealed", "fraction", "accuracy", "miou", "seconds"):
            np.testing.assert_array_equal(own[column], run.rounds[column])
    assert tuple(pd.read_parquet(tmp_path / "revealed.parquet").columns) == REVEALED_COLUMNS
    summary = read_summary(tmp_path)
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    pd.testing.assert_frame_equal(summary, written.summary)
    assert set(summary["image"]) == {run.image for run in RUNS}  # "NA" is a name, not a gap
    assert summary.groupby("image")["pixels_to_target"].count().to_dict() == {
        "NA": 4,
        "deep/er%2F..": 0,
        "easy": 4,
    }


def test_a_run_that_is_discarded_leaves_no_row_and_no_file(tmp_path: Path) -> None:
    """The others stay as they are."""
    study, rest = images(tmp_path / "all"), images(tmp_path / "rest")
    gone, *others = RUNS
    for run in RUNS:
        study.save(run, {label_map_name(run.setting, run.seed, run.image): b"map"})
    study.write_tables()
    for run in others:
        rest.save(run)
    rest.write_tables()
    study.discard(*IMAGES.key_of(gone))
    assert study.finished() == keys(others)
    assert not (study.folder / label_map_name(gone.setting, gone.seed, gone.image)).exists()
    study.write_tables()
    assert table_bytes(study.folder) == table_bytes(rest.folder)
    with refused("has changed"):
        (study.folder / label_map_name(others[0].setting, others[0].seed, others[0].image)).write_bytes(b"mine")
        study.discard(*IMAGES.key_of(others[0]))
    assert study.finished() == keys(others)


def test_files_hold_no_trace_of_the_libraries_that_wrote_them_but_pyarrow(tmp_path: Path) -> None:
    study = images(tmp_path)
    study.save(RUNS[0])
    study.write_tables()
    assert pq.ParquetFile(tmp_path / "curves.parquet").schema_arrow.metadata is None


def test_tables_are_the_same_whatever_the_order_of_the_work(tmp_path: Path) -> None:
    for name, runs in (("forth", RUNS), ("back", RUNS[::-1])):
        study = images(tmp_path / name)
        for run in runs:
            study.save(run)
        study.write_tables()
    assert table_bytes(tmp_path / "forth") == table_bytes(tmp_path / "back")


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_folder_with_only_the_tables_can_be_extended(tmp_path: Path, cut: int) -> None:
    whole = images(tmp_path / "whole")
    for run in RUNS:
        whole.save(run)
    whole.write_tables()
    first = open_study(tmp_path / "first", IMAGES, SETTINGS)
    for run in RUNS[:cut]:
        first.save(run)
    first.write_tables()
    (tmp_path / "second").mkdir()
    for name in (*TABLES, "study.toml"):
        shutil.copy(tmp_path / "first" / name, tmp_path / "second")
    second = open_study(tmp_path / "second", IMAGES, SETTINGS)
    assert second.finished() == keys(RUNS[:cut])
    for run in RUNS[cut - 1 :]:  # one of them twice: its file wins over its rows
        second.save(run)
    second.write_tables()
    assert table_bytes(tmp_path / "second") == table_bytes(tmp_path / "whole")


def test_tables_of_nothing_are_empty_and_can_be_extended(tmp_path: Path) -> None:
    study = images(tmp_path)
    study.write_tables()
    assert len(read_summary(tmp_path)) == 0
    assert study.finished() == set()
    study.save(RUNS[0])
    study.write_tables()
    alone = images(tmp_path / "alone")
    alone.save(RUNS[0])
    alone.write_tables()
    assert table_bytes(tmp_path) == table_bytes(tmp_path / "alone")


def test_numbers_survive_the_csv_bit_for_bit(tmp_path: Path) -> None:
    study = images(tmp_path)
    study.save(make_run(accuracies=[1 / 3, 0.1 + 0.2, np.nextafter(0.95, 1)]))
    written = study.write_tables().summary
    pd.testing.assert_frame_equal(read_summary(tmp_path), written, check_exact=True)


def test_ctrl_c_leaves_no_temporary_file_of_a_worker_that_it_ended(tmp_path: Path) -> None:
    study = open_study(tmp_path, IMAGES, SETTINGS)
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as worker:
        worker.wait()
    half = tmp_path / f"confidence/margin/0/.easy.png.{HOST}-{worker.pid}.tmp"

    def interrupted() -> None:
        with study.at_work("cpu", lambda _: {}):
            study.save(RUNS[0])
            write_bytes(half, b"half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not half.exists()
    assert study.finished() == keys(RUNS[:1])
    assert len(read_summary(tmp_path)) == 1


def test_a_run_that_a_kill_cut_short_is_not_there(tmp_path: Path) -> None:
    """A process that dies while it writes a run leaves the runs before, and nothing that looks finished."""
    script = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from image_run_samples import make_run
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES

study = Study(Path(sys.argv[1]), IMAGES)
study.save(make_run("first"))
whole = Path.write_bytes

def torn(path, content):
    whole(path, content[:200])
    if "second.parquet" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)

Path.write_bytes = torn
study.save(make_run("second"), {"pseudo_labels/second.png": bytes(9)})
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)], check=False)
    assert done.returncode == -9
    (torn,) = tmp_path.rglob("*.tmp")
    assert torn.stat().st_size == 200
    study = images(tmp_path)
    assert study.finished() == {("margin", 0, "first")}
    assert study.write_tables().summary["image"].tolist() == ["first"]
    study.save(make_run("second"), {"pseudo_labels/second.png": bytes(8)})  # over what the kill left
    assert study.write_tables().summary["image"].tolist() == ["first", "second"]
    assert (tmp_path / "pseudo_labels/second.png").read_bytes() == bytes(8)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_name_makes_a_file_name_of_its_own(name: str, other: str) -> None:
    made = file_name(name)
    assert unquote(made) == name or any("\ud800" <= letter <= "\udfff" for letter in name)
    assert not set(made) & set('/\\:*?"<>|\0\n')
    assert made not in (".", "..", "")
    assert not made.startswith(".")
    assert (made == file_name(other)) == (name == other)


def test_files_of_an_image_keep_its_name_and_sub_folders_and_stay_inside(tmp_path: Path) -> None:
    name = label_map_name("margin", 0, "left/0001TP_006690")
    assert name == "pseudo_labels/margin/0/left/0001TP_006690.png"
    assert label_map_name("margin", 0, "a", 30) == "pseudo_labels_at/30/margin/0/a.png"
    file = tmp_path / confidence_name("margin", 1, "../../../etc/passwd")
    assert tmp_path / "confidence" / "margin" / "1" in file.resolve().parents


def test_files_of_a_run_are_whole_before_it_counts_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, seen = Path.replace, []

    def watched(temporary: Path, target: Path) -> Path:
        assert images(tmp_path).finished() == set()
        seen.append(str(target.relative_to(tmp_path)))
        return replace(temporary, target)

    study = images(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", watched)
        saved = study.save(RUNS[0], {"deep/a.png": b"1", "b.png": b"2"})
    assert saved is RUNS[0]
    assert seen == ["deep/a.png", "b.png", "runs/margin/0/easy.parquet"]
    assert ((tmp_path / "deep/a.png").read_bytes(), (tmp_path / "b.png").read_bytes()) == (b"1", b"2")
    assert study.finished() == keys(RUNS[:1])


def test_without_a_damaged_file_the_run_is_done_again_or_its_rows_are_kept(tmp_path: Path) -> None:
    """As the message says."""
    study = images(tmp_path)
    for run in RUNS[:2]:
        study.save(run)
    for listed, left in ((False, 1), (True, 2)):
        if listed:
            study.save(RUNS[0])
            study.write_tables()
        file = tmp_path / "runs/margin/0/easy.parquet"
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        with refused(file, "the tables keep the run's rows" if listed else "the run is done again"):
            study.tables()
        file.unlink()
        assert len(study.finished()) == left


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    study = images(tmp_path)
    study.save(RUNS[0])
    study.require_finished(keys(RUNS[:1]))
    with pytest.raises(WorkError, match=r"runs/margin/0/NA\.parquet: was removed during the study, like 1 more$"):
        study.require_finished([("margin", 0, "easy"), ("margin", 0, "NA"), ("random", 0, "NA")])


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    study = images(tmp_path)
    study.save(RUNS[0])
    (file,) = tmp_path.glob("runs/*/*/*.parquet")
    (seal,) = tmp_path.glob("runs/*/*/*.sha256")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with refused(file, "has changed", "damaged"):
        study.tables()
    seal.unlink()  # as of an older version
    with refused(file, "cannot be read"):
        study.tables()
    pd.DataFrame({"a": [1]}).to_parquet(file)
    with refused(file, "another version"):
        study.tables()
    (tmp_path / "summary.csv").write_text("a,b\n1,2\n")
    with refused(tmp_path / "summary.csv", "cannot be read"):
        study.finished()


@pytest.mark.parametrize("place", ["runs/margin/first/a.parquet", "runs/margin/%3x/a.parquet"])
def test_a_file_among_the_runs_that_is_none_is_named(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.touch()
    for look in (images(tmp_path).finished, images(tmp_path).tables):
        with refused(file, "no run", "runs/<setting>/<seed>/<image>.parquet"):
            look()
