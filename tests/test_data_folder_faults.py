"""Whatever a folder of the user's holds is read, or refused by the file's name in one line."""

import json
import os
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unicodedata import category

import numpy as np
import pytest
from data_samples import write, write_folder
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from lowpix.data import IGNORE, Dataset, open_dataset
from lowpix.data.check import check
from lowpix.errors import InputError
from lowpix.image_study import Options, image_study

DEEP = 10_000


def require_one_line(fault: InputError, start: str = "") -> None:
    """A refusal is one printable line that begins with what is refused."""
    assert str(fault).startswith(start)
    assert str(fault).isprintable()
    assert len(str(fault)) < 900


def opened(root: Path) -> Dataset | None:
    """The data set in a folder, checked; None if it is refused."""
    try:
        dataset = open_dataset("folder", root)
    except InputError as fault:
        require_one_line(fault)
        return None
    report = check(dataset, dataset.images)
    assert all(line.isprintable() for line in (*report.faults, *report.warnings))
    return dataset


# classes.json

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
colours = st.lists(st.lists(st.integers(-1, 256), min_size=3, max_size=3) | anything, max_size=3)
declared = st.fixed_dictionaries(
    {"classes": st.lists(st.text(max_size=4), min_size=1, max_size=4) | anything},
    optional={
        "ignore_index": st.integers(-1, 256) | anything,
        "colors": colours | anything,
        "ignore_color": st.lists(st.integers(0, 255), min_size=3, max_size=3) | anything,
    },
)


@settings(max_examples=120)
@given(anything | declared)
@example({"classes": ["\ud800", "b"]})
@example({"classes": ["a\nb", "c"]})
@example({"classes": ["$\\frac$", "b" * 300]})
@example({"classes": [[0] * 10_000]})
@example({"classes": ["a", "b"], "ignore_index": 10**300})
@example({"classes": ["a", "b"], "ignore_index": float("nan")})
@example({"classes": ["a", "b"], "colors": [[0, 0, 0], [0, 0, True]]})
def test_any_json_is_read_or_refused(value: Any) -> None:
    with TemporaryDirectory() as folder:
        root = write_folder(Path(folder), ("a",))
        (root / "classes.json").write_text(json.dumps(value), encoding="utf-8")
        dataset = opened(root)
        if dataset is not None:
            assert list(dataset.classes) == value["classes"]
            assert dataset.palette.shape == (len(dataset.classes), 3)


@settings(max_examples=40)
@given(st.binary(max_size=30))
@example(b"[" * DEEP)
@example(b"[" * DEEP + b"]" * DEEP)
@example(b'{"classes": ' + b"[" * DEEP + b"]" * DEEP + b"}")
@example(b'{"a":' * DEEP + b"1" + b"}" * DEEP)
@example(b'{"classes": ' + b"[" * 900 + b"]" * 900 + b"}")
@example(b'{"classes": ["a", "b"], "ignore_index": ' + b"9" * DEEP + b"}")
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        root = write_folder(Path(folder), ("a",))
        (root / "classes.json").write_bytes(content)
        with pytest.raises(InputError) as raised:
            open_dataset("folder", root)
        assert str(raised.value).startswith(f"{root / 'classes.json'}: ")
        assert str(raised.value).isprintable()


# images and label maps

MODES = {"1": "png", "L": "png", "LA": "png", "P": "png", "RGB": "png", "RGBA": "png", "I;16": "png", "I": "png"}
MODES |= {"F": "tif", "CMYK": "tif", "LAB": "tif", "PA": "png", "YCbCr": "jpg", "HSV": "tif"}


def picture(mode: str, size: tuple[int, int], seed: int) -> bytes:
    """A file of any mode that its format holds; PNG where it can."""
    draw, buffer = np.random.default_rng(seed), BytesIO()
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        made = Image.fromarray(draw.integers(0, 4 if seed % 2 else 60_000, size[::-1]).astype(kind))
    else:
        made = Image.frombytes(mode, size, draw.integers(0, 256 if seed % 2 else 2, 40 * 200).astype(np.uint8))
    if mode in ("P", "PA"):
        made.putpalette(list(range(12)))
    try:
        made.save(buffer, MODES[mode].replace("jpg", "jpeg").replace("tif", "tiff"))
    except (OSError, ValueError):  # no format of its own
        made.convert("RGBA").save(buffer, "png")
    return buffer.getvalue()


@settings(max_examples=120)
@given(
    st.sampled_from(sorted(MODES)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 9),
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
)
def test_a_file_of_any_mode_whole_cut_or_flipped_is_read_or_refused(
    mode: str, size: tuple[int, int], seed: int, place: float, cut: bool, flipped: bool
) -> None:
    content = bytearray(picture(mode, size, seed))
    at = int(place * (len(content) - 1))
    if cut:
        del content[at:]
    elif flipped:
        content[at] ^= 1 << seed % 8
    with TemporaryDirectory() as folder:
        root = write_folder(Path(folder), ("a",), ignore_index=5)
        for file in (root / "images/a.png", root / "labels/a.png"):
            file.write_bytes(content)  # pillow looks at the content, whatever the suffix
        dataset = opened(root)
        assert dataset is not None
        for read, kind in ((dataset.image, "images"), (dataset.labels, "labels")):
            try:
                found = read("a")
            except InputError as fault:
                require_one_line(fault, f"{root / kind / 'a.png'}: ")
                continue
            assert found is not None
            assert found.dtype == np.uint8
            assert found.shape[2:] == ((3,) if kind == "images" else ())
            if not (cut or flipped):
                assert found.shape[:2] == size[::-1]
            if kind == "labels":
                assert set(np.unique(found)) <= {0, 1, IGNORE}


def test_what_is_neither_a_file_nor_a_folder_is_refused(tmp_path: Path) -> None:
    """In a place where a file is looked for: a folder, a link to nowhere, a pipe that nobody writes to."""
    root = write_folder(tmp_path)
    (root / "labels/a.png").unlink()
    (root / "labels/a.png").mkdir()
    with refused(root / "labels/a.png"):
        open_dataset("folder", root).labels("a")
    (root / "labels/a.png").rmdir()
    os.mkfifo(root / "labels/a.png")
    with refused(root / "labels/a.png"):
        open_dataset("folder", root).labels("a")
    (root / "images/c.png").symlink_to(root / "nowhere.png")
    assert open_dataset("folder", root).images == ("a", "b")


# names

NAMES = [
    "$\\frac$",
    "$a$ and $b$",
    "100 $",
    "a\\b",
    "x" * 240,
    "\N{GRINNING FACE}" * 60,
    "_under",
    "100%25",
    '?*:<>|"',
    "-b",
    "Zoë ",
    "null",
]


file_names = st.binary(min_size=1, max_size=60) | st.text(min_size=1, max_size=60).map(
    lambda text: text.encode(errors="surrogatepass")
)


@settings(max_examples=80)
@given(file_names)
@example(b"\xff")
@example(b"..")
@example(b".hidden")
@example("\N{GRINNING FACE}".encode() * 60)
def test_a_file_of_any_name_is_read_or_refused(name: bytes) -> None:
    name = name.replace(b"/", b"").replace(b"\0", b"")
    with TemporaryDirectory() as folder:
        root = write_folder(Path(folder), ("a",))
        for kind in ("images", "labels"):
            os.rename(root / kind / "a.png", os.path.join(os.fsencode(root), kind.encode(), name + b".png"))
        dataset = opened(root)
        if dataset is not None:
            assert [os.fsencode(image) for image in dataset.images] == [name]
            assert check(dataset, dataset.images).faults == ()
        else:  # hidden files are no images
            text = name.decode(errors="replace")
            odd = "\ufffd" in text or any(
                category(letter)[0] == "C" or letter in "\u2028\u2029" for letter in text
            )
            assert odd or name.startswith(b".") or not name


def test_names_that_no_table_can_hold_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate((b"\xff\xfe", b"two\nlines", b"bell\a", "\u2028".encode(), "\x85".encode())):
        root = write_folder(tmp_path / str(number))
        os.rename(root / "images/a.png", os.path.join(os.fsencode(root), b"images", name + b".png"))
        with refused(root / "images", "name", "UTF-8"):
            open_dataset("folder", root)


@pytest.mark.slow
def test_images_and_classes_of_odd_names_are_studied_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, draw = tmp_path / "$\\frac$ data", np.random.default_rng(0)
    for name in NAMES:
        write(root / "images" / f"{name}.png", draw.integers(0, 255, (16, 24, 3)))
        write(root / "labels" / f"{name}.png", np.repeat([[0], [1], [2], [3]], 4, axis=0) * np.ones((1, 24)))
    classes = ["$\\frac$", "_under", "long " * 50, "a\\b"]
    (root / "classes.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")
    for number in range(0, len(NAMES), 4):  # four images are drawn
        options = Options(
            "folder", root, images=tuple(NAMES[number : number + 4]), max_pixels=5, out=tmp_path / str(number)
        )
        tables = image_study(options).tables()
        assert set(tables.summary["image"]) == set(NAMES[number : number + 4])
        for drawn in ("overview.png", "curves.png"):
            with Image.open(tmp_path / str(number) / drawn) as shown:
                assert min(shown.size) > 200
                assert np.asarray(shown.convert("L")).std() > 10
        capsys.readouterr()
        again = image_study(options)
        assert "0 of them to do" in capsys.readouterr().out
        assert again.tables().curves.equals(tables.curves)


def test_a_name_too_long_for_a_studys_files_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    for name in ("x" * 251, ":" * 90):  # each colon is three characters in a file's name
        write_folder(tmp_path / name[0], (name,))
        with refused(name, "too long"):
            image_study(Options("folder", tmp_path / name[0], max_pixels=5, out=tmp_path / "out"))
        assert not (tmp_path / "out" / "runs").exists()
