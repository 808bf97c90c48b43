"""One connection from the lookup to its close, with phases and one deadline."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import time
import traceback
from collections.abc import Iterator

import httpcore
import httpx

from monitor.http.certificate import not_after
from monitor.http.errors import ExchangeError, ExchangeFault, describe_os_error
from monitor.http.exchange import HttpProxy, HttpRequest
from monitor.http.happy_eyeballs import ConnectionAttempts
from monitor.http.http11 import Http11Connection, StreamedResponse, http_faults
from monitor.http.resolver import LookupFailedError, Resolver
from monitor.http.stream import MAX_RESPONSE_SIZE, ConnectionStream, ResponseStream
from monitor.model import Phase

CLOSE_TIMEOUT = 1.0  # seconds that a connection check waits for the peer to close


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


def _expiry_or_none(certificate: bytes) -> float | None:
    try:
        return not_after(certificate)
    except ValueError:
        return None
