"""The web server that Prometheus scrapes: /metrics, /-/healthy, /-/ready and a page that links to them."""

from __future__ import annotations

import asyncio
import html
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from monitor import __version__
from monitor.errors import describe_exception
from monitor.hosts import bracketed, reachable
from monitor.web.access import AccessControl
from monitor.web.connections import WebListener, bind

_log = logging.getLogger(__name__)

_GRACE = 0.5  # seconds that answers under way have when the server stops
_RENDER_PAUSE = 0.02  # seconds between the beginnings of two renderings: in a storm of scrapes many share one
_HEAD_LIMIT = 16 * 1024  # bytes
_PIECE = 32 * 1024  # bytes handed over at a time: a client that does not read holds no more than a few of these

_PLAIN = "text/plain; charset=utf-8"
_SECURITY = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Pages(Protocol):
    """What the daemon has to show. Each is called in the server's thread and must not wait for anything."""

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body for a scraper that sent `accept`."""

    def stalled(self) -> list[str]:
        """Return one line in words per job that makes no progress."""

    def waiting(self) -> list[str]:
        """Return in words what is yet to be tried for the first time."""

    def index(self) -> list[str]:
        """Return the names of the environments."""


@dataclass(frozen=True, slots=True)
class WebResponse:
    """One HTTP response."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class WebServer:
    """The web server, in a thread of its own from `start` to `stop`.

    It listens from its creation on; `OSError` when it cannot.
    """

    def __init__(self, host: str, port: int, pages: Pages, guard: AccessControl | None = None) -> None:
        self._socket = bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        scheme = "https" if guard is not None and guard.door().context else "http"
        self.url = f"{scheme}://{bracketed(reachable(host))}:{self.port}"
        self._site = _Site(pages, guard)
        self._guard = guard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Return once requests are answered."""
        self._thread.start()
        self._started.wait()

    def stop(self, timeout: float = 2.0) -> None:
        """Let answers under way finish, close everything, and return within `timeout` seconds."""
        if not self._started.is_set():
            self._socket.close()
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._stop.set)
            except RuntimeError:  # it has ended meanwhile
                return
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 # a thread has nobody else to tell
            _log.error("the web server has ended: %s", describe_exception(error))
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_tell)
        listener = WebListener(self._socket, self._site, self._guard)
        listener.start()
        self._started.set()
        await self._stop.wait()
        await listener.close(_GRACE)


def _tell(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep what a client did to its own connection out of the operator's log."""
    error = context.get("exception")
    _log.debug("a connection was given up: %s", describe_exception(error) if error else context.get("message"))


class _Site:
    """The ASGI application: every page, and who may see it."""

    def __init__(self, pages: Pages, guard: AccessControl | None) -> None:
        self._pages = pages
        self._guard = guard
        self._rendering = _Shared(pages.metrics)
        self._routes: dict[str, Callable[[str], Awaitable[WebResponse]]] = {
            "/metrics": self._metrics,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            "/": self._index,
        }

    async def __call__(self, scope: Message, _receive: object, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        answer = await self._answer(scope, headers)
        extra = [] if self._guard is None else list(self._guard.door().config.headers)
        if _has_body(headers) or self._is_outdated(scope):
            extra.append((b"connection", b"close"))
        await _deliver(answer, extra, send)

    def _is_outdated(self, scope: Message) -> bool:
        """Return whether the connection began under an earlier policy: another certificate, another client CA.

        The response announces the close (RFC 9112 section 9.6), so that the client sends no further request on it.
        """
        return self._guard is not None and scope["state"]["visitor"].door is not self._guard.door()

    async def _answer(self, scope: Message, headers: dict[bytes, bytes]) -> WebResponse:
        if sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"]) > _HEAD_LIMIT:
            return _text(431, "The request's head is too large.")
        try:
            if self._guard is not None:
                authorization = headers.get(b"authorization", b"").decode("latin-1")
                refusal = await self._guard.refusal(scope["state"]["visitor"], scope["path"], authorization)
                if refusal is not None:
                    return _text(refusal.status, refusal.text, refusal.headers)
            route = self._routes.get(scope["path"])
            if route is None:
                return _text(404, "Not found")
            if scope["method"] not in ("GET", "HEAD"):
                return _text(405, "Method not allowed", ((b"allow", b"GET, HEAD"),))
            return await route(headers.get(b"accept", b"").decode("latin-1"))
        except Exception as error:  # noqa: BLE001 # one page that fails must not take the server along
            _log.error("%s could not be answered: %s", scope["path"][:40], describe_exception(error))
            return _text(500, "This page could not be made; the log says more.")

    async def _metrics(self, accept: str) -> WebResponse:
        content_type, body = await self._rendering.get(accept)
        return WebResponse(200, content_type, body)

    async def _healthy(self, _accept: str) -> WebResponse:
        stalled = self._pages.stalled()
        return _text(503, "\n".join(stalled)) if stalled else _text(200, "Healthy")

    async def _ready(self, _accept: str) -> WebResponse:
        waiting = self._pages.waiting()
        return _text(503, "\n".join(waiting)) if waiting else _text(200, "Ready")

    async def _index(self, _accept: str) -> WebResponse:
        names = "".join(f"<li>{html.escape(name)}</li>" for name in self._pages.index())
        return WebResponse(200, "text/html; charset=utf-8", _INDEX.format(version=__version__, names=names).encode())


def _has_body(headers: dict[bytes, bytes]) -> bool:
    """Return whether a body follows the header section; it is not read, so that the connection cannot go on."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


class _Shared:
    """Renderings that all share who ask before one begins, so that a storm of scrapes costs what one does.

    Nobody is given what was rendered before they asked.
    """

    def __init__(self, render: Callable[[str], tuple[str, bytes]]) -> None:
        self._render = render
        self._next: dict[str, asyncio.Future[tuple[str, bytes]]] = {}
        self._begun = float("-inf")

    async def get(self, accept: str) -> tuple[str, bytes]:
        future = self._next.get(accept)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._next[accept] = loop.create_future()
            loop.call_later(max(0.0, self._begun + _RENDER_PAUSE - time.monotonic()), self._run, accept, future)
        return await asyncio.shield(future)  # one who hangs up must not take it from the others

    def _run(self, accept: str, future: asyncio.Future[tuple[str, bytes]]) -> None:
        del self._next[accept]
        self._begun = time.monotonic()
        try:
            future.set_result(self._render(accept))
        except Exception as error:  # noqa: BLE001 # told to those who wait
            future.set_exception(error)


async def _deliver(answer: WebResponse, extra: list[tuple[bytes, bytes]], send: Send) -> None:
    ours = [(b"content-type", answer.content_type.encode("latin-1")), (b"content-length", b"%d" % len(answer.body))]
    replaced = {name for name, _ in extra}
    headers = [*ours, *answer.headers, *(h for h in _SECURITY if h[0] not in replaced), *(h for h in extra if h[1])]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    view = memoryview(answer.body)
    for start in range(0, len(view), _PIECE):
        await send({"type": "http.response.body", "body": bytes(view[start : start + _PIECE]), "more_body": True})
    await send({"type": "http.response.body"})


def _text(status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> WebResponse:
    return WebResponse(status, _PLAIN, f"{text}\n".encode(), headers)


_INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>tigr-monitor</title>
<style>body {{ font-family: sans-serif; margin: 2em auto; max-width: 40em }}</style></head>
<body>
<h1>tigr-monitor {version}</h1>
<p>Watches the TIGR Registry Client API in these environments:</p>
<ul>{names}</ul>
<p><a href="metrics">metrics</a> &middot; <a href="-/healthy">healthy</a> &middot; <a href="-/ready">ready</a></p>
</body>
</html>
"""
