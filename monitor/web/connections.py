"""Connections to the web server, with limits on their number, their time and the size of their requests.

uvicorn parses and frames HTTP. This module accepts the connections, because uvicorn's server allows a TLS handshake
one minute, does not count connections during the handshake, and wakes up ten times a second, which disturbs the
measurements.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextlib
import functools
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from monitor.hosts import client_network, is_loopback
from monitor.web.access import AccessControl, AccessPolicy, ConnectedClient
from monitor.web.listening import ListeningSockets

_log = logging.getLogger(__name__)

_EXCHANGE_TIMEOUT = 10.0  # seconds from the connect or the first byte of a request until the response is sent
_IDLE_TIMEOUT = 90  # seconds between requests: longer than usual scrape intervals, so that one TLS handshake is enough
_MAX_CONNECTIONS = 256
_LOOPBACK_SHARE = (
    16  # one of so many connections is kept for clients on this machine: health checks, a local Prometheus
)
_BACKLOG = 1024
# Connections accepted in one iteration of the event loop. The descriptors of dropped connections are closed in the next
# iterations, so that a burst of 1,200 connections needs about 300 descriptors, not one each.
_MAX_ACCEPTS = 16
_MAX_HEADER_SECTION = 16 * 1024  # bytes
# Bytes of the buffer that asyncio allocates for each TLS connection; its own 256 KiB are 64 MiB for 256 connections.
_TLS_BUFFER = _MAX_HEADER_SECTION
_ACCEPT_RETRY_INTERVAL = 0.5  # seconds after an accept that failed
_ACCEPT_RECOVERY_INTERVAL = 30.0  # seconds without such a failure until the period of failures has ended


def max_connections() -> int:
    """Return the limit of open connections, which leaves enough file descriptors for the probes."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if limit == resource.RLIM_INFINITY else max(8, min(_MAX_CONNECTIONS, limit // 4))


class WebListener:
    """Accepts connections on listening sockets and serves `app` on them, in the running event loop."""

    def __init__(self, listening: ListeningSockets, app: Callable[..., Any], access: AccessControl | None) -> None:
        listening.settimeout(0)  # the event loop needs a non-blocking socket
        self._socket = listening
        self._access = access
        self._max_connections = max_connections()
        self._connections: set[_WebConnection] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._accept_recovery: asyncio.TimerHandle | None = None  # set during a period of failures
        self._state = ServerState()
        self._config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            loop="asyncio",
            log_config=None,
            log_level=logging.CRITICAL + 1,  # errors of clients do not belong in the operator's log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_IDLE_TIMEOUT,
            h11_max_incomplete_event_size=_MAX_HEADER_SECTION,
        )
        self._config.load()
        asyncio.sslproto.SSLProtocol.max_size = _TLS_BUFFER

    def start(self) -> None:
        """Start to accept connections."""
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        """Accept waiting connections. The socket stays readable if there are more, so the event loop calls again."""
        for _ in range(_MAX_ACCEPTS):
            try:
                client, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor or no memory; the socket stays readable: pause
                loop = asyncio.get_running_loop()
                # Single accepts succeed during a period of failures, whenever another connection ends.
                if self._accept_recovery is None:
                    _log.warning("the web server cannot accept connections: %s", error.strerror)
                else:
                    self._accept_recovery.cancel()
                self._accept_recovery = loop.call_later(_ACCEPT_RECOVERY_INTERVAL, self._accept_recovered)
                loop.remove_reader(self._socket)
                self._paused = loop.call_later(_ACCEPT_RETRY_INTERVAL, self.start)
                return
            client.settimeout(0)
            if not self._has_room(client_network(address[0])):
                client.close()
                continue
            connection = _WebConnection(self._config, self._state, self._connections.discard, self._access, address[0])
            self._connections.add(connection)
            connection.opening = asyncio.get_running_loop().create_task(self._open(connection, client))
            connection.opening.add_done_callback(functools.partial(_close_if_cancelled, client))

    def _accept_recovered(self) -> None:
        self._accept_recovery = None
        _log.info("the web server accepts all connections again")

    async def _open(self, connection: _WebConnection, client: socket.socket) -> None:
        context = None if connection.policy is None else connection.policy.context
        limits: dict[str, Any] = (
            {} if context is None else {"ssl_handshake_timeout": _EXCHANGE_TIMEOUT, "ssl_shutdown_timeout": 1.0}
        )
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: connection, client, ssl=context, **limits)
        except (OSError, asyncio.CancelledError):  # OSError: also TLS and timeouts; the transport has closed the socket
            # A cancelled task would keep the exception, and with it all objects of the connection, in a cycle until the
            # next garbage collection: thousands of dropped TLS connections were 700 MB.
            connection.discard()

    def _has_room(self, network: str) -> bool:
        """Return whether a connection from `network` can be served, perhaps after another one was dropped."""
        kept = max(1, self._max_connections // _LOOPBACK_SHARE)
        remote = [connection for connection in self._connections if not connection.is_local]
        if not is_loopback(network) and len(remote) >= self._max_connections - kept:
            return self._drop_one(network, remote)
        return len(self._connections) < self._max_connections or self._drop_one(network, self._connections)

    def _drop_one(self, network: str, candidates: Iterable[_WebConnection]) -> bool:
        """Drop one of `candidates` for a connection from `network`, and return False if all are busy.

        Clients that do not read their response go first, then idle connections of the network that has the most, the
        new one included, and of these the ones that have served the fewest requests.
        """
        count = Counter(connection.network for connection in self._connections)
        count[network] += 1
        droppable = [connection for connection in candidates if connection.stalled or not connection.responding]
        if not droppable:
            return False
        min(droppable, key=lambda c: (not c.stalled, -count[c.network], c.served, c.since)).drop()
        return True

    async def close(self, grace: float) -> None:
        """Stop listening, wait up to `grace` seconds for pending responses, then drop all connections."""
        for timer in (self._paused, self._accept_recovery):
            if timer is not None:
                timer.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._state.tasks:
                    await asyncio.wait(set(self._state.tasks))
        remaining = list(self._connections)
        for connection in remaining:
            connection.drop()
        await asyncio.gather(*(connection.opening for connection in remaining), return_exceptions=True)
        for _ in range(2):  # iterations of the event loop in which the transports close their sockets
            await asyncio.sleep(0)


def _close_if_cancelled(client: socket.socket, opening: asyncio.Task[None]) -> None:
    if opening.cancelled():  # perhaps before the task started, so that no transport owns the socket
        client.close()


class _WebConnection(H11Protocol):
    """One accepted connection, with a time limit on each exchange: request, response, and its transmission."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        on_closed: Callable[[_WebConnection], None],
        access: AccessControl | None,
        address: str,
    ) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.policy: AccessPolicy | None = None if access is None else access.policy()
        self._address = address
        self.network = client_network(address)
        self.is_local = is_loopback(self.network)
        self.opening: asyncio.Task[None]  # set by the listener right after the creation
        self.served = 0
        self._on_closed = on_closed
        self._half_closed = False  # the client sends no more
        self._timer = self._begin()

    @property
    def responding(self) -> bool:
        """Return whether a request is complete and its response is not."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request, despite its declared type
        return cycle is not None and not cycle.response_complete

    @property
    def stalled(self) -> bool:
        """Return whether the client leaves part of its response unread."""
        transport: asyncio.Transport | None = self.transport  # None during the handshake, despite its declared type
        return transport is not None and transport.get_write_buffer_size() > 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        if self.policy is not None:
            self.app_state["client"] = ConnectedClient(
                self._address, self.policy, transport.get_extra_info("peercert") or None
            )
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._timer.cancel()
            self._timer = self._begin()
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn's returns None, which closes the connection
        """Return whether the connection stays open: a client may close its side before it has read the response.

        Not with TLS: asyncio closes the connection in any case, and would log a warning.
        """
        self._half_closed = True
        return self.responding and self.scheme == "http"

    def on_response_complete(self) -> None:
        self._busy = False
        self.served += 1
        self.since = self.loop.time()
        super().on_response_complete()
        if self._half_closed and not self.responding:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.discard()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def discard(self) -> None:
        """Remove this connection from the listener; it is closed."""
        self._timer.cancel()
        self._on_closed(self)

    def drop(self) -> None:
        """Close the connection at once, in any state."""
        transport: asyncio.Transport | None = self.transport  # None during the handshake, despite its declared type
        if transport is not None:
            transport.abort()
        else:
            self.opening.cancel()
        self.discard()

    def _begin(self) -> asyncio.TimerHandle:
        """Start an exchange, and return the timer of its limit."""
        self._busy = True
        self.since = self.loop.time()
        return self.loop.call_later(_EXCHANGE_TIMEOUT, self._expire)

    def _expire(self) -> None:
        if self._busy or self.transport.get_write_buffer_size() > 0:
            self.drop()
