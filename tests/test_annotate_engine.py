"""The engine when something goes wrong, or happens at an awkward moment."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from annotate_pages import Person, options, photographs, wait_for
from numpy.typing import NDArray
from PIL import Image

from lowpix.annotate import Project
from lowpix.annotate.bench import Bench
from lowpix.annotate.store import Answer
from lowpix.reveal.session import ImageSession


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(options(photographs(tmp_path / "photos", 4), export="coco"))


@pytest.fixture
def person(project: Project) -> Iterator[Person]:
    person = Person(project)
    person.look_at(1)
    person.answer(1, 6)
    yield person
    person.end()


def done(person: Person, image: int = 1) -> None:
    person.do(type="status", image=image, status="done")
    person.engine.finish()


def labelled(project: Project) -> list[str]:
    study = project.output.write()
    assert study is not None
    return list(study.tables().summary["image"])


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")]
)
def test_a_fault_that_passes_is_over_with_the_next_answer(
    person: Person, project: Project, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ImageSession, file: Path) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(ImageSession, "save_networks", full)
        row, column, kind = person.question(1, None)
        person.do(type="answer", image=1, row=row, column=column, answer=0, kind=kind, seconds=1)
        wait_for("the fault", lambda: person.engine.view(1)["fault"])
        assert "full" in person.engine.view(1)["fault"] or "No space" in person.engine.view(1)["fault"]
    person.answer(1, 2)
    assert person.engine.view(1)["fault"] is None
    done(person)
    assert project.unfinished() == 0
    assert labelled(project) == ["photo_0"]


def test_networks_that_a_full_disk_kept_from_their_file_are_written_when_there_is_room(
    person: Person, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Though nothing is learned from the next answer, so that no network is trained again."""
    file = project.out / "restart/photo_0.safetensors"
    wait_for("rest", lambda: not person.engine._stale)
    before = file.read_bytes()

    def full(self: ImageSession, file: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ImageSession, "save_networks", full)
        row, column, kind = person.question(1, None)
        person.do(type="answer", image=1, row=row, column=column, answer=0, kind=kind, seconds=1)
        wait_for("the fault", lambda: person.engine.view(1)["fault"])
    assert file.read_bytes() == before
    person.do(type="audit", image=1)
    wait_for("a new file", lambda: file.read_bytes() != before)
    session = person.engine._benches[1].session
    assert session is not None
    session.save_networks(tmp_path / "now.safetensors")
    assert file.read_bytes() == (tmp_path / "now.safetensors").read_bytes()


def test_an_image_that_is_done_again_while_it_is_taken_back_is_saved(
    person: Person, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enter, undo and Enter again: the third comes while the engine finds that it need not finish the image."""
    store, whole, whole_image = person.store, person.engine._finish, person.store.image
    threads: list[Thread] = []
    ended = Event()

    def finish(number: int, bench: Bench, answers: list[Answer]) -> None:
        if not threads:
            person.do(type="undo")
            patch.setattr(store, "image", image)
        whole(number, bench, answers)

    def third() -> None:
        person.do(type="status", image=1, status="done")
        ended.set()

    def image(number: int) -> Any:
        found = whole_image(number)
        if not threads:
            threads.append(Thread(target=third))
            threads[0].start()
            threads[0].join(0.5)  # it waits for the engine, and the engine must not wait for it
        return found

    with monkeypatch.context() as patch:
        patch.setattr(person.engine, "_finish", finish)
        person.do(type="status", image=1, status="done")
        wait_for("the third request", ended.is_set)  # a thread is not alive before it starts, either
    person.engine.finish()
    assert project.unfinished() == 0
    assert labelled(project) == ["photo_0"]


def test_an_image_that_was_forgotten_is_read_again_when_it_is_answered(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tab has gone through so many images that this one was dropped from memory."""
    monkeypatch.setattr("lowpix.annotate.engine.LOADED", 1)
    wait_for("rest", lambda: not person.engine._stale)  # an image with work to do is not dropped
    for image in (2, 3, 4):
        person.look_at(image)
        wait_for("its networks", lambda image=image: person.engine.view(image)["work"] == "ready")
    wait_for("no room", lambda: person.engine.view(1)["size"] is None)
    person.do(type="answer", image=1, row=3, column=3, answer=0, kind="shown", seconds=1)
    wait_for("questions", lambda: person.engine.view(1)["questions"])


def test_an_image_that_another_page_shows_is_kept(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowpix.annotate.engine.LOADED", 1)
    wait_for("rest", lambda: not person.engine._stale)
    with person.engine.shown(1):
        for image in (2, 3, 4):
            person.look_at(image)
            wait_for("its networks", lambda image=image: person.engine.view(image)["work"] == "ready")
        wait_for("no room", lambda: person.engine.view(2)["size"] is None)
        assert person.engine.view(1)["questions"]
    person.look_at(2)
    wait_for("no room", lambda: person.engine.view(1)["size"] is None)


def test_no_training_begins_at_the_end(person: Person, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowpix.annotate.teacher.FIRST", 1)
    begun: list[str] = []
    monkeypatch.setattr(project.teacher.trainer, "start", lambda *given: begun.append(given[2]))
    assert project.ends  # since it only exports
    done(person)
    project.ends = False
    person.look_at(2)
    person.answer(2, 6)
    done(person, 2)
    wait_for("a training", lambda: begun)
    assert begun == ["A network of 2 images"]


def test_a_network_that_comes_between_two_steps_of_a_round(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the engine forget the image that the round has just chosen."""
    person, came = Person(project), []
    whole = person.engine._round

    def late(number: int) -> None:
        if not came:
            came.append(number)
            person.engine.network_ready()
        whole(number)

    monkeypatch.setattr(person.engine, "_round", late)
    person.look_at(1)
    person.answer(1, 3)
    assert came == [1]
    assert person.engine.view(1)["fault"] is None
    person.end()


def test_answers_that_come_while_an_image_is_finished_are_in_its_label_map(
    person: Person, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, came = Bench.probabilities, []

    def late(bench: Bench) -> NDArray[np.float32]:
        found = whole(bench)
        if not came:
            came.append(True)
            person.do(type="undo")
            person.do(type="answer", image=1, row=30, column=40, answer=1, kind="shown", seconds=1)
            person.do(type="status", image=1, status="done")
        return found

    monkeypatch.setattr(Bench, "probabilities", late)
    done(person)
    assert came
    assert project.unfinished() == 0
    with Image.open(project.out / "pseudo_labels/mlp-facility-edges/0/photo_0.png") as picture:
        assert np.array(picture)[30, 40] == 1
    assert person.store.image(1).saved == person.store.answers(1)[-1].number


def test_an_image_that_is_skipped_or_unanswered_later_is_no_result(person: Person, project: Project) -> None:
    person.look_at(2)
    person.answer(2, 6)
    done(person, 1)
    done(person, 2)
    assert labelled(project) == ["photo_0", "photo_1"]
    person.do(type="undo")
    assert "; 1 of them are open again, with the label maps from before" in project.write()
    assert labelled(project) == ["photo_0", "photo_1"]
    for _ in range(5):
        person.do(type="undo")
    person.do(type="status", image=1, status="skipped")
    assert "0 of 4 images are labelled" in project.write()
    assert not list(project.out.rglob("*/mlp-facility-edges/0/photo*"))
    # and back again
    done(person, 1)
    assert "1 of 4 images are labelled" in project.write()
    assert labelled(project) == ["photo_0"]


def test_the_contact_sheet_has_the_last_images_that_fit(
    person: Person, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image in (2, 3):
        person.look_at(image)
        person.answer(image, 6)
        done(person, image)
    done(person, 1)
    monkeypatch.setattr("lowpix.annotate.output.SHEET", 2)
    assert "3 of 4 images are labelled" in project.write()
    with Image.open(project.out / "contact_sheet.jpg") as sheet:
        assert sheet.size == (2 * 80, 60)
    assert len((project.out / "class_shares.csv").read_text().splitlines()) == 4


def test_audit_answers_are_nothing_to_learn_from(project: Project) -> None:
    person = Person(project)
    person.look_at(1)
    person.do(type="audit", image=1)
    row, column, kind = wait_for("an audit", lambda: person.question(1, "audit"))
    person.do(type="answer", image=1, row=row, column=column, answer=0, kind=kind, seconds=1)
    request: dict[str, Any] = {"type": "status", "image": 1, "status": "done"}
    with pytest.raises(Exception, match="has no answer to learn from"):
        person.do(**request)
    person.end()
