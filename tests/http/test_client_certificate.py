"""Servers that want a client certificate: their alert is a TLS fault, and a configured certificate satisfies them."""

from __future__ import annotations

import select
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import HttpRequest
from monitor.http.tls import verifying_context
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
