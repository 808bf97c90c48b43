"""Web server: /metrics, /-/healthy, /-/ready, the JSON interface, and an index page that links to them."""

from __future__ import annotations

import asyncio
import gzip
import html
import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, Protocol

from monitor import __version__
from monitor.errors import describe_exception
from monitor.hosts import bracketed, reachable_address
from monitor.log import fields
from monitor.output.failure_period import FailurePeriod
from monitor.reporting.overview import Reports
from monitor.web.access import AccessControl
from monitor.web.api import PREFIX
from monitor.web.api_threads import ThreadedApi
from monitor.web.connections import WebListener
from monitor.web.listening import bind
from monitor.web.negotiation import accepts_gzip, metrics_format
from monitor.web.responses import WebResponse, text_response

_log = logging.getLogger(__name__)

_STOP_GRACE = 0.5  # seconds that pending responses have when the server stops
_RENDER_INTERVAL = 0.02  # seconds between the starts of two renderings, so that simultaneous scrapes share one
_MAX_HEADER_SECTION = 16 * 1024  # bytes
_CHUNK_SIZE = 32 * 1024  # bytes per write: a client that does not read occupies a few chunks of memory

_GZIP_LEVEL = 1  # compresses 29 kB to 4 kB in 0.08 ms
_ABSOLUTE_FORM = re.compile(r"https?://[^/?#]*", re.IGNORECASE)  # of a request target, before its path

_SECURITY_HEADERS = [
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
Headers = dict[bytes, bytes]


class Pages(Protocol):
    """Content of the pages. Its methods run in the event loop of the server and must not block."""

    @property
    def reports(self) -> Reports:
        """Return the content of the JSON interface, whose methods run in threads of their own."""

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of the metrics for a format, which is a valid value of the Accept field."""

    def stalled(self) -> list[str]:
        """Return one line of text per job that makes no progress."""

    def waiting(self) -> list[str]:
        """Return one line of text per probe that has not run yet."""

    def index(self) -> list[str]:
        """Return the names of the environments."""


class WebServer:
    """Web server, in a thread of its own from `start` to `stop`.

    The socket listens from the creation on. Raises `OSError` if it cannot listen.
    """

    def __init__(self, host: str, port: int, pages: Pages, access: AccessControl | None = None) -> None:
        self._socket = bind(host, port)
        self.port: int = self._socket.port
        scheme = "https" if access is not None and access.policy().context else "http"
        self.url = f"{scheme}://{bracketed(reachable_address(host))}:{self.port}"
        self._application = _Application(pages, access)
        self._access = access
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._start_failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Start the thread; return when the server accepts connections.

        Raises the exception that prevents it, for want of a file descriptor or of a thread, for example.
        """
        self._thread.start()
        self._started.wait()
        if self._start_failure is not None:
            raise self._start_failure

    def stop(self, timeout: float = 2.0) -> None:
        """Wait briefly for pending responses, close everything, and return within `timeout` seconds."""
        if not self._started.is_set():
            self._socket.close()
            return
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._stop.set)
            except RuntimeError:  # the event loop has ended meanwhile
                return
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 # nothing above the thread reports it
            if not self._started.is_set():
                self._start_failure = error
                return
            _log.error("the web server stopped unexpectedly: %s", describe_exception(error))
        finally:
            self._socket.close()  # after an error: clients are refused instead of waiting
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_log_client_error)
        listener = WebListener(self._socket, self._application, self._access)
        listener.start()
        self._started.set()
        await self._stop.wait()
        await listener.close(_STOP_GRACE)


def _log_client_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log at level debug: errors of a client on its own connection do not concern the operator."""
    error = context.get("exception")
    _log.debug("connection dropped: %s", describe_exception(error) if error else context.get("message"))


class _Application:
    """ASGI application: access control and pages."""

    def __init__(self, pages: Pages, access: AccessControl | None) -> None:
        self._pages = pages
        self._access = access
        self._api = ThreadedApi(pages.reports)
        self._rendering = _SingleFlight(pages.metrics)
        self._failures: defaultdict[str, FailurePeriod] = defaultdict(FailurePeriod)  # by page
        self._routes: dict[str, Callable[[Headers], Awaitable[WebResponse]]] = {
            "/metrics": self._metrics,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            "/": self._index,
        }

    async def __call__(self, scope: Message, _receive: object, send: Send) -> None:
        headers = _joined(scope["headers"])
        response = await self._response(scope, headers)
        await _deliver(response, self._extra_headers(scope, headers), send)

    def _extra_headers(self, scope: Message, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return the configured headers, and `Connection: close` if this response is the last one.

        It is the last one on a connection that began under another policy (certificate, client CA, users, headers).
        The announcement keeps the client from sending a request that would be lost (RFC 9112 section 9.6).
        """
        policy = None if self._access is None else self._access.policy()
        extra = [] if policy is None else list(policy.config.headers)
        is_outdated = policy is not None and scope["state"]["client"].policy is not policy
        if is_outdated or _has_body(headers):
            extra.append((b"connection", b"close"))
        return extra

    async def _response(self, scope: Message, headers: Headers) -> WebResponse:
        size = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"])
        if size > _MAX_HEADER_SECTION:
            return text_response(431, "The header section of the request is too large.")
        path = _path(scope)
        page = path if path in self._routes else PREFIX if path.startswith(PREFIX) else "an unknown page"
        try:
            response = await self._page(scope, headers, path)
        except Exception as error:  # noqa: BLE001 # a page that fails must not stop the server
            if self._failures[page].failed(fault := describe_exception(error)):
                _log.error("cannot respond to a request for %s", page, extra=fields(fault=fault))
            return text_response(500, "This page cannot be rendered; see the log of tigr-monitor.")
        if failed := self._failures[page].succeeded():
            _log.info("requests for %s get responses again", page, extra=fields(failed=failed))
        return response

    async def _page(self, scope: Message, headers: Headers, path: str) -> WebResponse:
        if self._access is not None:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            denial = await self._access.denial(scope["state"]["client"], authorization)
            if denial is not None:
                return text_response(denial.status, denial.text, denial.headers)
        if path.startswith(PREFIX):
            return await self._api.respond(scope["method"], path, scope["query_string"].decode("latin-1"))
        route = self._routes.get(path)
        if route is None:
            return text_response(404, "Not found")
        if scope["method"] not in ("GET", "HEAD"):
            return text_response(405, "Method not allowed", ((b"allow", b"GET, HEAD"),))
        return await route(headers)

    async def _metrics(self, headers: Headers) -> WebResponse:
        rendering = await self._rendering.get(metrics_format(headers.get(b"accept", b"").decode("latin-1")))
        vary = (b"vary", b"accept, accept-encoding")
        if accepts_gzip(headers.get(b"accept-encoding", b"").decode("latin-1")):
            return WebResponse(200, rendering.content_type, rendering.gzipped, (vary, (b"content-encoding", b"gzip")))
        return WebResponse(200, rendering.content_type, rendering.body, (vary,))

    async def _healthy(self, _headers: Headers) -> WebResponse:
        stalled = self._pages.stalled()
        return text_response(503, "\n".join(stalled)) if stalled else text_response(200, "Healthy")

    async def _ready(self, _headers: Headers) -> WebResponse:
        waiting = self._pages.waiting()
        return text_response(503, "\n".join(waiting)) if waiting else text_response(200, "Ready")

    async def _index(self, _headers: Headers) -> WebResponse:
        names = "".join(f"<li>{html.escape(name)}</li>" for name in self._pages.index())
        return WebResponse(200, "text/html; charset=utf-8", _INDEX.format(version=__version__, names=names).encode())


def _has_body(headers: Headers) -> bool:
    """Return whether a body follows the header section. It is not read, so the connection cannot be used again."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _joined(headers: list[tuple[bytes, bytes]]) -> Headers:
    """Return the headers by name; several fields of one name are one list (RFC 9110 section 5.3)."""
    joined: Headers = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def _path(scope: Message) -> str:
    """Return the path of the request target, also of one in absolute form (RFC 9112 section 3.2.2)."""
    target: str = scope["path"]
    absolute = _ABSOLUTE_FORM.match(target)
    return target if absolute is None else target[absolute.end() :] or "/"


class _Rendering:
    """Metrics in one format, compressed at most once."""

    def __init__(self, content_type: str, body: bytes) -> None:
        self.content_type = content_type
        self.body = body

    @cached_property
    def gzipped(self) -> bytes:
        return gzip.compress(self.body, _GZIP_LEVEL, mtime=0)


class _SingleFlight:
    """Single-flight rendering: requests that arrive before a rendering starts share it.

    A request never gets a rendering that started before the request.
    """

    def __init__(self, render: Callable[[str], tuple[str, bytes]]) -> None:
        self._render = render
        self._next: dict[str, asyncio.Future[_Rendering]] = {}
        self._last_start = float("-inf")

    async def get(self, accept: str) -> _Rendering:
        future = self._next.get(accept)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._next[accept] = loop.create_future()
            loop.call_later(max(0.0, self._last_start + _RENDER_INTERVAL - time.monotonic()), self._run, accept, future)
        return await asyncio.shield(future)  # a client that disconnects must not cancel it for others

    def _run(self, accept: str, future: asyncio.Future[_Rendering]) -> None:
        del self._next[accept]
        self._last_start = time.monotonic()
        try:
            future.set_result(_Rendering(*self._render(accept)))
        except Exception as error:  # noqa: BLE001 # raised in the waiting requests
            future.set_exception(error)


async def _deliver(response: WebResponse, extra: list[tuple[bytes, bytes]], send: Send) -> None:
    basic = [
        (b"content-type", response.content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(response.body)),
    ]
    replaced = {name for name, _ in extra}
    headers = [
        *basic,
        *response.headers,
        *(h for h in _SECURITY_HEADERS if h[0] not in replaced),
        *(h for h in extra if h[1]),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    view = memoryview(response.body)
    for start in range(0, len(view), _CHUNK_SIZE):
        await send({"type": "http.response.body", "body": bytes(view[start : start + _CHUNK_SIZE]), "more_body": True})
    await send({"type": "http.response.body"})


_INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>tigr-monitor</title>
<style>body {{ font-family: sans-serif; margin: 2em auto; max-width: 40em }}</style></head>
<body>
<h1>tigr-monitor {version}</h1>
<p>Monitors the TIGR Registry Client API in these environments:</p>
<ul>{names}</ul>
<p><a href="metrics">metrics</a> &middot; <a href="-/healthy">healthy</a> &middot; <a href="-/ready">ready</a></p>
</body>
</html>
"""
