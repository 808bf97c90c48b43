"""The observer of an exchange: each phase as it ends, with the facts that are known by then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.http.client import HttpClient
from monitor.http.connection import MeasuredConnection
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import HttpRequest, PhaseEnd
from monitor.http.resolver import Resolver
from monitor.http.tls import verifying_context
from monitor.model import Phase
from monitor.simulator import CertificateVariant, Simulator
from monitor.simulator.faults import Certificate


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Provide one environment, over TLS and without latency."""
    with Simulator(["prod"]) as running:
        running.environment("prod").latency = 0.0
        yield running


def ping(simulator: Simulator) -> HttpRequest:
    """Return a ping without a token."""
    return HttpRequest("GET", f"{simulator.environment('prod').api_url}/api/system/ping", {"Connection": "close"}, 20.0)


def test_each_phase_is_observed_with_the_facts_that_are_known(simulator: Simulator) -> None:
    """The seconds are those of the exchange; address and TLS session are known as soon as their phase ends."""
    ends: list[PhaseEnd] = []
    client = HttpClient(verifying_context(simulator.ca_file))
    exchange = client.exchange(replace(ping(simulator), observer=ends.append))
    assert [end.phase for end in ends] == [Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.PROCESSING]
    assert {end.phase: end.seconds for end in ends}.items() <= exchange.phases.items()
    resolve, connect, tls, _ = ends
    assert (resolve.address, connect.address) == (None, exchange.address)
    assert (connect.tls_version, tls.tls_version) == (None, exchange.tls_version)
    assert (tls.certificate_expiry, tls.chain_expiry) == (exchange.certificate_expiry, exchange.chain_expiry)
    assert tls.certificate_expiry is not None
    assert sum(exchange.phases.values()) == pytest.approx(exchange.duration, abs=0.001)


def test_a_phase_that_fails_does_not_end(simulator: Simulator) -> None:
    """The observer gets the phases before it."""
    ends: list[PhaseEnd] = []
    prod = simulator.environment("prod")
    prod.api_faults.set(Certificate(CertificateVariant.EXPIRED))
    try:
        client = HttpClient(verifying_context(simulator.ca_file))
        exchange = client.exchange(replace(ping(simulator), observer=ends.append))
    finally:
        prod.api_faults.clear()
    assert exchange.fault is ExchangeFault.CERTIFICATE
    assert [end.phase for end in ends] == [Phase.RESOLVE, Phase.CONNECT]


def test_a_connection_without_an_observer_calls_nothing(simulator: Simulator) -> None:
    """The timing of a probe of the daemon has no function to call when a phase ends."""
    url = ping(simulator).url
    assert MeasuredConnection(url, None, 20.0, Resolver()).timing._on_phase_end is None
    assert MeasuredConnection(url, None, 20.0, Resolver(), print).timing._on_phase_end is not None
