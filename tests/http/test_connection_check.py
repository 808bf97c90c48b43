"""A connection check connects, shakes hands, sends no request, and closes without a reset."""

from __future__ import annotations

import dataclasses
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.config.proxy import ProxySettings
from monitor.http import connection
from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import ConnectionCheck
from monitor.http.resolver import Resolver
from monitor.http.tls import verifying_context
from monitor.model import Phase
from monitor.simulator import CertificateVariant, Host, Simulator
from monitor.simulator.certificates import CertificateStore
from monitor.simulator.faults import (
    Certificate,
    Drip,
    Hang,
    HangAfterHandshake,
    HostFault,
    Moment,
    NotTls,
    Refuse,
    Reset,
    Status,
    TlsMax,
    TlsVersion,
)
from tests.simulator.proxy import SilentAddress, TunnelProxy
from tests.support.connection_recorder import ConnectionRecorder, End
from tests.support.raw_server import resetting_port

TIMEOUT = 20.0  # seconds, for checks that end by themselves
SHORT = 1.0  # seconds, for checks that end at their deadline
LONG = 10.0  # seconds; the limit for work that must not take a whole TIMEOUT


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Provide one environment, over TLS, without latency."""
    with Simulator(["prod"]) as running:
        running.environment("prod").latency = 0.0
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[HttpClient]:
    """Provide an HttpClient that trusts the simulator, and clear the simulator's faults afterwards."""
    yield HttpClient(verifying_context(simulator.ca_file))
    simulator.environment("prod").token_faults.clear()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    """Provide certificates for servers other than the simulator."""
    return CertificateStore(tmp_path_factory.mktemp("certificates"))


def trusting(ca_file: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> HttpClient:
    """Return an HttpClient that trusts `ca_file` and speaks TLS up to `version`."""
    context = verifying_context(ca_file)
    context.maximum_version = version
    return HttpClient(context)


def check(
    client: HttpClient, url: str, timeout: float = TIMEOUT, proxy: ProxySettings | None = None
) -> ConnectionCheck:
    """Return the check of `url`, after assertions that hold for every check."""
    began = time.time()
    checked = client.check_connection(url, proxy, timeout)
    assert checked.started_at == pytest.approx(began, abs=5)
    assert checked.duration >= 0
    assert (checked.fault is None) == (checked.phase is None) == (not checked.fault_detail)
    return checked


def failure(checked: ConnectionCheck) -> tuple[ExchangeFault | None, Phase | None]:
    """Return fault and phase."""
    return checked.fault, checked.phase


def proxy_at(port: int) -> ProxySettings:
    """Return the setting of a proxy on 127.0.0.1."""
    return ProxySettings("127.0.0.1", port)


@pytest.mark.parametrize(
    "fault,version", [(None, "TLSv1.3"), (TlsMax(TlsVersion.TLS_1_2), "TLSv1.2"), (Status(500), "TLSv1.3")]
)
def test_a_check_reports_the_connection(
    client: HttpClient, simulator: Simulator, fault: HostFault | None, version: str
) -> None:
    """Address, TLS version and certificate expiry are in the value, and the simulator received no request."""
    environment = simulator.environment("prod")
    if fault:
        environment.token_faults.set(fault)
    before = simulator.log.requests()
    checked = check(client, environment.token_url)
    assert failure(checked) == (None, None)
    assert checked.address == "127.0.0.1"
    assert checked.tls_version == version
    assert checked.certificate_expiry == simulator.certificate_expiry()
    assert simulator.log.requests() == before


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("silent", [False, True])
def test_tls_ends_with_close_notify_and_no_reset(
    certificates: CertificateStore, version: ssl.TLSVersion, *, silent: bool
) -> None:
    """The server reads close_notify, then FIN, and not one byte of data, whether or not it sends its close_notify."""
    with ConnectionRecorder(certificates.context(), silent=silent) as server:
        checked = check(trusting(certificates.ca_file, version), server.url)
        recorded = server.next()
    assert failure(checked) == (None, None)
    assert (recorded.data, recorded.ends) == (b"", [End.CLOSE_NOTIFY, End.FIN])


@pytest.mark.parametrize("greeting", [b"", b"220 smtp.test ESMTP\r\n"])
def test_a_plain_http_url_is_connected_to_and_left_without_a_reset(client: HttpClient, greeting: bytes) -> None:
    """The server reads FIN and not one byte of data, also if the check has to discard a greeting."""
    with ConnectionRecorder(greeting=greeting) as server:
        checked = check(client, server.url)
        recorded = server.next()
    assert failure(checked) == (None, None)
    assert (checked.address, checked.tls_version, checked.certificate_expiry) == ("127.0.0.1", None, None)
    assert (recorded.data, recorded.ends) == (b"", [End.FIN])


def test_a_certificate_that_fails_verification_ends_without_a_reset(certificates: CertificateStore) -> None:
    """The server reads the alert of the verification, then FIN: the rest of its handshake was read."""
    with ConnectionRecorder(certificates.context(CertificateVariant.EXPIRED)) as server:
        checked = check(trusting(certificates.ca_file), server.url)
        recorded = server.next()
    assert failure(checked) == (ExchangeFault.CERTIFICATE, Phase.TLS)
    assert recorded.ends == [End.ALERT, End.FIN]


@pytest.mark.parametrize("reset", [False, True])
def test_the_recorder_notices_a_client_without_close_notify(certificates: CertificateStore, *, reset: bool) -> None:
    """A handshake that is followed by a FIN alone or by a reset is recorded as such."""
    context = verifying_context(certificates.ca_file)
    with ConnectionRecorder(certificates.context()) as server:
        plain = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):  # without TLS
                    pass
        assert server.next().ends == [End.RST if reset else End.FIN]


@pytest.mark.parametrize(
    "fault,expected",
    [
        (Refuse(), (ExchangeFault.CONNECT, Phase.CONNECT)),
        (Reset(Moment.HANDSHAKE), (ExchangeFault.TLS, Phase.TLS)),
        (NotTls(), (ExchangeFault.TLS, Phase.TLS)),
        (TlsMax(TlsVersion.TLS_1_0), (ExchangeFault.TLS, Phase.TLS)),
        *(
            (Certificate(variant), (ExchangeFault.CERTIFICATE, Phase.TLS))
            for variant in CertificateVariant
            if variant != "good"
        ),
    ],
)
def test_a_failure_has_its_fault_and_phase(
    client: HttpClient, simulator: Simulator, fault: HostFault, expected: tuple[ExchangeFault, Phase]
) -> None:
    """The fault is that of an exchange, with a TLS version and an expiry only after a complete handshake."""
    simulator.environment("prod").token_faults.set(fault)
    checked = check(client, simulator.environment("prod").token_url)
    assert failure(checked) == expected
    assert (checked.tls_version, checked.certificate_expiry) == (None, None)
    assert simulator.log.requests("prod", Host.TOKEN) == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_reset_at_accept_is_a_fault_or_seen_too_late(client: HttpClient, scheme: str) -> None:
    """The reset comes before the connection is used, in the handshake, or (plain HTTP) after the check."""
    now = threading.Event()
    now.set()
    with resetting_port(now) as port:
        checked = check(client, f"{scheme}://127.0.0.1:{port}")
    late = (None, None) if scheme == "http" else (ExchangeFault.TLS, Phase.TLS)
    assert failure(checked) in {(ExchangeFault.CONNECT, Phase.CONNECT), late}


@pytest.mark.parametrize("consumed", [False, True])
def test_a_reset_as_tls_begins_is_a_tls_fault(*, consumed: bool) -> None:
    """The socket of the failed handshake is closed, also if the kernel has already reported the reset."""
    now = threading.Event()

    class ContextAfterPendingReset(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: object, **options: object) -> ssl.SSLSocket:
            now.set()
            poll = select.poll()
            poll.register(sock, select.POLLHUP)
            assert poll.poll(TIMEOUT * 1000)
            if consumed:
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return super().wrap_socket(sock, *args, **options)  # type: ignore[arg-type]

    with resetting_port(now) as port:
        checked = check(HttpClient(ContextAfterPendingReset(ssl.PROTOCOL_TLS_CLIENT)), f"https://127.0.0.1:{port}")
    assert failure(checked) == (ExchangeFault.TLS, Phase.TLS)


@pytest.mark.parametrize("fault", [Hang(), Drip(0.05, Moment.HANDSHAKE)])
def test_a_handshake_ends_at_the_deadline(client: HttpClient, simulator: Simulator, fault: HostFault) -> None:
    """A host that accepts and then is silent or slow is a timeout in the phase of the handshake."""
    simulator.environment("prod").token_faults.set(fault)
    began = time.monotonic()
    checked = check(client, simulator.environment("prod").token_url, SHORT)
    assert failure(checked) == (ExchangeFault.TIMEOUT, Phase.TLS)
    assert checked.duration >= SHORT
    assert time.monotonic() - began < LONG


def test_a_host_that_accepts_no_connection_is_a_timeout(client: HttpClient) -> None:
    """An address that does not complete the connection is a timeout in the phase of the connection."""
    with SilentAddress() as silent:
        checked = check(client, f"https://{silent.host}:{silent.port}", SHORT)
    assert failure(checked) == (ExchangeFault.TIMEOUT, Phase.CONNECT)


def test_no_time_is_a_timeout(client: HttpClient, simulator: Simulator) -> None:
    """A check whose deadline has passed at its start ends in the phase of the lookup."""
    checked = check(client, simulator.environment("prod").token_url, 0.0)
    assert failure(checked) == (ExchangeFault.TIMEOUT, Phase.RESOLVE)


def _fails(*_: object, **__: object) -> list[tuple[Any, ...]]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("through_proxy", [False, True])
def test_a_name_that_does_not_resolve_is_a_fault_of_the_lookup(*, through_proxy: bool) -> None:
    """The name of the host is a DNS fault, the name of the proxy a proxy fault."""
    client = HttpClient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Resolver(_fails))
    checked = check(client, "https://token.test", proxy=ProxySettings("proxy.test", 3128) if through_proxy else None)
    assert failure(checked) == (ExchangeFault.PROXY if through_proxy else ExchangeFault.DNS, Phase.RESOLVE)
    assert "name or service not known" in checked.fault_detail.lower()


def test_a_lookup_ends_at_the_deadline() -> None:
    """A resolver that does not respond is a timeout in the phase of the lookup."""
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[tuple[Any, ...]]:
        released.wait(TIMEOUT)
        return []

    client = HttpClient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Resolver(hang))
    try:
        assert failure(check(client, "https://token.test", SHORT)) == (ExchangeFault.TIMEOUT, Phase.RESOLVE)
    finally:
        released.set()


def test_a_proxy_gets_one_connect(certificates: CertificateStore) -> None:
    """The handshake goes through one tunnel, and ends there as it does without a proxy."""
    with TunnelProxy() as proxy, ConnectionRecorder(certificates.context()) as server:
        checked = check(trusting(certificates.ca_file), server.url, proxy=proxy_at(proxy.port))
        recorded = server.next()
        assert [(tunnel.method, tunnel.target) for tunnel in proxy.log] == [("CONNECT", f"localhost:{server.port}")]
    assert failure(checked) == (None, None)
    assert checked.tls_version == "TLSv1.3"
    assert (recorded.data, recorded.ends) == (b"", [End.CLOSE_NOTIFY, End.FIN])


@pytest.mark.parametrize("status", [403, 407, 503])
def test_a_proxy_that_refuses_is_a_proxy_fault(client: HttpClient, status: int) -> None:
    """The status of the proxy is in the detail."""
    with TunnelProxy(refuse=status) as proxy:
        checked = check(client, "https://token.test", proxy=proxy_at(proxy.port))
    assert failure(checked) == (ExchangeFault.PROXY, Phase.CONNECT)
    assert str(status) in checked.fault_detail


def test_a_silent_proxy_is_a_timeout(client: HttpClient) -> None:
    """A proxy that does not respond to CONNECT is a timeout in the phase of the connection."""
    with TunnelProxy(silent=True) as proxy:
        checked = check(client, "https://token.test", SHORT, proxy_at(proxy.port))
    assert failure(checked) == (ExchangeFault.TIMEOUT, Phase.CONNECT)


def test_closing_waits_no_longer_than_its_own_limit(certificates: CertificateStore) -> None:
    """A server that never closes delays the check by CLOSE_TIMEOUT, which is no fault and not in the duration."""
    held = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_hold, args=(listening, certificates.context(), held), daemon=True)
        thread.start()
        began = time.monotonic()
        checked = check(trusting(certificates.ca_file), f"https://localhost:{listening.getsockname()[1]}", TIMEOUT)
        took = time.monotonic() - began
        held.set()
        thread.join(5)
    assert failure(checked) == (None, None)
    assert took < LONG
    assert checked.duration <= took - connection.CLOSE_TIMEOUT


def test_closing_ends_at_the_deadline_of_the_check(
    certificates: CertificateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline of the whole check also ends the wait for the server to close."""
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT", TIMEOUT)
    held = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_hold, args=(listening, certificates.context(), held), daemon=True)
        thread.start()
        began = time.monotonic()
        check(trusting(certificates.ca_file), f"https://localhost:{listening.getsockname()[1]}", 1.0)
        took = time.monotonic() - began
        held.set()
        thread.join(5)
    assert took < LONG


def _hold(listening: socket.socket, context: ssl.SSLContext, held: threading.Event) -> None:
    connection, _ = listening.accept()
    connection.settimeout(TIMEOUT)
    with context.wrap_socket(connection, server_side=True):
        held.wait(TIMEOUT)


def test_a_server_that_sends_without_end_does_not_hold_the_check(client: HttpClient) -> None:
    """The check discards about 64 KiB of 50 MB and then closes, which is the only case with a reset of ours."""
    with ConnectionRecorder(greeting=b"x" * 50_000_000) as server:
        assert failure(check(client, server.url)) == (None, None)
        assert server.next().ends == [End.RST]


def test_a_connection_check_is_immutable() -> None:
    """A field of a check cannot be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ConnectionCheck(0.0, 0.0).fault = ExchangeFault.TLS  # type: ignore[misc]


def test_an_unexpected_error_propagates_and_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of our own is not a fault of the host, and leaves no open socket (a warning, and so an error)."""

    class BrokenContext(ssl.SSLContext):
        def wrap_socket(self, *_: object, **__: object) -> ssl.SSLSocket:
            raise RuntimeError("a defect")

    with ConnectionRecorder() as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(RuntimeError, match="a defect"):
            HttpClient(BrokenContext(ssl.PROTOCOL_TLS_CLIENT)).check_connection(url, None, TIMEOUT)
        assert server.next().ends == [End.FIN]


def test_a_host_that_would_hang_after_the_handshake_is_reachable(client: HttpClient, simulator: Simulator) -> None:
    """A check ends with the handshake, so it does not notice a host that never responds to a request."""
    simulator.environment("prod").token_faults.set(HangAfterHandshake())
    assert failure(check(client, simulator.environment("prod").token_url)) == (None, None)
