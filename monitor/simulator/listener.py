"""Sockets: a port that can refuse and come back, and a thread for each connection that it accepts."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

_BACKLOG = 128
_MOST_CONNECTIONS = 256  # at once, per port; further ones are closed unheard
_SILENCE = 120.0  # seconds without a byte after which a connection is given up


class AcceptedConnection:
    """One accepted connection, in plain text until `secure`. Socket errors go to the caller as OSError."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._aborted = threading.Event()
        sock.settimeout(_SILENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def tls_version(self) -> str | None:
        """As `ssl` names it; None without TLS."""
        return self._socket.version() if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def socket(self) -> socket.socket:
        """The bare socket, for what must go past TLS."""
        return self._socket

    def secure(self, context: ssl.SSLContext) -> None:
        """Let TLS begin."""
        with self._lock:
            self._socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            secured = self._socket
        self.pause(0)
        secured.do_handshake()

    def receive(self, size: int) -> bytes:
        """At most `size` bytes; none when the client has ended."""
        return self._socket.recv(size)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait. Raises ConnectionAbortedError when the simulator stops meanwhile."""
        if self._aborted.wait(seconds) if seconds > 0 else self._aborted.is_set():
            raise ConnectionAbortedError("the simulator stops")

    def hang(self) -> None:
        """Be silent until the client goes."""
        while self.receive(65536):
            pass

    def reset(self) -> None:
        """Make `close` send a RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """End the connection in order: with TLS, say so first, as a well-kept server does."""
        with self._lock, self._socket as sock:
            if isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and not self._aborted.is_set():
                sock.settimeout(0)  # the notice is sent, the client's is not waited for
                with contextlib.suppress(OSError, ValueError):
                    sock.unwrap()

    def abort(self) -> None:
        """Wake up, from another thread, whoever waits on this connection, with an end or an error."""
        self._aborted.set()
        with self._lock, contextlib.suppress(OSError):
            # Not SSLSocket's own method: that takes TLS away from under the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class ConnectionListener:
    """A port on which every connection is handled in a thread of its own."""

    def __init__(self, handle: Callable[[AcceptedConnection], None], host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind at once (OSError goes to the caller); `start` begins to accept."""
        self._handle = handle
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._open: dict[AcceptedConnection, threading.Thread] = {}
        self._acceptor: threading.Thread | None = None
        self._socket = _bound(host, port)
        self.host: str = host
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Accept from now on; without effect when it does."""
        with self._lock:
            if self._acceptor is None:
                self._socket.listen(_BACKLOG)
                name = f"simulator-{self.port}"
                self._acceptor = threading.Thread(target=self._accept, args=(self._socket,), name=name, daemon=True)
                self._acceptor.start()

    def refuse(self) -> None:
        """Refuse connections from now on, and keep the port: a socket that is bound and does not listen does that."""
        with self._lock:
            if self._acceptor is not None:
                self._stop_accepting()
                self._socket = _bound(self.host, self.port)

    def close(self) -> None:
        """Accept no more, end every connection, and wait for their threads."""
        with self._lock:
            self._stop_accepting()
            open_now = dict(self._open)
        for connection in open_now:
            connection.abort()
        for thread in open_now.values():
            thread.join(5)

    def _stop_accepting(self) -> None:
        with contextlib.suppress(OSError):  # not listening, or (not Linux) not connected
            self._socket.shutdown(socket.SHUT_RDWR)  # closing alone does not wake up a thread in accept()
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
            if not self._places.acquire(blocking=False):
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
            # The client went, or the simulator stops: nobody is left to tell. (ValueError: a socket closed meanwhile.)
            with contextlib.suppress(OSError, ValueError):
                self._handle(connection)
        finally:
            connection.close()
            del self._open[connection]
            self._places.release()


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
