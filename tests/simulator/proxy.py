"""An HTTP proxy that tunnels (CONNECT), and an address that completes no connection, for tests of the network code."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from monitor.simulator.listener import AcceptedConnection, ConnectionListener
from monitor.simulator.message import BadRequestError, ReceivedRequest, SimulatedResponse, read_request

_TUNNEL_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One request that the proxy received."""

    method: str
    target: str  # host:port
    authorized: bool  # it had the required authorization; True if the proxy requires none
    user_agent: str
    status: int


class TunnelProxy:
    """A tunnelling proxy on 127.0.0.1, which runs inside a `with` block.

    `authorization` is the required value of the Proxy-Authorization header (407 without it); `refuse` is a status that
    refuses every tunnel; with `silent` the proxy reads the request and sends nothing.
    """

    def __init__(self, authorization: str | None = None, refuse: int | None = None, *, silent: bool = False) -> None:
        self._authorization = authorization
        self._refuse = refuse
        self._silent = silent
        self._lock = threading.Lock()
        self._log: list[Tunnel] = []
        self._listener = ConnectionListener(self._handle)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    @property
    def port(self) -> int:
        """Return the port of the proxy."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Return the URL of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> list[Tunnel]:
        """Return the received requests."""
        with self._lock:
            return list(self._log)

    def _handle(self, connection: AcceptedConnection) -> None:
        try:
            request = read_request(connection.receive)
        except BadRequestError as bad:
            connection.send(SimulatedResponse(bad.status).header_section(connection="close"))
            return
        if request is None:
            return
        authorized = self._authorization in (None, request.headers.get("proxy-authorization"))
        status = self._status(request, authorized=authorized)
        with self._lock:
            user_agent = request.headers.get("user-agent", "")
            self._log.append(Tunnel(request.method, request.target, authorized, user_agent, status))
        if self._silent:
            connection.hang()
        elif status == 200:
            self._tunnel(connection, request.target)
        else:
            headers = {"Proxy-Authenticate": 'Basic realm="proxy"'} if status == 407 else {}
            response = SimulatedResponse(status, b"refused by the proxy\n", "text/plain", headers)
            connection.send(response.header_section() + response.body)

    def _status(self, request: ReceivedRequest, *, authorized: bool) -> int:
        if not authorized:
            return 407
        return 405 if request.method != "CONNECT" else self._refuse or 200

    def _tunnel(self, connection: AcceptedConnection, target: str) -> None:
        host, _, port = target.rpartition(":")
        try:
            upstream = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        except OSError:
            connection.send(SimulatedResponse(502).header_section())
            return
        connection.send(_TUNNEL_ESTABLISHED)
        with upstream:
            upstream.settimeout(60)
            back = threading.Thread(target=_pump, args=(upstream, connection.socket), daemon=True)
            back.start()
            _pump(connection.socket, upstream)
            back.join(5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until the source ends, then shut down the sink."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class SilentAddress:
    """An address at which connections are neither accepted nor refused (on Linux, because its queue is full).

    Linux has every address of 127.0.0.0/8, so a name can have a silent and a working address on the same port.
    """

    def __init__(self, host: str = "127.0.0.2", port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._fillers: list[socket.socket] = []
        self.host = host
        self._socket.bind((host, port))
        self._socket.listen(0)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        for _ in range(2):  # one more than the backlog: the kernel ignores further ones
            filler = socket.socket(self._socket.family)
            filler.settimeout(0)
            filler.connect_ex((self.host, self.port))
            self._fillers.append(filler)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (*self._fillers, self._socket):
            sock.close()
