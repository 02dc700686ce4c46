"""Fetching against a local HTTP server: verified, atomic, going on where it stopped, one line for a fault."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from data_samples import DATA, needs_camvid
from refusals import refused

from lowpix.data import open_dataset
from lowpix.data.download import CAMVID_MANIFEST, fetch, fetch_camvid
from lowpix.errors import InputError


class Server(ThreadingHTTPServer):
    """Serves `folder`, keeps a list of what was asked, answers `broken` paths with their code, `moved` ones with
    their new address, and `endless` ones with that many bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.broken: dict[str, list[int]] = {}
        self.moved: dict[str, str] = {}
        self.endless: dict[str, int] = {}
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path[1:]
        self.server.asked.append(path)
        if codes := self.server.broken.get(path):
            self.send_error(codes.pop(0))
        elif path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[path])
            self.end_headers()
        elif path in self.server.endless:
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):
                for _ in range(self.server.endless[path] >> 20):
                    self.wfile.write(bytes(1 << 20))
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    folder = tmp_path / "public"
    folder.mkdir()
    running = Server(folder)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setattr("time.sleep", lambda _: None)  # before another attempt
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def manifest(tmp_path: Path, server: Server) -> Path:
    lines = []
    for path in [*(f"train/{index}_é.png" for index in range(12)), "train.txt"]:
        content = path.encode() * 100
        (tmp_path / "public" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "public" / path).write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {path}\n")
    (tmp_path / "sums").write_text("".join(lines))
    return tmp_path / "sums"


def same_files(one: Path, other: Path) -> bool:
    files = [sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()) for root in (one, other)]
    return files[0] == files[1] and all((one / f).read_bytes() == (other / f).read_bytes() for f in files[0])


def test_fetches_everything_lists_last_and_then_nothing(tmp_path: Path, server: Server, manifest: Path) -> None:
    fetch(manifest, server.url, tmp_path / "here")
    assert same_files(tmp_path / "public", tmp_path / "here")
    assert server.asked[-1] == "train.txt"
    asked = len(server.asked)
    fetch(manifest, server.url.rstrip("/"), tmp_path / "here")
    assert len(server.asked) == asked == 13


def test_goes_on_where_it_stopped(tmp_path: Path, server: Server, manifest: Path) -> None:
    missing = "train/7_%C3%A9.png"
    server.broken[missing] = [404]
    with pytest.raises(InputError, match=f"{missing}: cannot be fetched: HTTP Error 404.* goes on") as caught:
        fetch(manifest, server.url, tmp_path / "here")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "here/train.txt").exists()
    got = {f"train/{path.name}".replace("é", "%C3%A9") for path in (tmp_path / "here/train").iterdir()}
    assert len(got) >= 4
    server.asked.clear()
    fetch(manifest, server.url, tmp_path / "here")
    assert not got & set(server.asked)
    assert len(server.asked) + len(got) == 13
    assert same_files(tmp_path / "public", tmp_path / "here")


def test_a_passing_fault_is_tried_again(tmp_path: Path, server: Server, manifest: Path) -> None:
    server.broken["train.txt"] = [503, 429]
    fetch(manifest, server.url, tmp_path / "here")
    assert server.asked.count("train.txt") == 3
    assert same_files(tmp_path / "public", tmp_path / "here")
    (tmp_path / "here/train.txt").unlink()
    server.broken["train.txt"] = [503] * 3
    with pytest.raises(InputError, match="cannot be fetched: HTTP Error 503"):
        fetch(manifest, server.url, tmp_path / "here")


def test_a_wrong_file_is_refused(tmp_path: Path, server: Server, manifest: Path) -> None:
    (tmp_path / "public/train/3_é.png").write_bytes(b"something else")
    wrong, right = (
        hashlib.sha256(b"something else").hexdigest(),
        manifest.read_text().splitlines()[3].split()[0],
    )
    with pytest.raises(InputError, match=f"SHA-256 is {wrong}, must be {right}"):
        fetch(manifest, server.url, tmp_path / "here")
    assert not (tmp_path / "here/train/3_é.png").exists()
    assert not list((tmp_path / "here").rglob("*.part"))


def test_a_file_that_moved_is_followed_on_the_same_host_alone(
    tmp_path: Path, server: Server, manifest: Path
) -> None:
    (tmp_path / "public/train.txt").rename(tmp_path / "public/list.txt")
    server.moved["train.txt"] = f"{server.url}list.txt"
    fetch(manifest, server.url, tmp_path / "here")
    assert (tmp_path / "here/train.txt").read_bytes() == (tmp_path / "public/list.txt").read_bytes()
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.moved["train.txt"] = f"{elsewhere}list.txt"
    with refused("train.txt", f"localhost:{server.server_port}"):
        fetch(manifest, server.url, tmp_path / "there")
    assert not (tmp_path / "there/train.txt").exists()


def test_a_file_without_end_is_refused(tmp_path: Path, server: Server, manifest: Path) -> None:
    """Before it fills the memory: after the largest size that a file may have."""
    server.endless["train.txt"] = 1 << 40
    with refused("train.txt", "64 MiB"):
        fetch(manifest, server.url, tmp_path / "here")
    assert not (tmp_path / "here/train.txt").exists()


def test_no_network_and_no_room_are_one_line(tmp_path: Path, server: Server, manifest: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be fetched: .*refused") as caught:
        fetch(manifest, "http://127.0.0.1:1", tmp_path / "here")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be fetched: unknown url type"):
        fetch(manifest, "nonsense", tmp_path / "here")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: "):
        fetch(manifest, server.url, tmp_path / "file")


def test_mirror_from_the_environment(
    tmp_path: Path,
    server: Server,
    manifest: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOWPIX_CAMVID_URL", server.url)
    assert fetch_camvid(tmp_path / "camvid", manifest) == tmp_path / "camvid"
    assert same_files(tmp_path / "public", tmp_path / "camvid")
    assert f"is fetched from {server.url} into {tmp_path}/camvid" in capsys.readouterr().err


def test_manifest_names_all_pairs_of_the_three_splits() -> None:
    paths = [line.split("  ")[1] for line in CAMVID_MANIFEST.read_text().splitlines()]
    counts = {"train": 367, "val": 101, "test": 233}
    for split, count in counts.items():
        images = {path.split("/")[1] for path in paths if path.startswith(f"{split}/")}
        assert len(images) == count
        assert images == {path.split("/")[1] for path in paths if path.startswith(f"{split}annot/")}
    assert len(paths) == len(set(paths)) == 2 * 701 + 3


@needs_camvid
@pytest.mark.slow
def test_camvid_is_fetched_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    real = Server(DATA / "camvid")
    thread = threading.Thread(target=real.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("LOWPIX_CAMVID_URL", real.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOWPIX_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    try:
        camvid = open_dataset("camvid", split="val")
        asked = len(real.asked)
        assert asked == 2 * 701 + 3
        assert open_dataset("camvid", split="test").images
        assert len(real.asked) == asked
    finally:
        real.shutdown()
        real.server_close()
        thread.join()
    assert camvid.image_file(camvid.images[0]) == tmp_path / "cache/lowpix/camvid/val" / f"{camvid.images[0]}.png"
    np.testing.assert_array_equal(
        camvid.image(camvid.images[0]), open_dataset("camvid", DATA, "val").image(camvid.images[0])
    )
