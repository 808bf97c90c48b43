"""Network streams for httpcore: the bytes of one socket, within the deadline and the size limit."""

from __future__ import annotations

import re
import socket
import ssl
import time

import httpcore

from monitor.http.errors import ExchangeError, ExchangeFault, exchange_error, is_tls_error
from monitor.http.timing import ExchangeTiming
from monitor.model import Phase

MAX_RESPONSE_SIZE = 64 * 1024  # bytes of a response that are read, header section included
MAX_REASON_PHRASE = 200  # characters
MAX_LATE_READS = 64  # reads after the deadline; ends the exchange with a server that sends without a pause
NOT_HTTP = "the response is not HTTP"
_NO_FINAL_STATUS = f"the response has no final status in its first {MAX_RESPONSE_SIZE} bytes"


class ResponseStatus:
    """Status code and reason phrase of a response, parsed from its first bytes.

    Interim responses (RFC 9110 section 15.2) are skipped.
    """

    _LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
    _BLANK_LINES = (b"\r\n", b"\n")

    def __init__(self) -> None:
        self.code: int | None = None  # known as soon as the final status line is complete
        self.reason_phrase = ""  # Latin-1, at most MAX_REASON_PHRASE
        self.has_interim = False  # an interim response was received
        self._received = bytearray()  # not parsed yet
        self._in_interim_response = False

    def feed(self, data: bytes) -> bytes:
        """Parse `data`, the next bytes of the response, line by line.

        Return the bytes from the final status line on, or none as long as that is incomplete. Raises `ExchangeError` at
        once if a line is not a status line: a server of another protocol may wait for the client's next line.
        """
        self._received += data
        if b"\n" not in data:
            return b""
        while end := self._received.find(b"\n") + 1:
            self._parse(bytes(self._received[:end]))
            if self.code is not None:
                return bytes(self._received)
            del self._received[:end]
        return b""

    def _parse(self, line: bytes) -> None:
        if self._in_interim_response:
            self._in_interim_response = line not in self._BLANK_LINES
            return
        match = self._LINE.fullmatch(line)
        if match is None:
            raise ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP)
        code = int(match[1])
        if code < 200 and code != 101:  # 101 is final: the bytes after it belong to another protocol
            self.has_interim = self._in_interim_response = True
            return
        self.code = code
        self.reason_phrase = (match[2] or b"")[:MAX_REASON_PHRASE].decode("latin-1")


class ConnectionStream(httpcore.NetworkStream):
    """Gives httpcore a connected socket. Sends a request in one piece, when its response is read.

    httpcore gets the final response only.
    """

    def __init__(self, sock: socket.socket, timing: ExchangeTiming, status: ResponseStatus) -> None:
        self.status = status
        self.received = 0  # bytes
        self.ended = False  # the peer has closed its side
        self._socket = sock
        self._timing = timing
        self._outgoing = bytearray()
        self._arrived = 0.0  # moment of the last read (time.monotonic)
        self._late_reads = 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline replaces it
        """Keep `buffer` until the request is complete, so that it leaves in one packet and at one moment."""
        self._outgoing += buffer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline replaces it
        """Send the pending request, then read. The first read waits for the final status line.

        Raises `ExchangeError` past the size limit, if the response is not HTTP, if the connection breaks, and at the
        deadline, but not before the data that has already arrived is read: a stopped process must not lose a status or
        a Retry-After.
        """
        if self._outgoing:
            self._send()
        while data := self._next(max_bytes):
            if self.status.code is not None:
                return data
            if response := self.status.feed(data):
                return response
        return b""

    def _next(self, max_bytes: int) -> bytes:
        wanted = min(max_bytes, MAX_RESPONSE_SIZE - self.received)
        if wanted <= 0:
            raise self._too_long()
        try:
            data = self._receive(wanted)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise self._timing.timed_out() from None
        except OSError as error:
            raise self._broken(error) from None
        self.received += len(data)
        self.ended = not data
        return data

    def close(self) -> None:
        """Leave the socket open: the connection still reads the TLS session from it."""

    def _receive(self, size: int) -> bytes:
        """Wait for data until the deadline; after it, return data that has already arrived. Note the moment."""
        seconds = self._timing.deadline - time.monotonic()
        if seconds > 0:
            try:
                self._socket.settimeout(seconds)
                data = self._socket.recv(size)
                self._arrived = time.monotonic()  # first of all, so that no work of our own is measured
            except TimeoutError:
                pass  # TLS may hold data that arrived at the deadline
            else:
                return data
        self._late_reads += 1
        if self._late_reads > MAX_LATE_READS:
            raise TimeoutError
        self._socket.settimeout(0)
        data = self._socket.recv(size)
        self._arrived = time.monotonic()
        return data

    def _broken(self, error: OSError) -> ExchangeError:
        """Return the error of a read: a TLS fault if the server ended TLS before its response, as for a certificate.

        A server of TLS 1.3 judges the client's certificate, or its absence, after the client has completed its
        handshake (RFC 8446 section 4.4.2.4).
        """
        if not self.received and is_tls_error(error):
            return exchange_error(ExchangeFault.TLS, "the server ended the TLS session", error)
        return exchange_error(ExchangeFault.DISCONNECT, "the connection broke", error)

    def _too_long(self) -> ExchangeError:
        if self.status.code is None:
            return ExchangeError(ExchangeFault.DISCONNECT, _NO_FINAL_STATUS if self.status.has_interim else NOT_HTTP)
        return ExchangeError(ExchangeFault.MALFORMED, f"the response is longer than {MAX_RESPONSE_SIZE} bytes")

    def _send(self) -> None:
        try:
            self._socket.settimeout(self._timing.remaining())
            self._socket.sendall(self._outgoing)
        except TimeoutError:
            raise self._timing.timed_out() from None
        except OSError as error:
            failure = exchange_error(ExchangeFault.DISCONNECT, "the connection broke", error)
            if failure.fault is ExchangeFault.INTERNAL:
                raise failure from None
            # The server may have sent a response or a TLS alert before it closed: the next read returns that.
        self._outgoing.clear()


class ResponseStream(ConnectionStream):
    """The stream of a measured exchange: it stamps the phases. The final status line begins that of the transfer."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read as `ConnectionStream` does, and stamp the moment. Raises `ExchangeError`."""
        had_status = self.status.code is not None
        data = super().read(max_bytes, timeout)
        if not had_status and self.status.code is not None:
            self._timing.enter(Phase.TRANSFER, self._arrived)
        self._timing.stamp(self._arrived)
        return data

    def _send(self) -> None:
        self._timing.remaining()  # a request that does not leave any more has no phase of its own
        self._timing.enter(Phase.PROCESSING)
        super()._send()
