"""The second engine behind `work`: units run on the workers of a Dask scheduler, and their results travel back.

Nothing is shared with the workers but the network: a unit is sent with all that it needs, and the process that
started the study writes its folder. A worker must run the same versions, which each unit checks first. Its
processor may be another one: each run says on which kind of machine it was made.
"""

import hashlib
import logging
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lowpix.errors import InputError, WorkError
from lowpix.reveal.acquisition import find_acquisition
from lowpix.storage import write_bytes
from lowpix.study.progress import Afar, Heard, first_of
from lowpix.study.threads import one_thread

if TYPE_CHECKING:
    from distributed import Client, Future

Unit = TypeVar("Unit")
Result = TypeVar("Result")

LOCAL = "local:"
PATIENCE = 60.0  # seconds to wait for a scheduler, and for workers where there are none
LIBRARIES = ("torch", "numpy", "scipy", "scikit-image", "pillow")
ONE_UNIT = Lock()  # in a worker process: networks draw weights from torch's global generator


@dataclass(frozen=True)
class Cluster(Generic[Unit, Result]):
    """Where units are worked on, and how they get there."""

    address: str
    """A scheduler such as tcp://host:8786, or local:4 for 4 workers on this machine."""
    send: Callable[[Unit], Callable[[], Iterable[Result]]]
    """Makes of a unit a call that needs no file of this machine. It is made when the unit's turn comes."""
    patience: float = PATIENCE
    lines: Afar | None = None
    """What units say while they are worked on, for the bar."""
    acquisitions: tuple[str, ...] = ()
    """Acquisitions that units use. Workers must have the user's own functions among them, unchanged."""

    @property
    def own(self) -> dict[str, str]:
        """Digests of the user's own acquisition functions, by `module:function`."""
        return {name: find_acquisition(name).source for name in self.acquisitions if ":" in name}


@dataclass(frozen=True)
class Identity:
    """What must be the same on all machines."""

    lowpix: str
    """Digest of the source of the package."""
    libraries: tuple[str, ...]

    def difference(self, other: "Identity") -> str:
        """What differs, with both values; empty if nothing does."""
        if self.libraries != other.libraries:
            pairs = zip(self.libraries, other.libraries, strict=True)
            return ", ".join(f"{one} instead of {two}" for one, two in pairs if one != two)
        return "" if self.lowpix == other.lowpix else "another version of lowpix"


@dataclass(frozen=True)
class Away(Generic[Result]):
    """Work that keeps states in a folder: on a worker this is a temporary one."""

    work: Callable[[Path], Iterable[Result]]
    """Does the work in a folder."""
    states: Mapping[str, bytes]
    """Files of an interrupted run, by name within the folder, from which the work goes on."""

    def __call__(self) -> Iterator[Result]:
        with TemporaryDirectory(prefix="lowpix-") as folder:
            for name, content in self.states.items():
                write_bytes(Path(folder, name), content)
            yield from self.work(Path(folder))

    @staticmethod
    def states_in(folder: Path, *patterns: str) -> dict[str, bytes]:
        """The files in a folder whose names match patterns, by name."""
        files = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def on_cluster(
    cluster: Cluster[Unit, Result], units: Iterable[Unit], show: Callable[[str], None]
) -> Iterator[Result]:
    """Do all units on the workers of a cluster, and yield their results in the order in which units finish.

    Workers may join and leave. A unit whose worker dies is tried again on another one. There are never more units
    in flight than workers have threads: units that wait on a worker would be blamed for its death, too.

    Args:
        cluster: where, and how.
        units: the units of work, in the order in which they are started.
        show: is told the numbers of workers and units in flight, and what a unit says of itself.

    Raises:
        InputError: no scheduler answers at the address, or a worker runs other versions.
        WorkError: there is no worker for `patience` seconds, the scheduler is gone, or units killed their workers.
    """
    from distributed import CancelledError, KilledWorker, wait

    waiting, lost, running, own = deque(units), list[Unit](), dict["Future[Any]", Unit](), cluster.own
    heard = Heard()
    with _connected(cluster) as client:
        if cluster.lines is not None:
            client.subscribe_topic(cluster.lines.topic, heard)
        try:
            since = time.monotonic()
            while waiting or running:
                threads = _threads(client, cluster.address)
                since = time.monotonic() if threads else since
                if time.monotonic() - since > cluster.patience:
                    raise WorkError(
                        f"--cluster {cluster.address}: no worker for {cluster.patience:g} s: "
                        f"start one (dask worker {cluster.address} --nthreads 1)"
                    )
                while waiting and len(running) < sum(threads.values()):
                    unit = waiting.popleft()
                    sent = client.submit(_do, cluster.send(unit), identity(), own, pure=False, retries=0)
                    running[sent] = unit
                said = first_of([heard.lines.get(worker, "") for worker in sorted(threads)])
                show(f"{len(threads)} workers, {len(running)} units in flight{said and f': {said}'}")
                if not running:
                    time.sleep(0.2)
                    continue
                try:
                    with client.as_current():
                        ended = wait(list(running), timeout=1, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    continue
                for future in ended:
                    unit = running.pop(future)
                    try:
                        results = future.result()
                    except KilledWorker:
                        lost.append(unit)
                        continue
                    finally:
                        future.release()
                    yield from results
        except CancelledError:
            raise WorkError(f"--cluster {cluster.address}: the scheduler is gone") from None
        finally:
            with suppress(
                OSError, TimeoutError, RuntimeError, ValueError, CancelledError
            ):  # if the scheduler is gone
                client.cancel(list(running), force=True)
    if lost:
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise WorkError(f"{lost[0]}{others}: killed each worker that tried it; the rest is done")


@contextmanager
def _connected(cluster: Cluster[Any, Any]) -> Iterator["Client"]:
    """A client of the scheduler at an address; for `local:N`, of one that is started here."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(f"--cluster {cluster.address}: needs dask: pip install 'lowpix[cluster]'") from None
    warnings.filterwarnings("ignore", "Sending large graph")  # a unit carries its images
    warnings.filterwarnings("ignore", "(?s)Port .* is already in use")  # of a dashboard, which nobody needs
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said in one line
    here = None
    if cluster.address.startswith(LOCAL):
        count = int(cluster.address.removeprefix(LOCAL))
        here = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)
    try:
        try:
            client = Client(here or cluster.address, timeout=cluster.patience, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as fault:
            reason = " ".join(str(fault).split())[:200]
            raise InputError(f"--cluster {cluster.address}: no scheduler answers ({reason})") from None
        try:
            yield client
        finally:
            client.close(timeout=5)
    finally:
        if here is not None:
            here.close(timeout=5)


def _threads(client: "Client", address: str) -> dict[str, int]:
    """The number of threads of each worker. Raises WorkError if the scheduler does not answer."""
    try:
        found: dict[str, int] = dict(client.nthreads())
    except (OSError, TimeoutError, RuntimeError, ValueError):
        raise WorkError(f"--cluster {address}: the scheduler is gone") from None
    return found


def _do(unit: Callable[[], Iterable[Any]], expected: Identity, own: Mapping[str, str]) -> list[Any]:
    """On a worker: all results of a unit."""
    from distributed import get_worker

    worker = f"--cluster: worker {get_worker().address}"
    if different := identity().difference(expected):
        raise InputError(f"{worker} runs {different}: install the same everywhere")
    for name, digest in own.items():
        try:
            same = _loaded(name) == digest
        except InputError as fault:
            raise InputError(f"{worker}: {fault}: copy it there") from None
        if not same:
            raise InputError(f"{worker} has another {name}: copy yours there, and restart it")
    with ONE_UNIT, one_thread():
        return list(unit())


@cache
def _loaded(acquisition: str) -> str:
    """The digest of the user's function as this process loaded it: a later change to its file has no effect."""
    return find_acquisition(acquisition).source


@cache
def identity() -> Identity:
    """What this process runs."""
    versions = tuple(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    return Identity(source_digest(Path(__file__).parents[1]), versions)


def source_digest(package: Path) -> str:
    """Of the names and contents of all Python files in a folder."""
    source = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        source.update(file.relative_to(package).as_posix().encode())
        source.update(file.read_bytes())
    return source.hexdigest()
