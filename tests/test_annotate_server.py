"""What the server gives and refuses: hosts, origins, tokens, paths, sizes, and what breaks a rule."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from annotate_pages import Running, photograph, photographs, served, start, truth, wait_for
from data_samples import write
from PIL import Image

from lowpix.annotate.safety import MOST_BYTES, is_own

pytest.importorskip("uvicorn")
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    photos = photographs(tmp_path_factory.mktemp("served") / "photos", 2)
    write(photos / "z_large.jpg", photograph(truth((2100, 2800))))  # the last one, so that nobody waits for it
    (photos.parent / "secret.txt").write_text("secret")
    with served(photos) as server:
        yield server


def ask(
    running: Running, path: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of the answer to a raw request, with any headers, Host included."""
    address = urlsplit(running.address)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, content, headers or {})
    reply = connection.getresponse()
    return reply.status, reply.read(), {name.lower(): value for name, value in reply.getheaders()}


def an_answer(uid: str) -> dict[str, object]:
    place = {"image": 1, "row": 3, "column": 4, "answer": 0}
    return {"uid": uid, "type": "answer", "kind": "shown", "seconds": 1.0, **place}


def test_the_page_allows_no_inline_script_and_nothing_of_other_hosts(running: Running) -> None:
    status, page, headers = ask(running, "/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert b"<script>" not in page
    assert b"style=" not in page
    assert b"//" not in page.replace(b"<!doctype", b"")
    assert ask(running, "/static/main.js")[2]["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**JSON, "host": "evil.example"}, 403),
        ({**JSON, "host": "127.0.0.1.evil.example"}, 403),
        ({**JSON, "origin": "http://evil.example"}, 403),
        ({**JSON, "origin": "null"}, 403),
        ({**JSON, "sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "host": "localhost"}, 200),
    ],
    ids=str,
)
def test_only_the_page_itself_can_post(running: Running, headers: dict[str, str], status: int) -> None:
    uid = f"post {sorted(headers.items())}"[:60]
    before = running.view(1)["answers"]
    assert ask(running, "/api/do", [an_answer(uid)], headers)[0] == status
    after = running.view(1)["answers"]
    assert (after == before) == (status != 200)


def test_another_host_cannot_read(running: Running) -> None:
    """By a name of its own that leads to this computer."""
    for path in ("/", "/api/start", "/api/photo/1", "/api/live/1"):
        status, body, _ = ask(running, path, headers={"host": "evil.example:80"})
        assert status == 403
        assert b"photo_0" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../secret.txt",
        "/static/..%2f..%2fsecret.txt",
        "/secret.txt",
        "/api/photo/..%2fsecret.txt",
        "/api/photo/secret.txt",
        "/static/main.py",
        "/static/%2fetc%2fpasswd",
        "/etc/passwd",
    ],
)
def test_no_path_outside_the_folder_is_served(running: Running, path: str) -> None:
    status, body, _ = ask(running, path)
    assert status == 404
    assert b"secret" not in body.lower() or b"not found" in body.lower()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/do", b"no json"),
        ("/api/do", b"[" * 100_000),
        ("/api/do", {}),
        ("/api/do", [1]),
        ("/api/do", [{"uid": "12345678"}]),
        ("/api/do", [{**an_answer("one too far"), "row": 10**9}]),
        ("/api/do", [{**an_answer("no such image"), "image": 99}]),
        ("/api/classes", {"name": 3}),
        ("/api/classes", {"name": "door", "key": "u"}),
        ("/api/classes", {"name": "door", "key": "door"}),
        ("/api/classes", {"name": "door", "class": "x"}),
        ("/api/classes", {"name": "door", "key": ","}),
        ("/api/classes", {"name": "grade:A", "class": 0}),
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_refused_in_one_line(running: Running, path: str, body: object) -> None:
    status, line, _ = ask(running, path, body, JSON)
    assert status == 400
    assert 5 < len(line) < 300
    assert b"\n" not in line


def test_sizes_are_limited(running: Running) -> None:
    assert ask(running, "/api/do", b" " * (MOST_BYTES + 1), JSON)[0] == 413
    address = urlsplit(running.address)
    with socket.create_connection(
        (address.hostname, address.port), timeout=30
    ) as raw:  # a length that is not told
        raw.sendall(b"POST /api/do HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n"
                    b"transfer-encoding: chunked\r\n\r\n")  # fmt: skip
        try:
            for _ in range(40):
                raw.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            raw.sendall(b"0\r\n\r\n")
            found = raw.recv(200)
        except ConnectionError:
            found = b""
    assert b"200" not in found.split(b"\r\n")[0]


def test_photographs_are_shown_without_loss_or_smaller(running: Running, tmp_path: Path) -> None:
    status, content, headers = ask(running, "/api/photo/1")
    (tmp_path / "shown.png").write_bytes(content)
    assert (status, headers["content-type"]) == (200, "image/png")
    with Image.open(tmp_path / "shown.png") as shown:
        np.testing.assert_array_equal(np.array(shown), photograph(truth(), 0))
    _, content, headers = ask(running, "/api/photo/3")
    (tmp_path / "shown.jpg").write_bytes(content)
    assert headers["content-type"] == "image/jpeg"
    with Image.open(tmp_path / "shown.jpg") as shown:
        assert shown.width * shown.height <= 4_000_000
        assert shown.width / shown.height == pytest.approx(4 / 3, rel=0.01)
    assert ask(running, "/api/photo/99")[0] == 400


def test_a_second_server_on_the_folder_gets_one_line(running: Running) -> None:
    with pytest.raises(AssertionError, match=r"^error: .*another annotate works on this folder: stop it first\n$"):
        start(running.out.with_name("photos"))


def test_beyond_this_computer_a_token_is_needed(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 1)
    with served(photos, "--host", "0.0.0.0") as running:
        assert "?token=" in running.line
        token = running.line.split("token=")[1].split()[0]
        local = Running(running.process, f"http://127.0.0.1:{urlsplit(running.address).port}/", running.out)
        for path in ("/", "/api/start", "/static/main.js", "/?token=wrong"):
            assert ask(local, path)[0] == 403
        assert ask(local, "/api/do", [an_answer("no token")], JSON)[0] == 403
        status, _, headers = ask(local, f"/?token={token}")
        assert (status, headers["location"]) == (303, "/")
        cookie = {"cookie": headers["set-cookie"].split(";")[0]}
        assert "HttpOnly" in headers["set-cookie"]
        assert ask(local, "/api/start", headers=cookie)[0] == 200
        # nor do cookies of other programs on this host, however they are written
        for other in ('prefs={"theme": "dark"}; ', "user@host=1; ", "flag; ", "name=\u00e4; "):
            assert ask(local, "/api/start", headers={"cookie": other + cookie["cookie"]})[0] == 200
        assert ask(local, "/api/do", [], {**JSON, **cookie, "origin": "http://evil.example"})[0] == 403
        # a cookie that an earlier server has left does not keep the new token out
        name = cookie["cookie"].split("=")[0]
        assert ask(local, f"/?token={token}", headers={"cookie": f"{name}=earlier"})[0] == 303
        assert ask(local, "/api/start", headers={"cookie": f"{name}=earlier"})[0] == 403
        assert str(urlsplit(running.address).port) in name  # other servers of this host have their own


def test_a_page_hears_that_another_image_is_done(tmp_path: Path) -> None:
    """It shows how many are done, and goes to the next one that is not."""
    with served(photographs(tmp_path / "photos", 2)) as server:
        wait_for("the size", lambda: server.view(1)["size"])
        with urllib.request.urlopen(f"{server.address}api/live/2", timeout=60) as lines:
            assert any(view["work"] == "ready" for view in news(lines))
            time.sleep(0.5)  # until there is no other news that would tell it
            status = {"uid": "status of 1", "type": "status", "image": 1, "status": "done"}
            server.post("api/do", [an_answer("answer to 1"), status])
            assert any(view["images"][0][2] == "done" for view in news(lines))


def news(lines: Iterable[bytes]) -> Iterator[Any]:
    """What a page is told within a minute. Lines that only keep the connection open come every ten seconds."""
    until = time.monotonic() + 60
    for line in lines:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
        if time.monotonic() > until:
            return


def test_only_an_answer_that_was_lost_is_called_lost() -> None:
    from starlette.requests import Request

    from lowpix.annotate.server import _failed

    said = []
    for path in ("/api/do", "/api/train"):
        request = Request({"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""})
        said.append(bytes(asyncio.run(_failed(request, OSError("disk full"))).body))
    assert said == [b"the answer could not be kept: disk full", b"failed on the server: disk full"]


def test_a_page_of_another_folder_cannot_post(running: Running) -> None:
    status, line, _ = ask(running, "/api/do", [an_answer("other folder")], {**JSON, "x-project": "another"})
    assert (status, line) == (409, b"this page belongs to another folder: reload it")


def test_the_page_does_not_wait_for_torch() -> None:
    """Importing it takes seconds. All that serves the first questions is there before."""
    served = "import lowpix.annotate.project, lowpix.annotate.server, uvicorn"
    code = f"{served}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_which_addresses_are_this_computers_own() -> None:
    assert all(map(is_own, ("127.0.0.1", "::1", "localhost")))
    assert not any(map(is_own, ("0.0.0.0", "192.168.0.7", "example.org")))
