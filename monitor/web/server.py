"""Web server: the status page, the JSON interface, /metrics, /-/healthy and /-/ready."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from monitor.errors import describe_exception
from monitor.hosts import bracketed, reachable_address
from monitor.web.access import AccessControl
from monitor.web.application import Application, Pages
from monitor.web.connections import WebListener
from monitor.web.listening import bind

_log = logging.getLogger(__name__)

_STOP_GRACE = 0.5  # seconds that pending responses have when the server stops


class WebServer:
    """Web server, in a thread of its own from `start` to `stop`.

    The socket listens from the creation on. Raises `OSError` if it cannot listen.
    """

    def __init__(self, host: str, port: int, pages: Pages, access: AccessControl | None = None) -> None:
        self._socket = bind(host, port)
        self.port: int = self._socket.port
        scheme = "https" if access is not None and access.policy().context else "http"
        self.url = f"{scheme}://{bracketed(reachable_address(host))}:{self.port}"
        self._application = Application(pages, access)
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
