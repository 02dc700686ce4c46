"""Open a folder of photographs for annotation, serve the page, and write what comes out."""

import json
import os
import secrets
import socket
import sqlite3
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock, Thread
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lowpix.annotate.coco import coco
from lowpix.annotate.engine import Engine, Finished
from lowpix.annotate.keys import keys_of
from lowpix.annotate.options import Options
from lowpix.annotate.safety import is_own
from lowpix.annotate.stop import Stop
from lowpix.annotate.store import FILE, Store
from lowpix.annotate.teacher import Teacher
from lowpix.data import Dataset, spread
from lowpix.data.folder import classes_and_keys
from lowpix.data.options import open_data
from lowpix.errors import InputError
from lowpix.reveal.log import VOID
from lowpix.study.folder import require_apart
from lowpix.study.image_runs import IMAGES
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, read_settings

if TYPE_CHECKING:
    from lowpix.annotate.output import Output
    from lowpix.annotate.server import Server

COCO = "annotations.json"
UNNAMED = "--classes: name the classes of your photographs, such as --classes sky,road,car,tree"


class Project:
    """Photographs with their answers, and what comes out of them.

    Raises:
        InputError: an option is out of range, the data set cannot be opened, the folder belongs to other
            photographs, or another process works on it.
    """

    def __init__(self, options: Options) -> None:
        options.check()
        if options.photos is not None:
            options = replace(options, dataset="folder", data_root=options.photos)
        self.options = options
        self.fixed_classes = bool(open_data(replace(options, classes=None), seed=options.seed).classes)
        dataset = open_data(options, seed=options.seed)
        self.out = options.out or _beside(options, dataset)
        require_apart(self.out, dataset.folders)
        _require_own(self.out)
        for warning in dataset.warnings():
            print(f"warning: {warning}", file=sys.stderr)
        # whoever makes no classes finds out before a folder is made
        if not dataset.classes and not self.out.exists():
            raise InputError(UNNAMED)
        if options.simulate and all(dataset.labels(name) is None for name in dataset.images):
            raise InputError(f"--simulate: {dataset.title} has no label maps that could answer")
        self.store = Store(self.out)
        try:
            self._take_classes(dataset)
            self._take_images(dataset)
        except BaseException:
            self.store.close()
            raise
        self.teacher = Teacher(options, self.out, self.store, self.fixed_classes)
        self.ends = options.export != "none"
        """Whether no page is or will be open, so that no network can help."""
        self._writing = Lock()

    @cached_property
    def output(self) -> "Output":
        """What comes out. Nothing does before torch is there."""
        from lowpix.annotate.output import Output, settings_of

        options = self.options
        settings = settings_of(options.seed, options.stop, options.max_pixels)
        oracle = "label map" if options.simulate else "person"
        return Output(self.out, self.dataset, self.store, settings, oracle, options.seed)

    def dataset(self) -> Dataset:
        """The data set, with its classes as they are now."""
        names = None if self.fixed_classes else ",".join(name for name, _ in self.store.classes())
        return _opened(replace(self.options, classes=names))

    def truth(self, image: int, row: int, column: int) -> int:
        """The true label of a pixel, VOID included."""
        labels = self._true_labels(self.store.image(image).name)
        return int(labels[row, column]) if row < labels.shape[0] and column < labels.shape[1] else VOID

    def save(self, finished: Finished) -> None:
        """Write the label map of a finished image. A network is trained if there are enough for the next one."""
        with self._writing:
            self.output.save(finished)
        saved = {image.id for image in self.store.images() if image.saved is not None} | {finished.id}
        if not self.ends and self.teacher.due(len(saved)):
            Thread(target=self._train_unasked, daemon=True).start()

    def write(self) -> str:
        """Write tables, pictures and exports; return a line that says what there is."""
        with self._writing:
            study = self.output.write()
            if study is None:
                return "no image is done yet, so there are no label maps"
            tables, dataset = study.tables(), self.dataset()
            names = list(tables.summary["image"])
            if self.options.export == "coco":
                files = ((_file(dataset, name), self.output.label_map(study, name)) for name in names)
                study.seal.write({COCO: coco(files, dataset.classes)})
            again = sum(image.status == "open" and image.saved is not None for image in self.store.images())
            note = f"; {again} of them are open again, with the label maps from before" if again else ""
            told = set(tables.revealed["label"])
            untold = [name for label, name in enumerate(dataset.classes) if label not in told]
            note += f"; no answer in them is {' or '.join(untold)}" if untold and names else ""
            return f"{len(names)} of {len(self.store.images())} images are labelled: {self.out}{note}"

    def unfinished(self) -> int:
        """Number of images that are done, but whose label maps are not saved yet."""
        done = [image for image in self.store.images() if image.status == "done"]
        return sum(image.saved != self.store.answers(image.id)[-1].number for image in done)

    def train(self) -> None:
        """Train a network on the images that are done, beside the page. Raises InputError if there are none."""
        if self.teacher.running:
            return
        with self._writing:
            study = self.output.write()
        images = 0 if study is None else len(study.tables().summary)
        if not images and self.unfinished():
            raise InputError("the first label map is still being written: try again in a moment")
        self.teacher.train(images)

    def _train_unasked(self) -> None:
        try:
            self.train()
        except (InputError, OSError, sqlite3.Error) as fault:
            print(f"warning: no network is trained: {fault}", file=sys.stderr)

    @lru_cache(4)  # noqa: B019 - one project a process
    def _true_labels(self, name: str) -> NDArray[np.uint8]:
        labels = self.dataset().labels(name)
        if labels is None:
            raise InputError(f"--simulate: image {name} has no label map")
        return labels

    def _take_classes(self, dataset: Dataset) -> None:
        """Begin with the classes of the data set or the option, or go on with those of the store."""
        known, given = self.store.classes(), list(dataset.classes)
        names = [name for name, _ in known]
        if not given and not known:
            raise InputError(UNNAMED)
        if known and given and given[: len(names)] != names:
            raise InputError(
                f"--classes {','.join(given)}: {self.out} has {','.join(names)}: leave --classes out (classes are "
                "added and renamed on the page), or name another --out"
            )
        if len(given or names) < 2:
            raise InputError(f"--classes {','.join(given or names)}: there must be at least 2")
        if given:
            own = ",".join(f"{name}:{key}" for name, key in known) if known else None
            self.store.set_classes(given, keys_of(given, _keys(self.options.classes) or own))
            if len(given) > len(names) > 0:
                self.store.forget_fits()

    def _take_images(self, dataset: Dataset) -> None:
        """Add the images of the data set to the store. Raises InputError if it belongs to other images."""
        own = json.dumps({key: value for key, value in dataset.settings.items() if key != "classes"}, default=str)
        about = self.store.about()
        if about.get("dataset", own) != own:
            raise InputError(f"{self.out}: holds answers to {about['dataset']}, not {own}: name another --out")
        if about.get("seed", str(self.options.seed)) != str(self.options.seed):
            raise InputError(f"--seed {self.options.seed}: {self.out} was begun with {about['seed']}")
        names = spread(dataset.images, self.options.limit) if self.options.limit else dataset.images
        self.store.remove_images({image.name for image in self.store.images()} - set(dataset.images))
        if gone := {image.name for image in self.store.images()} - set(dataset.images):
            raise InputError(
                f"{min(gone)}: has answers in {self.out}, but is no longer in {dataset.title}: put it back"
            )
        self.store.add_images(names)
        project = about.get("project", secrets.token_hex(8))
        self.store.tell_about({"dataset": own, "seed": str(self.options.seed), "project": project})


def annotate(options: Options) -> Project:
    """Serve the page until Ctrl-C or SIGTERM, then write tables and pictures. With `export`, only write.

    Raises:
        InputError: as `Project`; or the port is taken.
    """
    try:
        import uvicorn

        from lowpix.annotate.server import Server
    except ModuleNotFoundError as missing:
        raise InputError(f"annotate: needs {missing.name}: pip install 'lowpix[annotate]'") from None
    project = Project(options)
    options = project.options
    published: list[Callable[[int], None]] = [lambda image: None]
    engine = Engine(
        project.store,
        project.dataset(),
        project.out,
        Stop(options.stop, options.max_pixels, options.target),
        project.save,
        lambda image: published[-1](image),
        options.seed,
        options.carry_over,
    )
    project.teacher.ready = engine.network_ready
    try:
        engine.start()
        if options.export == "none":
            truth = project.truth if options.simulate else None
            server = Server(
                project.store,
                engine,
                project.dataset,
                project.fixed_classes,
                truth,
                project.train,
                project.teacher.trainer,
            )
            published.append(server.publish)
            _serve(server, options, uvicorn)
        project.ends = True
        if left := project.unfinished():
            print(f"writing {left} more label maps; Ctrl-C leaves them for the next start", flush=True)
            engine.finish()
        print(project.write())
        if (project.out / "study.toml").exists():
            print("Next, a network learns from these labels, and labels other photographs:")
            print("\n".join(f"  {line}" for line in project.teacher.next_commands()))
        return project
    finally:
        project.teacher.trainer.close()
        engine.close()
        project.store.close()


def _serve(server: "Server", options: Options, uvicorn: ModuleType) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    token = None if is_own(options.host) else secrets.token_urlsafe(16)
    config = uvicorn.Config(
        server.app(options.host, token), log_level="warning", timeout_graceful_shutdown=2, lifespan="on"
    )
    runner = uvicorn.Server(config)

    def end(number: int, frame: FrameType | None) -> None:
        runner.should_exit = True  # without uvicorn's own handler, which raises the signal again at the end
        server.end()

    runner.handle_exit = end
    with _listening(options) as listener:
        query = f"?token={token}" if token else ""
        address = f"http://{_shown_host(options.host)}:{listener.getsockname()[1]}/{query}"
        print(f"{address}  (Ctrl-C ends it; nothing is lost)", flush=True)
        if options.browser:
            _open_browser(address)
        runner.run(sockets=[listener])


def _require_own(out: Path) -> None:
    """Raise InputError, before the page opens, for a folder in which tables could not be written at the end."""
    record = out / "study.toml"
    if not record.exists():
        return
    settings = read_settings(record)
    if read_kind(record) != IMAGES.name or not settings.get("oracles") or not (out / FILE).exists():
        raise InputError(f"{out}: holds another study: name another --out")
    Seal(out).require_unchanged()


def _beside(options: Options, dataset: Dataset) -> Path:
    """The default folder: beside the photographs, never inside."""
    if dataset.name == "folder":
        root = Path(options.data_root or dataset.folders[0]).resolve()
        return root.with_name(f"{root.name}_labelled")
    return Path("results") / f"{dataset.title}_{dataset.split}_labelled"


@lru_cache(1)
def _opened(options: Options) -> Dataset:
    return open_data(options, seed=options.seed)


def _keys(classes: str | None) -> str | None:
    """The text of the option, if it names any key."""
    return classes if classes and any(key for _, key in classes_and_keys(classes)) else None


def _file(dataset: Dataset, name: str) -> str:
    path = dataset.image_file(name)
    return name if path is None else f"{name}{path.suffix}"


def _listening(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except (OSError, OverflowError) as fault:
        raise InputError(
            f"--host {options.host} --port {options.port}: cannot be listened on ({fault}): name another --port"
        ) from None


def _shown_host(host: str) -> str:
    named = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"[{named}]" if ":" in named else named


def _open_browser(address: str) -> None:
    """Open the page, if there is a screen: otherwise a browser in text mode would take the terminal."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    Thread(target=webbrowser.open, args=(address,), daemon=True).start()
