"""Threads in which the web server responds to requests for the JSON interface, which may wait for the disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from monitor.reporting.overview import Reports
from monitor.web.api import INCIDENTS, JsonInterface, unavailable
from monitor.web.responses import WebResponse

_MAX_REQUESTS = 16
_MAX_THREADS = 2
_LARGE = 256 * 1024  # bytes
_MAX_HELD = 16 * 1024 * 1024  # bytes of large bodies that clients have not received; a larger one is sent alone
_TOO_LARGE = unavailable("too many large responses are being sent; try again later")


class ThreadedApi:
    """Responds to requests for the JSON interface without blocking the event loop."""

    def __init__(self, reports: Reports) -> None:
        self._api = JsonInterface(reports)
        self._requests = 0
        self._held = 0  # bytes
        self._listing = asyncio.Lock()  # held while incidents are listed: 10,000 take up to 100 MB for a moment
        self._threads = asyncio.Semaphore(_MAX_THREADS)

    async def respond(self, method: str, path: str, query: str) -> WebResponse:
        """Return the response to a request whose path begins with `monitor.web.api.PREFIX`."""
        if self._requests >= _MAX_REQUESTS:
            return unavailable("too many requests are waiting; try again later")
        self._requests += 1
        try:
            if path != INCIDENTS:
                return await self._respond(method, path, query)
            async with self._listing:
                if self._held > _MAX_HELD:  # this list would not be sent either
                    return _TOO_LARGE
                return await self._respond(method, path, query)
        finally:
            self._requests -= 1

    async def _respond(self, method: str, path: str, query: str) -> WebResponse:
        async with self._threads:
            return await asyncio.to_thread(self._api.respond, method, path, query)

    @contextlib.contextmanager
    def held(self, response: WebResponse) -> Iterator[WebResponse]:
        """Yield the response to send, which is another one while slow clients hold too many large bodies."""
        size = len(response.body)
        if size < _LARGE:
            yield response
        elif self._held and self._held + size > _MAX_HELD:
            del response
            yield _TOO_LARGE
        else:
            self._held += size
            try:
                yield response
            finally:
                self._held -= size
