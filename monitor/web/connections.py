"""Connections to the web server: how many, for how long, and how much they may send before they are dropped.

uvicorn parses and frames HTTP here; accepting is done by us, because uvicorn's own server gives a TLS handshake a
minute, does not count connections that are in one, and wakes up ten times a second beside the measurements.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import resource
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from monitor.web.access import AccessControl, AccessPolicy, ConnectedClient

_log = logging.getLogger(__name__)

_TURN_LIMIT = 10.0  # seconds from the first byte of a request (or the connect) until its answer has left
_IDLE_LIMIT = 90  # seconds between requests: longer than usual scrape intervals, so that TLS is set up once
_MOST_CONNECTIONS = 256
_BACKLOG = 1024
_HEAD_LIMIT = 16 * 1024  # bytes
_NO_FD_PAUSE = 0.5  # seconds


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host`, on every address of both families if that is ''. Raises `OSError`."""
    if host == "" and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)


def most_connections() -> int:
    """Return how many connections may be open: probes must never run out of file descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if limit == resource.RLIM_INFINITY else max(8, min(_MOST_CONNECTIONS, limit // 4))


class WebListener:
    """Accepts on a listening socket and serves `app` to whom it accepts, in the running event loop."""

    def __init__(self, listening: socket.socket, app: Callable[..., Any], guard: AccessControl | None) -> None:
        listening.settimeout(0)  # as the event loop wants it
        self._socket = listening
        self._guard = guard
        self._most = most_connections()
        self._connections: set[_WebConnection] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._full = False
        self._state = ServerState()
        self._config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            loop="asyncio",
            log_config=None,
            log_level=logging.CRITICAL + 1,  # what clients do wrong is not the operator's concern
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_IDLE_LIMIT,
            h11_max_incomplete_event_size=_HEAD_LIMIT,
        )
        self._config.load()

    def start(self) -> None:
        """Accept from now on."""
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        """Take all who wait, at once: scrapes that come together can then share a rendering."""
        for _ in range(_BACKLOG):
            try:
                client, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor or no memory: the listening socket stays readable, so pause
                if not self._full:
                    _log.warning("connections to the web server cannot be accepted: %s", error.strerror)
                self._full = True  # and said
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket)
                self._paused = loop.call_later(_NO_FD_PAUSE, self.start)
                return
            self._full = False
            client.settimeout(0)
            if len(self._connections) >= self._most and not self._make_room():
                client.close()
                continue
            connection = _WebConnection(self._config, self._state, self._connections.discard, self._guard, address[0])
            self._connections.add(connection)
            connection.opening = asyncio.get_running_loop().create_task(self._open(connection, client))
            connection.opening.add_done_callback(functools.partial(_close_if_cancelled, client))

    async def _open(self, connection: _WebConnection, client: socket.socket) -> None:
        context = None if connection.door is None else connection.door.context
        limits: dict[str, Any] = (
            {} if context is None else {"ssl_handshake_timeout": _TURN_LIMIT, "ssl_shutdown_timeout": 1.0}
        )
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: connection, client, ssl=context, **limits)
        except OSError:  # which ssl.SSLError and timeouts are; the transport has closed the socket
            connection.gone()

    def _make_room(self) -> bool:
        """Drop the connection that has waited longest, before all those on which nothing was ever asked."""
        waiting = [connection for connection in self._connections if not connection.answering]
        if not waiting:
            return False
        min(waiting, key=lambda connection: (connection.served, connection.since)).drop()
        return True

    async def close(self, grace: float) -> None:
        """Stop listening, give answers under way `grace` seconds, drop what is left."""
        if self._paused is not None:
            self._paused.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._state.tasks:
                    await asyncio.wait(set(self._state.tasks))
        left = list(self._connections)
        for connection in left:
            connection.drop()
        await asyncio.gather(*(connection.opening for connection in left), return_exceptions=True)
        for _ in range(2):  # turns of the loop in which the transports close their sockets
            await asyncio.sleep(0)


def _close_if_cancelled(client: socket.socket, opening: asyncio.Task[None]) -> None:
    if opening.cancelled():  # perhaps before it began, and then nobody else holds the socket
        client.close()


class _WebConnection(H11Protocol):
    """One connection, from its acceptance on, with a limit on each turn: request, answer, and its being read."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        forget: Callable[[_WebConnection], None],
        guard: AccessControl | None,
        address: str,
    ) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.door: AccessPolicy | None = None if guard is None else guard.door()
        self._address = address
        self.opening: asyncio.Task[None]  # set by whoever opens it, at once
        self.served = 0
        self._forget = forget
        self._limit = self._begin()

    @property
    def answering(self) -> bool:
        """Whether a request is complete and its answer is not."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request, whatever uvicorn declares
        return cycle is not None and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        if self.door is not None:
            self.app_state["visitor"] = ConnectedClient(
                self._address, self.door, transport.get_extra_info("peercert") or None
            )
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._limit.cancel()
            self._limit = self._begin()
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._busy = False
        self.served += 1
        self.since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def gone(self) -> None:
        """Forget this connection; it is closed."""
        self._limit.cancel()
        self._forget(self)

    def drop(self) -> None:
        """Close at once, whatever state it is in."""
        transport: asyncio.Transport | None = self.transport  # None during the handshake, whatever uvicorn declares
        if transport is not None:
            transport.abort()
        else:
            self.opening.cancel()
        self.gone()

    def _begin(self) -> asyncio.TimerHandle:
        """Begin a turn, and return its limit."""
        self._busy = True
        self.since = self.loop.time()
        return self.loop.call_later(_TURN_LIMIT, self._expire)

    def _expire(self) -> None:
        if self._busy or self.transport.get_write_buffer_size() > 0:
            self.drop()
