"""A server that sends the bytes of a test on each connection, for responses that a correct server never sends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from tests.support.local_server import LocalServer

Responder = Callable[[bytes], bytes]  # returns the response to a request


class RawServer(LocalServer):
    """A server on a port of 127.0.0.1 that runs inside `with` and stores the requests."""

    def __init__(self, http_response: bytes | Responder) -> None:
        super().__init__()
        self.requests: list[bytes] = []
        self._respond: Responder = (lambda _: http_response) if isinstance(http_response, bytes) else http_response

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        """Store the request, respond, and wait for the end of the client's side."""
        connection.settimeout(5)
        with connection, contextlib.suppress(OSError):
            request = self._request(connection)
            self.requests.append(request)
            connection.sendall(self._respond(request))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # to close with unread bytes would reset the connection
                pass

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < _length(received):
            data = connection.recv(65536)
            if not data:
                break
            received += data
        return received


def http_response(body: bytes, *headers: str, status: int = 200) -> bytes:
    """Return a response with a correct header section and body."""
    header_section = "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""])
    return header_section.encode("latin-1") + body


@contextlib.contextmanager
def resetting_port(when: threading.Event) -> Iterator[int]:
    """Yield a port of 127.0.0.1 that resets its first connection at the event `when`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            connection, _ = listening.accept()
            when.wait(30)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        thread = threading.Thread(target=reset, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(30)


def _length(request: bytes) -> int:
    for line in request.partition(b"\r\n\r\n")[0].lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0
