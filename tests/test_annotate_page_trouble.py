"""The page in a real Chromium when something goes wrong, or happens at an awkward moment."""

from pathlib import Path
from typing import Any

from annotate_pages import (
    answer_keys,
    asked,
    click,
    free_port,
    needs_chromium,
    photograph,
    photographs,
    saved,
    says,
    served,
    standing,
    start,
    truth,
    visit,
)
from data_samples import write

pytestmark = needs_chromium
PIXEL = """([row, column]) => {
    const canvas = document.getElementById("photo");
    const scale = Math.min(canvas.width / 80, canvas.height / 60);
    const left = (canvas.width - 80 * scale) / 2, top = (canvas.height - 60 * scale) / 2;
    const place = [left + (column + 0.5) * scale, top + (row + 0.5) * scale];
    return [...canvas.getContext("2d").getImageData(...place, 1, 1).data];
}"""
PRESS = """keys => keys.forEach(key =>
    document.getElementById("photo").dispatchEvent(new KeyboardEvent("keydown", { key })))"""
IDLE = """() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"""


def test_another_folder_on_the_same_port_gets_no_answer_and_shows_its_own_photographs(
    tmp_path: Path, browser: Any, faults: list[str]
) -> None:
    port, first = free_port(), photographs(tmp_path / "first", 2)
    second = tmp_path / "second"
    upside_down = photograph(truth()[::-1], 9)
    write(second / "other.png", upside_down)
    running = start(first, port=port)
    page = visit(browser, running, faults)
    running.kill()
    page.evaluate(PRESS, ["1", "2"])
    says(page, "2 not saved yet")

    running = start(second, port=port)
    says(page, "other")  # the page has noticed, and is that of the second folder now
    asked(page)
    page.evaluate(IDLE)
    assert page.evaluate(PIXEL, [2, 2])[:3] == upside_down[2, 2].tolist()
    assert standing(running) == []
    running.kill()

    running = start(first, port=port)
    page.close()
    page = visit(browser, running, faults)
    saved(page)
    assert len(standing(running)) == 2
    page.close()
    running.kill()
    assert faults == []


def test_no_key_answers_until_the_photograph_is_there(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    with served(photographs(tmp_path / "photos", 1)) as running:
        page = browser.new_context().new_page()
        page.route("**/api/photo/*", lambda route: route.abort())
        page.goto(running.address)
        says(page, "photo_0")
        page.evaluate(PRESS, ["1", "2"])
        page.wait_for_timeout(200)
        assert standing(running) == []
        page.unroute("**/api/photo/*")
        asked(page)  # it is asked for again
        page.evaluate(IDLE)
        assert page.evaluate(PIXEL, [2, 2])[:3] == photograph(truth())[2, 2].tolist()
        page.evaluate(PRESS, ["1"])
        saved(page)
        assert len(standing(running)) == 1
        page.context.close()


def test_a_class_button_outlives_the_news(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """Between pressing and releasing the mouse, and while it has the focus."""
    with served(photographs(tmp_path / "photos", 1)) as running:
        page = visit(browser, running, faults)
        answer_keys(page, 6)
        says(page, "up to date")
        button = page.locator("#classes button").first
        box = button.bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.evaluate("() => { window.pressed = document.querySelector('#classes button'); }")
        running.post("api/do", [{"uid": "absent-of-it", "type": "absent", "image": 1, "class": 2}])
        page.wait_for_timeout(300)
        page.mouse.up()
        saved(page)
        assert len(standing(running)) == 7
        button.focus()
        page.evaluate(PRESS, ["2"])
        says(page, "8 answers here")
        assert page.evaluate("() => document.activeElement === window.pressed")
        assert sum(int(text or 0) for text in page.locator("#classes .count").all_inner_texts()) == 8
        page.close()
    assert faults == []


def test_undo_leaves_a_pixel_of_ones_own(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """The page marks what it says is answered again."""
    with served(photographs(tmp_path / "photos", 1)) as running:
        page = visit(browser, running, faults)
        answer_keys(page, 3)
        saved(page)
        last = standing(running)[-1]
        click(page, 50, 70)
        says(page, "Your own pixel")
        page.keyboard.press("Backspace")
        says(page, "was taken back")
        assert asked(page)[:2] == last[:2]
        page.keyboard.press("1")
        saved(page)
        assert standing(running)[-1] == [*last[:2], 0, "asked"]
        page.close()
    assert faults == []


def test_the_stream_of_an_image_that_was_left_stays_away(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    """A proxy may refuse it; a second later another image may be on the page."""
    with served(photographs(tmp_path / "photos", 2)) as running:
        page = browser.new_context().new_page()
        page.route("**/api/live/1", lambda route: route.fulfill(status=502, body="bad gateway"))
        page.goto(running.address)
        page.wait_for_function("() => window.lowpix")
        says(page, "no connection to the server")
        page.evaluate(PRESS, ["n"])
        asked(page)
        page.unroute("**/api/live/1")
        page.wait_for_timeout(1500)
        for _ in range(10):  # more than the page holds ahead
            asked(page)
            answer_keys(page, 1)
        saved(page)
        assert len(standing(running, 2)) == 10
        page.context.close()


def test_audits_alone_do_not_finish_an_image(tmp_path: Path, browser: Any, faults: list[str]) -> None:
    with served(photographs(tmp_path / "photos", 2)) as running:
        page = visit(browser, running, faults)
        page.keyboard.press("a")
        page.wait_for_function("() => (window.lowpix.question() ?? [])[2] === 'audit'")
        answer_keys(page, 2)
        page.keyboard.press("Enter")
        says(page, "Answer a question with a class first")
        assert page.inner_text("#name") == "photo_0"
        saved(page)
        assert running.view(1)["status"] == "open"
        page.close()
    assert faults == []
