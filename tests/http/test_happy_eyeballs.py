"""Connections go to the first address that accepts one; each silent address costs a quarter of a second."""

from __future__ import annotations

import contextlib
import errno
import gc
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from monitor.http import happy_eyeballs
from monitor.http.happy_eyeballs import CONNECTION_ATTEMPT_DELAY, ConnectionAttempts, _interleaved
from monitor.http.resolver import HostAddress
from tests.simulator.proxy import SilentAddress

LONG_DELAY = 20.0  # seconds between two attempts in tests of attempts that do not wait for it
NO_ROUTE = HostAddress(socket.AF_INET6, ("fe80::1", 9, 0, 0))  # link-local, without a link
NO_FAMILY = HostAddress(cast("socket.AddressFamily", 9999), ("", 0))


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Provide a listening port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address(host: str, port: int) -> HostAddress:
    """Return an IPv4 address."""
    return HostAddress(socket.AF_INET, (host, port))


def address_of(server: socket.socket) -> HostAddress:
    """Return the address of `server`."""
    return address(*server.getsockname())


def closed() -> HostAddress:
    """Return an address of this machine that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return address_of(bound)


def within(seconds: float) -> float:
    """Return the deadline `seconds` from now."""
    return time.monotonic() + seconds


def test_a_single_address_is_connected_to(server: socket.socket) -> None:
    """A single address that accepts is connected to."""
    with ConnectionAttempts([address_of(server)]).connect(within(20)) as connected:
        assert connected.getpeername() == server.getsockname()


def test_only_the_first_socket_is_open_before_the_connection_begins(server: socket.socket) -> None:
    """Its opening takes as long as a part of the connection, and is no time of the network."""
    before = sockets()
    attempts = ConnectionAttempts([address_of(server)] * 3)
    assert len(sockets() - before) == 1
    attempts.connect(within(20)).close()
    assert sockets() == before


def test_a_deadline_that_has_passed_leaves_no_socket_open(server: socket.socket) -> None:
    """No attempt has started."""
    before = sockets()
    with pytest.raises(TimeoutError):
        ConnectionAttempts([address_of(server)]).connect(within(-1))
    assert sockets() == before


def sockets() -> set[str]:
    """Return the sockets that this process has open."""
    opened = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor of this directory
            opened.add(str(path.readlink()))
    return {name for name in opened if name.startswith("socket:")}


@pytest.fixture
def long_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the delay between two attempts so long that only an attempt without it ends in time."""
    monkeypatch.setattr(happy_eyeballs, "CONNECTION_ATTEMPT_DELAY", LONG_DELAY)


def test_the_next_address_is_tried_after_a_quarter_of_a_second() -> None:
    """The next attempt starts while the first still waits (RFC 8305 section 5)."""
    with SilentAddress("127.0.0.2") as silent, socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with ConnectionAttempts([address(silent.host, silent.port), address_of(server)]).connect(
            within(60)
        ) as connected:
            assert CONNECTION_ATTEMPT_DELAY <= time.monotonic() - began < 10
            assert connected.getpeername() == server.getsockname()


@pytest.mark.usefixtures("long_delay")
def test_the_next_address_is_tried_at_once_after_a_refusal(server: socket.socket) -> None:
    """The next attempt starts as soon as the first is refused."""
    began = time.monotonic()
    with ConnectionAttempts([closed(), address_of(server)]).connect(within(60)) as connected:
        assert time.monotonic() - began < LONG_DELAY
        assert connected.getpeername() == server.getsockname()


def test_a_refusal_after_a_silent_address_starts_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third attempt starts when the second is refused, not another delay later."""
    delay = 3.0  # seconds, longer than a busy machine pauses a test
    monkeypatch.setattr(happy_eyeballs, "CONNECTION_ATTEMPT_DELAY", delay)
    with SilentAddress("127.0.0.2") as silent, socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with ConnectionAttempts([address(silent.host, silent.port), closed(), address_of(server)]).connect(
            within(60)
        ) as connected:
            assert delay <= time.monotonic() - began < 2 * delay
            assert connected.getpeername() == server.getsockname()


@pytest.mark.usefixtures("long_delay")
@pytest.mark.parametrize("unreachable", [NO_ROUTE, NO_FAMILY])
def test_an_unreachable_address_costs_no_delay(server: socket.socket, unreachable: HostAddress) -> None:
    """An attempt without a route or an address family fails at once, and the next one starts."""
    began = time.monotonic()
    with ConnectionAttempts([unreachable, address_of(server)]).connect(within(60)) as connected:
        assert time.monotonic() - began < LONG_DELAY
        assert connected.getpeername() == server.getsockname()


def test_silent_addresses_end_at_the_deadline() -> None:
    """Three silent addresses share one deadline."""
    with SilentAddress("127.0.0.2") as one, SilentAddress("127.0.0.3") as two, SilentAddress("127.0.0.4") as three:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ConnectionAttempts([address(silent.host, silent.port) for silent in (one, two, three)]).connect(within(1.0))
        assert 1.0 <= time.monotonic() - began < 10


def test_the_error_of_the_preferred_address_is_raised() -> None:
    """The error is that of the address which the system prefers."""
    with pytest.raises(ConnectionRefusedError):
        ConnectionAttempts([closed(), NO_FAMILY]).connect(within(20))
    with pytest.raises(OSError, match="family"):
        ConnectionAttempts([NO_FAMILY, closed()]).connect(within(20))


def test_no_address_is_an_error() -> None:
    """An empty list of addresses is an `OSError`, which is not an internal fault."""
    with pytest.raises(OSError, match="no address") as raised:
        ConnectionAttempts([]).connect(within(20))
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_a_deadline_that_has_passed_is_a_timeout(server: socket.socket) -> None:
    """A deadline that has passed is a timeout although the address would accept."""
    with pytest.raises(TimeoutError):
        ConnectionAttempts([address_of(server)]).connect(within(0))


def test_the_address_families_alternate() -> None:
    """If one family has no route, the second attempt is in the other family (RFC 8305 section 4)."""
    ipv6 = [HostAddress(socket.AF_INET6, ("::1", port, 0, 0)) for port in (1, 2, 3)]
    ipv4 = [address("127.0.0.1", 4), address("127.0.0.1", 5)]
    assert list(_interleaved([*ipv6, *ipv4])) == [ipv6[0], ipv4[0], ipv6[1], ipv4[1], ipv6[2]]
    assert list(_interleaved([*ipv4, *ipv6])) == [ipv4[0], ipv6[0], ipv4[1], ipv6[1], ipv6[2]]


@pytest.mark.parametrize("outcome", ["connected", "timeout"])
def test_no_socket_of_an_attempt_is_left_open(server: socket.socket, outcome: str) -> None:
    """The sockets of all other attempts are closed (an open one is a warning, and so an error)."""
    with SilentAddress("127.0.0.2") as silent:
        others = [address(silent.host, silent.port), closed()]
        if outcome == "connected":
            ConnectionAttempts([*others, address_of(server)]).connect(within(20)).close()
        else:
            with pytest.raises(TimeoutError):
                ConnectionAttempts(others).connect(within(0.05))
        gc.collect()
