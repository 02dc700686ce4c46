"""A study's folder: what survives a kill, an extension and a fresh start."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_run_samples import make_run
from refusals import refused

from lowpix.errors import WorkError
from lowpix.storage import write_bytes
from lowpix.study.folder import Study, file_name, open_study
from lowpix.study.image_runs import IMAGES, Images, Run, Tables, confidence_name, label_map_name
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, record_work
from lowpix.study.tables import CURVE_COLUMNS, REVEALED_COLUMNS, SUMMARY_COLUMNS

TABLES = ("curves.parquet", "revealed.parquet", "summary.csv")
RUNS = [
    make_run(image, setting, seed, accuracies=accuracies)
    for image, accuracies in (("easy", [0.5, 0.96]), ("deep/er%2F..", [0.4, 0.6, 0.9]), ("NA", [0.99]))
    for setting in ("margin", "random")
    for seed in (0, 1)
]


def table_bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def keys(runs: list[Run]) -> set[tuple[str, int, str]]:
    return {(run.setting, run.seed, run.image) for run in runs}


def files(folder: Path) -> list[str]:
    """All that is in a folder but folders."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    )


def images(folder: Path) -> Study[Run, Tables]:
    return Study(folder, IMAGES)


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


SETTINGS = {
    "dataset": "camvid",
    "acquisition": ["margin"],
    "smoothing": ["none"],
    "images": None,
    "limit": 16,
    "repeats": 1,
    "scene_count": 2,
    "target": 0.98,
    "max_pixels": 1000,
    "ask_void": False,
    "spacing": None,
}


def settings_in(folder: Path) -> dict[str, object]:
    return tomllib.loads((folder / "study.toml").read_text())["settings"]


def test_a_study_says_what_was_asked_and_what_produced_it(tmp_path: Path) -> None:
    open_study(tmp_path, IMAGES, SETTINGS)
    record_work(tmp_path / "study.toml", 12.34, "cpu")
    assert settings_in(tmp_path) == {key: value for key, value in SETTINGS.items() if value is not None}
    document = tomllib.loads((tmp_path / "study.toml").read_text())
    (produced,) = document["produced"]
    assert produced["numpy"] == np.__version__
    assert produced["python"] == ".".join(map(str, sys.version_info[:3]))
    assert produced["device"] == "cpu"
    assert produced["wall_seconds"] == 12.3
    assert {"lowpix", "torch", "processor", "since"} <= set(produced)
    open_study(tmp_path, IMAGES, SETTINGS)  # the same version goes on
    record_work(tmp_path / "study.toml", 7.7, "cpu")
    (produced,) = tomllib.loads((tmp_path / "study.toml").read_text())["produced"]
    assert produced["wall_seconds"] == 20.0


def test_a_study_that_goes_on_elsewhere_says_so(tmp_path: Path) -> None:
    open_study(tmp_path, IMAGES, SETTINGS)
    file = tmp_path / "study.toml"
    file.write_text(file.read_text().replace(np.__version__, "1.0.0"))
    (tmp_path / "lowpix.sha256").unlink()  # as of an older version
    open_study(tmp_path, IMAGES, SETTINGS)
    assert [entry["numpy"] for entry in tomllib.loads(file.read_text())["produced"]] == [
        "1.0.0",
        np.__version__,
    ]


def test_extensions_cover_both(tmp_path: Path) -> None:
    open_study(tmp_path, IMAGES, SETTINGS)
    open_study(
        tmp_path,
        IMAGES,
        SETTINGS | {"acquisition": ["random", "margin"], "repeats": 3, "limit": 8, "scene_count": 1},
    )
    expected = {"acquisition": ["margin", "random"], "repeats": 3, "limit": 16, "scene_count": 2}
    assert settings_in(tmp_path).items() >= expected.items()
    open_study(tmp_path, IMAGES, SETTINGS | {"limit": None})
    assert "limit" not in settings_in(tmp_path)  # all images, and so it stays
    open_study(tmp_path, IMAGES, SETTINGS)
    assert "limit" not in settings_in(tmp_path)


EXTENDER = """
import sys
from pathlib import Path
from lowpix.study.folder import open_study
from lowpix.study.image_runs import IMAGES
from lowpix.study.settings import keep_section

folder, own = Path(sys.argv[1]), sys.argv[2]
(folder / f"{own}.ready").touch()
while len(list(folder.glob("*.ready"))) < 3:
    pass
for number in range(20):
    open_study(folder, IMAGES, {"acquisition": [f"{own}{number}"]})
    keep_section(folder / "study.toml", "seen", {f"{own}{number}": 1}, growing=True)
"""


def test_what_several_processes_add_at_once_is_all_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", EXTENDER, str(tmp_path)]
    extenders = [subprocess.Popen([*command, own], stderr=subprocess.PIPE, text=True) for own in "xyz"]
    assert [extender.communicate()[1] for extender in extenders] == ["", "", ""]
    added = {f"{own}{number}" for own in "xyz" for number in range(20)}
    assert set(settings_in(tmp_path)["acquisition"]) == added
    assert set(tomllib.loads((tmp_path / "study.toml").read_text())["seen"]) == added


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"target": 0.95}, ["target was 0.98, now 0.95"]),
        ({"spacing": 5}, ["spacing was 'unset', now 5"]),
        (
            {"ask_void": True, "dataset": "voc"},
            ["dataset was 'camvid', now 'voc'", "ask_void was False, now True"],
        ),
    ],
)
def test_any_other_change_is_refused_with_both_values(
    tmp_path: Path, change: dict[str, object], shown: list[str]
) -> None:
    open_study(tmp_path, IMAGES, SETTINGS)
    before = (tmp_path / "study.toml").read_bytes()
    with refused(tmp_path / "study.toml", *shown, "--fresh"):
        open_study(tmp_path, IMAGES, SETTINGS | change)
    assert (tmp_path / "study.toml").read_bytes() == before
    open_study(tmp_path, IMAGES, SETTINGS | change, fresh=True)
    assert settings_in(tmp_path).items() >= change.items()


def test_fresh_removes_what_a_study_writes_and_nothing_else(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    study = open_study(folder, IMAGES, SETTINGS)
    key = ("margin", 0, "easy")
    study.save(RUNS[0], {label_map_name(*key): b"1", confidence_name(*key, 30): b"2"})
    study.write_tables()
    Seal(folder, "comparison.sha256").write({"comparison.csv": b"3"})
    own = ["notes.txt", "runs/notes.txt", "pseudo_labels/margin/0/mine.png", "confidence/mine.png"]
    for name in own:
        write_bytes(folder / name, b"mine")
    write_bytes(elsewhere / "map.png", b"mine")
    (folder / "linked").symlink_to(elsewhere)
    study = open_study(folder, IMAGES, SETTINGS, fresh=True)
    assert files(folder) == sorted([*own, "linked", "study.toml", "lowpix.sha256"])
    assert {(folder / name).read_bytes() for name in own} == {b"mine"}
    assert (elsewhere / "map.png").read_bytes() == b"mine"
    assert study.finished() == set()
    assert not (folder / "runs/margin").exists()  # folders that became empty are gone


def test_a_folder_that_is_no_study_is_left_alone(tmp_path: Path) -> None:
    photographs = tmp_path / "runs"
    photographs.mkdir()
    for fresh in (False, True):
        with refused(tmp_path, "holds runs", "study.toml"):
            open_study(tmp_path, IMAGES, SETTINGS, fresh=fresh)
    (tmp_path / "study.toml").write_text("[tool.other]\n")
    for fresh in (False, True):
        with refused(tmp_path / "study.toml", "no record of a study"):
            open_study(tmp_path, IMAGES, SETTINGS, fresh=fresh)
    (tmp_path / "study.toml").write_text("[settings\n")
    with refused(tmp_path / "study.toml", "cannot be read"):
        open_study(tmp_path, IMAGES, SETTINGS)
    assert photographs.exists()
    (tmp_path / "file").touch()
    with refused(tmp_path / "file", "is a file"):
        open_study(tmp_path / "file", IMAGES, SETTINGS)


def test_a_fresh_start_that_is_cut_short_at_any_file_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What names the study is removed last, so that what is left is still known as one."""
    whole, remove = tmp_path / "whole", Path.unlink
    study = open_study(whole, IMAGES, SETTINGS)
    for run in RUNS[:2]:
        study.save(run, {label_map_name(run.setting, run.seed, run.image): b"1"})
    study.write_tables()
    study.seal.write({"data.csv": b"2"})
    for count in range(len(files(whole))):
        folder = shutil.copytree(whole, tmp_path / str(count))
        removed: list[Path] = []

        def cut_short(
            path: Path, missing_ok: bool = False, *, most: int = count, removed: list[Path] = removed
        ) -> None:
            if path.exists():
                removed.append(path)
            if len(removed) > most:
                raise KeyboardInterrupt
            remove(path, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", cut_short)
            with pytest.raises(KeyboardInterrupt):
                open_study(folder, IMAGES, SETTINGS, fresh=True)
        there = files(folder)
        assert len(there) == len(files(whole)) - count
        if "study.toml" in there and "data.csv" not in there:  # what tells that data have changed goes after runs
            assert images(folder).finished() == set()
        images(folder).tables()  # they can be read all the time
        open_study(folder, IMAGES, SETTINGS, fresh=True)
        assert files(folder) == ["lowpix.sha256", "study.toml"]
    assert count > 10


@pytest.mark.parametrize("gone", ["*.sha256", "runs/*/*/*.sha256", "**/*.sha256"])
def test_a_study_that_an_older_version_began_is_not_started_afresh(tmp_path: Path, gone: str) -> None:
    """Nothing tells which of its files are the user's."""
    study = open_study(tmp_path, IMAGES, SETTINGS)
    study.save(RUNS[0], {label_map_name("margin", 0, "easy"): b"1"})
    study.write_tables()
    for path in tmp_path.glob(gone):
        path.unlink()
    there = files(tmp_path)
    with refused("--fresh", tmp_path, "older", "--out"):
        open_study(tmp_path, IMAGES, SETTINGS, fresh=True)
    assert files(tmp_path) == there
    study = open_study(tmp_path, IMAGES, SETTINGS)  # it goes on
    study.save(RUNS[1])
    study.write_tables()
    assert study.finished() == keys(RUNS[:2])
    with refused("--fresh", tmp_path, "older", "--out"):  # and remains what it is
        open_study(tmp_path, IMAGES, SETTINGS | {"target": 0.5}, fresh=True)


def test_a_study_without_its_run_files_can_be_started_afresh(tmp_path: Path) -> None:
    """The user removed them: tables are enough to go on."""
    study = open_study(tmp_path, IMAGES, SETTINGS)
    study.save(RUNS[0])
    study.write_tables()
    shutil.rmtree(tmp_path / "runs")
    assert open_study(tmp_path, IMAGES, SETTINGS | {"target": 0.5}, fresh=True).finished() == set()
    assert files(tmp_path) == ["lowpix.sha256", "study.toml"]


class Others(Images):
    name = "other"


@pytest.mark.parametrize("fresh", [False, True])
def test_another_kind_of_study_is_neither_continued_nor_removed(tmp_path: Path, fresh: bool) -> None:
    open_study(tmp_path, IMAGES, SETTINGS).write_tables()
    before = table_bytes(tmp_path)
    with refused(tmp_path, "image", "other", "another folder"):
        open_study(tmp_path, Others(), SETTINGS, fresh=fresh)
    assert table_bytes(tmp_path) == before


@pytest.mark.parametrize(
    ("option", "kind"), [("target", "image"), ("epochs", "dataset"), ("plateau_cap", "order")]
)
def test_a_study_from_before_kinds_were_written_is_known_by_its_options(
    tmp_path: Path, option: str, kind: str
) -> None:
    open_study(tmp_path, IMAGES, {option: 1})
    file = tmp_path / "study.toml"
    assert read_kind(file) == "image"
    (tmp_path / "lowpix.sha256").unlink()
    file.write_text(file.read_text().replace('kind = "image"\n', ""))
    assert read_kind(file) == kind
