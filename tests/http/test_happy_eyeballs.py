"""Of several addresses the first that answers is taken, and silent ones cost a quarter of a second each."""

from __future__ import annotations

import errno
import gc
import socket
import time
from collections.abc import Iterator
from typing import cast

import pytest

from monitor.http.happy_eyeballs import CONNECTION_ATTEMPT_DELAY, ConnectionAttempts, _interleaved
from monitor.http.resolver import HostAddress
from tests.simulator.proxy import SilentAddress

NO_ROUTE = HostAddress(socket.AF_INET6, ("fe80::1", 9, 0, 0))  # link-local, without saying on which link
NO_FAMILY = HostAddress(cast("socket.AddressFamily", 9999), ("", 0))


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address(host: str, port: int) -> HostAddress:
    """An address of the fourth version."""
    return HostAddress(socket.AF_INET, (host, port))


def of(server: socket.socket) -> HostAddress:
    """Where it listens."""
    return address(*server.getsockname())


def closed() -> HostAddress:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return of(bound)


def within(seconds: float) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def test_one_good_address_is_connected_to(server: socket.socket) -> None:
    """That is all there is to it, usually."""
    with ConnectionAttempts([of(server)]).connect(within(5)) as connected:
        assert connected.getpeername() == server.getsockname()


def test_a_silent_address_gives_way_after_a_quarter_of_a_second() -> None:
    """The next one is tried beside it (RFC 8305 section 5)."""
    with SilentAddress("127.0.0.2") as silent, socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with ConnectionAttempts([address(silent.host, silent.port), of(server)]).connect(within(5)) as connected:
            assert CONNECTION_ATTEMPT_DELAY <= time.monotonic() - began < CONNECTION_ATTEMPT_DELAY + 0.25
            assert connected.getpeername() == server.getsockname()


def test_a_refusal_gives_way_at_once(server: socket.socket) -> None:
    """It is an answer: nobody waits for another."""
    began = time.monotonic()
    with ConnectionAttempts([closed(), of(server)]).connect(within(5)) as connected:
        assert time.monotonic() - began < CONNECTION_ATTEMPT_DELAY
        assert connected.getpeername() == server.getsockname()


def test_a_refusal_beside_a_silent_address_gives_way_at_once() -> None:
    """The third address begins when the second is refused, not a quarter of a second later."""
    with SilentAddress("127.0.0.2") as silent, socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with ConnectionAttempts([address(silent.host, silent.port), closed(), of(server)]).connect(
            within(5)
        ) as connected:
            assert CONNECTION_ATTEMPT_DELAY <= time.monotonic() - began < 2 * CONNECTION_ATTEMPT_DELAY
            assert connected.getpeername() == server.getsockname()


@pytest.mark.parametrize("lost", [NO_ROUTE, NO_FAMILY])
def test_an_address_that_this_machine_cannot_reach_gives_way_at_once(server: socket.socket, lost: HostAddress) -> None:
    """No route and no such family are answers too, of the machine's own."""
    began = time.monotonic()
    with ConnectionAttempts([lost, of(server)]).connect(within(5)) as connected:
        assert time.monotonic() - began < CONNECTION_ATTEMPT_DELAY
        assert connected.getpeername() == server.getsockname()


def test_all_silent_ends_at_the_deadline() -> None:
    """Three silent addresses share it; they do not have one each."""
    with SilentAddress("127.0.0.2") as one, SilentAddress("127.0.0.3") as two, SilentAddress("127.0.0.4") as three:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ConnectionAttempts([address(silent.host, silent.port) for silent in (one, two, three)]).connect(within(0.4))
        assert 0.4 <= time.monotonic() - began < 0.65


def test_all_refused_tells_the_first_refusal() -> None:
    """The address that the system prefers says what is wrong."""
    with pytest.raises(ConnectionRefusedError):
        ConnectionAttempts([closed(), NO_FAMILY]).connect(within(5))
    with pytest.raises(OSError, match="family"):
        ConnectionAttempts([NO_FAMILY, closed()]).connect(within(5))


def test_no_address_is_said_so() -> None:
    """A look-up that succeeded with nothing is not a fault of ours."""
    with pytest.raises(OSError, match="no address") as raised:
        ConnectionAttempts([]).connect(within(5))
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_no_time_is_said_so(server: socket.socket) -> None:
    """A deadline that has passed is not stretched by a good address."""
    with pytest.raises(TimeoutError):
        ConnectionAttempts([of(server)]).connect(within(0))


def test_the_families_take_turns() -> None:
    """With a dead route in one family, the second attempt is in the other (RFC 8305 section 4)."""
    six = [HostAddress(socket.AF_INET6, ("::1", port, 0, 0)) for port in (1, 2, 3)]
    four = [address("127.0.0.1", 4), address("127.0.0.1", 5)]
    assert list(_interleaved([*six, *four])) == [six[0], four[0], six[1], four[1], six[2]]
    assert list(_interleaved([*four, *six])) == [four[0], six[0], four[1], six[1], six[2]]


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_no_socket_of_a_race_is_left_open(server: socket.socket, outcome: str) -> None:
    """The attempts that did not win are closed, whoever wins (an open one is a warning, and so an error)."""
    with SilentAddress("127.0.0.2") as silent:
        racing = [address(silent.host, silent.port), closed()]
        if outcome == "won":
            ConnectionAttempts([*racing, of(server)]).connect(within(5)).close()
        else:
            with pytest.raises(TimeoutError):
                ConnectionAttempts(racing).connect(within(0.05))
        gc.collect()
