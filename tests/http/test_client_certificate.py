"""Servers that want a client certificate: their alert is a TLS fault, and a configured certificate satisfies them."""

from __future__ import annotations

import select
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from monitor.config.client_certificate import ClientCertificate
from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import HttpRequest
from monitor.http.tls import present, verifying_context
from monitor.model import Phase
from tests.support.demanding_server import TIMEOUT, DemandingServer
from tests.support.odd_certificates import Pair, ca_extensions, issue

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def root() -> Pair:
    """Provide the CA of server and client."""
    return issue("root", None, ca_extensions())


def request(url: str) -> HttpRequest:
    """Return a request to `url`."""
    return HttpRequest("GET", url, {"Connection": "close"}, TIMEOUT)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("end", ["FIN", "RST"])
def test_a_missing_client_certificate_is_a_tls_fault(
    root: Pair, tmp_path: Path, version: ssl.TLSVersion, end: str
) -> None:
    """In TLS 1.3 the alert arrives after the client's handshake, when the request may have been sent."""
    with DemandingServer(tmp_path, root, version, reset=end == "RST") as server:
        exchange = HttpClient(verifying_context(server.ca_file)).exchange(request(server.url))
    assert (exchange.fault, exchange.status) == (ExchangeFault.TLS, None)
    assert "certificate required" in exchange.fault_detail or "handshake failure" in exchange.fault_detail


class _SocketAfterReset(ssl.SSLSocket):
    """A socket whose handshake returns when the server's reset has arrived, so that the write of the request fails."""

    writes: list[str]

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of `ssl`
        super().do_handshake(block)
        poll = select.poll()
        poll.register(self, select.POLLHUP)
        assert poll.poll(TIMEOUT * 1000)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        try:
            super().sendall(data, flags)
        except OSError as error:
            type(self).writes.append(type(error).__name__)
            raise


def test_the_alert_is_read_when_the_request_could_not_be_written(root: Pair, tmp_path: Path) -> None:
    """The server has reset the connection, and the alert is in the receive buffer."""
    _SocketAfterReset.writes = []
    with DemandingServer(tmp_path, root, ssl.TLSVersion.TLSv1_3, reset=True) as server:
        context = verifying_context(server.ca_file)
        context.sslsocket_class = _SocketAfterReset
        exchange = HttpClient(context).exchange(request(server.url))
    assert _SocketAfterReset.writes, "the write did not fail, so this tests nothing"
    assert (exchange.fault, exchange.last_phase) == (ExchangeFault.TLS, Phase.PROCESSING)
    assert "certificate required" in exchange.fault_detail


def pair_of(directory: Path, issuer: Pair, password: str | None = None) -> ClientCertificate:
    """Write a client certificate of `issuer` with its key."""
    usage = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    pair = issue("tigr-monitor", issuer, [usage])
    (directory / "client.crt").write_bytes(pair.pem)
    (directory / "client.key").write_bytes(pair.key_pem(password.encode() if password else None))
    return ClientCertificate(directory / "client.crt", directory / "client.key", password)


def presenting(ca_file: Path, pair: ClientCertificate) -> HttpClient:
    """Return a client that trusts `ca_file` and presents `pair`."""
    context = verifying_context(ca_file)
    present(context, pair)
    return HttpClient(context)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("password", [None, "umlauts \u00e4\u00f6\u00fc"])
def test_the_client_certificate_is_presented(
    root: Pair, tmp_path: Path, version: ssl.TLSVersion, password: str | None
) -> None:
    """A password is encoded in UTF-8."""
    with DemandingServer(tmp_path, root, version) as server:
        client = presenting(server.ca_file, pair_of(tmp_path, root, password))
        exchange = client.exchange(request(server.url))
    assert (exchange.fault, exchange.status, exchange.fault_detail) == (None, 204, "")
    assert server.subjects == ["tigr-monitor"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_of_another_ca_is_a_tls_fault(root: Pair, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """The detail has the alert."""
    other = issue("other", None, ca_extensions())
    with DemandingServer(tmp_path, root, version) as server:
        exchange = presenting(server.ca_file, pair_of(tmp_path, other)).exchange(request(server.url))
    assert exchange.fault is ExchangeFault.TLS
    assert "alert" in exchange.fault_detail
    assert server.subjects == []


def test_a_client_certificate_is_presented_after_the_handshake(root: Pair, tmp_path: Path) -> None:
    """Servers that require it for some paths only ask after they have read the request."""
    with DemandingServer(tmp_path, root) as server:
        server.context.verify_mode = ssl.CERT_OPTIONAL
        server.context.post_handshake_auth = True
        server.after_handshake = True
        exchange = presenting(server.ca_file, pair_of(tmp_path, root)).exchange(request(server.url))
    assert (exchange.fault, exchange.status) == (None, 204)
    assert server.subjects == [None, "tigr-monitor"]


def test_the_look_at_an_unverified_certificate_presents_none(root: Pair, tmp_path: Path) -> None:
    """The server may be an attacker."""
    with DemandingServer(tmp_path, root) as server:
        server.context.verify_mode = ssl.CERT_OPTIONAL
        client = presenting(server.ca_file, pair_of(tmp_path, root))
        assert client.certificate_expiry(server.url, None, TIMEOUT) is not None
        client.check_connection(server.url, None, TIMEOUT)
    assert server.subjects == [None, "tigr-monitor"]


def test_a_server_whose_certificate_does_not_verify_receives_none(root: Pair, tmp_path: Path) -> None:
    """The handshake ends before the client presents its certificate."""
    other = issue("other", None, ca_extensions())
    (tmp_path / "other.pem").write_bytes(other.pem)
    with DemandingServer(tmp_path, root) as server:
        client = presenting(tmp_path / "other.pem", pair_of(tmp_path, root))
        assert client.exchange(request(server.url)).fault is ExchangeFault.CERTIFICATE
    assert server.subjects == []


def test_an_alert_after_the_first_byte_is_a_broken_connection(root: Pair, tmp_path: Path) -> None:
    """The server has begun its response, so TLS was in order."""
    with DemandingServer(tmp_path, root) as server:
        server.context.verify_mode = ssl.CERT_OPTIONAL
        server.context.post_handshake_auth = True
        server.after_handshake = True
        server.partial_response = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
        other = issue("other", None, ca_extensions())
        exchange = presenting(server.ca_file, pair_of(tmp_path, other)).exchange(request(server.url))
    assert (exchange.fault, exchange.status) == (ExchangeFault.DISCONNECT, 200)
    assert "unknown ca" in exchange.fault_detail
