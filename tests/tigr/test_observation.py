"""Observation of requests: only inside its block, only in its thread, and never in the daemon's probes."""

from __future__ import annotations

import threading
from typing import cast

from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import Exchange, HttpRequest, PhaseEnd
from monitor.model import Endpoint, FieldNames, Phase, Result
from monitor.tigr.client import TigrClient
from monitor.tigr.observation import RequestBegin, current_observer, observed
from tests.reporting.test_metrics import SETTINGS


class Recorder:
    """Records what it observes."""

    def __init__(self) -> None:
        self.began: list[RequestBegin] = []
        self.phases: list[Phase] = []
        self.ended: list[Result] = []

    def request_begins(self, request: RequestBegin) -> None:
        """Record the begin of a request."""
        self.began.append(request)

    def phase_ended(self, end: PhaseEnd) -> None:
        """Record a phase."""
        self.phases.append(end.phase)

    def request_ended(self, result: Result) -> None:
        """Record a Result."""
        self.ended.append(result)

    def recorded(self, result: Result) -> None:
        """Ignore the consequences."""

    def certificate_seen(self, endpoint: Endpoint, expiry: float) -> None:
        """Ignore a certificate."""


class Network:
    """Replaces the HTTP client: each exchange fails after its lookup."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []

    def exchange(self, request: HttpRequest) -> Exchange:
        """Record a request."""
        self.requests.append(request)
        if request.observer is not None:
            request.observer(PhaseEnd(Phase.RESOLVE, 0.1))
        return Exchange(0.0, 0.1, {Phase.RESOLVE: 0.1, Phase.CONNECT: 0.0}, ExchangeFault.CONNECT, "refused")


def client(network: Network) -> TigrClient:
    """Return a client of this network."""
    return TigrClient(SETTINGS, cast("HttpClient", network))


def test_no_request_has_an_observer_outside_the_block() -> None:
    """So no probe of the daemon calls anything while it is measured."""
    network = Network()
    with observed(Recorder()):
        pass
    client(network).log_in(FieldNames.DOCUMENTED)
    client(network).ping(None)
    assert [request.observer for request in network.requests] == [None, None]
    assert current_observer() is None


def test_another_thread_is_not_observed() -> None:
    """The probes of the daemon run in other threads than a check."""
    network, recorder = Network(), Recorder()
    with observed(recorder):
        probe = threading.Thread(target=client(network).ping, args=(None,))
        probe.start()
        probe.join()
    assert [request.observer for request in network.requests] == [None]
    assert recorder.began == []


def test_the_observer_follows_each_request() -> None:
    """It gets the begin, each phase that ends, and the Result."""
    network, recorder = Network(), Recorder()
    with observed(recorder):
        login = client(network).log_in(FieldNames.RFC6749)
        ping = client(network).ping(None)
    assert recorder.began == [
        RequestBegin(Endpoint.TOKEN, SETTINGS.token_url, FieldNames.RFC6749),
        RequestBegin(Endpoint.PING, f"{SETTINGS.api_url}/api/system/ping"),
    ]
    assert recorder.phases == [Phase.RESOLVE, Phase.RESOLVE]
    assert recorder.ended == [login, ping]
