"""A measured connection: lookup, TCP, proxy tunnel, TLS handshake, one request, close."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import time
import traceback

import httpx

from monitor.http.certificate import earliest_expiry
from monitor.http.errors import ExchangeError, ExchangeFault, exchange_error
from monitor.http.exchange import HttpProxy, HttpRequest, PhaseEnd, PhaseObserver
from monitor.http.happy_eyeballs import ConnectionAttempts
from monitor.http.http11 import StreamedResponse, open_tunnel, send_request
from monitor.http.resolver import LookupFailedError, Resolver
from monitor.http.stream import MAX_RESPONSE_SIZE, ConnectionStream, ResponseStatus, ResponseStream
from monitor.http.timing import ExchangeTiming
from monitor.http.tls import verified_chain
from monitor.model import Phase

CLOSE_TIMEOUT = 1.0  # seconds that a connection check waits for the peer to close


class MeasuredConnection:
    """One connection to the host of a URL, with its timing and the facts that it has shown. It is used once."""

    def __init__(
        self,
        url: str,
        proxy: HttpProxy | None,
        timeout: float,
        resolver: Resolver,
        observer: PhaseObserver | None = None,
    ) -> None:
        self.timing = ExchangeTiming(timeout, self._phase_ended if observer else None)
        self.status = ResponseStatus()
        self.address: str | None = None
        self.tls_version: str | None = None
        self.certificate_expiry: float | None = None  # Unix seconds, notAfter
        self.chain_expiry: float | None = None  # Unix seconds, earliest notAfter in the verified chain
        self._url = _parse_url(url)
        self._host = self._url.raw_host.decode("ascii").strip("[]")
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._proxy = proxy
        self._resolver = resolver
        self._observer = observer
        self._socket: socket.socket | None = None

    def open(self, context: ssl.SSLContext) -> socket.socket:
        """Resolve the name, connect, open the proxy's tunnel, and complete the handshake. Raises `ExchangeError`."""
        sock = self._connect()
        if self._proxy:
            open_tunnel(self._host, self._port, self._proxy, ConnectionStream(sock, self.timing, ResponseStatus()))
        if self._url.scheme == "https":
            self.timing.enter(Phase.TLS)
            sock = self._handshake(sock, context)
        return sock

    def send(self, request: HttpRequest, context: ssl.SSLContext) -> StreamedResponse:
        """Open the connection, send `request`, and read the response's header section. Raises `ExchangeError`."""
        return send_request(request, self._url, ResponseStream(self.open(context), self.timing, self.status))

    def close(self) -> None:
        """Record TLS version and the expiry of certificates, and close the socket."""
        self._record_session()
        if self._socket is not None:
            self._socket.close()

    def close_in_order(self) -> None:
        """Close as `close` does, but with close_notify and without a reset, as far as the deadline permits."""
        self._record_session()
        if self._socket is not None:
            _close_in_order(self._socket, min(self.timing.deadline, time.monotonic() + CLOSE_TIMEOUT))

    def _connect(self) -> socket.socket:
        timing, proxy = self.timing, self._proxy
        timing.start(time.monotonic())
        host, port = (proxy.host, proxy.port) if proxy else (self._host, self._port)
        target = f"the proxy {host}" if proxy else host
        try:
            addresses, seconds = self._resolver.resolve(host, port, timing.remaining())
            attempts = ConnectionAttempts(addresses)
            timing.start(time.monotonic() - seconds)  # leaves out the time of the program's own work since the start
            timing.enter(Phase.CONNECT)
            self._socket = attempts.connect(timing.deadline)
            self.address = self._socket.getpeername()[0]  # raises OSError if the peer has reset the connection
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            raise timing.timed_out() from None
        except LookupFailedError as error:
            fault = ExchangeFault.PROXY if proxy else ExchangeFault.DNS
            raise ExchangeError(fault, f"{target} did not resolve: {error}") from None
        except (OSError, MemoryError, RuntimeError) as error:  # RuntimeError: the lookup's thread cannot start
            fault = ExchangeFault.PROXY if proxy else ExchangeFault.CONNECT
            raise exchange_error(fault, f"no connection to {target}", error) from None
        return self._socket

    def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        name = self._host.removesuffix(".")  # RFC 6066 section 3; a certificate has no trailing dot either
        try:
            secured = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        except (OSError, ValueError, MemoryError) as error:
            _close_dropped_socket(error)
            raise _handshake_failed(error) from None
        self._socket = secured  # wrap_socket has detached `sock`: this is the one to close
        try:
            secured.settimeout(self.timing.remaining())
            secured.do_handshake()
        except TimeoutError:  # a subclass of OSError, so it comes first
            raise self.timing.timed_out() from None
        except ssl.SSLCertVerificationError as error:
            raise exchange_error(ExchangeFault.CERTIFICATE, "the certificate did not verify", error) from None
        except (OSError, MemoryError) as error:
            raise _handshake_failed(error) from None
        return secured

    def _phase_ended(self, phase: Phase, seconds: float) -> None:
        """Pass the end of a phase to the observer, the facts of the TLS session included."""
        if phase is Phase.TLS:
            self._record_session()
        if self._observer is not None:
            self._observer(
                PhaseEnd(
                    phase,
                    seconds,
                    self.address,
                    self.tls_version,
                    self.certificate_expiry,
                    self.chain_expiry,
                )
            )

    def _record_session(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket):
            self.tls_version = self._socket.version()
            with contextlib.suppress(ValueError, OSError):  # the handshake failed, or never began
                self.certificate_expiry = earliest_expiry([self._socket.getpeercert(binary_form=True) or b""])
                if self._socket.context.verify_mode is ssl.CERT_REQUIRED:
                    self.chain_expiry = earliest_expiry(verified_chain(self._socket))


@functools.lru_cache(maxsize=1024)  # the same few URLs recur, and parsing one takes as long as connecting to it
def _parse_url(url: str) -> httpx.URL:
    return httpx.URL(url)


def _handshake_failed(error: OSError | ValueError | MemoryError) -> ExchangeError:
    return exchange_error(ExchangeFault.TLS, "the handshake failed", error)


def _close_dropped_socket(error: BaseException) -> None:
    """Close the socket that `wrap_socket` made and left to the garbage collector, because the peer had reset it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        dropped = frame.f_locals.get("self")
        if isinstance(dropped, ssl.SSLSocket):
            dropped.close()


def _close_in_order(sock: socket.socket, deadline: float) -> None:
    """Send close_notify (TLS) and FIN, read until the peer closes or `deadline` (`time.monotonic`), and close.

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
