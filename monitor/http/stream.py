"""Network streams for httpcore: the bytes of one socket, within the deadline and the size limit."""

from __future__ import annotations

import re
import socket
import time

import httpcore

from monitor.http.errors import ExchangeError, ExchangeFault, describe_os_error, is_tls_error
from monitor.http.timing import ExchangeTiming
from monitor.model import Phase

MAX_RESPONSE_SIZE = 64 * 1024  # bytes of a response that are read, header section included
MAX_REASON_PHRASE = 200  # characters
NOT_HTTP = "the response is not HTTP"


class ResponseStatus:
    """Status code and reason phrase of a response, parsed from its first bytes.

    Interim responses (RFC 9110 section 15.2) are skipped.
    """

    _LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
    _HEADER_SECTION_END = re.compile(rb"\r?\n\r?\n")

    def __init__(self) -> None:
        self.code: int | None = None  # known as soon as the final status line is complete
        self.reason_phrase = ""  # Latin-1, at most MAX_REASON_PHRASE
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        """Parse `data`, the next bytes of the response. Raises `ExchangeError` if they are not a status line."""
        self._received += data
        while match := self._LINE.match(self._received):
            code = int(match[1])
            if code >= 200 or code == 101:  # 101 is final: the bytes after it belong to another protocol
                self.code = code
                self.reason_phrase = (match[2] or b"")[:MAX_REASON_PHRASE].decode("latin-1")
                return
            end = self._HEADER_SECTION_END.search(self._received)
            if end is None:
                return
            del self._received[: end.end()]
        if b"\n" in self._received:  # raise at once: a server of another protocol may wait for the client's next line
            raise ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP)


class ConnectionStream(httpcore.NetworkStream):
    """Gives httpcore a connected socket. Sends a request in one piece, when its response is read."""

    def __init__(self, sock: socket.socket, timing: ExchangeTiming, status: ResponseStatus) -> None:
        self.status = status
        self.received = 0  # bytes
        self.ended = False  # the peer has closed its side
        self._socket = sock
        self._timing = timing
        self._outgoing = bytearray()
        self._arrived = 0.0  # moment of the last read (time.monotonic)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline replaces it
        """Keep `buffer` until the request is complete, so that it leaves in one packet and at one moment."""
        self._outgoing += buffer

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline replaces it
        """Send the pending request, then read.

        Raises `ExchangeError` at the deadline, past the size limit, and if the connection breaks.
        """
        if self._outgoing:
            self._send()
        wanted = min(max_bytes, MAX_RESPONSE_SIZE - self.received)
        if wanted <= 0:
            raise self._too_long()
        try:
            self._socket.settimeout(self._timing.remaining())
            data = self._socket.recv(wanted)
            self._arrived = time.monotonic()  # first of all, so that no work of our own is measured
        except TimeoutError:
            raise self._timing.timed_out() from None
        except OSError as error:
            raise self._broken(error) from None
        self.received += len(data)
        self.ended = not data
        return data

    def close(self) -> None:
        """Leave the socket open: the connection still reads the TLS session from it."""

    def _broken(self, error: OSError) -> ExchangeError:
        """Return the error of a read: a TLS fault if the server ended TLS before its response, as for a certificate.

        A server of TLS 1.3 judges the client's certificate, or its absence, after the client has completed its
        handshake (RFC 8446 section 4.4.2.4).
        """
        if not self.received and is_tls_error(error):
            return ExchangeError(ExchangeFault.TLS, f"the server ended the TLS session: {describe_os_error(error)}")
        return ExchangeError(ExchangeFault.DISCONNECT, f"the connection broke: {describe_os_error(error)}")

    def _too_long(self) -> ExchangeError:
        if self.status.code is None:
            return ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP)
        return ExchangeError(ExchangeFault.MALFORMED, f"the response is longer than {MAX_RESPONSE_SIZE} bytes")

    def _send(self) -> None:
        try:
            self._socket.settimeout(self._timing.remaining())
            self._socket.sendall(self._outgoing)
        except TimeoutError:
            raise self._timing.timed_out() from None
        except OSError:
            pass  # the server may have sent a response or a TLS alert before it closed: the next read returns that
        self._outgoing.clear()


class ResponseStream(ConnectionStream):
    """The stream of a measured exchange. Stamps its phases, and parses the status before httpcore sees any byte."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read as `ConnectionStream` does, stamp the moment, and parse the status line. Raises `ExchangeError`."""
        data = super().read(max_bytes, timeout)
        if data and self.received == len(data):
            self._timing.enter(Phase.TRANSFER, self._arrived)
        self._timing.stamp(self._arrived)
        if self.status.code is None:
            self.status.feed(data)
        return data

    def _send(self) -> None:
        self._timing.enter(Phase.PROCESSING)
        super()._send()
