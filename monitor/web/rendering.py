"""Renderings that several clients share: each is compressed at most once, and simultaneous scrapes wait for one."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from functools import cached_property

from monitor.web.exchange import WebRequest
from monitor.web.negotiation import accepts_gzip
from monitor.web.responses import WebResponse

_GZIP_LEVEL = 1  # compresses 29 kB to 4 kB in 0.08 ms
_RENDER_INTERVAL = 0.02  # seconds between the starts of two renderings, so that simultaneous scrapes share one


class Rendering:
    """A body for several clients, compressed at most once."""

    def __init__(self, content_type: str, body: bytes) -> None:
        self.content_type = content_type
        self.body = body

    @cached_property
    def _gzipped(self) -> bytes:
        return gzip.compress(self.body, _GZIP_LEVEL, mtime=0)

    def response(self, request: WebRequest, vary: bytes, *headers: tuple[bytes, bytes]) -> WebResponse:
        """Return the response in the coding that the client accepts; `vary` is the value of the Vary field."""
        common = ((b"vary", vary), *headers)
        if accepts_gzip(request.header(b"accept-encoding")):
            return WebResponse(200, self.content_type, self._gzipped, (*common, (b"content-encoding", b"gzip")))
        return WebResponse(200, self.content_type, self.body, common)


class SingleFlight:
    """Single-flight rendering: requests that arrive before a rendering starts share it.

    A request never gets a rendering that started before the request.
    """

    def __init__(self, render: Callable[[str], tuple[str, bytes]]) -> None:
        self._render = render
        self._next: dict[str, asyncio.Future[Rendering]] = {}
        self._last_start = float("-inf")

    async def get(self, accept: str) -> Rendering:
        """Return a rendering for `accept` that starts after this call. Raises the exception of the rendering."""
        future = self._next.get(accept)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._next[accept] = loop.create_future()
            loop.call_later(max(0.0, self._last_start + _RENDER_INTERVAL - time.monotonic()), self._run, accept, future)
        return await asyncio.shield(future)  # a client that disconnects must not cancel it for others

    def _run(self, accept: str, future: asyncio.Future[Rendering]) -> None:
        del self._next[accept]
        self._last_start = time.monotonic()
        try:
            future.set_result(Rendering(*self._render(accept)))
        except Exception as error:  # noqa: BLE001 # raised in the waiting requests
            future.set_exception(error)
