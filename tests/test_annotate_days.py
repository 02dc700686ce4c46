"""A person comes back another day: restarts, mended answers, other rules, other classes, other folders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from annotate_pages import CLASSES, Person, options, photographs, truth, wait_for
from refusals import refused

from lowpix.annotate import Project
from lowpix.annotate.requests import do
from lowpix.annotate.stop import Stop
from lowpix.study.folder import open_study
from lowpix.study.image_runs import IMAGES


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("days") / "photos", 4)


def test_a_restart_asks_the_same(photos: Path, tmp_path: Path) -> None:
    """With the networks' file, and without it by the fits that are recorded."""
    asked = []
    for networks in (None, True, False):
        project = Project(options(photos, out=tmp_path / "out"))
        if networks is False:
            (tmp_path / "out/restart/photo_0.safetensors").unlink()
        person = Person(project)
        person.look_at(1)
        if networks is None:
            person.answer(1, 9)
        wait_for("trained", lambda: person.engine.view(1)["work"] == "ready")  # noqa: B023
        asked.append((person.engine.view(1)["questions"], person.engine.labels(1)[1].tolist()))  # type: ignore[index]
        person.end()
    assert asked[0] == asked[1] == asked[2]


def test_an_answer_that_is_mended_after_a_restart_is_learnt(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the networks are there, so that they find as many answers as they had learned from."""
    project = Project(options(photos, out=tmp_path / "out"))
    person = Person(project)
    person.look_at(1)
    person.answer(1, 8)
    row, column, kind = person.question(1, None)
    label = int(truth()[row, column])
    answer = {"image": 1, "row": row, "column": column, "kind": kind, "seconds": 1}
    person.do(type="answer", answer=(label + 1) % 3, **answer)
    wait_for("trained", lambda: person.engine.view(1)["work"] == "ready")
    wrong = person.engine.labels(1)[1].copy()  # type: ignore[index]
    person.end()

    labels = []
    for networks in (True, False):
        project = Project(options(photos, out=tmp_path / "out"))
        if networks:
            do(project.store, [{"uid": "the undo", "type": "undo"}])
            do(project.store, [{"uid": "mended answer", "type": "answer", "answer": label, **answer}])
        else:
            (tmp_path / "out/restart/photo_0.safetensors").unlink()
        person = Person(project)
        person.look_at(1)
        wait_for("trained", lambda: person.engine.view(1)["work"] == "ready")  # noqa: B023
        labels.append(person.engine.labels(1)[1].copy())  # type: ignore[index]
        person.end()
        assert ("other answers" in capsys.readouterr().err) == networks
    np.testing.assert_array_equal(labels[0], labels[1])
    assert (labels[0] != wrong).any()


def test_a_class_that_comes_in_and_answers_that_are_taken_back(photos: Path, tmp_path: Path) -> None:
    project = Project(options(photos, out=tmp_path / "out"))
    person = Person(project)
    person.look_at(1)
    person.answer(1, 8)
    project.store.add_class("door", "d")
    person.engine.classes_changed()
    person.do(type="answer", image=1, row=30, column=40, answer=3, kind="shown", seconds=2)
    wait_for("trained", lambda: person.engine.view(1)["work"] == "ready")
    assert person.engine.labels(1)[1][30, 40] == 3  # type: ignore[index]
    for _ in range(9):
        person.do(type="undo")
    wait_for("untrained", lambda: person.engine.labels(1) is None)
    assert person.engine.view(1)["version"] == 0
    person.answer(1, 6)
    assert set(np.unique(person.engine.labels(1)[1])) <= {0, 1, 2, 3}  # type: ignore[index]
    person.end()
    with refused("--classes sky,wall,floor", "sky,wall,floor,door"):
        Project(options(photos, out=tmp_path / "out"))
    again = Project(replace(options(photos, out=tmp_path / "out"), classes=None))
    assert again.dataset().classes == (*CLASSES, "door")
    again.store.close()


def test_an_image_is_over_by_budget_and_by_audit(photos: Path, tmp_path: Path) -> None:
    budget, audit = Stop("budget", 7, 0.9), Stop("audit", 1000, 0.2, 10)
    for stop, part in (budget, "7 answers"), (audit, "audit bounds"), (Stop("person", 7, 0.9), "7 answers"):
        project = Project(options(photos, out=tmp_path / stop.how))
        person = Person(project, stop)
        person.look_at(1)
        person.answer(1, 7)
        if stop.how == "audit":
            person.answer(1, 3)
            person.answer(1, 20, "audit")
            wait_for("a look", lambda: person.engine.view(1)["audit"]["looks"])  # noqa: B023
        assert part in wait_for("over", lambda: person.engine.view(1)["over"])  # noqa: B023
        if stop.how == "person":
            assert person.engine.view(1)["status"] == "open"
        else:
            wait_for("done", lambda: person.engine.view(1)["status"] == "done")  # noqa: B023
            person.engine.finish()
            assert "1 of 4 images are labelled" in project.write()
        person.end()


def test_a_photograph_that_was_never_answered_may_go(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 3)
    Project(options(photos)).store.close()
    (photos / "photo_1.png").unlink()
    project = Project(options(photos))
    assert [image.name for image in project.store.images()] == ["photo_0", "photo_2"]
    project.store.close()


def test_the_rule_that_ends_an_image_may_change_from_day_to_day(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 2)
    for image, rule in enumerate(({}, {"stop": "budget", "max_pixels": 6}), start=1):
        project = Project(options(photos, **rule))
        person = Person(project)
        person.look_at(image)
        person.answer(image, 6)
        person.do(type="status", image=image, status="done")
        person.engine.finish()
        assert f"{image} of 2 images are labelled" in project.write()
        assert "models/pseudo-1000/0.safetensors" in project.teacher.next_commands()[1]
        person.end()
    curves = pd.read_parquet(tmp_path / "photos_labelled/curves.parquet")
    assert list(curves.groupby("image")["stop"].first()) == ["person", "budget"]


def test_a_class_that_nobody_answered_is_named_and_edited_tables_are_refused_at_once(
    photos: Path, tmp_path: Path
) -> None:
    """Before the page opens, since at its end the tables could not be written."""
    project = Project(options(photos, out=tmp_path / "out"))
    person = Person(project)
    person.look_at(1)
    for column in range(6):
        person.do(type="answer", image=1, row=3, column=9 * column, answer=0, kind="shown", seconds=1)
    person.do(type="status", image=1, status="done")
    person.engine.finish()
    assert project.write().endswith("; no answer in them is wall or floor")
    person.end()
    with (tmp_path / "out/class_shares.csv").open("a") as table:
        table.write("one line more\n")
    with refused("class_shares.csv", "changed since"):
        Project(options(photos, out=tmp_path / "out"))


def test_the_folder_of_another_study_is_refused(photos: Path, tmp_path: Path) -> None:
    open_study(tmp_path, IMAGES, {"dataset": "scenes"})
    with refused(f"{tmp_path}: holds another study: name another --out"):
        Project(options(photos, out=tmp_path))
