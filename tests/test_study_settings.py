"""What a study says of itself, how it is extended, and how it starts afresh."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from folder_runs import RUNS, SETTINGS, files, images, keys, table_bytes
from refusals import refused

from lowpix.storage import write_bytes
from lowpix.study.folder import open_study
from lowpix.study.image_runs import IMAGES, Images, confidence_name, label_map_name
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, record_work


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
