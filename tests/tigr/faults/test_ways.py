"""Faults between the monitor and the host: names, addresses, proxies."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.http.resolver import Resolver
from monitor.model import Endpoint, Phase, Reason
from monitor.simulator import Simulator
from tests.simulator.proxy import TunnelProxy
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.harness import EnvironmentHarness
from tests.support.process import free_port

TIMEOUT = 30.0  # seconds: no exchange takes as long, on a busy machine either
# Seconds, if nothing comes: the exchange takes the whole timeout. If a busy machine has not reached the phase that
# hangs by then, the exchange is repeated with the next one.
SHORT_TIMEOUTS = (0.3, 3.0, 20.0)
Addresses = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Provide both environments, with secrets that `leaks` recognizes."""
    with simulator_with_canaries() as running:
        yield running


def ipv4(host: str, port: int) -> tuple[Any, ...]:
    """Return one entry of getaddrinfo."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


def run(harness: EnvironmentHarness, endpoint: Endpoint) -> tuple[Reason | None, Phase | None, float]:
    """Run a job once; return its reason, its failed phase and its duration (seconds). A ping has no token."""
    began = time.monotonic()
    result = harness.run(endpoint) if endpoint is Endpoint.TOKEN else harness.api.ping(None)
    return result.verdict.reason, result.measurement.failed_phase, time.monotonic() - began


def assert_timeout_while_connecting(harness: EnvironmentHarness, endpoint: Endpoint) -> None:
    """Check that the job times out in the phase of the connection, and not before its timeout."""
    for timeout in SHORT_TIMEOUTS:
        harness.limit(timeout)
        reason, phase, elapsed = run(harness, endpoint)
        if phase is not Phase.RESOLVE:
            break
        harness.time.advance(3600)  # beyond the backoff
    assert (reason, phase) == (Reason.TIMEOUT, Phase.CONNECT)
    assert timeout <= elapsed < TIMEOUT


@pytest.mark.parametrize("endpoint", Endpoint)
def test_an_unknown_host_is_a_dns_failure(endpoint: Endpoint, simulator: Simulator) -> None:
    """A name that does not resolve is a DNS failure in the phase of the lookup."""

    def unknown(*_: object, **__: object) -> Addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    harness = EnvironmentHarness(simulator, resolver=Resolver(unknown), timeout=TIMEOUT)
    assert run(harness, endpoint)[:2] == (Reason.DNS, Phase.RESOLVE)


@pytest.mark.parametrize("endpoint", Endpoint)
def test_a_lookup_that_never_ends_is_a_timeout(endpoint: Endpoint, simulator: Simulator) -> None:
    """A lookup that hangs is a timeout at the deadline, and later runs start no further lookup."""
    release, lookups = threading.Event(), []

    def silent(host: str, port: int, **_: object) -> Addresses:
        lookups.append(host)
        release.wait(60)
        return [ipv4("127.0.0.1", port)]

    harness = EnvironmentHarness(simulator, resolver=Resolver(silent), timeout=SHORT_TIMEOUTS[0])
    for _ in range(2):
        reason, phase, elapsed = run(harness, endpoint)
        assert (reason, phase) == (Reason.TIMEOUT, Phase.RESOLVE)
        assert SHORT_TIMEOUTS[0] <= elapsed < TIMEOUT
        harness.time.advance(3600)
    assert len(lookups) == 1
    release.set()


@pytest.mark.parametrize("endpoint", Endpoint)
def test_no_route_is_connect(endpoint: Endpoint, simulator: Simulator) -> None:
    """The network says at once that it cannot get there: the limited broadcast address is never a peer."""
    harness = EnvironmentHarness(
        simulator, resolver=Resolver(lambda _, port, **__: [ipv4("255.255.255.255", port)]), timeout=TIMEOUT
    )
    assert run(harness, endpoint)[:2] == (Reason.CONNECT, Phase.CONNECT)


@pytest.fixture
def silent_address() -> Iterator[tuple[str, int]]:
    """Provide an address whose accept queue is full, so that the kernel drops every attempt to connect."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("endpoint", Endpoint)
def test_a_silent_first_address_is_no_failure(
    endpoint: Endpoint, simulator: Simulator, silent_address: tuple[str, int]
) -> None:
    """The next address is tried a quarter of a second later (RFC 8305)."""
    resolver = Resolver(lambda _, port, **__: [ipv4(*silent_address), ipv4("127.0.0.1", port)])
    harness = EnvironmentHarness(simulator, resolver=resolver, timeout=TIMEOUT)
    reason, _, elapsed = run(harness, endpoint)
    assert reason in (None, Reason.UNAUTHORIZED)
    assert elapsed > 0.2


@pytest.mark.parametrize("endpoint", Endpoint)
def test_silent_addresses_alone_are_a_timeout(
    endpoint: Endpoint, simulator: Simulator, silent_address: tuple[str, int]
) -> None:
    """At the one deadline, however many there are."""
    resolver = Resolver(lambda *_, **__: [ipv4(*silent_address)] * 3)
    assert_timeout_while_connecting(EnvironmentHarness(simulator, resolver=resolver), endpoint)


@pytest.mark.parametrize("endpoint", Endpoint)
def test_requests_pass_through_a_proxy(endpoint: Endpoint, simulator: Simulator) -> None:
    """Requests pass through a proxy that requires a password."""
    wanted = "Basic " + base64.b64encode(b"me:proxy-password").decode()
    with TunnelProxy(authorization=wanted) as proxy:
        url = proxy.url.replace("//", "//me:proxy-password@")
        harness = EnvironmentHarness(simulator, changes={"TIGR_PROXY": url}, timeout=TIMEOUT)
        assert run(harness, endpoint)[0] in (None, Reason.UNAUTHORIZED)
        assert [(tunnel.method, tunnel.authorized) for tunnel in proxy.log] == [("CONNECT", True)]


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("status", [None, 401, 403, 502, 503])
def test_a_proxy_that_refuses_is_a_proxy_failure(status: int | None, endpoint: Endpoint, simulator: Simulator) -> None:
    """Any status of a refusal (None: 407) is a proxy failure, no rejected login, and nothing reaches the host."""
    before = simulator.log.connections()
    with TunnelProxy(authorization="Basic bm90aGluZzp3aWxsLWRv", refuse=status) as proxy:
        harness = EnvironmentHarness(simulator, changes={"TIGR_PROXY": proxy.url}, timeout=TIMEOUT)
        assert run(harness, endpoint)[:2] == (Reason.PROXY, Phase.CONNECT)
    assert simulator.log.connections() == before
    assert not harness.environment.credentials_rejected


@pytest.mark.parametrize("endpoint", Endpoint)
def test_a_proxy_that_is_down_is_the_proxys_fault(endpoint: Endpoint, simulator: Simulator) -> None:
    """Not the host's."""
    harness = EnvironmentHarness(simulator, changes={"TIGR_PROXY": f"http://127.0.0.1:{free_port()}"}, timeout=TIMEOUT)
    assert run(harness, endpoint)[:2] == (Reason.PROXY, Phase.CONNECT)


@pytest.mark.parametrize("endpoint", Endpoint)
def test_a_silent_proxy_is_a_timeout(endpoint: Endpoint, simulator: Simulator) -> None:
    """In the phase in which its tunnel should have come to stand."""
    with TunnelProxy(silent=True) as proxy:
        harness = EnvironmentHarness(simulator, changes={"TIGR_PROXY": proxy.url})
        assert_timeout_while_connecting(harness, endpoint)


def test_the_proxys_password_is_secret(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """The password of the proxy is in no result, log line or metric."""
    caplog.set_level(logging.DEBUG)
    with TunnelProxy(authorization="Basic bm90aGluZzp3aWxsLWRv") as proxy:
        url = proxy.url.replace("//", "//someone:Qy5-proxy-canary@")
        harness = EnvironmentHarness(simulator, changes={"TIGR_PROXY": url}, timeout=TIMEOUT)
        assert harness.run(Endpoint.TOKEN).verdict.reason is Reason.PROXY
    seen = repr(harness.results) + repr(vars(harness)) + caplog.text + harness.exposition()
    assert not leaks(seen, ["Qy5-proxy-canary", "someone:Qy5-proxy-canary", *values(CANARIES)])
