"""A response in exactly the packets of a test: each read of the client returns one of them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from unittest import mock

from monitor.http.client import HttpClient
from monitor.http.connection import MeasuredConnection
from monitor.http.exchange import Exchange, HttpRequest

TIMEOUT = 60.0  # seconds: an exchange that takes so long is a failure of the test


def exchange_in_packets(packets: Iterable[bytes], timeout: float = TIMEOUT) -> Exchange:
    """Return the exchange with a server that sends `packets`, then closes the connection."""
    client = HttpClient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with server_of(packets):
        return client.exchange(HttpRequest("GET", "http://host.test/x", {"Connection": "close"}, timeout))


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """Return `data` in packets that end at the offsets `at`."""
    ends = sorted({offset for offset in at if 0 < offset < len(data)})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@contextlib.contextmanager
def server_of(packets: Iterable[bytes]) -> Iterator[None]:
    """Connect every HTTP client, inside `with`, to a server that sends `packets` once.

    A socket of type SOCK_SEQPACKET keeps the boundaries that TCP does not keep.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def serve() -> None:
        with theirs, contextlib.suppress(OSError):  # the client may close before it has read everything
            theirs.recv(65536)
            for packet in packets:
                theirs.sendall(packet)

    def opened(connection: MeasuredConnection, context: ssl.SSLContext) -> socket.socket:
        connection.timing.start(time.monotonic())
        return ours

    thread = threading.Thread(target=serve, daemon=True)
    with mock.patch.object(MeasuredConnection, "open", opened):
        thread.start()
        yield
    ours.close()
    thread.join(10)
