"""A server that records how its clients end their connections: close_notify, FIN or RST."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
from dataclasses import dataclass, field
from enum import StrEnum

from tests.support.local_server import LocalServer

_TIMEOUT = 30.0  # seconds
_CLOSE_WAIT = 8  # tcpi_state of a connection that its peer has ended with FIN; a reset one is in state 7, CLOSE


class End(StrEnum):
    """A way in which a client ends its side of a connection."""

    ALERT = "alert"  # a TLS alert other than close_notify
    CLOSE_NOTIFY = "close_notify"
    FIN = "FIN"
    RST = "RST"


@dataclass(slots=True)
class Recorded:
    """The bytes of a client (decrypted, if there is TLS), and its ends in order."""

    data: bytes = b""
    ends: list[End] = field(default_factory=list)


class ConnectionRecorder(LocalServer):
    """A server on a port of 127.0.0.1 that runs inside `with`. It ends no connection before the client does.

    With a `context` it expects TLS. `greeting` is sent first, before TLS; `silent` keeps it from replying to
    close_notify. After a FIN it sends some bytes, so that a client that has already closed its socket resets them.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, greeting: bytes = b"", silent: bool = False) -> None:
        super().__init__()
        self._context = context
        self._greeting = greeting
        self._silent = silent
        self._recorded: queue.Queue[Recorded] = queue.Queue()

    @property
    def url(self) -> str:
        """The URL of this server, `https` if it expects TLS."""
        return f"{'https' if self._context else 'http'}://localhost:{self.port}/path"

    def next(self) -> Recorded:
        """Wait for the end of the next connection, and return its record. Raises `queue.Empty` after 30 s."""
        return self._recorded.get(timeout=_TIMEOUT)

    def serve(self, connection: socket.socket) -> None:
        """Record the bytes and the ends of one connection."""
        connection.settimeout(_TIMEOUT)
        recorded = Recorded()
        with contextlib.suppress(OSError):
            connection.sendall(self._greeting)
        try:
            self._serve(connection, recorded)
        except (BrokenPipeError, ConnectionResetError):
            recorded.ends.append(End.RST)
        finally:
            connection.close()
        self._recorded.put(recorded)

    def _serve(self, connection: socket.socket, recorded: Recorded) -> None:
        if self._context is None:
            _read(connection, recorded)
            recorded.ends.append(_end(connection, silent=self._silent))
            return
        with self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        ) as secured:
            self._serve_tls(secured, recorded)

    def _serve_tls(self, secured: ssl.SSLSocket, recorded: Recorded) -> None:
        try:
            secured.do_handshake()
            _read(secured, recorded)
            recorded.ends.append(End.CLOSE_NOTIFY)
            if not self._silent:
                secured.unwrap()
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError:
            recorded.ends.append(End.ALERT)
        while socket.socket.recv(secured, 65536):  # without TLS
            pass
        recorded.ends.append(_end(secured, silent=self._silent))


def _read(connection: socket.socket, recorded: Recorded) -> None:
    while data := connection.recv(65536):
        recorded.data += data


def _end(connection: socket.socket, *, silent: bool) -> End:
    """Return how TCP ended, from the kernel's state: SSLSocket raises SSLEOFError also for some resets.

    Unless `silent`, send twice: a client that has already closed its socket resets the first, which fails the second.
    """
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    if state != _CLOSE_WAIT:
        return End.RST
    for _ in range(0 if silent else 2):
        socket.socket.sendall(connection, b"x")  # without TLS
    return End.FIN
