"""The page in a real Chromium when its server is killed in mid-answer: nothing is lost, and nothing told twice."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from annotate_pages import (
    Running,
    answer_keys,
    asked,
    free_port,
    needs_chromium,
    photographs,
    saved,
    says,
    standing,
    start,
    visit,
    wait_for,
)

pytestmark = needs_chromium


def answer_until_killed(running: Running, page: Any, moment: float) -> None:
    """Answer as fast as the page asks, and kill the server at some moment of it."""
    page.evaluate("() => { window.stopped = false; }")
    answer_keys(page, 4)
    page.wait_for_timeout(1000 * moment)
    answer_keys(page, 3)
    running.kill()
    answer_keys(page, 2)  # into the void: kept by the page


def trained(running: Running) -> bool:
    return bool(running.view(1)["work"] == "ready")


def survive(tmp_path: Path, browser: Any, faults: list[str], kills: int) -> None:
    photos, port, draw = photographs(tmp_path / "photos", 1), free_port(), random.Random(0)
    running = start(photos, port=port)
    page = visit(browser, running, faults)
    expected = 0
    for _ in range(kills):
        before = page.evaluate("() => window.lowpix.answered")
        answer_until_killed(running, page, draw.uniform(0, 0.5))
        given = page.evaluate("() => window.lowpix.answered") - before
        assert given >= 3
        expected += given
        running = start(photos, port=port)
        page.wait_for_function("() => document.getElementById('unsaved').textContent === ''", timeout=60_000)
        answers = standing(running)
        assert len(answers) == expected  # nothing lost, nothing twice
        assert len({(row, column) for row, column, *_ in answers}) == len(answers)
        wait_for("trained again", partial(trained, running))
    asked(page)
    page.close()
    running.kill()
    assert faults == []


def test_a_server_that_is_killed_in_mid_answer_loses_nothing(
    tmp_path: Path, browser: Any, faults: list[str]
) -> None:
    survive(tmp_path, browser, faults, 2)


@pytest.mark.slow
def test_a_server_that_is_killed_twenty_times_loses_nothing(
    tmp_path: Path, browser: Any, faults: list[str]
) -> None:
    survive(tmp_path, browser, faults, 20)


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_training(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """The training ends with it, leaves no network behind, and can be begun again."""
    photos, port = photographs(tmp_path / "photos", 2), free_port()
    running = start(photos, port=port)
    page = visit(browser, running, faults)
    answer_keys(page, 8)
    says(page, "up to date")
    page.keyboard.press("Enter")
    says(page, "photo_1")
    wait_for("the run is saved", lambda: list(running.out.joinpath("runs").rglob("photo_0*")))
    page.keyboard.press("m")
    says(page, "A network of 1 image is being trained")
    study = running.out.with_name("photos_labelled_network")
    wait_for("the first epoch", lambda: list(study.rglob("state/*")), 240)  # at low priority
    (training,) = [one for one in children(running) if "lowpix.dataset_study" in one.cmdline()]
    running.kill()
    wait_for("its end", lambda: not training.is_running() or training.status() == psutil.STATUS_ZOMBIE)
    assert not list(running.out.rglob("networks/*"))
    before = {file: file.stat().st_mtime_ns for file in study.rglob("state/*")}

    running = start(photos, port=port)
    says(page, "1 of 2 images done")
    assert len(standing(running)) == 8
    page.keyboard.press("m")
    says(page, "A network of 1 image is being trained")
    wait_for(
        "an epoch",
        lambda: any(file.exists() and file.stat().st_mtime_ns > time for file, time in before.items()),
        240,
    )
    page.close()
    running.kill()
    assert faults == []


def children(running: Running) -> list[psutil.Process]:
    return psutil.Process(running.process.pid).children(recursive=True)


def test_a_tab_that_is_closed_before_its_answer_arrived(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """The next tab sends it."""
    photos, port = photographs(tmp_path / "photos", 1), free_port()
    running = start(photos, port=port)
    page = visit(browser, running, faults)
    running.kill()
    answer_keys(page, 2)
    says(page, "no connection to the server: 2 not saved yet")
    page.close()
    running = start(photos, port=port)
    try:
        page = visit(browser, running, faults)
        saved(page)
        assert len(standing(running)) == 2
        page.close()
    finally:
        running.kill()
