"""Addresses on which the web server listens, and forms of requests that it takes."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.hosts import reachable_address
from monitor.web.access import AccessControl
from monitor.web.listening import bind
from monitor.web.server import WebServer
from tests.support.web import SESAME, Authority, FakePages, WebClient, basic, health, serving, write

LOOPBACK = ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "", "::"])
def test_both_address_families_are_served(host: str, pages: FakePages) -> None:
    """`localhost` is 127.0.0.1 and ::1, and `[::]` is every address of both families."""
    with serving(pages, host=host) as server:
        for _ in range(3):
            assert [health(address, server.port)[0] for address in LOOPBACK] == [True, True]
        assert health(host, server.port) == (True, "Healthy")


def test_a_server_on_several_addresses_can_be_stopped(pages: FakePages) -> None:
    """Before and after its start; then all its ports are free."""
    for start in (False, True):
        server = WebServer("localhost", 0, pages)
        if start:
            server.start()
        server.stop()
        for family, address in zip((socket.AF_INET, socket.AF_INET6), LOOPBACK, strict=True):
            socket.create_server((address, server.port), family=family).close()


@pytest.mark.parametrize("family,address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_in_use_at_one_address_is_an_error(family: socket.AddressFamily, address: str) -> None:
    """Clients of `localhost` would else reach the other server."""
    with socket.create_server((address, 0), family=family) as taken, pytest.raises(OSError, match="in use"):
        bind("localhost", taken.getsockname()[1])


def test_a_free_port_is_free_at_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the port of the first address is in use at the second, another one is tried."""
    created: list[tuple[str, int]] = []
    create = socket.create_server

    def once_in_use(address: tuple[str, int], *, family: socket.AddressFamily, backlog: int) -> socket.socket:
        created.append(address)
        if len(created) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return create(address, family=family, backlog=backlog)

    monkeypatch.setattr(socket, "create_server", once_in_use)
    sockets = bind("localhost", 0)
    assert [host for host, _ in created] == ["127.0.0.1", "::1", "127.0.0.1", "::1"]
    assert created[3][1] == sockets.port
    sockets.close()


IPV4_ONLY = """
import socket, sys
from monitor.web.listening import bind
if sys.argv[2] == "none":
    class V4Only(socket.socket):
        def __init__(self, family=-1, *args, **kwargs):
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *args, **kwargs)
    socket.socket = V4Only
sockets = bind(sys.argv[1], 0)
with socket.create_connection(("127.0.0.1", sockets.port), timeout=10):
    print("accepted", sockets.accept()[0].getsockname()[0].removeprefix("::ffff:"))
"""


@pytest.mark.parametrize("host", ["localhost", "", "::", "127.0.0.1"])
@pytest.mark.parametrize("ipv6", ["none", pytest.param("disabled", marks=pytest.mark.system)])
def test_without_ipv6_the_ipv4_addresses_are_served(host: str, ipv6: str) -> None:
    """IPv6 is missing in the kernel, or switched off by sysctl (in a network namespace of its own)."""
    arguments = [sys.executable, "-c", IPV4_ONLY, host, ipv6]
    if ipv6 == "disabled":
        script = 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up; exec "$@"'
        arguments = ["unshare", "--net", "sh", "-e", "-c", script, "sh", *arguments]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60, env=os.environ)
    assert (ended.stdout, ended.stderr) == ("accepted 127.0.0.1\n", "")


def test_a_name_without_an_address_of_this_machine_is_an_error() -> None:
    """The error is that of the address."""
    with pytest.raises(OSError, match="Cannot assign requested address"):
        bind("192.0.2.1", 0)


def test_all_addresses_are_reached_over_ipv4() -> None:
    """A machine without IPv6 has no ::1."""
    assert [reachable_address(host) for host in ("", "::", "0.0.0.0")] == ["127.0.0.1"] * 3  # noqa: S104 # compared


def exchange(server: WebServer, request: str) -> str:
    """Send a request, close the side of the client, and return everything that the server sends until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(request.encode())
        client.shutdown(socket.SHUT_WR)
        return "".join(iter(lambda: client.recv(65536).decode(), ""))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_half_closed_client_gets_its_response(version: str, pages: FakePages) -> None:
    """The response is complete, also a long one, and the server closes the connection after it."""
    pages.body = b"x" * 3_000_000
    with serving(pages) as server:
        for _ in range(3):
            response = exchange(server, f"GET /metrics HTTP/{version}\r\nHost: a\r\n\r\n")
            assert response.startswith("HTTP/1.1 200 ")
            assert response.endswith("\r\n\r\n" + "x" * 3_000_000)


def test_a_half_closed_client_gets_the_responses_of_all_its_requests(pages: FakePages) -> None:
    """Requests that wait behind the first one are served too; a half one ends the connection."""
    request = "GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"
    with serving(pages) as server:
        assert exchange(server, 3 * request).count("\r\n\r\nHealthy\n") == 3
        assert exchange(server, "") == exchange(server, request[:-2]) == ""


def test_a_tls_client_that_ends_its_side_is_closed_without_a_log_record(
    config: Path, pages: FakePages, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS of asyncio has no half-closed connections."""
    context = ssl.create_default_context(cafile=authority.file)
    with (
        serving(pages, write(config, "tls_server_config: {cert_file: server.crt, key_file: server.key}")) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
        context.wrap_socket(client, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        tls.shutdown(socket.SHUT_WR)
        while tls.recv(65536):
            pass
        assert WebClient(server, authority.file).status() == 200
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


@pytest.mark.parametrize(
    "target,status",
    [
        ("http://monitor.example:9844/metrics", 200),
        ("HTTPS://a/metrics?x=1", 200),
        ("http://[::1]:9844/-/healthy", 200),
        ("http://a", 200),
        ("http://a?b", 200),
        ("http://a/nothing", 404),
        ("http://a//metrics", 404),
        ("ftp://a/metrics", 404),
        ("http:/metrics", 404),
        ("*", 404),
        ("//a/metrics", 404),
    ],
)
def test_absolute_request_targets_are_taken(target: str, status: int, pages: FakePages) -> None:
    """Every server must take them (RFC 9112 section 3.2.2); the host in them is not used."""
    with serving(pages) as server:
        response = exchange(server, f"GET {target} HTTP/1.1\r\nHost: other\r\n\r\n")
    assert response.startswith(f"HTTP/1.1 {status} ")


def test_an_absolute_target_needs_the_same_access(config: Path, pages: FakePages) -> None:
    """The access control sees the path that is served."""
    with serving(pages, write(config, f"basic_auth_users: {{alice: {SESAME}}}")) as server:
        client = WebClient(server)
        for path in ("/metrics", "/-/healthy", "/-/ready"):
            assert client.status(f"http://a{path}") == 401
            assert client.status(f"http://a{path}", headers=basic("alice", "open sesame")) == 200
    assert AccessControl(config).policy().config.users
