"""What the tests of annotate share: a real server in a process of its own, and a real Chromium.

Importing torch takes most of a server's start. One process imports it, and each server is forked from that one.
"""

import json
import multiprocessing
import os
import re
import runpy
import shutil
import socket
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from data_samples import write
from numpy.typing import NDArray

from lowpix.annotate import Options, Project
from lowpix.annotate.engine import Engine
from lowpix.annotate.requests import do
from lowpix.annotate.stop import Stop

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["lowpix.annotate.output", "lowpix.annotate.server", "lowpix.reveal.session", "uvicorn"]
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
CLASSES = ("sky", "wall", "floor")


def truth(size: tuple[int, int] = (60, 80)) -> NDArray[np.uint8]:
    """Sky above, floor below, and a wall between them."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    labels = np.where(rows < size[0] // 2, 0, 2)
    labels[(abs(rows - size[0] // 2) < size[0] // 5) & (abs(columns - size[1] // 2) < size[1] // 4)] = 1
    return labels.astype(np.uint8)


def photograph(labels: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """A colour a class, and noise."""
    colours = np.array([(120, 160, 220), (170, 90, 60), (90, 90, 95)])
    noise = np.random.default_rng(seed).normal(0, 12, (*labels.shape, 3))
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)


def photographs(folder: Path, count: int = 3, size: tuple[int, int] = (60, 80)) -> Path:
    """A plain folder of photographs of the same scene."""
    for index in range(count):
        write(folder / f"photo_{index}.png", photograph(truth(size), index))
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass
class Running:
    """A server that runs."""

    process: BaseProcess
    address: str
    out: Path
    line: str = ""
    """What the server printed first."""

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=60) as reply:
            return json.loads(reply.read())

    def post(self, path: str, body: object) -> Any:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())

    def view(self, image: int) -> Any:
        """What the page is told of an image."""
        with urllib.request.urlopen(f"{self.address}api/live/{image}", timeout=60) as lines:
            return next(json.loads(line[6:]) for line in lines if line.startswith(b"data: "))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def start(photos: Path, *arguments: str, port: int | None = None) -> Running:
    """Start a server for photographs, whose answers lie beside their folder, or for a data set."""
    given = ["--no-browser", "--port", str(port or 0), *arguments]
    if "--dataset" not in given:
        given.append(str(photos))
        if not (photos.with_name(f"{photos.name}_labelled") / "answers.sqlite").exists():
            given += ["--classes", ",".join(CLASSES)]
    with TemporaryDirectory() as folder:
        printed = Path(folder) / "printed"
        printed.touch()
        at = photos if "--dataset" in given else photos.parent
        # a daemon, so that a test that fails does not wait for its server at the end
        process = FORKS.Process(target=_command, args=(given, at, printed), daemon=True)
        process.start()
        wait_for("the first line", lambda: "\n" in printed.read_text() or not process.is_alive(), 120)
        line = printed.read_text()
    found = re.match(r"(http://[^\s?]+/)", line)
    if not found:
        process.join()
        raise AssertionError(line)
    return Running(process, found[1], photos.with_name(f"{photos.name}_labelled"), line)


def _command(arguments: Sequence[str], folder: Path, printed: Path) -> None:
    """Run `python -m lowpix.annotate` in a folder, and print into a file."""
    os.chdir(folder)
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv[1:] = arguments
    runpy.run_module("lowpix.annotate", run_name="__main__", alter_sys=True)


@contextmanager
def served(photos: Path, *arguments: str) -> Iterator[Running]:
    """A server for the body of a `with`."""
    running = start(photos, *arguments)
    try:
        yield running
    finally:
        if running.process.is_alive():
            running.kill()


def rows(out: Path, table: str = "answers", what: str = "*") -> list[tuple[Any, ...]]:
    """What a table of the store holds; the server must have ended."""
    with sqlite3.connect(out / "answers.sqlite") as store:
        return store.execute(f"SELECT {what} FROM {table}").fetchall()


def wait_for(what: str, holds: Any, seconds: float = 120) -> Any:
    """Wait until `holds()` gives something true, and return that."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, what
        time.sleep(0.05)
    return found


def answer_keys(page: Any, count: int, wanted: Sequence[str] = ("1", "2", "3")) -> int:
    """Answer that many questions of the page rightly, each by one key; gives how many were pressed."""
    labels = truth()
    for pressed in range(count):
        place = page.evaluate("() => window.lowpix.question()")
        if place is None:
            return pressed
        page.keyboard.press(wanted[labels[place[0], place[1]]])
    return count


class Person:
    """Answers what the engine asks, as the page would, from the true labels."""

    def __init__(self, project: Project, stop: Stop | None = None) -> None:
        self.store = project.store
        self.requests = len(self.store.rows("SELECT 1 FROM requests"))
        stop = stop or Stop("person", 1000, 0.9)
        self.engine = Engine(
            self.store,
            project.dataset(),
            project.out,
            stop,
            project.save,
            lambda image: None,
            carry_over=project.options.carry_over,
        )
        project.teacher.ready = self.engine.network_ready
        for thread in self.engine._threads:
            thread.daemon = True  # after a test that fails they do not keep the process
        self.engine.start()

    def do(self, **request: Any) -> None:
        self.requests += 1
        for result in do(self.store, [{"uid": f"request-{self.requests}", **request}]):
            self.engine.changed(result["image"])

    def look_at(self, image: int) -> None:
        self.engine.look_at(image)
        wait_for("questions", lambda: self.engine.view(image)["questions"])

    def answer(self, image: int, count: int, kind: str | None = None) -> None:
        labels = truth()
        for _ in range(count):
            row, column, asked = wait_for("a question", lambda: self.question(image, kind))
            label = int(labels[row, column])
            self.do(type="answer", image=image, row=row, column=column, answer=label, kind=asked, seconds=2.0)
        wait_for("trained", lambda: self.engine.view(image)["work"] == "ready")

    def question(self, image: int, kind: str | None) -> Any:
        return next((asked for asked in self.engine.view(image)["questions"] if kind in (None, asked[2])), None)

    def end(self) -> None:
        self.engine.finish()
        self.engine.close()
        self.store.close()


def options(photos: Path, **more: Any) -> Options:
    return Options(photos=photos, classes=",".join(CLASSES), browser=False, **more)


def network(out: Path, images: int, classes: int = 3, seed: int = 0) -> Path:
    """A network that was never trained, but is as sure of its labels as one that was."""
    import torch

    from lowpix.segmenter.model import Model, build, save_model

    made = build("unet", classes, 4, from_scratch=True, seed=seed)
    assert made.head is not None
    with torch.no_grad():
        for value in made.head.parameters():
            value *= 20
    names = (*CLASSES, "door")[:classes]
    file = out / f"networks/{classes}_classes_{images}_images.safetensors"
    save_model(file, Model(made.eval(), names, np.zeros((classes, 3), np.uint8), 0.5, (60, 80)))
    return file


def visit(browser: Any, running: Running, faults: list[str], path: str = "") -> Any:
    """A new tab with the page, once its first question is there."""
    context = browser.contexts[0] if browser.contexts else browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(running.address + path)
    asked(page)
    return page


def asked(page: Any) -> list[Any]:
    """The question on the page."""
    page.wait_for_function("() => window.lowpix && window.lowpix.question()")
    question: list[Any] = page.evaluate("() => window.lowpix.question()")
    return question


def saved(page: Any) -> None:
    page.wait_for_function("() => document.getElementById('unsaved').textContent === ''")


def says(page: Any, text: str) -> None:
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=text)


def click(page: Any, row: int, column: int) -> None:
    """Click the middle of a pixel of a photograph of 60 × 80."""
    box = page.locator("#photo").bounding_box()
    scale = min(box["width"] / 80, box["height"] / 60)
    x = box["x"] + (box["width"] - 80 * scale) / 2 + (column + 0.5) * scale
    y = box["y"] + (box["height"] - 60 * scale) / 2 + (row + 0.5) * scale
    page.mouse.click(x, y)


def standing(running: Running, image: int = 1) -> list[list[Any]]:
    answers: list[list[Any]] = running.view(image)["answers"]
    return answers
