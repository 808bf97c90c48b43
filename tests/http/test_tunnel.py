"""The response of a proxy to CONNECT has the same result however it is cut into packets, and a text that is true."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.config.proxy import ProxySettings
from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.http11 import open_tunnel
from monitor.http.stream import MAX_RESPONSE_SIZE, ConnectionStream, ResponseStatus
from monitor.http.timing import ExchangeTiming
from tests.support.packets import TIMEOUT, cut
from tests.support.raw_server import http_response

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
NO_TUNNEL = "the proxy opened no tunnel: "
TOO_LONG = f"{NO_TUNNEL}the response is longer than {MAX_RESPONSE_SIZE} bytes"
VIOLATION = f"{NO_TUNNEL}the response violates HTTP"
CUT_SHORT = f"{NO_TUNNEL}the proxy closed the connection in the middle of the response"
NO_HTTP = f"{NO_TUNNEL}the response is not HTTP"
LONG = b"X: " + b"y" * MAX_RESPONSE_SIZE + b"\r\n\r\n"
RESPONSES: dict[bytes, str | None] = {  # the expected text; None for an open tunnel
    ESTABLISHED: None,
    INTERIM + ESTABLISHED: None,
    b"HTTP/1.0 200 Connection established\r\nX: " + b"y" * 30_000 + b"\r\n\r\n": None,
    b"HTTP/1.1 204 No Content\r\n\r\n": None,
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n": None,
    http_response(b"<html>", status=407): "the proxy refused the tunnel with status 407",
    INTERIM + http_response(b"", status=503): "the proxy refused the tunnel with status 503",
    b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n": "the proxy refused the tunnel with status 302",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n": "the proxy refused the tunnel with status 101",
    b"HTTP/1.1 407 X\r\n" + LONG: "the proxy refused the tunnel with status 407",
    b"HTTP/1.1 407 X\r\na line without a colon\r\n\r\n": "the proxy refused the tunnel with status 407",
    b"HTTP/1.1 407 X\r\nX: y": "the proxy refused the tunnel with status 407",
    b"HTTP/1.1 200 OK\r\n" + LONG: TOO_LONG,
    b"HTTP/1.1 200 OK\r\na line without a colon\r\n\r\n": VIOLATION,
    b"HTTP/1.1 200 OK\r\nX: y": CUT_SHORT,
    INTERIM * 5_000: f"{NO_TUNNEL}the response has no final status in its first {MAX_RESPONSE_SIZE} bytes",
    b"x" * 100_000: NO_HTTP,
    b"SSH-2.0-x\r\n": NO_HTTP,
    b"HTTP/2 200\r\n\r\n": NO_HTTP,
    b"HTTP/1.1 20": NO_HTTP,
}


def failure(packets: Iterable[bytes]) -> str | None:
    """Return the text of the proxy fault if a proxy sends `packets` and closes; None if it opens a tunnel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    timing = ExchangeTiming(TIMEOUT)
    timing.start(time.monotonic())

    def serve() -> None:
        with theirs, contextlib.suppress(OSError):  # the client may close before it has read everything
            theirs.recv(65536)
            for packet in packets:
                theirs.sendall(packet)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with ours:
            stream = ConnectionStream(ours, timing, ResponseStatus())
            open_tunnel("host.test", 443, ProxySettings("proxy.test", 3128), stream)
    except ExchangeError as error:
        return error.detail if error.fault is ExchangeFault.PROXY else f"{error.fault}: {error.detail}"
    finally:
        thread.join(TIMEOUT)
    return None


def test_a_proxy_that_closes_without_a_response_is_named() -> None:
    """The text names the proxy, and does not call its silence a response."""
    assert failure([]) == f"{NO_TUNNEL}the proxy closed the connection without a response"


@pytest.mark.parametrize("response", RESPONSES, ids=range(len(RESPONSES)))
def test_a_response_to_connect_has_its_text(response: bytes) -> None:
    """A refusal has its status, also if the rest is broken; any other failure has its own text."""
    assert failure(cut(response, range(0, len(response), 16_000))) == RESPONSES[response]


@given(st.sampled_from(list(RESPONSES)), st.lists(st.integers(1, MAX_RESPONSE_SIZE), max_size=12))
@example(b"HTTP/1.1 200 OK\r\n" + LONG, [16_384, 17_000])
@example(INTERIM + ESTABLISHED, list(range(len(INTERIM + ESTABLISHED))))
@settings(max_examples=100, deadline=None)
def test_cuts_of_a_response_to_connect_change_nothing(response: bytes, offsets: list[int]) -> None:
    """The result depends on the bytes, not on the packets."""
    packets = cut(response, [*offsets, *range(0, len(response), 16_000)])
    assert failure(packets) == RESPONSES[response]
