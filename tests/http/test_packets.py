"""A response has the same result however it is cut into packets, and its phases follow the final response."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.exchange import Exchange
from monitor.http.stream import MAX_LATE_READS, MAX_RESPONSE_SIZE, ConnectionStream, ResponseStatus
from monitor.http.timing import ExchangeTiming
from monitor.model import Phase
from tests.support.packets import cut, exchange_in_packets
from tests.support.raw_server import http_response

TOO_LONG = f"the response is longer than {MAX_RESPONSE_SIZE} bytes"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
RESPONSES = (
    http_response(b"text"),
    b"HTTP/1.1 200 OK\n\ntext",
    EARLY + http_response(b"text"),
    EARLY + b"HTTP/1.1 100 Continue\r\n\r\n" + http_response(b"text", status=503),
    b"HTTP/1.1 103 X\r\na line without a colon\r\n\r\n" + http_response(b"text"),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nother bytes",
    EARLY + b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    EARLY + b"220 smtp.test ESMTP\r\n",
    EARLY + b"\r\n" + http_response(b"text"),
    b" " + http_response(b"text"),
    b"HTTP/1.1 200 OK\r\na line without a colon\r\n\r\ntext",
    b"HTTP/1.1 401 na\xefve \x00\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\ntext",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntext",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ntext",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nte\r\n2\r\nxt\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntext",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX: y",
    EARLY[:-4],
    b"HTTP/1.1 20",
)
OFFSETS = st.lists(st.integers(1, MAX_RESPONSE_SIZE), max_size=12)


def result(exchange: Exchange) -> tuple[object, ...]:
    """Return the part of an exchange that does not depend on time."""
    return (
        exchange.status,
        exchange.reason_phrase,
        exchange.fault,
        exchange.fault_detail,
        dict(exchange.headers),
        exchange.body,
        exchange.last_phase,
    )


def long_response(size: int, *, early: int = 0, fields: int = 1) -> bytes:
    """Return a response whose header section has `size` bytes, after an interim one with `early` bytes of header."""
    interim = b"HTTP/1.1 103 X\r\nE: " + b"e" * early + b"\r\n\r\n" if early else b""
    start = http_response(b"text")[:-6]
    padding = size - len(start) - 2
    names = [f"x{number}: ".encode() for number in range(fields)]
    each = padding // fields
    sizes = [each] * (fields - 1) + [padding - each * (fields - 1)]
    lines = [name + b"y" * (size - len(name) - 2) + b"\r\n" for name, size in zip(names, sizes, strict=True)]
    return interim + start + b"".join(lines) + b"\r\ntext"


@pytest.mark.parametrize("response", RESPONSES)
def test_every_byte_in_a_packet_of_its_own_changes_nothing(response: bytes) -> None:
    """Status, phrase, fault, text, headers and body are those of the same response in one packet."""
    whole = result(exchange_in_packets([response]))
    assert result(exchange_in_packets(cut(response, range(len(response))))) == whole


@given(st.sampled_from(RESPONSES), OFFSETS)
@settings(max_examples=100)
def test_cuts_of_a_response_change_nothing(response: bytes, offsets: list[int]) -> None:
    """Status, phrase, fault, text, headers and body are those of the same response in one packet."""
    at = [offset % len(response) for offset in offsets]
    assert result(exchange_in_packets(cut(response, at))) == result(exchange_in_packets([response]))


@given(st.integers(1_000, 70_000), st.sampled_from([0, 5_000, 20_000]), st.integers(1, 40), OFFSETS)
@example(17_000, 0, 1, [])
@example(17_000, 0, 1, [16_500])
@example(20_000, 0, 1, [16_384])
@example(20_000, 0, 40, list(range(1_000, 20_000, 1_460)))
@example(MAX_RESPONSE_SIZE - 4, 0, 1, [16_385, 40_000])
@example(MAX_RESPONSE_SIZE - 3, 0, 1, [16_385, 40_000])
@example(MAX_RESPONSE_SIZE + 1, 0, 1, [17_000])
@settings(max_examples=60)
def test_only_the_size_of_a_response_limits_its_header_section(
    size: int, early: int, fields: int, offsets: list[int]
) -> None:
    """A response up to 64 KiB is read, a longer one is malformed with one text; the cuts do not matter."""
    response = long_response(size, early=early, fields=fields)
    exchange = exchange_in_packets(cut(response, offsets))
    if len(response) <= MAX_RESPONSE_SIZE:
        assert (exchange.status, exchange.fault, exchange.body) == (200, None, b"text")
    else:
        assert (exchange.status, exchange.fault) == (200, ExchangeFault.MALFORMED)
        assert exchange.fault_detail == TOO_LONG


@given(
    st.lists(st.tuples(st.sampled_from([100, 102, 103, 199]), st.floats(0, 0.02)), max_size=4),
    st.sampled_from([101, 200, 401]),
    st.floats(0, 0.02),
    st.floats(0, 0.02),
)
@settings(max_examples=40)
def test_processing_ends_with_the_final_status_line(
    interim: list[tuple[int, float]], status: int, final_delay: float, body_delay: float
) -> None:
    """Interim responses count to the processing; the sum of the phases is the duration."""
    sent: dict[str, float] = {}

    def packets() -> Iterator[bytes]:
        sent["request"] = time.monotonic()
        for code, delay in interim:
            threading.Event().wait(delay)
            yield f"HTTP/1.1 {code} X\r\nX: y\r\n\r\n".encode()
        threading.Event().wait(final_delay)
        sent["status line"] = time.monotonic()
        yield f"HTTP/1.1 {status} X\r\n".encode()
        yield b"Content-Length: 4\r\n\r\n"
        threading.Event().wait(body_delay)
        sent["body"] = time.monotonic()
        yield b"text"

    exchange = exchange_in_packets(packets())
    phases = exchange.phases
    assert exchange.status == status
    assert sum(phases.values()) == pytest.approx(exchange.duration, abs=1e-6)
    assert phases[Phase.PROCESSING] >= sent["status line"] - sent["request"]
    if status != 101:  # the bytes after a 101 belong to another protocol
        assert exchange.fault is None
        assert phases[Phase.PROCESSING] + exchange.body_delay >= sent["body"] - sent["request"]
        assert 0 <= exchange.body_delay <= phases[Phase.TRANSFER]


def test_the_delay_of_a_body_ends_with_its_first_byte() -> None:
    """Neither the time before the status line nor that after the first byte of the body is part of it."""
    pause = 1.5  # seconds

    def packets() -> Iterator[bytes]:
        threading.Event().wait(pause)
        yield b"HTTP/1.1 200 OK\r\n"
        yield b"Content-Length: 4\r\n\r\nt"
        threading.Event().wait(pause)
        yield b"ext"

    exchange = exchange_in_packets(packets())
    assert exchange.phases[Phase.PROCESSING] >= pause
    assert exchange.body_delay < pause
    assert exchange.duration >= 2 * pause


def test_a_server_that_sends_without_a_pause_ends_an_exchange_after_the_deadline() -> None:
    """After the deadline, only so many reads follow as a response needs that has already arrived."""
    timing = ExchangeTiming(1.0)
    timing.start(time.monotonic() - 60)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x" * (2 * MAX_LATE_READS))
        stream = ConnectionStream(ours, timing, ResponseStatus())
        with pytest.raises(ExchangeError) as raised:
            bytearray().join(iter(lambda: stream.read(1), b""))
        assert raised.value.fault is ExchangeFault.TIMEOUT
        ours.setblocking(False)
        assert len(ours.recv(65536)) == MAX_LATE_READS


def test_more_interim_responses_than_the_size_limit_have_a_text_of_their_own() -> None:
    """They are HTTP, but the final status is missing."""
    exchange = exchange_in_packets([EARLY * 300] * (MAX_RESPONSE_SIZE // (300 * len(EARLY)) + 1))
    assert (exchange.status, exchange.fault) == (None, ExchangeFault.DISCONNECT)
    assert exchange.fault_detail == f"the response has no final status in its first {MAX_RESPONSE_SIZE} bytes"


def test_interim_responses_without_an_end_are_a_timeout_while_processing() -> None:
    """A server that sends nothing but interim responses has sent no status."""

    def packets() -> Iterator[bytes]:
        while not threading.Event().wait(0.01):  # ends when the client has closed the connection
            yield EARLY

    exchange = exchange_in_packets(packets(), timeout=2.0)
    assert (exchange.status, exchange.fault) == (None, ExchangeFault.TIMEOUT)
    assert exchange.last_phase is Phase.PROCESSING
