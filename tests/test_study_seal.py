"""The seal: what has changed since it was written is found, and nothing of the user's is replaced or removed."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from image_run_samples import make_run
from refusals import refused

from lowpix.data import open_dataset
from lowpix.data.check import require_sound
from lowpix.dataset_study.tables import DATASETS, HISTORY, SUMMARY, TrainedRun
from lowpix.errors import InputError
from lowpix.order_study.tables import OrderRun, OrderStudies
from lowpix.storage import write_bytes
from lowpix.study.data import keep_data, read_data
from lowpix.study.folder import Study, open_study
from lowpix.study.image_runs import IMAGES, label_map_name
from lowpix.study.kind import Kind
from lowpix.study.seal import Seal

FILES = {"a.csv": b"a,b\n1,2\n", "deep/b.png": bytes(range(40)), "no end": b"", "Grüße, 図.txt": b"\n\n"}


def written(folder: Path) -> Seal:
    seal = Seal(folder)
    seal.write(FILES)
    return seal


def everything(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The file of digests


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not there")
def test_sha256sum_understands_it(tmp_path: Path) -> None:
    write_bytes(tmp_path / "older.txt", b"1")
    Seal(tmp_path).adopt(["older.txt"])
    written(tmp_path)
    check = ["sha256sum", "--check", "--strict", "lowpix.sha256"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK\n") == len(FILES) + 1
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,3\n")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_each_version_of_a_file_is_valid(tmp_path: Path) -> None:
    """A kill between the line and the file leaves the earlier version."""
    seal = written(tmp_path)
    seal.write({"a.csv": b"new"})
    assert seal.read("a.csv") == b"new"
    (tmp_path / "a.csv").write_bytes(FILES["a.csv"])
    assert seal.read("a.csv") == FILES["a.csv"]
    seal.require_unchanged()


def test_after_a_torn_line_it_goes_on(tmp_path: Path) -> None:
    """A kill or a power cut left a part of the line, and the file was not written yet."""
    folder, name = tmp_path / "torn", "pseudo_labels/margin/0/a.png"
    Seal(tmp_path).write({"pseudo_labels/margin/0/b.png": b"b", name: b"a"})
    lines = (tmp_path / "lowpix.sha256").read_bytes()
    for length in range(lines.index(b"\n") + 1, len(lines)):
        write_bytes(folder / "lowpix.sha256", lines[:length])
        write_bytes(folder / "pseudo_labels/margin/0/b.png", b"b")
        seal = Seal(folder)
        seal.require_unchanged()  # though the last name may be that of a folder
        seal.write({name: b"a"})
        assert seal.read(name) == b"a"
        seal.remove()
        assert list(folder.iterdir()) == []


def test_a_torn_line_costs_no_file_of_the_user(tmp_path: Path) -> None:
    """Whose name is a part of another one's."""
    seal = Seal(tmp_path)
    seal.write({"table.csv": b"1"})
    seal.file.write_bytes(seal.file.read_bytes()[:-3])
    (tmp_path / "table.c").write_bytes(b"mine")
    seal.write({"other.csv": b"2"})
    with refused(tmp_path / "table.c", "not written by lowpix"):
        seal.remove()
    assert (tmp_path / "table.c").read_bytes() == b"mine"


@pytest.mark.parametrize("place", ["../mine.txt", "deep/../../mine.txt", "{}/mine.txt", ".\0"])
def test_a_line_reaches_nothing_outside_the_folder(tmp_path: Path, place: str) -> None:
    """Whoever wrote it."""
    mine, folder = tmp_path / "mine.txt", tmp_path / "study"
    mine.write_bytes(b"a")
    Seal(folder).write({"a.txt": b"a", "deep/a.txt": b"a"})
    seal = Seal(folder)
    with seal.file.open("a") as file:
        file.write(f"{next(iter(seal.digests()['a.txt']))}  {place.format(tmp_path)}\n")
    seal.remove()
    assert mine.read_bytes() == b"a"
    assert list(folder.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from lowpix.study.seal import Seal
folder, own = Path(sys.argv[1]), sys.argv[2]
(folder / f"{own}.ready").touch()
while len(list(folder.glob("*.ready"))) < 3:
    pass
for number in range(60):
    Seal(folder).write({"table.csv": f"{own} {number}".encode() * 500, f"{own}/{number}": own.encode()})
    Seal(folder).read("table.csv")
"""


def test_several_write_at_once(tmp_path: Path) -> None:
    """What one has just written, another may read and replace, and no line is lost."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, own], stderr=subprocess.PIPE, text=True) for own in "xyz"]
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    seal = Seal(tmp_path)
    # a process that sees half of another's write begins a new line: the seal may have empty lines
    lines = [line for line in seal.file.read_text().splitlines() if line]
    assert len(lines) == 3 * 60 * 2
    assert len(seal.digests()["table.csv"]) == 3 * 60
    seal.require_unchanged()
    seal.remove()
    assert sorted(everything(tmp_path)) == ["x.ready", "y.ready", "z.ready"]


# The user's files


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("link", [False, True])
def test_a_file_of_the_user_is_not_replaced(tmp_path: Path, sealed: bool, link: bool) -> None:
    """Neither when a seal is begun nor when it goes on; and the other files are not written either."""
    folder, mine = tmp_path / "out", tmp_path / "mine.csv"
    if sealed:
        written(folder)
    folder.mkdir(exist_ok=True)
    mine.write_bytes(b"mine")
    (folder / "own.csv").symlink_to(mine) if link else shutil.copy(mine, folder / "own.csv")
    before = everything(folder)
    with refused(folder / "own.csv", "not written by lowpix", "another folder"):
        Seal(folder).write({"first.csv": b"1", "own.csv": b"2"})
    assert everything(folder) == before
    assert mine.read_bytes() == b"mine"


def test_a_file_that_is_already_as_it_would_be_written_is_taken_over(tmp_path: Path) -> None:
    """When the seal of a run is lost, the run is done again, and makes the same files."""
    write_bytes(tmp_path / "a.csv", FILES["a.csv"])
    seal = written(tmp_path)
    seal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_user_changed_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    seal = written(tmp_path)
    (tmp_path / "deep/b.png").write_bytes(b"corrected by hand")
    before = everything(tmp_path)
    removals: list[Callable[[], object]] = [
        lambda: seal.write({"a.csv": b"new", "deep/b.png": b"new"}),
        seal.remove,
        lambda: seal.remove(["a.csv"]),
        seal.require_unchanged,
    ]
    for spoil in removals:
        with refused(tmp_path / "deep/b.png", "has changed", "move it"):
            spoil()
        assert everything(tmp_path) == before
    (tmp_path / "deep/b.png").rename(tmp_path / "mine.png")  # as the message says
    seal.remove()
    assert everything(tmp_path) == {"mine.png": b"corrected by hand"}


def test_other_files_stay(tmp_path: Path) -> None:
    seal = written(tmp_path)
    mine = {"notes.txt": b"1", "deep/c.png": b"2", "deep/er/b.png": FILES["deep/b.png"], "other.sha256": b"3"}
    for name, content in mine.items():
        write_bytes(tmp_path / name, content)
    (tmp_path / "empty").mkdir()
    seal.remove(["a.csv", "notes.txt"])
    assert everything(tmp_path).keys() == (FILES | mine).keys() - {"a.csv"} | {"lowpix.sha256"}
    seal.remove()
    assert everything(tmp_path) == mine
    assert (tmp_path / "empty").is_dir()


def test_what_was_written_first_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the seal after all, so that a removal that is cut short can be ended."""
    seal, removed, remove = written(tmp_path), [], Path.unlink
    seal.write({"a.csv": b"again"})

    def watched(path: Path, missing_ok: bool = False) -> None:
        removed.append(str(path.relative_to(tmp_path)))
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    seal.remove()
    assert removed == [*reversed(FILES), "lowpix.sha256"]
    assert list(tmp_path.iterdir()) == []


# Older folders


def test_without_a_seal_files_are_read_unchecked_and_can_be_taken_over(tmp_path: Path) -> None:
    for name, content in FILES.items():
        write_bytes(tmp_path / name, content)
    seal = Seal(tmp_path)
    assert seal.digests() == {}
    assert seal.read("a.csv") == FILES["a.csv"]
    seal.require_unchanged()
    seal.remove()
    assert everything(tmp_path) == FILES  # nothing is known to be the program's
    seal.adopt(["missing.csv", "deep"])
    assert not seal.file.exists()
    seal.adopt(["a.csv", "missing.csv"])
    assert seal.digests().keys() == {"a.csv"}
    assert seal.adopted
    seal.adopt(["deep/b.png"])  # only a new seal adopts
    assert seal.digests().keys() == {"a.csv"}
    seal.write({"a.csv": b"new"})
    with refused(tmp_path / "deep/b.png", "not written by lowpix"):
        seal.write({"deep/b.png": b"new"})
    seal.remove()
    assert everything(tmp_path).keys() == FILES.keys() - {"a.csv"}


# Damage


def damaged(content: bytes, place: float, bit: int | None) -> bytes:
    """One bit flipped, or, without a `bit`, the rest cut off."""
    at = max(min(int(place * len(content)), len(content) - 1), 0)
    if not content:
        return b"1"
    return content[:at] if bit is None else content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


PLACES = st.floats(0, 1)
BITS = st.integers(0, 7) | st.none()


@settings(max_examples=100)
@given(name=st.sampled_from([*FILES, "lowpix.sha256"]), place=PLACES, bit=BITS)
@example(name="lowpix.sha256", place=0.2, bit=5)  # of 341 bytes, the blank before a name: it becomes NUL
def test_a_file_is_read_as_it_was_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, bit: int | None
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    seal, before = written(folder), everything(folder)
    (folder / name).write_bytes(damaged(before[name], place, bit))
    for other, content in FILES.items():
        if everything(folder)[other] != content:
            with refused(folder / other, "damaged"):
                seal.read(other)
        elif name == "lowpix.sha256":
            with suppress(InputError):
                assert seal.read(other) == content
        else:
            assert seal.read(other) == content
    there = everything(folder)
    if there != before and name in FILES:
        with refused(folder / name):
            seal.remove()
        assert everything(folder) == there
    else:
        with suppress(InputError):
            seal.remove()
        assert everything(folder).keys() <= FILES.keys() or everything(folder) == there
    shutil.rmtree(folder)


def trained(seed: int) -> TrainedRun:
    numbers: dict[str, Any] = {name: 0.25 * (seed + 1) for name, kind in SUMMARY.items() if kind == "float64"}
    names = {"dataset": "scenes", "setting": "full", "kind": "full", "network": "unet"}
    counts = {"seed": seed, "budget": None, "label_seed": None, "images": 2, "clicks": 0, "maps": 2}
    row = numbers | names | counts | {"privileged": False, "iou_sky": 0.5}
    history = [dict.fromkeys(list(HISTORY)[2:], 0.125) | {"epoch": 1}]
    return TrainedRun(row, history, [("a", 0, 0, 7), ("a", 1, 0, 2)])


def ordered(seed: int, arm: str) -> OrderRun:
    return OrderRun("mlp-margin", "a", seed, 0, arm, 40, 12, 0.5 + seed / 7, 0.25, 1.5)


SAMPLES: dict[str, tuple[Kind[Any, Any], list[Any]]] = {
    "image": (IMAGES, [make_run(image, seed=seed) for image in "ab" for seed in (0, 1)]),
    "dataset": (DATASETS, [trained(0), trained(1)]),
    "order": (OrderStudies(), [ordered(seed, arm) for seed in (0, 1) for arm in ("in_order", "at_once")]),
}


@pytest.fixture(scope="module", params=SAMPLES)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study[Any, Any]:
    """A finished study with all kinds of files, of runs that nothing was trained for."""
    kind, runs = SAMPLES[request.param]
    dataset = open_dataset("scenes", scene_size=(16, 16), scene_count=2)
    made = open_study(tmp_path_factory.mktemp("sealed") / "study", kind, {"dataset": "scenes", "limit": 2})
    keep_data(made, {dataset: require_sound(dataset, dataset.images)})
    for run in runs:
        made.save(run, {map_name(kind, kind.key_of(run)): f"labels {kind.key_of(run)}".encode()})
    made.write_tables()
    made.seal.write({"picture.png": b"drawn"})
    return made


@pytest.fixture(scope="module")
def whole(study: Study[Any, Any]) -> list[str | bytes]:
    return seen(study)


def map_name(kind: Kind[Any, Any], key: tuple[Any, ...]) -> str:
    return label_map_name(*key) if kind is IMAGES else f"maps/{'/'.join(map(str, key))}.png"


def seen(study: Study[Any, Any]) -> list[str | bytes]:
    """All that can be read of a study."""
    kind = study.kind
    texts: list[str | bytes] = [table.to_csv(index=False) for table in study.tables()]
    keys = sorted(kind.key_of(run) for run in SAMPLES[kind.name][1])
    assert study.finished() == set(keys)
    texts += [repr(study.settings), read_data(study.folder).to_csv()]
    texts += [study.run_seal(*key).read(map_name(kind, key)) for key in keys]
    return [*texts, *map(study.seal.read, [*kind.derived, "picture.png"])]


@settings(max_examples=40)
@given(data=st.data(), place=PLACES, bit=BITS)
def test_a_damaged_study_is_read_as_it_was_or_refused(
    study: Study[Any, Any], whole: list[str | bytes], data: st.DataObject, place: float, bit: int | None
) -> None:
    """Any bit, and any cut, of any file."""
    file = study.folder / data.draw(st.sampled_from(sorted(everything(study.folder))))
    content = file.read_bytes()
    file.write_bytes(damaged(content, place, bit))
    try:
        read = seen(study)
    except InputError:
        return
    finally:
        file.write_bytes(content)
    assert read == whole


def test_each_damaged_file_is_refused_and_neither_written_over_nor_removed(study: Study[Any, Any]) -> None:
    folder, settings = study.folder, study.settings
    names = [name for name in sorted(everything(folder)) if not name.endswith(".sha256")]
    for name in names:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(damaged(content, 0.5, 3))
        there = everything(folder)
        with refused(folder / name, "damaged"):
            seen(study)
        with refused(folder / name):
            open_study(folder, study.kind, settings, fresh=True)
        assert everything(folder) == there
        (folder / name).write_bytes(content)
    assert {"study.toml", "data.csv", "picture.png", *study.kind.stored, *study.kind.derived} < set(names)


def test_a_damaged_seal_costs_no_file_of_the_user(study: Study[Any, Any], tmp_path: Path) -> None:
    """Whatever is left of a seal, a fresh start removes files of the study alone, or nothing."""
    folder = tmp_path / "copy"
    for name in ["lowpix.sha256", *(name for name in everything(study.folder) if name.endswith("a.sha256"))]:
        content = (study.folder / name).read_bytes()
        for place, bit in [(0, None), (0.3, None), (0.99, None), (0.3, 0), (0.7, 5), (0.99, 6)]:
            shutil.copytree(study.folder, folder)
            write_bytes(folder / "maps/mine.png", b"mine")
            (folder / name).write_bytes(damaged(content, place, bit))
            there = everything(folder)
            try:
                Study(folder, study.kind).remove()
            except InputError:
                assert everything(folder) == there
            assert (folder / "maps/mine.png").read_bytes() == b"mine"
            shutil.rmtree(folder)
