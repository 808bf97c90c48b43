"""A host with a trailing dot: the dot is part of the lookup and of the request, and not of TLS."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from monitor.config.proxy import ProxySettings, SharedProxy
from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import HttpRequest
from monitor.http.resolver import Resolver
from monitor.http.tls import verifying_context
from tests.simulator.proxy import TunnelProxy
from tests.support.demanding_server import ADDRESS, TIMEOUT, DemandingServer
from tests.support.odd_certificates import ca_extensions, issue


class RecordingLookup:
    """Resolves every name to 127.0.0.1, and records the names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.names.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (ADDRESS, port))]


@pytest.mark.parametrize("host", ["host.test", "host.test."])
@pytest.mark.parametrize("route", ["direct", "proxy"])
def test_the_dot_is_kept_for_lookup_and_request_and_stripped_for_tls(tmp_path: Path, host: str, route: str) -> None:
    """So does curl. A proxy receives the name with the dot, because it does the lookup."""
    root = issue("root", None, ca_extensions())
    lookup = RecordingLookup()
    server_names: list[str | None] = []

    def record(_: ssl.SSLSocket | ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        server_names.append(name)

    with DemandingServer(tmp_path, root, hosts=("host.test",)) as server, TunnelProxy() as tunnel:
        server.context.verify_mode = ssl.CERT_NONE
        server.context.sni_callback = record
        proxy = ProxySettings(ADDRESS, tunnel.port) if route == "proxy" else None
        url = f"https://{host}:{server.port}/"
        request = HttpRequest("GET", url, {"Connection": "close"}, TIMEOUT, proxy=proxy)
        exchange = HttpClient(verifying_context(server.ca_file), Resolver(lookup)).exchange(request)
        if route == "proxy":
            assert [each.target for each in tunnel.log] == [f"{host}:{server.port}"]
            return
    assert (exchange.fault, exchange.status, exchange.fault_detail) == (None, 204, "")
    assert lookup.names == [host]
    assert server_names == ["host.test"]
    assert f"Host: {host}:{server.port}\r\n".encode() in server.requests[0]


def test_another_name_with_a_dot_is_refused(tmp_path: Path) -> None:
    """Verification compares the name without the dot."""
    root = issue("root", None, ca_extensions())
    with DemandingServer(tmp_path, root, hosts=("host.test",)) as server:
        server.context.verify_mode = ssl.CERT_NONE
        request = HttpRequest("GET", f"https://other.test.:{server.port}/", {}, TIMEOUT)
        exchange = HttpClient(verifying_context(server.ca_file), Resolver(RecordingLookup())).exchange(request)
    assert exchange.fault is ExchangeFault.CERTIFICATE


@pytest.mark.parametrize("host", ["host.test", "host.test."])
@pytest.mark.parametrize("exception", ["host.test", ".test", "test", "host.test:443"])
def test_no_proxy_matches_a_host_with_and_without_the_dot(host: str, exception: str) -> None:
    """Both names are the same host."""
    shared = SharedProxy("HTTPS_PROXY", ProxySettings("proxy.test", 80), exception)
    assert not shared.applies_to(f"https://{host}/")
    assert shared.applies_to("https://other.example./")
