"""One measured HTTP exchange on a connection of its own: phases, certificate, one deadline, a size cap.

The only home of httpx and httpcore. Each phase is stamped where it happens, at the socket; every socket call gets
what is left of the one deadline; no more is asked of the socket than the size cap leaves. The phases tile the
exchange: what the program itself does between two of them (microseconds) belongs to the earlier one, so their sum is
the duration.
"""

from __future__ import annotations

import ssl

import httpx

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.http.connection import MeasuredConnection
from monitor.http.decoding import UNENCODED, content_encoding, decode
from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.exchange import ConnectionCheck, Exchange, HttpProxy, HttpRequest
from monitor.http.resolver import Resolver
from monitor.http.tls import unverifying_context


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
