"""Listening sockets: a port that can refuse connections for a while, and a thread for each accepted connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

_BACKLOG = 128
_MAX_CONNECTIONS = 256  # at once, per port; further ones are closed without being read
_IDLE_TIMEOUT = 120.0  # seconds without a byte until a connection is closed


class AcceptedConnection:
    """One accepted connection, in plain text until `secure`. Methods raise the OSError of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._aborted = threading.Event()
        sock.settimeout(_IDLE_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def tls_version(self) -> str | None:
        """Return the TLS version, as `ssl` names it; None without TLS."""
        return self._socket.version() if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def socket(self) -> socket.socket:
        """Return the socket, for data that bypasses TLS."""
        return self._socket

    def secure(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake."""
        with self._lock:
            self._socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            secured = self._socket
        self.pause(0)
        secured.do_handshake()

    def receive(self, size: int) -> bytes:
        """Return at most `size` bytes; none if the client closed the connection."""
        return self._socket.recv(size)

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self._socket.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait for so many seconds. Raises ConnectionAbortedError if the simulator stops meanwhile."""
        if self._aborted.wait(seconds) if seconds > 0 else self._aborted.is_set():
            raise ConnectionAbortedError("the simulator is stopping")

    def hang(self) -> None:
        """Send nothing until the client closes the connection."""
        while self.receive(65536):
            pass

    def reset(self) -> None:
        """Close the connection with a RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Close the connection in order: with TLS, send close_notify first."""
        with self._lock, self._socket as sock:
            if isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and not self._aborted.is_set():
                sock.settimeout(0)  # send close_notify, and do not wait for the client's
                with contextlib.suppress(OSError, ValueError):
                    sock.unwrap()

    def abort(self) -> None:
        """Wake up the thread that waits on this connection; it sees a closed connection or an error."""
        self._aborted.set()
        with self._lock, contextlib.suppress(OSError):
            # Not the method of SSLSocket: it removes TLS while the other thread reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class ConnectionListener:
    """A port that handles each connection in a separate thread."""

    def __init__(self, handle: Callable[[AcceptedConnection], None], host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind the port. Raises OSError. `start` begins to accept connections."""
        self._handle = handle
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._open: dict[AcceptedConnection, threading.Thread] = {}
        self._acceptor: threading.Thread | None = None
        self._socket = _bound(host, port)
        self.host: str = host
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Accept connections from now on; has no effect if it already does."""
        with self._lock:
            if self._acceptor is None:
                self._socket.listen(_BACKLOG)
                name = f"simulator-{self.port}"
                self._acceptor = threading.Thread(target=self._accept, args=(self._socket,), name=name, daemon=True)
                self._acceptor.start()

    def refuse(self) -> None:
        """Refuse connections from now on, and keep the port: a bound socket that does not listen refuses them."""
        with self._lock:
            if self._acceptor is not None:
                self._stop_accepting()
                self._socket = _bound(self.host, self.port)

    def close(self) -> None:
        """Stop accepting, end every connection, and wait for their threads."""
        with self._lock:
            self._stop_accepting()
            open_now = dict(self._open)
        for connection in open_now:
            connection.abort()
        for thread in open_now.values():
            thread.join(5)

    def _stop_accepting(self) -> None:
        with contextlib.suppress(OSError):  # it does not listen, or (outside Linux) is not connected
            self._socket.shutdown(socket.SHUT_RDWR)  # close() alone does not wake up a thread in accept()
        self._socket.close()
        if self._acceptor is not None:
            self._acceptor.join(5)
            self._acceptor = None

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            if not self._slots.acquire(blocking=False):
                sock.close()
                continue
            connection = AcceptedConnection(sock)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name=f"simulator-{self.port}", daemon=True
            )
            self._open[connection] = thread
            thread.start()

    def _serve(self, connection: AcceptedConnection) -> None:
        try:
            # The client closed the connection or the simulator stops: there is nothing to report.
            # ValueError: the socket was closed meanwhile.
            with contextlib.suppress(OSError, ValueError):
                self._handle(connection)
        finally:
            connection.close()
            del self._open[connection]
            self._slots.release()


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
