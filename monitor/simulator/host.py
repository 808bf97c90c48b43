"""A simulated host: accept connections, read and log requests, and respond with the fault that is set."""

from __future__ import annotations

import ssl
import time
import types
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from monitor.simulator import fault_injection
from monitor.simulator.fault_switch import FaultSwitch
from monitor.simulator.faults import Certificate, Drip, Hang, HostFault, Moment, NotTls, Reset, Slow, TlsMax
from monitor.simulator.listener import AcceptedConnection, ConnectionListener
from monitor.simulator.message import BadRequestError, ReceivedRequest, SimulatedResponse, read_request
from monitor.simulator.registry import Registry, error_container
from monitor.simulator.request_log import Host, RequestLog, RequestRecord

if TYPE_CHECKING:
    from monitor.simulator.certificates import CertificateStore

_PLAIN_RESPONSE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SimulatedHost:
    """One of the two hosts of an environment, on 127.0.0.1 and, with `ipv6`, on the same port of ::1."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a host
        self,
        environment: str,
        host: Host,
        registry: Registry,
        log: RequestLog,
        certificates: CertificateStore | None,
        latency: Callable[[], float],
        *,
        port: int = 0,
        ipv6: bool = False,
    ) -> None:
        """Bind the port. Raises OSError. Without certificates the host uses plain HTTP."""
        self._environment = environment
        self._host = host
        self._registry = registry
        self._log = log
        self._certificates = certificates
        self._latency = latency
        self.faults = FaultSwitch(host, self._refuse)
        self._listeners = _listeners(self._handle, port, ipv6=ipv6)
        self.port = self._listeners[0].port

    def start(self) -> None:
        """Accept connections from now on."""
        for listener in self._listeners:
            listener.start()

    def close(self) -> None:
        """End every connection and wait for their threads."""
        for listener in self._listeners:
            listener.close()

    def _refuse(self, *, wanted: bool) -> None:
        for listener in self._listeners:
            if wanted:
                listener.refuse()
            else:
                listener.start()

    def _handle(self, connection: AcceptedConnection) -> None:
        number = self._log.connected(self._environment, self._host)
        fault = self.faults.take()
        if not self._begin(connection, fault):
            return
        fresh = True
        while self._serve(connection, fault, number, fresh=fresh):
            fresh = False
            fault = None

    def _begin(self, connection: AcceptedConnection, fault: HostFault | None) -> bool:
        """Open the connection for requests, with TLS; return False if a fault ended it before."""
        match fault:
            case Hang():
                connection.hang()
            case Reset(at=Moment.ACCEPT):
                connection.reset()
            case Reset(at=Moment.HANDSHAKE):
                connection.receive(65536)
                connection.reset()
            case NotTls():
                connection.receive(65536)
                connection.send(_PLAIN_RESPONSE)
            case Drip(at=Moment.HANDSHAKE) if self._certificates:
                _drip_handshake(connection, self._certificates.context(), fault.seconds)
            case _:
                if self._certificates:
                    connection.secure(self._context(self._certificates, fault))
                return True
        return False

    @staticmethod
    def _context(certificates: CertificateStore, fault: HostFault | None) -> ssl.SSLContext:
        if isinstance(fault, Certificate):
            return certificates.context(fault.variant)
        if isinstance(fault, TlsMax):
            return certificates.capped_context(fault.version)
        return certificates.context()

    def _serve(self, connection: AcceptedConnection, fault: HostFault | None, number: int, *, fresh: bool) -> bool:
        """Read one request and respond to it; return True if the connection can take another one."""
        try:
            request = read_request(connection.receive)
        except BadRequestError as bad:
            connection.send(_refusal(bad))
            return False
        if request is None:
            return False
        when = time.time()
        if not fresh:
            fault = self.faults.take()
        if not isinstance(fault, Slow):
            connection.pause(self._latency())
        response = fault_injection.decide(self._registry, self._host, request, fault)
        self._log.add(self._record(request, response, connection.tls_version, number, when=when, fresh=fresh))
        return fault_injection.send(connection, response, fault) and request.keeps_alive

    def _record(  # noqa: PLR0913 - the parts of a record
        self,
        request: ReceivedRequest,
        response: SimulatedResponse | None,
        tls_version: str | None,
        number: int,
        *,
        when: float,
        fresh: bool,
    ) -> RequestRecord:
        headers = dict(request.headers)
        for name in ("authorization", "proxy-authorization"):
            if name in headers:
                headers[name] = headers[name].partition(" ")[0]
        form = urllib.parse.parse_qsl(request.body.decode("latin-1"), keep_blank_values=True)
        query = urllib.parse.parse_qsl(request.target.partition("?")[2], keep_blank_values=True)
        names = "&".join(name for name, _ in query)
        return RequestRecord(
            when=when,
            environment=self._environment,
            host=self._host,
            connection=number,
            method=request.method,
            path=f"{request.path}?{names}" if names else request.path,
            headers=types.MappingProxyType(headers),
            fields=tuple(name for name, _ in form),
            status=response.status if response else None,
            fresh=fresh,
            tls_version=tls_version,
        )


def _listeners(handle: Callable[[AcceptedConnection], None], port: int, *, ipv6: bool) -> list[ConnectionListener]:
    first = ConnectionListener(handle, "127.0.0.1", port)
    if not ipv6:
        return [first]
    try:
        return [first, ConnectionListener(handle, "::1", first.port)]
    except OSError:
        first.close()
        raise


def _refusal(bad: BadRequestError) -> bytes:
    response = error_container(bad.status, "BadRequest", str(bad))
    return response.header_section(connection="close") + response.body


def _drip_handshake(connection: AcceptedConnection, context: ssl.SSLContext, seconds: float) -> None:
    """Send the TLS handshake one byte at a time. It has over a thousand bytes, so no client waits for its end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while data := connection.receive(65536):
        incoming.write(data)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            fault_injection.drip(connection, outgoing.read(), seconds)
