"""What comes out of an annotation, from answers to a model: label maps, tables, COCO, data-set study, predict."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from annotate_pages import CLASSES, Person, options, photograph, photographs, truth, wait_for
from data_samples import write
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from PIL import Image
from refusals import refused

from lowpix.annotate import Options, Project
from lowpix.annotate.audit import estimate
from lowpix.annotate.bench import Bench
from lowpix.annotate.coco import compressed, run_lengths
from lowpix.annotate.frame import Frame
from lowpix.annotate.project import _file
from lowpix.annotate.store import Answer
from lowpix.dataset_study import Options as DatasetOptions
from lowpix.dataset_study import dataset_study
from lowpix.dataset_study.annotated import audits_in_words
from lowpix.networks import PixelMLP
from lowpix.networks.device import machine
from lowpix.predict import Options as PredictOptions
from lowpix.predict import predict
from lowpix.reveal.log import VOID
from lowpix.reveal.session import ImageSession, fit
from lowpix.reveal.smoothing import Edges
from lowpix.study.source import Source

ANSWERS = 15
PLACE = "mlp-facility-edges/0"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("annotated") / "my photos", 4)


@pytest.fixture(scope="module")
def labelled(photos: Path) -> Path:
    """Three of four photographs labelled, one of them audited; gives the folder beside the photographs."""
    project = Project(options(photos, export="coco"))
    person = Person(project)
    for image in (1, 2, 3):
        person.look_at(image)
        person.answer(image, ANSWERS)
        if image == 1:
            row, column, _ = person.question(image, None)
            person.do(type="answer", image=1, row=row, column=column, answer=VOID, kind="asked", seconds=200)
            person.do(type="audit", image=image)
            person.answer(image, 20, "audit")
        person.do(type="status", image=image, status="done")
    person.engine.finish()
    assert "3 of 4 images are labelled" in project.write()
    person.end()
    return project.out


def label_map(out: Path, image: int) -> NDArray[np.uint8]:
    with Image.open(out / f"pseudo_labels/{PLACE}/photo_{image}.png") as picture:
        assert picture.mode == "P"
        return np.array(picture)


def test_label_maps_are_right_and_lie_beside_the_photographs(photos: Path, labelled: Path) -> None:
    assert labelled == photos.with_name("my photos_labelled")
    assert sorted(path.name for path in photos.iterdir()) == [f"photo_{index}.png" for index in range(4)]
    for image in range(3):
        labels = label_map(labelled, image)
        assert np.mean(labels == truth()) > 0.7
    assert (labelled / "contact_sheet.jpg").exists()
    with Image.open(labelled / "overlays/photo_0.jpg") as overlay:
        assert overlay.size == (80, 60)
    shares = pd.read_csv(labelled / "class_shares.csv")
    assert list(shares.columns) == ["image", *CLASSES]
    np.testing.assert_allclose(shares.loc[1, list(CLASSES)].astype(float).sum(), 1, atol=1e-5)


def test_tables_are_those_of_an_image_study_that_a_person_answered(labelled: Path) -> None:
    summary = pd.read_csv(labelled / "summary.csv")
    assert set(summary["oracle"]) == {"person"}
    assert set(summary["machine"]) == {machine(torch.device("cpu"))}
    assert list(summary["revealed"]) == [ANSWERS] * 3
    curves = pd.read_parquet(labelled / "curves.parquet")
    last = curves.groupby("image").last()
    assert last["asked"].to_dict() == {"photo_0": ANSWERS + 1, "photo_1": ANSWERS, "photo_2": ANSWERS}
    assert last["seconds"].to_dict() == {
        "photo_0": 2 * ANSWERS + 60,
        "photo_1": 30,
        "photo_2": 30,
    }  # a pause is cut
    assert curves["accuracy"].isna().all()

    answers = pd.read_csv(labelled / "answers.csv")
    assert answers["kind"].value_counts().to_dict() == {"asked": 3 * ANSWERS + 1, "audit": 20}
    audits = answers[answers["kind"] == "audit"]
    told = pd.read_parquet(labelled / "revealed.parquet")
    asked = set(zip(told["image"], told["row"], told["column"], strict=True))
    assert not asked & set(zip(audits["image"], audits["row"], audits["column"], strict=True))
    assert (truth()[told["row"], told["column"]] == told["label"]).all()
    log = Source(labelled).logs("mlp-facility-edges")["photo_1", 0]
    assert log.asked == ANSWERS


def test_the_coco_file_holds_the_same_masks(labelled: Path) -> None:
    """As pycocotools reads them."""
    tools = pytest.importorskip("pycocotools.coco")
    read = tools.COCO(str(labelled / "annotations.json"))
    assert {category["name"] for category in read.loadCats(read.getCatIds())} == set(CLASSES)
    for number in read.getImgIds():
        about = read.loadImgs(number)[0]
        labels = label_map(labelled, int(about["file_name"][6]))
        found = np.full(labels.shape, VOID, np.uint8)
        for annotation in read.loadAnns(read.getAnnIds(imgIds=number)):
            mask = read.annToMask(annotation).astype(bool)
            assert (annotation["area"], annotation["bbox"]) == (mask.sum(), _box(mask))
            found[mask] = annotation["category_id"] - 1
        np.testing.assert_array_equal(found, labels)


def _box(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    return [int(columns.min()), int(rows.min()), int(width), int(height)]


def test_files_of_two_folders_keep_their_names_in_coco(tmp_path: Path) -> None:
    for place in "ab":
        photographs(tmp_path / "photos/images" / place, 1)
    project = Project(options(tmp_path / "photos"))
    names = [_file(project.dataset(), name) for name in project.dataset().images]
    assert names == ["a/photo_0.png", "b/photo_0.png"]
    project.store.close()


@given(npst.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 300))))
def test_run_lengths_are_cocos_own(mask: NDArray[np.bool_]) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    theirs = tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert compressed(run_lengths(mask)) == theirs


def test_from_photographs_to_a_model_without_any_label_map(
    photos: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = DatasetOptions(
        dataset="folder",
        data_root=photos,
        classes=",".join(CLASSES),
        image_study=labelled,
        out=tmp_path / "model",
        epochs=2,
        batch=2,
        width=4,
    )
    tables = dataset_study(given).tables()
    assert "3 training images; scored on 20 audit answers in 1 of these\n" in capsys.readouterr().out
    assert list(tables.summary["setting"]) == ["pseudo-1000", "sparse-1000"]
    pseudo = tables.summary.iloc[0]
    assert (pseudo["images"], pseudo["clicks"]) == (3, 3 * ANSWERS + 1)
    assert len(tables.ratios) == 0
    # scored on the audit answers alone
    assert tables.confusion.groupby("setting")["pixels"].sum().to_dict() == {"pseudo-1000": 20, "sparse-1000": 20}
    audits = Source(labelled).audits()["photo_0"]
    right = label_map(labelled, 0)[audits["row"], audits["column"]] == audits["answer"]
    assert pseudo["label_accuracy"] == pytest.approx(right.mean())
    assert (tmp_path / "model/overview.png").exists()

    model = tmp_path / "model/models/pseudo-1000/0.safetensors"
    assert predict(PredictOptions(photos, model, tmp_path / "labels")) == 4
    with Image.open(tmp_path / "labels/photo_3.png") as picture:
        assert picture.size == (80, 60)
    with refused("--settings full", "pseudo"):
        dataset_study(replace(given, settings=("full",), out=tmp_path / "other"))
    with refused(f"{labelled}: none of its images is in scenes", "--data-root"):
        dataset_study(DatasetOptions(image_study=labelled, out=tmp_path / "other"))


def test_audit_answers_tell_which_classes_they_leave_out() -> None:
    one, two = (pd.DataFrame({"answer": answers}) for answers in ([0, 0], [0, 1, 1]))
    said = "5 audit answers in 2 of these, of 2 of 11 classes: mIoU leaves the others out"
    assert audits_in_words([one, two], 11) == said
    assert audits_in_words([two], 2) == "3 audit answers in 1 of these"
    assert "press a on the page" in audits_in_words([], 2)


def test_the_page_labels_as_an_image_study_does() -> None:
    """With the networks and the smoothing that are the default there."""
    labels, photo = truth(), photograph(truth())
    draw = np.random.default_rng(0)
    pixels = np.stack(np.divmod(draw.choice(labels.size, 30, replace=False), labels.shape[1]), 1)
    given = labels[tuple(pixels.T)]
    inputs, edges = PixelMLP().inputs(photo, torch.device("cpu")), Edges.of(photo, torch.device("cpu"))
    bench, frame = Bench(Frame(*labels.shape), photo, 3), Frame(*labels.shape)
    bench.begin(inputs, edges, 3, [], [], Path("none"))
    bench.round(
        [
            Answer(index, frame.cell(*map(int, pixel)), *map(int, pixel), int(label), "asked", 1.0, 0.0)
            for index, (pixel, label) in enumerate(zip(pixels, given, strict=True))
        ]
    )
    bench.ask([], 3, 0, 100)
    assert not bench.renewed
    bench.label()
    assert bench.renewed

    found = {}
    for smoothing in ("edges", "none"):
        session = ImageSession(photo, labels < 3, 3, smoothing=smoothing, seed=3)
        session.tell(pixels, given)
        fit([session])
        found[smoothing] = session.predict()
        np.testing.assert_allclose(bench.session.scores, session.scores, atol=1e-6)  # type: ignore[union-attr]
    np.testing.assert_array_equal(bench.labels, session.log.overwrite(found["edges"].labels))
    assert (found["edges"].labels != found["none"].labels).any()
    probabilities = bench.probabilities()
    np.testing.assert_array_equal(probabilities.argmax(0), found["edges"].labels)
    np.testing.assert_allclose(probabilities.max(0), found["edges"].confidence, atol=1e-6)


def test_estimates_hold_as_often_as_they_say() -> None:
    assert estimate(149, 149).low == pytest.approx(0.0125 ** (1 / 149))  # by hand: all right, at 97.5 %
    draw = np.random.default_rng(0)
    for share in (0.6, 0.95):
        held = []
        for _ in range(400):  # somebody who looks after every 20 pixels, up to ten times
            right = np.cumsum(draw.random(200) < share)[19::20]
            looks = [estimate(20 * look, int(count), look) for look, count in enumerate(right, 1)]
            held.append(all(look.low <= share <= look.high for look in looks))
        assert np.mean(held) >= 0.95


def test_enlarged_labels_follow_the_photographs_edges() -> None:
    """A disc, worked on at a smaller size: better than the nearest label, and the same where nothing is lost."""
    rows, columns = np.mgrid[:900, :1200]
    labels = (np.hypot(rows - 440, columns - 500) < 300).astype(np.uint8)
    photo = photograph(labels)
    frame = Frame(*labels.shape)
    small = frame.shrink(labels[..., None].repeat(3, 2) * 255)[..., 0] / 255
    blurred = np.stack([1 - small, small]).astype(np.float32) * 0.8 + 0.1
    found, confidence = frame.enlarge(blurred, photo)
    across, down = (np.arange(size) * part // size for size, part in zip(labels.shape, frame.shape, strict=True))
    nearest = blurred.argmax(0)[np.ix_(across, down)]
    assert np.mean(found != labels) < 0.7 * np.mean(nearest != labels)
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    whole = Frame(40, 50)
    chances = np.random.default_rng(0).dirichlet([1, 1, 1], (40, 50)).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(whole.enlarge(chances, photo[:40, :50])[0], chances.argmax(0))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_photographs_of_many_kinds_and_broken_ones(tmp_path: Path) -> None:
    """CMYK, 16 bits and turned ones are upright and in RGB; broken and huge ones have a line, and others go on."""
    photos = photographs(tmp_path / "photos", 1)
    image = Image.fromarray(photograph(truth()))
    image.convert("CMYK").save(photos / "print.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(photos / "turned.jpg", exif=exif)
    Image.fromarray(np.arange(4800, dtype=np.uint16).reshape(60, 80) * 13).save(photos / "deep.png")
    (photos / "broken.png").write_bytes((photos / "photo_0.png").read_bytes()[:900])
    Image.new("1", (11_000, 10_000)).save(photos / "huge.png")
    Image.new("1", (20_000, 10_000)).save(photos / "bomb.png")
    project = Project(options(photos))
    person = Person(project)
    names = {image.name: image.id for image in project.store.images()}
    for name, size in {"print": (60, 80), "turned": (80, 60), "deep": (60, 80), "photo_0": (60, 80)}.items():
        person.look_at(names[name])
        assert person.engine.view(names[name])["size"] == size
    for name, rule in {"broken": "cannot be read", "huge": "must be at most 100", "bomb": "exceeds limit"}.items():
        person.engine.look_at(names[name])
        fault = wait_for("a fault", lambda: person.engine.view(names[name])["fault"])  # noqa: B023
        assert f"{name}.png" in fault
        assert rule in fault
        assert "\n" not in fault
    person.end()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return photographs(tmp_path / "other", 1)


def test_what_does_not_fit_is_refused_in_one_line(other: Path, tmp_path: Path) -> None:
    with refused("--classes", "such as"):
        Project(Options(photos=other))
    assert not (tmp_path / "other_labelled").exists()
    with refused("--simulate: other has no label maps"):
        Project(options(other, simulate=True))
    with refused("at least 2"):
        Project(replace(options(other), classes="sky"))
    with refused("--out", "input"):
        Project(options(other, out=other / "labels"))
    with refused("--dataset camvid", "left out"):
        Project(options(other, dataset="camvid"))
    first = Project(options(other))
    with refused("another annotate"):
        Project(options(other))
    first.store.close()
    person = Person(Project(options(other)))
    person.look_at(1)
    person.answer(1, 1)
    person.end()
    (other / "photo_0.png").rename(other / "renamed.png")
    with refused("photo_0", "no longer", "put it back"):
        Project(options(other))
    write(other / "photo_0.png", photograph(truth()))
    with refused("--seed 3"):
        Project(options(other, seed=3))


def test_the_store_of_a_folder_tells_what_it_is(labelled: Path) -> None:
    about = json.loads((labelled / "annotations.json").read_text())
    assert [image["file_name"] for image in about["images"]] == [f"photo_{index}.png" for index in range(3)]
