"""The network that is trained beside the page: at low priority, one at a time, never longer than the server."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from annotate_pages import CLASSES, Person, photographs, truth, wait_for
from refusals import refused

from lowpix.annotate import Options, Project
from lowpix.annotate.engine import Engine
from lowpix.annotate.requests import do
from lowpix.annotate.stop import Stop
from lowpix.annotate.trainer import Trainer
from lowpix.command import parse
from lowpix.dataset_study import Options as DatasetOptions
from lowpix.dataset_study import dataset_study
from lowpix.dataset_study.tables import dataset_overview
from lowpix.predict import Options as PredictOptions
from lowpix.predict import predict


def test_it_runs_at_low_priority_and_says_how_it_ended(tmp_path: Path) -> None:
    trainer, ended = Trainer(tmp_path / "log"), []
    trainer.ended = lambda: ended.append(trainer.line)
    code = f"import os, time\nwhile not os.path.exists('{tmp_path / 'go'}'): time.sleep(0.01)\n"
    command = ["-n1", "-r1", f"{code}print('priority', os.nice(0))"]
    trainer.start("timeit", command, "A network", "is ready", lambda: ended.append("kept"))
    assert trainer.line == "A network is being trained, at low priority."
    (tmp_path / "go").touch()
    wait_for("the end", lambda: len(ended) == 2)
    assert ended == ["kept", "A network is ready"]
    own = psutil.Process().nice()
    assert f"priority {min(19, own + 10)}" in (tmp_path / "log").read_text()
    trainer.start("json.tool", ["none.json"], "Another", "is ready", list)
    wait_for("the end", lambda: len(ended) == 3)
    assert "Another was not trained" in ended[2]
    assert "none.json" in ended[2]


def test_one_at_a_time_and_none_after_the_end(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path / "log")
    trainer.start("http.server", ["0"], "A network", "is ready", list)
    trainer.start("timeit", ["pass"], "A second one", "is ready", list)
    assert trainer.line.startswith("A network")
    (child,) = [one for one in psutil.Process().children() if str(psutil.Process().pid) in one.cmdline()]
    trainer.close()
    assert not child.is_running()


def test_it_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from lowpix.annotate.trainer import Trainer\n"
        "trainer = Trainer(Path(sys.argv[1]))\n"
        "trainer.start('http.server', ['0'], 'A network', 'is ready', list)\n"
        "print(trainer._process.pid, flush=True); time.sleep(600)"
    )
    log = tmp_path / "log"
    with subprocess.Popen([sys.executable, "-c", code, str(log)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = psutil.Process(int(server.stdout.readline()))
        wait_for("the command", child.net_connections)
        server.kill()
    wait_for("the end", lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_network_is_trained_on_the_images_that_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = photographs(tmp_path / "my photos", 2)
    project = Project(Options(photos=photos, classes=",".join(CLASSES), browser=False))
    with refused("no image is done yet"):
        project.train()
    stop = Stop("person", 1000, 0.9)
    engine = Engine(project.store, project.dataset(), project.out, stop, project.save, lambda image: None)
    engine.start()
    engine.look_at(1)
    wait_for("the size", lambda: engine.view(1)["size"])
    for row, column in [(row, column) for row in (5, 30, 55) for column in (10, 40, 70)]:
        place = {"image": 1, "row": row, "column": column, "answer": int(truth()[row, column])}
        told = {"uid": f"answer-{row}-{column}", "type": "answer", "kind": "shown", "seconds": 1, **place}
        do(project.store, [told])
    do(project.store, [{"uid": "status-of-1", "type": "status", "image": 1, "status": "done"}])
    with refused("the first label map is still being written"):
        project.train()
    engine.changed(1)
    engine.finish()
    engine.close()

    started: list[tuple[str, list[str], str, str, Callable[[], None]]] = []
    monkeypatch.setattr(project.teacher.trainer, "start", lambda *given: started.append(given))
    project.train()
    ((module, arguments, what, ready, keep),) = started
    assert (module, what) == ("lowpix.dataset_study", "A network of 1 image")
    study = dataset_study(parse(DatasetOptions, [*arguments, "--epochs", "1", "--width", "4"], module))
    # without audits nothing can be scored
    printed = dataset_overview(study.tables())
    assert printed.loc[0, ["setting", "accuracy", "mIoU"]].tolist() == ["pseudo-1000", "", ""]
    model = tmp_path / "my photos_labelled/networks/3_classes_1_images.safetensors"
    assert not model.exists()
    keep()
    assert f"'{model}'" in ready
    assert predict(PredictOptions(photos, model, tmp_path / "labels")) == 2
    project.store.close()


def test_images_with_label_maps_are_learnt_from_if_they_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three generated scenes with label maps, one of which is done."""
    project = Project(Options(out=tmp_path / "out", simulate=True, browser=False, seed=3, scene_count=3))
    monkeypatch.setattr("annotate_pages.truth", lambda: np.tile(truth((60, 80)), (2, 2)))  # of the default size
    person = Person(project)
    person.look_at(2)
    person.answer(2, 6)
    person.do(type="status", image=2, status="done")
    person.engine.finish()
    started: list[list[str]] = []
    monkeypatch.setattr(project.teacher.trainer, "start", lambda module, given, *_: started.append(given))
    project.train()
    person.end()
    study = dataset_study(parse(DatasetOptions, [*started[0], "--epochs", "1", "--width", "4"], "dataset_study"))
    (row,) = study.tables().summary.to_dict("records")
    assert (row["setting"], row["seed"], row["images"]) == ("pseudo-1000", 3, 1)
    assert list(pd.read_csv(study.folder / "data.csv").query("split == 'train'")["image"]) == ["scene_001"]
