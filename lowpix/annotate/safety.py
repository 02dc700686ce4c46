"""What keeps other pages and other people out: Host, Origin, a token, sizes, and headers for the browser."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 1 << 20
"""Largest body of a request."""
COOKIE = "lowpix_token"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Safety:
    """Wraps an ASGI app, and refuses what does not come from the page itself.

    A page of another host cannot post, because its Origin differs, and cannot read by a name of its own that leads
    here, because the Host differs. Whoever listens on more than this computer also needs the token.

    Args:
        app: the app to protect.
        host: the address that the server listens on.
        token: needed in the address or a cookie; None on this computer alone.
    """

    def __init__(self, app: App, host: str, token: str | None) -> None:
        self._app, self._host, self._token = app, host, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await _answer(send, *refusal)
            return
        if self._given_token(scope) and scope["method"] == "GET" and scope["path"] == "/":
            cookie = f"{_cookie(scope)}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._token is None and _name(host) not in {"localhost", "127.0.0.1", "[::1]", _bracketed(self._host)}:
            return 403, f"Host {host}: this server answers to its own address alone"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, f"Origin {origin}: only the page itself may ask"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            return 403, "only the page itself may ask"
        if scope["method"] == "POST" and headers.get("content-type", "").split(";")[0] != "application/json":
            return 415, "content-type: must be application/json"
        if int(headers.get("content-length") or 0) > MOST_BYTES:
            return 413, f"the body is larger than {MOST_BYTES} bytes"
        if self._token is not None:
            given = [*_cookies(headers, _cookie(scope)), self._given_token(scope) or ""]
            if not any([secrets.compare_digest(one.encode(), self._token.encode()) for one in given]):
                return 403, "this address needs the token that the server printed: open http://…/?token=…"
        return None

    def _given_token(self, scope: Scope) -> str | None:
        values = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        return values[0] if values and self._token is not None else None


def _cookie(scope: Scope) -> str:
    """The cookie's name. Browsers give the cookies of a host to all its ports, so the port is in the name."""
    return f"{COOKIE}_{(scope.get('server') or ('', ''))[1]}"


def _cookies(headers: dict[str, str], name: str) -> list[str]:
    """The values of a cookie. The standard parser stops at a cookie that it cannot read."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return [value for key, _, value in pairs if key == name]


def is_own(host: str) -> bool:
    """Whether only this computer can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.split(":")[0]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _limited(receive: Receive) -> Receive:
    """Ends a body that is larger than MOST_BYTES, whatever its header says."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return message if size <= MOST_BYTES else {"type": "http.disconnect"}

    return limited


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message.get("headers", []), *own]
        await send(message)

    return sent


async def _answer(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    own = {"content-type": "text/plain; charset=utf-8", **HEADERS, **(headers or {})}
    lines = [(name.encode(), value.encode("latin-1", "replace")) for name, value in own.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": text.encode()})
