"""The proxy and the silent address of the tests behave as documented."""

from __future__ import annotations

import socket

import pytest

from monitor.simulator import Simulator
from tests.simulator.client import SimulatorClient
from tests.simulator.proxy import SilentAddress, TunnelProxy


def through(proxy: TunnelProxy, client: SimulatorClient, authorization: str = "") -> int:
    """Request a tunnel and, if it is established, ping through it; return the last status."""
    target = client.environment.api_url.split("/")[2]
    header = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as plain:
        plain.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{header}\r\n".encode())
        status = status_of(plain)
        if status != 200:
            return status
        assert client.tls
        with client.tls.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"GET /ClientAPI/api/system/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return status_of(sock)


def status_of(sock: socket.socket) -> int:
    """Read the header section of a response and return its status."""
    return int(sock.recv(65536).split()[1])


def test_a_proxy_tunnels_tls_to_the_target(client: SimulatorClient, simulator: Simulator) -> None:
    """The tunnel reaches the host, and the log of the proxy has the request."""
    with TunnelProxy() as proxy:
        assert through(proxy, client) == 401
        (tunnel,) = proxy.log
    assert (tunnel.method, tunnel.status, tunnel.authorized) == ("CONNECT", 200, True)
    assert tunnel.target in client.environment.api_url
    assert simulator.log.requests("prod", "api") == 1


def test_a_proxy_can_require_a_password(client: SimulatorClient) -> None:
    """The status is 407 without the password, and the tunnel is established with it."""
    with TunnelProxy(authorization="Basic cHJveHk6cGFzcw==") as proxy:
        assert through(proxy, client) == 407
        assert through(proxy, client, "Basic cHJveHk6cGFzcw==") == 401
        assert [tunnel.status for tunnel in proxy.log] == [407, 200]


def test_a_proxy_can_refuse_the_tunnel(client: SimulatorClient, simulator: Simulator) -> None:
    """The proxy responds with the given status, and no connection reaches the host."""
    with TunnelProxy(refuse=403) as proxy:
        assert through(proxy, client) == 403
    assert simulator.log.connections() == 0


def test_a_proxy_can_be_silent(client: SimulatorClient) -> None:
    """The proxy reads the request and sends nothing."""
    with TunnelProxy(silent=True) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as sock:
        sock.sendall(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_a_tunnel_to_a_closed_port_is_a_bad_gateway() -> None:
    """The proxy responds with 502."""
    with socket.socket() as closed, TunnelProxy() as proxy:
        closed.bind(("127.0.0.1", 0))
        with socket.create_connection(("127.0.0.1", proxy.port)) as sock:
            target = f"127.0.0.1:{closed.getsockname()[1]}".encode()
            sock.sendall(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 502"


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_a_connection_to_a_silent_address_times_out(host: str) -> None:
    """The connection is neither refused nor established."""
    with SilentAddress(host) as silent, pytest.raises(TimeoutError):
        socket.create_connection((silent.host, silent.port), timeout=0.3)
