"""Images that are done help the next ones: with which network an image begins, and that it keeps it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from annotate_pages import Person, Running, network, options, photographs, served, truth, wait_for

from lowpix.annotate import Project
from lowpix.annotate.bench import Bench
from lowpix.annotate.carried import carried_over
from lowpix.annotate.frame import Frame
from lowpix.annotate.store import Answer
from lowpix.annotate.teacher import Trained, newest
from lowpix.segmenter.carry_over import prior_of
from lowpix.segmenter.model import load_model


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("carried") / "photos", 5)


Open = Callable[..., Person]


@pytest.fixture
def opened(photos: Path) -> Iterator[Open]:
    """Opens a folder of answers. Its threads end with the test, also after a failure."""
    people = []

    def open_(out: Path, **more: Any) -> Person:
        people.append(Person(Project(replace(options(photos, out=out), **more))))
        return people[-1]

    yield open_
    for person in people:
        person.end()


def label(person: Person, image: int, count: int) -> list[Any]:
    """Answer one question after another, each when the networks have learnt from the one before."""
    person.look_at(image)
    ready(person, image)
    for _ in range(count):
        person.answer(image, 1)
    return asked(person, image)


def ready(person: Person, image: int) -> None:
    wait_for("trained", lambda: person.engine.view(image)["work"] == "ready")


def asked(person: Person, image: int) -> list[Any]:
    questions: list[Any] = person.engine.view(image)["questions"]
    return questions


def restarted(opened: Open, out: Path, **more: Any) -> Person:
    """The folder opened again, with its first image on the page."""
    person = opened(out, **more)
    person.look_at(1)
    ready(person, 1)
    return person


def test_an_image_that_was_helped_is_asked_the_same_after_a_restart(opened: Open, tmp_path: Path) -> None:
    """By the networks' file, and by the fits; also with a newer network, or if nothing is to be carried over."""
    network(tmp_path, 5, seed=1)
    network(tmp_path, 10)
    person = opened(tmp_path)
    questions = label(person, 1, 5)
    assert person.engine.view(1)["helped_by"] == 10
    network(tmp_path, 20, seed=2)
    for more in ({}, {"carry_over": False}):
        person.end()
        person = restarted(opened, tmp_path, **more)
        assert person.engine.view(1)["helped_by"] == 10
        assert asked(person, 1) == questions
        (tmp_path / "restart/photo_0.safetensors").unlink(missing_ok=True)
    person.end()
    after = label(restarted(opened, tmp_path), 1, 2)

    other = tmp_path / "never_stopped"
    network(other, 10)
    person = opened(other)
    assert label(person, 1, 5) == questions
    assert label(person, 1, 2) == after
    person.end()


def one_at_a_time(running: Running, image: int, count: int) -> list[Any]:
    """The questions after so many answers, each given when the networks have learnt from the one before."""
    for _ in range(count):
        wait_for("trained", lambda: running.view(image)["work"] == "ready")
        row, column, kind = running.view(image)["questions"][0]
        place = {"image": image, "row": row, "column": column, "answer": int(truth()[row, column])}
        uid = f"answer {row} {column}"
        running.post("api/do", [{"uid": uid, "type": "answer", "kind": kind, "seconds": 1, **place}])
    wait_for("trained", lambda: running.view(image)["work"] == "ready")
    questions: list[Any] = running.view(image)["questions"]
    return questions


def test_after_a_kill_the_same_is_asked_as_without(opened: Open, tmp_path: Path) -> None:
    network(tmp_path / "whole", 5)
    person = opened(tmp_path / "whole")
    questions = label(person, 1, 5)
    photos = photographs(tmp_path / "killed", 1)
    network(tmp_path / "killed_labelled", 5)
    found = []
    for count in (2, 3):
        with served(photos) as running:  # killed at the end
            found = one_at_a_time(running, 1, count)
            assert running.view(1)["helped_by"] == 5
    assert [tuple(question) for question in found] == questions


def test_an_image_is_ready_when_its_networks_ask(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while the random questions stand that were asked before there were networks."""
    before = []

    def slow(bench: Bench, answers: Sequence[Answer], real: Any = Bench.round) -> bool:
        before.append(bench.questions)
        time.sleep(0.3)
        return bool(real(bench, answers))

    monkeypatch.setattr(Bench, "round", slow)
    person = opened(tmp_path)
    person.look_at(1)
    ready(person, 1)
    frame = Frame(60, 80)
    assert asked(person, 1) != [(*frame.pixel(cell), kind) for cell, kind in before[0]]


def test_help_changes_what_is_asked_and_is_written_down(photos: Path, tmp_path: Path) -> None:
    questions = []
    for out, words in ("with", "helped by a network of 5 images"), ("without", "px apart"):
        network(tmp_path / out, 5)
        project = Project(options(photos, out=tmp_path / out, carry_over=out == "with"))
        person = Person(project)
        questions.append(label(person, 1, 5))
        person.do(type="status", image=1, status="done")
        person.engine.finish()
        project.write()
        person.end()
        (selection,) = pd.read_parquet(tmp_path / out / "curves.parquet")["selection"].unique()
        assert selection.endswith(words)
    assert questions[0] != questions[1]


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_an_image_goes_on_without_a_prior_that_is_damaged(
    harm: str, opened: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost: its networks are trained again from the answers, as if there had never been a network."""
    network(tmp_path, 5)
    person = opened(tmp_path)
    label(person, 1, 5)
    person.end()
    prior = tmp_path / "restart/priors/photo_0.safetensors"
    content = bytearray(prior.read_bytes())
    content[-1000] ^= 1
    if harm == "gone":
        prior.unlink()
    else:
        prior.write_bytes(bytes(content))
    capsys.readouterr()
    again = restarted(opened, tmp_path)
    assert again.engine.view(1)["helped_by"] == 0
    assert len(again.engine.view(1)["answers"]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("warning: ") and "photo_0" in line for line in lines)
    assert any("trained again from the answers" in line for line in lines)
    assert any("is damaged" in line for line in lines) == (harm == "flipped")

    questions = asked(again, 1)
    again.end()
    (tmp_path / "networks/3_classes_5_images.safetensors").unlink()
    again = restarted(opened, tmp_path)
    assert asked(again, 1) == questions


def test_without_a_fitting_network_an_image_begins_without(
    opened: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None is there, one of other classes, and one that is damaged. What began without stays without."""
    person = opened(tmp_path)
    label(person, 1, 2)
    network(tmp_path, 5, classes=4)
    network(tmp_path, 5)
    person.end()
    person = restarted(opened, tmp_path)
    assert person.engine.view(1)["helped_by"] == 0
    person.end()
    (tmp_path / "networks/3_classes_5_images.safetensors").unlink()
    person = opened(tmp_path)
    label(person, 2, 1)
    assert person.engine.view(2)["helped_by"] == 0
    (tmp_path / "networks/3_classes_9_images.safetensors").write_bytes(b"no network")
    capsys.readouterr()
    label(person, 4, 1)
    assert person.engine.view(4)["helped_by"] == 0
    person.end()
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("warning: ") and "3_classes_9_images" in line for line in lines)


def test_a_class_that_comes_in_ends_the_help(opened: Open, tmp_path: Path) -> None:
    """The networks of the image begin anew without it, and so they do after a restart."""
    network(tmp_path, 5)
    person = opened(tmp_path)
    label(person, 1, 5)
    person.store.add_class("door", "d")
    person.engine.classes_changed()
    person.do(type="answer", image=1, row=30, column=40, answer=3, kind="shown", seconds=2)
    ready(person, 1)
    assert person.engine.view(1)["helped_by"] == 0
    questions = asked(person, 1)
    person.end()
    again = restarted(opened, tmp_path, classes=None)
    assert again.engine.view(1)["helped_by"] == 0
    assert asked(again, 1) == questions


def test_a_new_network_helps_images_without_an_answer_at_once(opened: Open, tmp_path: Path) -> None:
    person = opened(tmp_path)
    label(person, 1, 2)  # meanwhile the second image was read
    network(tmp_path, 5)
    person.engine.network_ready()
    assert person.engine.view(1)["helped_by"] == 0
    label(person, 2, 0)
    assert person.engine.view(2)["helped_by"] == 5
    network(tmp_path, 10)
    person.engine.network_ready()
    wait_for("the newer network", lambda: person.engine.view(2).get("helped_by") == 10)
    label(person, 2, 1)
    person.end()


def test_a_network_is_due_at_twenty_forty_and_eighty_images(photos: Path, tmp_path: Path) -> None:
    project = Project(options(photos, out=tmp_path))
    teacher = project.teacher
    found = [images for images in range(1, 170) if teacher.due(images)]
    assert found == [20, 40, 80, 160]
    project.store.add_class("door", "d")
    network(tmp_path, 30, classes=4)  # trained by key
    assert [images for images in range(30, 50) if teacher.due(images)] == [40]
    assert newest(tmp_path, 4) == Trained(30, tmp_path / "networks/4_classes_30_images.safetensors")
    assert newest(tmp_path, 3) is None
    project.store.close()
    none = Project(options(photos, out=tmp_path / "none", carry_over=False))
    assert not any(map(none.teacher.due, range(90)))
    none.store.close()


def test_an_image_that_is_done_starts_the_training_that_is_due(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowpix.annotate.teacher.FIRST", 3)
    project = Project(options(photos, out=tmp_path / "out"))
    started: list[str] = []
    monkeypatch.setattr(project.teacher.trainer, "start", lambda module, given, what, *_: started.append(what))
    person = Person(project)
    for image in (1, 2, 3):
        assert not started
        label(person, image, 1)
        person.do(type="status", image=image, status="done")
        person.engine.finish()
    assert wait_for("a training", lambda: started) == ["A network of 3 images"]
    person.end()


def test_the_probabilities_are_those_of_the_whole_photograph(tmp_path: Path) -> None:
    """Of a photograph that is worked on at a third of its size, the network sees what it sees of the whole one."""
    file = network(tmp_path, 7)
    draw = np.random.default_rng(0)
    photo = draw.integers(0, 256, (40, 50, 3), np.uint8).repeat(45, 0).repeat(45, 1)
    frame = Frame(*photo.shape[:2])
    small = frame.shrink(photo)
    found = carried_over(tmp_path / "kept", False, Trained(7, file), frame, small)
    assert found is not None
    assert found.images == 7
    np.testing.assert_allclose(found.prior.sum(2), 1, atol=1e-6)
    model = load_model(file)
    whole = prior_of(model, photo, torch.device("cpu"))
    rows, columns = (
        np.arange(size) * large // size + 1 for size, large in zip(frame.shape, photo.shape, strict=False)
    )
    labels = whole[np.ix_(rows, columns)].argmax(2)
    unscaled = prior_of(model, small, torch.device("cpu")).argmax(2)
    assert np.mean(found.prior.argmax(2) != labels) < 0.15 < 0.3 < np.mean(unscaled != labels)
    kept = carried_over(tmp_path / "kept", True, None, frame, small)
    assert kept is not None
    np.testing.assert_array_equal(kept.prior, found.prior)
    assert carried_over(tmp_path / "none", True, Trained(7, file), frame, small) is None
