"""The page's server: photographs, labels and questions go out, answers come in."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import resources
from io import BytesIO
from math import sqrt
from statistics import median
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lowpix.annotate.engine import Engine
from lowpix.annotate.frame import read_photo
from lowpix.annotate.keys import COMMANDS
from lowpix.annotate.requests import do
from lowpix.annotate.safety import App, Safety
from lowpix.annotate.store import Store
from lowpix.annotate.trainer import Trainer
from lowpix.data import Dataset
from lowpix.errors import InputError
from lowpix.reveal.log import UNSURE, VOID

SHOWN_PIXELS = 4_000_000
"""Larger photographs are shown at a smaller size."""
EXACT_PIXELS = 1_000_000
"""Smaller photographs are shown without loss."""
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
NOT_KEPT = {"cache-control": "no-store"}
RECONNECT = 500  # milliseconds after which a page that lost the server looks for it again; browsers wait for 3,000
HEARTBEAT = 10.0  # seconds without news after which a line keeps the connection open


class Server:
    """The app, and what it needs.

    Args:
        store: answers and classes.
        engine: trains, and gives views.
        dataset: gives the data set with the classes as they are now.
        fixed_classes: whether the data set names its classes itself, so that the page cannot change them.
        truth: gives the true label of a pixel, to simulate a person; None for a person.
        train: begins to train a network on the images that are done.
        trainer: says how far that is.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        dataset: Callable[[], Dataset],
        fixed_classes: bool,
        truth: Callable[[int, int, int], int] | None,
        train: Callable[[], None],
        trainer: Trainer,
    ) -> None:
        self._store, self._engine, self._dataset = store, engine, dataset
        self._fixed, self._truth = fixed_classes, truth
        self._train, self._trainer = train, trainer
        trainer.ended = self._publish_all
        self._project = store.about()["project"]
        self._listeners: dict[asyncio.Event, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = False
        self._photo = lru_cache(4)(self._encoded_photo)

    def app(self, host: str, token: str | None) -> App:
        """The ASGI app, protected for a server that listens on `host`."""
        routes = [
            Route("/", self._static),
            Route("/static/{name}", self._static),
            Route("/api/start", self._start),
            Route("/api/live/{image:int}", self._live),
            Route("/api/photo/{image:int}", self._send_photo),
            Route("/api/labels/{image:int}", self._labels),
            Route("/api/truth/{image:int}/{row:int}/{column:int}", self._true_label),
            Route("/api/do", self._do, methods=["POST"]),
            Route("/api/classes", self._change_classes, methods=["POST"]),
            Route("/api/train", self._begin_training, methods=["POST"]),
        ]
        faults: Any = {InputError: _refused, OSError: _failed, sqlite3.Error: _failed}
        return Safety(Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=faults), host, token)

    def publish(self, image: int) -> None:
        """Send the view of an image to the pages that show it; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, image)

    def _publish_all(self) -> None:
        for image in set(self._listeners.values()):
            self.publish(image)

    def end(self) -> None:
        """Let pages go, so that the server can stop."""
        self._ends = True
        self._wake_all()

    def _wake(self, image: int) -> None:
        for event, shown in self._listeners.items():
            if shown == image:
                event.set()

    def _wake_all(self) -> None:
        for event in self._listeners:
            event.set()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        yield

    async def _static(self, request: Request) -> Response:
        """A file of the page. Only the names that are in the package are served."""
        name = request.path_params.get("name", "index.html")
        content = _files().get(name)
        if content is None:
            raise HTTPException(404)
        kind = TYPES[name.rsplit(".", 1)[1]]
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    async def _start(self, request: Request) -> Response:
        """What the page needs once."""
        about = {
            "void": VOID,
            "unsure": UNSURE,
            "commands": sorted(COMMANDS),
            "fixed": self._fixed,
            "simulate": self._truth is not None,
        }
        return JSONResponse({**about, **await run_in_threadpool(self._all)})

    async def _live(self, request: Request) -> Response:
        """Server-sent events: the view of an image, again whenever it changes."""
        image = request.path_params["image"]
        self._store.image(image)
        return StreamingResponse(self._views(image), media_type="text/event-stream", headers=NOT_KEPT)

    async def _views(self, image: int) -> AsyncIterator[str]:
        changed = asyncio.Event()
        changed.set()
        self._listeners[changed] = image
        try:
            with self._engine.shown(image):
                yield f"retry: {RECONNECT}\n\n"
                while not self._ends:
                    try:
                        await asyncio.wait_for(changed.wait(), HEARTBEAT)
                    except TimeoutError:
                        yield ": still here\n\n"
                        continue
                    if self._ends:
                        return
                    changed.clear()
                    yield f"data: {json.dumps(await run_in_threadpool(self._view, image))}\n\n"
        finally:
            del self._listeners[changed]

    def _view(self, image: int) -> dict[str, Any]:
        return {**self._engine.view(image), **self._all()}

    def _all(self) -> dict[str, Any]:
        """What concerns all images."""
        images, clicks, seconds = self._store.images(), self._store.clicks(), self._store.seconds()
        done = [image.id for image in images if image.status == "done"]
        open_ = sum(image.status == "open" for image in images)
        each = median(seconds) if seconds else None
        spent = [clicks.get(number, 0) for number in done]
        palette = self._dataset().palette.tolist()
        classes = self._store.classes()
        return {
            "project": self._project,
            "images": [(image.id, image.name, image.status, clicks.get(image.id, 0)) for image in images],
            "classes": [
                {"name": name, "key": key, "colour": colour}
                for (name, key), colour in zip(classes, palette, strict=False)
            ],
            "network": self._trainer.line,
            "clicks": sum(clicks.values()),
            "seconds": each,
            "left": each * open_ * sum(spent) / len(spent) if each and spent else None,
        }

    async def _send_photo(self, request: Request) -> Response:
        """A photograph, upright, as PNG or JPEG."""
        content, kind = await run_in_threadpool(self._photo, request.path_params["image"])
        return Response(content, media_type=kind, headers={"cache-control": "private, max-age=600"})

    def _encoded_photo(self, image: int) -> tuple[bytes, str]:
        photo = read_photo(self._dataset(), self._store.image(image).name)
        picture, pixels = Image.fromarray(photo), photo.shape[0] * photo.shape[1]
        if pixels > SHOWN_PIXELS:
            shrink = sqrt(SHOWN_PIXELS / pixels)
            size = max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink))
            picture = picture.resize(size, Image.Resampling.BOX)
        buffer = BytesIO()
        if pixels <= EXACT_PIXELS:
            picture.save(buffer, format="png", compress_level=1)
            return buffer.getvalue(), "image/png"
        picture.save(buffer, format="jpeg", quality=92)
        return buffer.getvalue(), "image/jpeg"

    async def _labels(self, request: Request) -> Response:
        """The labels of an image at the size of work, a byte a pixel."""
        found = self._engine.labels(request.path_params["image"])
        if found is None:
            raise HTTPException(404)
        version, labels = found
        headers = {
            "x-version": str(version),
            "x-size": f"{labels.shape[0]} {labels.shape[1]}",
            **NOT_KEPT,
        }
        return Response(labels.tobytes(), media_type="application/octet-stream", headers=headers)

    async def _true_label(self, request: Request) -> Response:
        if self._truth is None:
            raise HTTPException(404)
        place = (request.path_params[name] for name in ("image", "row", "column"))
        return JSONResponse(await run_in_threadpool(self._truth, *place))

    async def _do(self, request: Request) -> Response:
        """Answers and other requests. They are on disk when this returns."""
        requests = await self._body(request, list)
        if not all(isinstance(one, dict) for one in requests):
            raise InputError("the body must be a list of requests")
        results = await run_in_threadpool(do, self._store, requests)
        for image in {result["image"] for result in results if "image" in result}:
            self._engine.changed(image)
        self._wake_all()  # pages of other images, too: they show how many are done
        return JSONResponse(results)

    async def _change_classes(self, request: Request) -> Response:
        """Add or rename a class."""
        wanted = await self._body(request, dict)
        name, key, number = wanted.get("name"), wanted.get("key"), wanted.get("class")
        if self._fixed:
            raise InputError("the data set names its own classes: change them there, and start again")
        if not isinstance(name, str):
            raise InputError("a class needs a name")
        if number is not None:
            if not isinstance(number, int):
                raise InputError(f"class {number!r}: must be a number")
            await run_in_threadpool(self._store.rename_class, number, name)
        else:
            if not isinstance(key, str) or len(key) != 1 or key in {*COMMANDS, ","} or not key.isprintable():
                raise InputError(f"key {key!r}: must be one character, no comma and no command of the page")
            await run_in_threadpool(self._store.add_class, name, key)
            self._engine.classes_changed()
        self._wake_all()
        return JSONResponse({})

    async def _begin_training(self, request: Request) -> Response:
        await self._body(request, dict)
        await run_in_threadpool(self._train)
        self._wake_all()
        return JSONResponse({})

    async def _body(self, request: Request, kind: type[Any]) -> Any:
        """The body of a request, from a page of this project. Raises InputError if it is not the expected JSON."""
        if request.headers.get("x-project", self._project) != self._project:
            raise HTTPException(409, "this page belongs to another folder: reload it")
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise InputError("the body is no JSON") from None
        except ClientDisconnect:
            raise HTTPException(413) from None
        if not isinstance(body, kind):
            raise InputError(f"the body must be a {kind.__name__}")
        return body


@lru_cache(1)
def _files() -> dict[str, bytes]:
    """The files of the page, by name."""
    folder = resources.files("lowpix.annotate") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rsplit(".", 1)[-1] in TYPES}


async def _refused(request: Request, fault: Exception) -> Response:
    return PlainTextResponse(str(fault), 400)


async def _failed(request: Request, fault: Exception) -> Response:
    what = "the answer could not be kept" if request.url.path == "/api/do" else "failed on the server"
    return PlainTextResponse(f"{what}: {fault}", 500)
