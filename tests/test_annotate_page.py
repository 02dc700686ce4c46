"""The page in a real Chromium, on a real server: keys, clicks, undo, reload, a second tab, kills in mid-answer."""

import re
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
from annotate_pages import (
    answer_keys,
    asked,
    click,
    needs_chromium,
    network,
    photographs,
    rows,
    saved,
    says,
    served,
    standing,
    truth,
    visit,
    wait_for,
)

from lowpix.data import open_dataset
from lowpix.reveal.log import UNSURE, VOID

pytestmark = needs_chromium
PRESS = """() => {
    document.getElementById("photo").dispatchEvent(new KeyboardEvent("keydown", { key: "1" }));
    return window.lowpix.question();
}"""
STANDING = "answers WHERE NOT gone ORDER BY number"


def test_keys_clicks_undo_and_all_the_rest(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """In one visit, as a person would: each paragraph is one thing that the page can do."""
    with served(photographs(tmp_path / "photos", 2)) as running:
        page = visit(browser, running, faults)
        answer_keys(page, 6)
        says(page, "up to date")
        assert page.evaluate("() => document.activeElement.id") == "photo"

        # the questions were answered in order, each once, by the machine's choice
        saved(page)
        answers = standing(running)
        assert [kind for *_, kind in answers] == ["asked"] * 6
        assert [label for _, _, label, _ in answers] == [truth()[row, column] for row, column, *_ in answers]

        # unsure and void are answers that nothing is learnt from
        page.keyboard.press("u")
        page.keyboard.press("v")
        saved(page)
        assert [label for _, _, label, _ in standing(running)[-2:]] == [UNSURE, VOID]

        # a key that is neither a class nor a command says so, and answers nothing
        page.keyboard.press("7")
        says(page, "7 is no class and no command")
        assert len(standing(running)) == 8

        # a held key answers once
        page.keyboard.down("1")
        page.keyboard.down("1")
        page.keyboard.down("1")
        page.keyboard.up("1")
        saved(page)
        assert len(standing(running)) == 9

        # undo asks the same pixel again
        last = standing(running)[-1]
        page.keyboard.press("Backspace")
        says(page, "was taken back")
        assert asked(page)[:2] == last[:2]
        assert len(standing(running)) == 8
        page.keyboard.press("3")
        page.keyboard.press("Control+z")
        says(page, "floor was taken back")
        assert len(standing(running)) == 8

        # a click chooses a pixel; clicking it again changes its answer; arrows move the cross, Escape leaves it
        click(page, 50, 70)
        says(page, "Your own pixel")
        page.keyboard.press("2")
        click(page, 50, 70)
        page.keyboard.press("3")
        saved(page)
        assert standing(running)[-1] == [50, 70, 2, "shown"]
        assert len(standing(running)) == 9
        before = asked(page)
        page.keyboard.press("Shift+ArrowUp" if before[0] > 30 else "Shift+ArrowDown")
        moved = asked(page)
        assert abs(moved[0] - before[0]) == 10
        page.keyboard.press("Escape")
        assert asked(page) == before

        # a class that was never seen is pointed out, until somebody says that there is none
        page.evaluate("() => document.activeElement.blur()")
        page.keyboard.press("1")  # does not act: the photograph has no focus
        assert len(standing(running)) == 9
        page.locator("#photo").focus()
        page.keyboard.press("c")
        page.fill("#new-name", "door")
        page.fill("#new-key", "d")
        page.click("#new-add")
        page.locator("#edit").wait_for(state="hidden")
        says(page, "door")
        page.locator("#photo").focus()
        assert answer_keys(page, 3) == 3
        wait_for("all answers", lambda: len(standing(running)) == 12)
        unseen = []
        while (label := running.view(1)["hint"]) is not None:  # the wall may not have been asked either
            unseen.append(running.view(1)["classes"][label]["name"])
            says(page, f"No {unseen[-1]} yet in this image")
            page.keyboard.press("x")
            wait_for("another hint", lambda label=label: running.view(1)["hint"] != label)
        assert unseen[-1] == "door"

        # a class gets another name
        page.keyboard.press("c")
        page.locator("#edit-classes input").first.fill("heaven")
        page.keyboard.press("Tab")
        page.locator("#edit").wait_for(state="hidden")
        says(page, "heaven")
        assert running.get("api/start")["classes"][0]["name"] == "heaven"

        # the overlay changes, and the sheet of keys opens by its key
        page.locator("#photo").focus()
        page.keyboard.press("o")
        says(page, "Overlay: filled")
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        assert not page.locator("#help").is_visible()

        # after a reload everything is there, and the second tab asks for what is not answered
        before_reload = standing(running)
        page.reload()
        asked(page)
        assert standing(running) == before_reload
        second = visit(browser, running, faults)
        pixel = asked(second)
        answer_keys(second, 2)
        saved(second)
        assert asked(second) != pixel
        wait_for("the first tab moves on", lambda: asked(page)[:2] not in [told[:2] for told in standing(running)])
        answer_keys(page, 2)
        saved(page)
        assert len({(row, column) for row, column, *_ in standing(running)}) == len(standing(running))

        # Enter goes on to the next image; a network trains on those that are done; undo comes back, and says so
        second.close()
        page.locator("#photo").focus()
        page.keyboard.press("m")
        says(page, "no image is done yet")
        page.keyboard.press("Enter")
        says(page, "photo_1")
        asked(page)
        wait_for("the run is saved", lambda: list(running.out.joinpath("runs").rglob("photo_0*")))
        page.keyboard.press("m")
        says(page, "A network of 1 image is being trained")
        page.keyboard.press("Backspace")
        says(page, "in image photo_0")
        assert running.view(1)["status"] == "open"

        # n and p go to the next image and back, s leaves an image out
        for key, name in (("n", "photo_1"), ("p", "photo_0"), ("n", "photo_1")):
            page.keyboard.press(key)
            page.wait_for_function("name => document.getElementById('name').textContent === name", arg=name)
            asked(page)
        page.keyboard.press("s")
        page.wait_for_function("() => document.getElementById('name').textContent === 'photo_0'")
        saved(page)
        assert running.view(2)["status"] == "skipped"
        page.close()
    assert faults == []


def test_an_undone_question_is_asked_once(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """Also if the page sees that the answer is gone before it hears that the undo was done."""
    with served(photographs(tmp_path / "photos", 1)) as running:
        page = visit(browser, running, faults)
        page.route("**/api/do", late)
        assert answer_keys(page, 6) == 6
        saved(page)
        last = standing(running)[-1]
        page.keyboard.press("Backspace")
        says(page, "was taken back")
        assert asked(page)[:2] == last[:2]
        after = page.evaluate(PRESS)  # before any more news comes
        assert after[:2] != last[:2]
        saved(page)
        assert len(standing(running)) == 6
        page.close()
        assert faults == []


def late(route: Any) -> None:
    """Hold a reply back until the news of what was done has reached the page."""
    reply = route.fetch()
    sleep(0.5)
    route.fulfill(response=reply)


def test_an_audit_is_asked_and_never_learnt_from(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    with served(photographs(tmp_path / "photos", 1)) as running:
        page = visit(browser, running, faults)
        answer_keys(page, 12)
        page.keyboard.press("a")
        # no question of another kind is left that a quick key could meet
        assert (page.evaluate("() => window.lowpix.question()") or (0, 0, "audit"))[2] == "audit"
        says(page, "Audit: 0 of 20")
        while True:
            page.wait_for_function("() => (window.lowpix.question() ?? [])[2] === 'audit' || "
                                   "document.getElementById('audit').textContent.includes('right')")  # fmt: skip
            if asked(page)[2] != "audit":
                break
            answer_keys(page, 1)
        says(page, "95 % interval")
        view = running.view(1)
        assert sum(kind == "audit" for *_, kind in view["answers"]) == 20
        assert view["audit"]["looks"] == 1
        assert 0 <= view["audit"]["low"] <= view["audit"]["right"] / 20 <= view["audit"]["high"] <= 1
        page.close()
    assert faults == []
    ((fits,),) = rows(running.out, "images", "fits")
    assert max(map(int, fits.strip("[]").split(","))) <= 13


def test_the_page_says_which_images_help_and_what_each_took(
    tmp_path: Path, browser: Any, faults: list[str]
) -> None:
    photos = photographs(tmp_path / "photos", 4)
    network(photos.with_name("photos_labelled"), 5)
    with served(photos) as running:
        page = visit(browser, running, faults)
        says(page, "questions build on a network of 5 images")
        for number, answers in enumerate((9, 5, 4)):
            page.wait_for_function(
                "name => document.getElementById('name').textContent === name", arg=f"photo_{number}"
            )
            for _ in range(answers):
                asked(page)
                answer_keys(page, 1)
            page.keyboard.press("Enter")
        says(page, "Answers for the last finished images: 9, 5, 4")
        # in one go, because each piece of news draws it anew
        label, bars, height = page.evaluate(
            """() => {
                const svg = document.querySelector("#images svg");
                const bars = svg.querySelector("path").getAttribute("d");
                return [svg.ariaLabel, bars, svg.getBoundingClientRect().height];
            }"""
        )
        assert label == "Answers for each of 3 finished images: 9 at first, 4 lately, at most 9"
        assert [float(part) for part in re.findall(r"v([0-9.]+)z", bars)] == [9, 5, 4]
        assert height > 20
        page.close()
    assert faults == []


def test_true_labels_answer_by_themselves(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """`--simulate`, on the same server and page."""
    scenes = [
        "--dataset",
        "scenes",
        "--scene-size",
        "48",
        "64",
        "--scene-count",
        "1",
        "--out",
        "out",
        "--simulate",
    ]
    with served(tmp_path, *scenes) as running:
        page = visit(browser, running, faults, "?pace=50")
        wait_for("ten answers", lambda: len(standing(running)) >= 10)
        page.close()
        labels = open_dataset("scenes", scene_size=(48, 64), scene_count=1).labels("scene_000")
        assert labels is not None
        answers = standing(running)
        assert [label for _, _, label, _ in answers] == [labels[row, column] for row, column, *_ in answers]
    assert faults == []


@pytest.mark.parametrize(("scheme", "width", "height", "zoom"), [("light", 1280, 720, 1), ("dark", 640, 360, 2)])
def test_what_matters_is_on_the_page(
    tmp_path: Path, browser: Any, scheme: str, width: int, height: int, zoom: int, faults: list[str]
) -> None:
    """In light and dark, and at 200 %: photograph, mark, classes and status, and enough contrast of the text."""
    with served(photographs(tmp_path / "photos", 1)) as running:
        context = browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=zoom, color_scheme=scheme
        )
        page = context.new_page()
        page.goto(running.address)
        asked(page)
        for part in ("#photo", "#classes", "#work", "#counts", "#lens"):
            box = page.locator(part).bounding_box()
            assert 0 <= box["x"] <= width - 50, part
            assert 0 <= box["y"] <= height - 10, part
        photo = page.locator("#photo").bounding_box()
        assert photo["width"] * photo["height"] > 0.5 * width * height
        colours = page.evaluate(
            "() => ['#work', '#classes .what', '#commands button'].map(one => getComputedStyle("
            "document.querySelector(one)).color).concat(getComputedStyle(document.querySelector('aside')).backgroundColor)"
        )
        *inks, ground = [np.array([int(part) for part in colour[4:-1].split(",")[:3]]) for colour in colours]
        assert all(contrast(ink, ground) >= 4.5 for ink in inks)
        context.close()


def contrast(one: Any, other: Any) -> float:
    """As WCAG 2.1 defines it."""

    def light(colour: Any) -> float:
        linear = np.where(colour / 255 <= 0.03928, colour / 255 / 12.92, ((colour / 255 + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([light(one), light(other)])
    return (high + 0.05) / (low + 0.05)
