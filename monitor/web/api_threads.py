"""Threads in which the web server responds to requests for the JSON interface, which may wait for the disk."""

from __future__ import annotations

import asyncio

from monitor.reporting.overview import Reports
from monitor.web.api import JsonInterface, unavailable
from monitor.web.responses import WebResponse

_MAX_REQUESTS = 16
_MAX_THREADS = 2


class ThreadedApi:
    """Responds to requests for the JSON interface without blocking the event loop."""

    def __init__(self, reports: Reports) -> None:
        self._api = JsonInterface(reports)
        self._requests = 0
        self._threads = asyncio.Semaphore(_MAX_THREADS)

    async def respond(self, method: str, path: str, query: str) -> WebResponse:
        """Return the response to a request whose path begins with `monitor.web.api.PREFIX`."""
        if self._requests >= _MAX_REQUESTS:
            return unavailable("too many requests are waiting; try again later")
        self._requests += 1
        try:
            async with self._threads:
                return await asyncio.to_thread(self._api.respond, method, path, query)
        finally:
            self._requests -= 1
