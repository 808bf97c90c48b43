"""The HTTP client of the probes: each exchange has a connection of its own, measured at the socket.

Every socket call gets the time that is left until the one deadline, and reads no more than the size limit permits.
"""

from __future__ import annotations

import ssl

import httpx

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.http.connection import MeasuredConnection
from monitor.http.decoding import content_codings, decode
from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.exchange import ConnectionCheck, Exchange, HttpProxy, HttpRequest
from monitor.http.resolver import Resolver
from monitor.http.tls import unverifying_context
from monitor.model import Phase


class HttpClient:
    """Makes exchanges. Safe to use from many threads at once."""

    def __init__(self, context: ssl.SSLContext, resolver: Resolver | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._context = context
        self._resolver = resolver or Resolver()
        self._clock = clock

    def exchange(self, request: HttpRequest) -> Exchange:
        """Send `request` on a new connection and read the response.

        Follows no redirect and uses no proxy but the request's. A failure of the network, the proxy, TLS or HTTP is in
        the Exchange; none is raised.
        """
        connection = MeasuredConnection(request.url, request.proxy, request.timeout, self._resolver, request.observer)
        started_at = self._clock.wall()
        fault: ExchangeFault | None = None
        detail = ""
        headers: dict[str, str] = {}
        body, body_delay = bytearray(), 0.0
        try:
            response = connection.send(request, self._context)
            headers = {name.lower(): value for name, value in httpx.Headers(response.headers).items()}
            for chunk in response.body:
                body_delay = body_delay if body else connection.timing.phases[Phase.TRANSFER]
                body += chunk
            body = decode(content_codings(headers), body)
        except ExchangeError as error:
            fault, detail = error.fault, error.detail
            connection.timing.stamp()
            if content_codings(headers):
                body.clear()  # part of an encoded body cannot be read
        finally:
            connection.close()
        if connection.timing.late and fault is not ExchangeFault.INTERNAL:
            fault, detail = ExchangeFault.TIMEOUT, connection.timing.timed_out().detail
        return Exchange(
            started_at=started_at,
            duration=connection.timing.elapsed,
            phases=connection.timing.phases,
            fault=fault,
            fault_detail=detail,
            status=connection.status.code,
            reason_phrase=connection.status.reason_phrase,
            headers=headers,
            body=bytes(body),
            body_delay=body_delay,
            address=connection.address,
            tls_version=connection.tls_version,
            certificate_expiry=connection.certificate_expiry,
            chain_expiry=connection.chain_expiry,
        )

    def check_connection(self, url: str, proxy: HttpProxy | None, timeout: float) -> ConnectionCheck:
        """Connect to the host of `url` (with TLS for https, through `proxy` if given), close, and send no request.

        `timeout` (seconds) includes the close. A failure of the network, the proxy or TLS is in the ConnectionCheck;
        none is raised. A peer that does not close in order is not a failure.
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
            connection.timing.stamp()
            connection.close_in_order()
        if connection.timing.late and fault is not ExchangeFault.INTERNAL:
            fault, detail = ExchangeFault.TIMEOUT, connection.timing.timed_out().detail
        return ConnectionCheck(
            started_at=started_at,
            duration=connection.timing.elapsed,
            fault=fault,
            fault_detail=detail,
            phase=connection.timing.phase if fault else None,
            address=connection.address,
            tls_version=connection.tls_version,
            certificate_expiry=connection.certificate_expiry,
            chain_expiry=connection.chain_expiry,
        )

    def certificate_expiry(self, url: str, proxy: HttpProxy | None, timeout: float) -> float | None:
        """Return the expiry of the host's certificate without verifying it, in Unix seconds; None if it is unknown.

        For a certificate that failed verification: the failed handshake does not expose its expiry. `timeout` is in
        seconds. No request is sent.
        """
        connection = MeasuredConnection(url, proxy, timeout, self._resolver)
        try:
            connection.open(unverifying_context())
        except ExchangeError:
            return None
        finally:
            connection.close()
        return connection.certificate_expiry
