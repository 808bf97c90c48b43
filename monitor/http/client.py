"""One measured HTTP exchange on a connection of its own: phases, certificate, one deadline, a size cap.

The only home of httpx and httpcore. Each phase is stamped where it happens, at the socket; every socket call gets
what is left of the one deadline; no more is asked of the socket than the size cap leaves. The phases tile the
exchange: what the program itself does between two of them (microseconds) belongs to the earlier one, so their sum is
the duration.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import socket
import ssl
import time
import traceback
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import httpcore
import httpx

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.http.certificate import not_after
from monitor.http.happy_eyeballs import ConnectionAttempts
from monitor.http.resolver import LookupFailedError, Resolver
from monitor.http.tls import unverifying_context
from monitor.model import Phase

MAX_RESPONSE_SIZE = 64 * 1024  # bytes of an answer that are read, its head included
MAX_HEADER_SECTION_SIZE = 16 * 1024  # bytes of its head
MAX_REASON_PHRASE = 200  # characters
CLOSE_TIMEOUT = 1.0  # seconds that a connection check waits for the peer to close
NOT_HTTP = "what came is not an HTTP answer"
UNENCODED = ("", "identity")  # what Content-Encoding says where nothing is encoded

# At its level DEBUG httpcore writes every header of an answer, and a server may echo in one what it was sent.
logging.getLogger("httpcore.http11").disabled = True


class ExchangeFault(StrEnum):
    """How an exchange can fail below the meaning of its answer."""

    TIMEOUT = "timeout"
    PROXY = "proxy"
    DNS = "dns"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    TLS = "tls"
    DISCONNECT = "disconnect"
    MALFORMED = "malformed"


class HttpProxy(Protocol):
    """An HTTP proxy that is asked for a tunnel."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization, if it wants one."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send, and how long it may take."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout: float  # seconds, for everything from the look-up of the name to the last byte
    content: bytes = field(default=b"", repr=False)
    proxy: HttpProxy | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of a request. With a `fault`, the rest is what was known when it happened."""

    started_at: float  # Unix seconds
    duration: float  # seconds
    phases: Mapping[Phase, float]  # seconds; only those that were reached
    fault: ExchangeFault | None = None
    fault_detail: str = ""
    status: int | None = None  # known as soon as the status line is complete
    reason_phrase: str = field(default="", repr=False)  # Latin-1, at most MAX_REASON_PHRASE; empty if absent
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # names in lower case
    body: bytes = field(default=b"", repr=False)
    address: str | None = None
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds

    @property
    def last_phase(self) -> Phase | None:
        """The phase the exchange was in when it ended."""
        return next(reversed(tuple(self.phases)), None)


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """The result of a connection that was opened and closed without a request."""

    started_at: float  # Unix seconds
    duration: float  # seconds from the lookup to the end of the handshake or to the fault; closing is not included
    fault: ExchangeFault | None = None
    fault_detail: str = ""
    phase: Phase | None = None  # the phase in which it failed
    address: str | None = None
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter


class ExchangeError(Exception):
    """Ends an exchange; leaves this module as the `fault` of an `Exchange`."""

    def __init__(self, fault: ExchangeFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


class HttpClient:
    """Makes exchanges. Safe to use from many threads at once."""

    def __init__(self, context: ssl.SSLContext, resolver: Resolver | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._context = context
        self._resolver = resolver or Resolver()
        self._clock = clock

    def exchange(self, request: HttpRequest) -> Exchange:
        """Send `request` on a fresh connection and read the answer. Redirects are not followed, no proxy is guessed.

        A failure of the network, the proxy, TLS or HTTP is in the Exchange; nothing of the kind is raised.
        """
        connection = MeasuredConnection(request.url, request.proxy, request.timeout, self._resolver)
        started_at = self._clock.wall()
        fault: ExchangeFault | None = None
        detail = ""
        headers: dict[str, str] = {}
        body = bytearray()
        try:
            answer = connection.send(request, self._context)
            headers = {name.lower(): value for name, value in httpx.Headers(answer.headers).items()}
            for chunk in answer.body:
                body += chunk
            body = decode(content_encoding(headers), body)
        except ExchangeError as error:
            fault, detail = error.fault, error.detail
            connection.stamp()
            if content_encoding(headers) not in UNENCODED:
                body.clear()  # a piece of what is encoded says nothing to anybody
        finally:
            connection.close()
        return Exchange(
            started_at=started_at,
            duration=connection.elapsed,
            phases=connection.phases,
            fault=fault,
            fault_detail=detail,
            status=connection.status,
            reason_phrase=connection.reason_phrase,
            headers=headers,
            body=bytes(body),
            address=connection.address,
            tls_version=connection.tls_version,
            certificate_expiry=connection.certificate_expiry,
        )

    def check_connection(self, url: str, proxy: HttpProxy | None, timeout: float) -> ConnectionCheck:
        """Connect to the host of `url` (with TLS for https, through `proxy` if given), close, and send no request.

        `timeout` (seconds) covers everything, closing included. A failure of the network, the proxy or TLS is in the
        ConnectionCheck; nothing of the kind is raised. A peer that does not close in order is not a failure.
        """
        connection = MeasuredConnection(url, proxy, timeout, self._resolver)
        started_at = self._clock.wall()
        fault: ExchangeFault | None = None
        detail = ""
        try:
            connection.open(self._context)
        except ExchangeError as error:
            fault, detail = error.fault, error.detail
        finally:
            connection.stamp()
            connection.close_in_order()
        return ConnectionCheck(
            started_at=started_at,
            duration=connection.elapsed,
            fault=fault,
            fault_detail=detail,
            phase=connection.phase if fault else None,
            address=connection.address,
            tls_version=connection.tls_version,
            certificate_expiry=connection.certificate_expiry,
        )

    def certificate_expiry(self, url: str, proxy: HttpProxy | None, timeout: float) -> float | None:
        """Return when the certificate of the host of `url` ends, in Unix seconds; nothing is believed or sent.

        For a certificate that did not verify: the handshake that failed does not show it. None when it cannot be had.
        """
        connection = MeasuredConnection(url, proxy, timeout, self._resolver)
        try:
            connection.open(unverifying_context())
        except ExchangeError:
            return None
        finally:
            connection.close()
        return connection.certificate_expiry


class MeasuredConnection:
    """A connection from look-up to last byte, with its stopwatch, its deadline and what it has learnt."""

    def __init__(self, url: str, proxy: HttpProxy | None, timeout: float, resolver: Resolver) -> None:
        self.url = _parse_url(url)
        self.host = self.url.raw_host.decode("ascii").strip("[]")
        self.port = self.url.port or (443 if self.url.scheme == "https" else 80)
        self.phases: dict[Phase, float] = {}
        self.elapsed = 0.0
        self.status: int | None = None
        self.reason_phrase = ""
        self.address: str | None = None
        self.tls_version: str | None = None
        self.certificate_expiry: float | None = None
        self._proxy = proxy
        self._resolver = resolver
        self._socket: socket.socket | None = None
        self._timeout = timeout
        self.phase = Phase.RESOLVE  # the current phase
        self._started = self._entered = self._deadline = 0.0

    def open(self, context: ssl.SSLContext) -> socket.socket:
        """Resolve, connect, ask a proxy for its tunnel, and shake hands. Raises `ExchangeError`."""
        self._start(time.monotonic())
        host, port = (self._proxy.host, self._proxy.port) if self._proxy else (self.host, self.port)
        try:
            addresses, took = self._resolver.resolve(host, port, self.remaining())
            attempts = ConnectionAttempts(addresses)
            self._start(time.monotonic() - took)  # what was done besides was our own
            self.enter(Phase.CONNECT)
            self._socket = attempts.connect(self._deadline)
            self.address = self._socket.getpeername()[0]  # fails where the connection was reset meanwhile
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            raise self.timed_out() from None
        except LookupFailedError as error:
            fault = ExchangeFault.PROXY if self._proxy else ExchangeFault.DNS
            raise ExchangeError(fault, f"{self._name_of(host)} did not resolve: {error}") from None
        except OSError as error:
            fault = ExchangeFault.PROXY if self._proxy else ExchangeFault.CONNECT
            raise ExchangeError(fault, f"no connection to {self._name_of(host)}: {describe_os_error(error)}") from None
        if self._proxy:
            self._open_tunnel(self._socket, self._proxy)
        if self.url.scheme == "https":
            self.enter(Phase.TLS)
            self._socket = self._handshake(self._socket, context)
        return self._socket

    def _start(self, moment: float) -> None:
        self._started = self._entered = moment
        self._deadline = moment + self._timeout

    def remaining(self) -> float:
        """Seconds until the deadline. Raises `ExchangeError` when there are none."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise self.timed_out()
        return seconds

    def timed_out(self) -> ExchangeError:
        """The fault of a deadline that has passed, with the phase in which it did."""
        return ExchangeError(ExchangeFault.TIMEOUT, f"no answer within {self._timeout:g} s")

    def enter(self, phase: Phase, moment: float | None = None) -> None:
        """End the phase that is running and begin `phase`: now, or at a moment that has just been."""
        self._entered = self.stamp(moment)
        self.phase = phase

    def stamp(self, moment: float | None = None) -> float:
        """Count the time up to now, or to that moment, to the phase that is running."""
        if moment is None:
            moment = time.monotonic()
        self.phases[self.phase] = moment - self._entered
        self.elapsed = moment - self._started
        return moment

    def send(self, request: HttpRequest, context: ssl.SSLContext) -> StreamedResponse:
        """Open the connection, send `request` over it, and read the head of the answer. Raises `ExchangeError`.

        httpx says what the request is to look like, httpcore speaks HTTP/1.1. What httpx's client would add to them
        (redirects, cookies, proxies, authentication) is what must not happen here.
        """
        outgoing = httpx.Request(request.method, self.url, headers=request.headers, content=request.content or None)
        stream = ResponseStream(self.open(context), self)
        url = httpcore.URL(
            scheme=self.url.raw_scheme, host=self.url.raw_host, port=self.url.port, target=self.url.raw_path
        )
        with http_faults(self, stream):
            answer = Http11Connection(url.origin, stream).handle_request(
                httpcore.Request(outgoing.method, url, headers=outgoing.headers.raw, content=outgoing.stream)
            )
        return StreamedResponse(answer.headers, self._body(answer, stream))

    def _body(self, answer: httpcore.Response, stream: ConnectionStream) -> Iterator[bytes]:
        with http_faults(self, stream):
            yield from answer.iter_stream()

    def close(self) -> None:
        """Record TLS version and certificate expiry, and close the socket."""
        self._record_session()
        if self._socket is not None:
            self._socket.close()

    def close_in_order(self) -> None:
        """Close as `close` does, but with close_notify and without a reset, as far as the deadline permits."""
        self._record_session()
        if self._socket is not None:
            _close_in_order(self._socket, min(self._deadline, time.monotonic() + CLOSE_TIMEOUT))

    def _record_session(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket):
            self.tls_version = self._socket.version()
            with contextlib.suppress(ValueError, OSError):  # the handshake failed, or never began
                self.certificate_expiry = _expiry_or_none(self._socket.getpeercert(binary_form=True) or b"")

    def _open_tunnel(self, sock: socket.socket, proxy: HttpProxy) -> None:
        """Send CONNECT (RFC 9110 section 9.3.6). All that goes wrong here is the proxy's."""
        authority = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        headers = {"Host": authority}
        if proxy.authorization:
            headers["Proxy-Authorization"] = proxy.authorization
        origin = httpcore.URL(scheme="http", host=proxy.host, port=proxy.port, target=authority)
        stream = ConnectionStream(sock, self)
        try:
            answer = Http11Connection(origin.origin, stream).handle_request(
                httpcore.Request("CONNECT", origin, headers=list(headers.items()))
            )
        except ExchangeError as error:
            if error.fault is ExchangeFault.TIMEOUT:
                raise
            raise ExchangeError(ExchangeFault.PROXY, f"the proxy gave no tunnel: {error.detail}") from None
        except httpcore.ProtocolError:
            raise ExchangeError(ExchangeFault.PROXY, "the proxy's answer is not HTTP") from None
        if not 200 <= answer.status <= 299:
            raise ExchangeError(ExchangeFault.PROXY, f"the proxy refused the tunnel with status {answer.status}")

    def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        try:
            secured = context.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            _close_dropped_socket(error)
            raise ExchangeError(ExchangeFault.TLS, f"the handshake failed: {describe_os_error(error)}") from None
        self._socket = secured  # from here on it is the one to close
        try:
            secured.settimeout(self.remaining())
            secured.do_handshake()
        except TimeoutError:  # before its relatives: it carries an SSLWantReadError in its chain
            raise self.timed_out() from None
        except ssl.SSLCertVerificationError as error:
            raise ExchangeError(
                ExchangeFault.CERTIFICATE, f"the certificate did not verify: {error.verify_message}"
            ) from None
        except OSError as error:
            raise ExchangeError(ExchangeFault.TLS, f"the handshake failed: {describe_os_error(error)}") from None
        return secured

    def _name_of(self, host: str) -> str:
        return f"the proxy {host}" if self._proxy else host


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


class Http11Connection(httpcore.HTTP11Connection):
    """Speak HTTP/1.1, and limit the size of the header section."""

    MAX_INCOMPLETE_EVENT_SIZE = MAX_HEADER_SECTION_SIZE


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """The head of an answer, and its body as it comes."""

    headers: list[tuple[bytes, bytes]]
    body: Iterator[bytes]


@contextmanager
def http_faults(connection: MeasuredConnection, stream: ConnectionStream) -> Iterator[None]:
    """Tell a breach of HTTP as a fault: what it means depends on how far the answer had come."""
    try:
        yield
    except httpcore.RemoteProtocolError:  # its text may quote the answer, so it goes no further
        if connection.status is None and not stream.received:
            raise ExchangeError(ExchangeFault.DISCONNECT, "the connection was closed without an answer") from None
        if connection.status is None:
            raise ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP) from None
        if stream.ended:
            raise ExchangeError(
                ExchangeFault.DISCONNECT, "the connection was closed in the middle of the answer"
            ) from None
        raise ExchangeError(ExchangeFault.MALFORMED, "the answer breaks the rules of HTTP") from None


@functools.lru_cache(maxsize=1024)
def _parse_url(url: str) -> httpx.URL:
    """The same few URLs come again and again, and parsing one costs as much as connecting to it."""
    return httpx.URL(url)


def _close_dropped_socket(error: BaseException) -> None:
    """Close the socket that `wrap_socket` took over and, finding the connection reset, left to the collector."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        dropped = frame.f_locals.get("self")
        if isinstance(dropped, ssl.SSLSocket):
            dropped.close()


def _close_in_order(sock: socket.socket, deadline: float) -> None:
    """Send close_notify (TLS) and FIN, read until the peer's end or `deadline` (monotonic seconds), and close.

    Servers log a TLS connection that ends without close_notify. A socket that is closed while its receive buffer holds
    unread data (TLS 1.3 session tickets) makes the kernel send a reset. Errors are ignored: the check is complete.
    """
    with sock:
        with contextlib.suppress(ValueError, OSError):  # ValueError: the handshake never began
            if isinstance(sock, ssl.SSLSocket):
                _set_deadline(sock, deadline)
                sock.unwrap()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)  # an SSLSocket reads without TLS after this
            received = 0
            while received < MAX_RESPONSE_SIZE:  # the limit stops a peer that sends without a pause
                _set_deadline(sock, deadline)
                data = sock.recv(MAX_RESPONSE_SIZE)
                if not data:
                    break
                received += len(data)


def _set_deadline(sock: socket.socket, deadline: float) -> None:
    sock.settimeout(max(0.0, deadline - time.monotonic()))  # 0: read only data that has arrived


def content_encoding(headers: Mapping[str, str]) -> str:
    """Return the value of Content-Encoding in lower case, or an empty string."""
    return headers.get("content-encoding", "").strip().lower()  # case-insensitive: RFC 9110 section 8.4.1


def decode(encoding: str, body: bytearray) -> bytearray:
    """Undo an encoding that we did not ask for, as far as the size cap. Raises `ExchangeError`."""
    if encoding in UNENCODED or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ExchangeError(ExchangeFault.MALFORMED, "the body is in an encoding that was not asked for")
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, whichever the data says
    try:
        decoded = decompressor.decompress(body, MAX_RESPONSE_SIZE)
    except zlib.error:
        raise ExchangeError(ExchangeFault.MALFORMED, "the body cannot be decompressed") from None
    if decompressor.unconsumed_tail:
        raise ExchangeError(ExchangeFault.MALFORMED, f"the decompressed body is longer than {MAX_RESPONSE_SIZE} bytes")
    if not decompressor.eof:
        raise ExchangeError(ExchangeFault.MALFORMED, "the compressed body ends too early")
    return bytearray(decoded)


def _expiry_or_none(certificate: bytes) -> float | None:
    try:
        return not_after(certificate)
    except ValueError:
        return None


def describe_os_error(error: OSError | ValueError) -> str:
    """Say what the operating system or OpenSSL said, without the numbers and file names around it."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
