"""Train and ask beside the server: one thread trains, another reads photographs and computes their features.

The server tells the engine that answers have changed, and asks it for a *view* of an image: what the page shows.
The engine works on the answers of the store alone, so whatever happens in between, the next round follows them.

Importing torch takes seconds. The thread that trains does it, and the page and its first questions do not wait.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lowpix.annotate.bench import Bench
from lowpix.annotate.frame import Frame, read_photo
from lowpix.annotate.stop import Stop, end, look
from lowpix.annotate.store import Answer, Store
from lowpix.annotate.teacher import newest
from lowpix.annotate.view import view_of
from lowpix.data import Dataset
from lowpix.data.check import pixels_digest
from lowpix.errors import InputError
from lowpix.seeds import seed_for
from lowpix.study.folder import file_name

if TYPE_CHECKING:
    import torch

    from lowpix.annotate.carried import Carried
    from lowpix.reveal.smoothing import Edges

NETWORK = "mlp"
LOADED = 5
"""Number of images kept in memory, features included: about 75 MB each, twice that where a network helps."""


@dataclass(frozen=True)
class Finished:
    """An image that is done: all that its label map and tables are made from."""

    id: int
    name: str
    frame: Frame
    answers: tuple[Answer, ...]
    fits: tuple[int, ...]
    selection: str
    """How pixels were selected, in words."""
    helped_by: int
    """Number of images that the network learned from which helped; 0 without one."""
    probabilities: NDArray[np.float32]
    """`(C, h, w)` at the size of work."""


class Engine:
    """The images of a store at work.

    Args:
        store: answers and images.
        dataset: the photographs.
        out: folder for the networks.
        stop: when an image is done.
        save: writes the label map and the run of a finished image.
        publish: is called with the number of an image whose view has changed, from any thread.
        seed: seed of first pixels and initial weights.
        carry_over: whether networks of the images that are done help the next ones.
    """

    def __init__(
        self,
        store: Store,
        dataset: Dataset,
        out: Path,
        stop: Stop,
        save: Callable[[Finished], None],
        publish: Callable[[int], None],
        seed: int = 0,
        carry_over: bool = False,
    ) -> None:
        self._store, self._dataset, self._out, self._stop = store, dataset, out, stop
        self._save, self._publish, self._seed, self._carry_over = save, publish, seed, carry_over
        self._benches: dict[int, Bench] = {}
        self._inputs: dict[int, tuple[torch.Tensor, Edges, Carried | None]] = {}
        """What the networks and the smoothing read, by image, and what other images tell."""
        self._faults: dict[int, str] = {}
        self._stale: set[int] = set()
        """Images with answers that the networks may not know."""
        self._unwritten: set[int] = set()
        """Images with networks that their file does not hold."""
        self._finishing = {
            image.id for image in store.images() if image.status == "done" and self._unsaved(image.id)
        }
        self._saving: list[Finished] = []
        self._focus = 0
        self._shown: list[int] = []
        """The image of each page that is open."""
        self._changed = Condition()
        self._closing = False
        self._awake = False
        """Whether torch is there."""
        self._threads = [Thread(target=self._guarded, args=(work,)) for work in (self._train, self._prepare)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait until the label maps of all images that are done are saved."""
        with self._changed:
            self._changed.notify_all()
            while (self._finishing or self._saving) and all(thread.is_alive() for thread in self._threads):
                self._changed.wait(0.5)

    def close(self) -> None:
        """End the threads, after the round and the image that they work on."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def look_at(self, image: int) -> None:
        """The page shows this image: it comes first."""
        with self._changed:
            self._focus = image
            self._changed.notify_all()

    @contextmanager
    def shown(self, image: int) -> Iterator[None]:
        """A page shows this image: it comes first, and stays in memory until the page leaves it."""
        with self._changed:
            self._shown.append(image)
        self.look_at(image)
        try:
            yield
        finally:
            with self._changed:
                self._shown.remove(image)

    def changed(self, image: int) -> None:
        """The answers or the status of an image have changed."""
        self._faults.pop(image, None)  # it may have passed: try again
        with self._changed:
            if self._store.image(image).status == "done" and self._unsaved(image):
                self._finishing.add(image)
            self._stale.add(image)
            if image not in self._benches:  # in a tab that has not opened it lately
                self._focus = image
            self._changed.notify_all()

    def classes_changed(self) -> None:
        """There is a class more: all networks begin anew, with the answers that are there."""
        self._store.forget_fits()
        with self._changed:
            self._stale.update(self._benches)
            self._changed.notify_all()

    def network_ready(self) -> None:
        """There is a newer network of the images that are done: it helps all images without any answer."""
        with self._changed:
            unanswered = [number for number in self._benches if not self._store.answers(number)]
            for number in unanswered if self._carry_over else ():
                del self._benches[number]
                self._inputs.pop(number, None)
            self._changed.notify_all()

    def labels(self, image: int) -> tuple[int, NDArray[np.uint8]] | None:
        """The version of an image's labels, and the labels at the size of work; None while there are none."""
        bench = self._benches.get(image)
        if bench is None or bench.labels is None:
            return None
        return bench.version, bench.labels

    def view(self, image: int) -> dict[str, Any]:
        """What the page shows of an image, as JSON."""
        return view_of(self._store, image, self._benches.get(image), self._stop) | {
            "fault": self._faults.get(image)
        }

    def _unsaved(self, image: int) -> bool:
        answers = self._store.answers(image)
        return bool(answers) and self._store.image(image).saved != answers[-1].number

    # the thread that trains

    def _train(self) -> None:
        from lowpix.study.threads import one_thread

        with one_thread():
            with self._changed:
                self._awake = True
                self._changed.notify_all()
            while (number := self._wait_for_round()) is not None:
                with self._keeping_faults(number):
                    self._round(number)
                self._publish(number)

    def _wait_for_round(self) -> int | None:
        """The image to work on, as soon as there is one; None at the end."""
        with self._changed:
            while (number := self._next_round()) is None and not self._closing:
                self._changed.wait()
            if self._closing or number is None:
                return None
            self._stale.discard(number)
            return number

    def _next_round(self) -> int | None:
        """The image to work on: the one on the page first."""
        waiting = [
            number
            for number in self._benches
            if number in self._stale or (number in self._finishing and number in self._inputs)
        ]
        return min(waiting, key=lambda number: number != self._focus, default=None)

    def _round(self, number: int) -> None:
        bench, image = self._benches.get(number), self._store.image(number)
        if bench is None:
            return  # it was forgotten, or a newer network came
        answers, classes = self._store.answers(number), len(self._store.classes())
        networks = self._out / "restart" / f"{file_name(image.name)}.safetensors"
        old = bench.session is None or bench.session.classes != classes
        if old and (read := self._inputs.get(number)):
            inputs, edges, carried = read
            bench.begin(inputs, edges, classes, answers, image.fits, networks, carried)
        if bench.session is not None:
            if bench.behind(answers):
                self._publish(number)  # the page says that it trains
            if bench.round(answers):
                self._unwritten.add(number)
            if number in self._unwritten:
                bench.session.save_networks(networks)
                self._unwritten.discard(number)
            self._store.set_fits(number, bench.session.log.fits)
            self._ask(number, bench, classes)
            self._publish(number)  # nobody waits for a question until the labels are smoothed
            bench.label()
            look(self._store, number, bench, self._store.answers(number), self._stop)
        answers = self._ask(number, bench, classes)
        if end(self._store, number, answers, self._stop):
            with self._changed:
                self._finishing.add(number)
        if number in self._finishing and bench.session is not None and not bench.behind(answers):
            self._finish(number, bench, answers)

    def _ask(self, number: int, bench: Bench, classes: int) -> list[Answer]:
        """Renew the questions after all answers, some of which may have come meanwhile; gives the answers."""
        answers = self._store.answers(number)
        bench.ask(answers, classes, self._store.image(number).audits, self._stop.most)
        return answers

    def _finish(self, number: int, bench: Bench, answers: list[Answer]) -> None:
        assert bench.session is not None, "it was trained"
        with self._changed:  # or a status that comes just now would be forgotten
            image = self._store.image(number)
            if image.status != "done" or not bench.session.log.revealed:
                self._finishing.discard(number)
                return
        finished = Finished(
            number,
            image.name,
            bench.frame,
            tuple(answers),
            tuple(bench.session.log.fits),
            bench.session.selection_name,
            bench.helped_by,
            bench.probabilities(),
        )
        with self._changed:
            self._saving.append(finished)
            if self._store.answers(number) == answers:  # otherwise it is done anew, with the answers that came
                self._finishing.discard(number)
            self._changed.notify_all()

    # the thread that reads photographs

    def _prepare(self) -> None:
        while True:
            with self._changed:
                while (job := self._next_job()) is None and not self._closing:
                    self._changed.wait()
                if job is None or (self._closing and isinstance(job, int)):
                    return
            if isinstance(job, int):
                with self._keeping_faults(job):
                    self._load(job)
                self._publish(job)
            else:
                with self._keeping_faults(job.id):
                    self._save(job)
                    self._store.set_saved(job.id, job.answers[-1].number)
                with self._changed:
                    self._saving.remove(job)
                    self._changed.notify_all()
                self._publish(job.id)

    def _next_job(self) -> int | Finished | None:
        """An image to load, or a finished one to save: the image on the page first."""
        wanted = [number for number in self._wanted() if number not in self._inputs and number not in self._faults]
        if wanted and wanted[0] == self._focus:
            return wanted[0]
        if self._saving:
            return self._saving[0]
        return wanted[0] if wanted else None

    def _wanted(self) -> list[int]:
        """Images to keep in memory: those on pages, some that are done but not saved, the next open one."""
        shown, finishing = [self._focus, *self._shown] if self._focus else [], sorted(self._finishing)[:2]
        after = [image.id for image in self._store.images() if image.status == "open" and image.id > self._focus]
        return list(dict.fromkeys([*shown, *finishing, *(after[:1] if shown else [])]))

    def _load(self, number: int) -> None:
        """Read a photograph; its first questions can be asked at once, its features take seconds."""
        image = self._store.image(number)
        photo = read_photo(self._dataset, image.name)
        digest = pixels_digest(photo)
        if image.digest is None and (note := self._dataset.note(image.name)):
            print(f"warning: {note}", file=sys.stderr)
        if image.digest not in (None, digest):
            raise InputError(f"{image.name}: the photograph has changed since its first answer")
        height, width = photo.shape[:2]
        self._store.set_size(number, height, width, digest)
        frame = Frame(height, width)
        bench = Bench(frame, frame.shrink(photo), seed_for(self._seed, self._dataset.name, image.name, "session"))
        bench.ask(self._store.answers(number), len(self._store.classes()), image.audits, self._stop.most)
        with self._changed:
            self._benches[number] = bench
            self._make_room()
        self._publish(number)
        read = self._features(bench.small)
        if read is None:
            return
        carried = self._help(number, bench)
        with self._changed:
            if self._benches.get(number) is not bench:
                return  # a newer network came: it is read again
            self._inputs[number] = *read, carried
            self._stale.add(number)
            self._changed.notify_all()

    def _features(self, photo: NDArray[np.uint8]) -> "tuple[torch.Tensor, Edges] | None":
        """What the networks and the smoothing read of a photograph; None if the engine closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._awake or self._closing)
            if not self._awake:
                return None
        import torch

        from lowpix.networks import find_network
        from lowpix.reveal.smoothing import Edges

        device = torch.device("cpu")
        return find_network(NETWORK).inputs(photo, device), Edges.of(photo, device)

    def _help(self, number: int, bench: Bench) -> "Carried | None":
        """What other images tell about an image that is being read."""
        from lowpix.annotate.carried import carried_over

        image = self._store.image(number)
        kept = self._out / "restart" / "priors" / f"{file_name(image.name)}.safetensors"
        network = newest(self._out, len(self._store.classes())) if self._carry_over else None
        return carried_over(kept, bool(image.fits), network, bench.frame, bench.small)

    def _make_room(self) -> None:
        """Forget images that are not wanted, the oldest first."""
        kept = {*self._wanted(), *self._stale}
        for number in [number for number in self._benches if number not in kept]:
            if len(self._benches) <= LOADED:
                return
            del self._benches[number]
            self._inputs.pop(number, None)

    @contextmanager
    def _keeping_faults(self, number: int) -> Iterator[None]:
        """Show a fault of an image on its page; the others go on."""
        try:
            yield
            self._faults.pop(number, None)
        except (InputError, OSError, sqlite3.Error, MemoryError) as fault:
            self._faults[number] = str(fault) or "memory ran out"
            self._finishing.discard(number)
            print(f"error: {self._faults[number]}", file=sys.stderr)

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread that dies takes the server's answers with it: say so on every page."""
        try:
            work()
        except Exception as fault:
            for image in self._store.images():
                self._faults[image.id] = f"the server has stopped working ({type(fault).__name__}: {fault})"
            self._publish(self._focus)
            raise
