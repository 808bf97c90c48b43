"""Network streams for httpcore: bytes of one socket within the deadline and the size limits."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

import httpcore

from monitor.http.errors import ExchangeError, ExchangeFault, describe_os_error
from monitor.model import Phase

if TYPE_CHECKING:
    from monitor.http.connection import MeasuredConnection


MAX_RESPONSE_SIZE = 64 * 1024  # bytes of an answer that are read, its head included
MAX_REASON_PHRASE = 200  # characters
NOT_HTTP = "what came is not an HTTP answer"


class ConnectionStream(httpcore.NetworkStream):
    """A connected socket as httpcore wants it: what is written goes out whole, once the answer is waited for."""

    def __init__(self, sock: socket.socket, connection: MeasuredConnection) -> None:
        self._socket = sock
        self._connection = connection
        self._outgoing = bytearray()
        self.arrived = 0.0  # when what was read last came, on the monotonic clock
        self.received = 0
        self.ended = False

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - there is one deadline
        """Keep `buffer` until the whole request is there: one packet on the wire, one moment at which it was sent."""
        self._outgoing += buffer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - as above
        """Send what is waiting, then read. Raises `ExchangeError` at the deadline, past the cap, when it breaks."""
        if self._outgoing:
            self._send()
        wanted = min(max_bytes, MAX_RESPONSE_SIZE - self.received)
        if wanted <= 0:
            if self._connection.status is None:
                raise ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP)
            raise ExchangeError(ExchangeFault.MALFORMED, f"the answer is longer than {MAX_RESPONSE_SIZE} bytes")
        try:
            self._socket.settimeout(self._connection.remaining())
            data = self._socket.recv(wanted)
            self.arrived = time.monotonic()  # before anything else is done
        except TimeoutError:
            raise self._connection.timed_out() from None
        except OSError as error:
            raise ExchangeError(ExchangeFault.DISCONNECT, f"the connection broke: {describe_os_error(error)}") from None
        self.received += len(data)
        self.ended = not data
        return data

    def close(self) -> None:
        """Leave the socket to the connection, which still has questions to it."""

    def _send(self) -> None:
        try:
            self._socket.settimeout(self._connection.remaining())
            self._socket.sendall(self._outgoing)
        except TimeoutError:
            raise self._connection.timed_out() from None
        except OSError:
            pass  # the server may have answered before it hung up: the read will tell
        self._outgoing.clear()


class ResponseStream(ConnectionStream):
    """The stream of the exchange proper: stamps its phases and sees the status before anything behind it."""

    def __init__(self, sock: socket.socket, connection: MeasuredConnection) -> None:
        super().__init__(sock, connection)
        self._head = _StatusLine()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read as the plain stream does, with a look at the clock and the status line."""
        data = super().read(max_bytes, timeout)
        if data and self.received == len(data):
            self._connection.enter(Phase.TRANSFER, self.arrived)
        self._connection.stamp(self.arrived)
        if self._connection.status is None:
            self._connection.status = self._head.feed(data)
            self._connection.reason_phrase = self._head.reason_phrase
        return data

    def _send(self) -> None:
        self._connection.enter(Phase.PROCESSING)
        super()._send()


class _StatusLine:
    """Find status and reason phrase in the first bytes, after any interim responses (RFC 9110 section 15.2)."""

    _LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
    _HEAD_END = re.compile(rb"\r?\n\r?\n")

    def __init__(self) -> None:
        self.reason_phrase = ""  # of the final status line, once `feed` has returned its status
        self._seen = bytearray()

    def feed(self, data: bytes) -> int | None:
        """Return the status as soon as its line is complete. Raises `ExchangeError` for a line that is none."""
        self._seen += data
        while match := self._LINE.match(self._seen):
            status = int(match[1])
            if status >= 200 or status == 101:  # 101 is final: what follows is another protocol
                self.reason_phrase = (match[2] or b"")[:MAX_REASON_PHRASE].decode("latin-1")
                return status
            end = self._HEAD_END.search(self._seen)
            if end is None:
                break
            del self._seen[: end.end()]
        if match is None and b"\n" in self._seen:  # said at once: who speaks another protocol waits for us to speak it
            raise ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP)
        return None
