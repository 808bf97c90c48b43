"""Every fault has its reason, ends in time, leaks no secret, and leaves no trace after it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from monitor.http.stream import MAX_RESPONSE_SIZE, ConnectionStream
from monitor.model import Endpoint, Reason, Result
from monitor.simulator import Host, Simulator
from monitor.simulator.fault_switch import FaultSwitch
from monitor.simulator.faults import Content, Status
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.harness import EnvironmentHarness, value
from tests.tigr.faults.table import BY_STATUS, REDIRECTS, TABLE, Row

TIMEOUT = 30.0  # seconds: no exchange with a host that responds takes as long, on a busy machine either
# Seconds, for a host that sends nothing more or never ends its response: the exchange takes the whole timeout. If a
# busy machine has not come to the fault by then, the exchange is repeated with the next one.
SHORT_TIMEOUTS = (0.3, 3.0, 20.0)
_JOB = {Endpoint.TOKEN: "login", Endpoint.PING: "ping"}
_HOST = {Endpoint.TOKEN: Host.TOKEN, Endpoint.PING: Host.API}
CASES = [
    pytest.param(row, endpoint, id=f"{endpoint}: {row.name}", marks=[pytest.mark.once] if row in BY_STATUS else [])
    for row in TABLE
    for endpoint in row.endpoints
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Provide both environments, with secrets that `leaks` recognizes."""
    with simulator_with_canaries() as running:
        yield running


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Provide the list of the bytes that each read of a socket returned."""
    sizes: list[int] = []
    original = ConnectionStream.read

    def counted(self: ConnectionStream, max_bytes: int, timeout: float | None = None) -> bytes:
        data = original(self, max_bytes, timeout)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(ConnectionStream, "read", counted)
    return sizes


@pytest.fixture(autouse=True)
def no_faults(simulator: Simulator) -> Iterator[None]:
    """Clear the faults of `prod` after each test."""
    yield
    for endpoint in Endpoint:
        faults_of(simulator, endpoint).clear()


def monitored(simulator: Simulator) -> EnvironmentHarness:
    """Return the monitored `prod`, after a login and a ping."""
    harness = EnvironmentHarness(simulator, timeout=TIMEOUT)
    assert harness.run(Endpoint.TOKEN).success
    assert harness.run(Endpoint.PING).success
    harness.time.advance(60)  # a token that is younger than ten seconds is not rejected by one 401
    return harness


def timeouts(row: Row) -> tuple[float, ...]:
    """Return the timeouts of the exchange with the fault, in the order of the attempts."""
    is_endless = isinstance(row.fault, Status) and row.fault.body is Content.ENDLESS
    return SHORT_TIMEOUTS if is_endless or row.reason is Reason.TIMEOUT else (TIMEOUT,)


def is_too_early(result: Result, row: Row) -> bool:
    """Return whether the timeout ended the exchange before it came to the fault."""
    is_expected = row.reason is Reason.TIMEOUT and row.phase in (None, result.measurement.failed_phase)
    return result.verdict.reason is Reason.TIMEOUT and not is_expected


def faults_of(simulator: Simulator, endpoint: Endpoint) -> FaultSwitch:
    """Return the fault switch of a host of `prod`."""
    environment = simulator.environment("prod")
    return environment.token_faults if endpoint is Endpoint.TOKEN else environment.api_faults


def totals(exposition: str, endpoint: Endpoint) -> dict[str, float]:
    """Return the requests of the endpoint by outcome."""
    labels = {"environment": "prod", "endpoint": endpoint.value}
    return {
        outcome: value(exposition, "tigr_requests_total", outcome=outcome, **labels) or 0.0
        for outcome in ("success", *Reason)
    }


def assert_nothing_leaked(harness: EnvironmentHarness, exposition: str, caplog: pytest.LogCaptureFixture) -> None:
    """No secret, and no token, is in what anybody can see."""
    secrets = [*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}"]
    if harness.environment.token is not None and len(harness.environment.token.value) > 50:
        secrets.append(harness.environment.token.value)
    for where in (
        repr(harness.results),
        repr(vars(harness)),
        caplog.text,
        repr([vars(r) for r in caplog.records]),
        exposition,
    ):
        assert not leaks(where, secrets)


@pytest.mark.parametrize("row,endpoint", CASES)
def test_a_fault_has_its_name(
    row: Row, endpoint: Endpoint, simulator: Simulator, read: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A fault shows in reason, metrics and log, ends in time, leaks nothing, and leaves no trace after it ends."""
    caplog.set_level(logging.DEBUG)
    faults, other = faults_of(simulator, endpoint), simulator.log.connections("uat")
    for timeout in timeouts(row):
        harness = monitored(simulator)
        before = totals(harness.exposition(), endpoint)
        harness.time.advance(harness.settings.auth_interval)  # so that a rejected token is answered with a login
        harness.limit(timeout)
        faults.set(row.fault)
        caplog.clear()
        read.clear()
        result = harness.run(endpoint)
        if not any(is_too_early(each, row) for each in harness.results[2:]):  # the login of a rejected token too
            break
        faults.clear()

    if row.or_else is not None and result.verdict.reason is row.or_else:
        row = replace(row, reason=row.or_else)
    assert result.verdict.reason == row.reason, result
    assert result.endpoint is endpoint
    exchanges = [result.measurement for result in harness.results[2:] if result.measurement.phases]
    if row.reason is Reason.TIMEOUT:
        assert all(measurement.duration >= timeout for measurement in exchanges)
    assert all(measurement.duration < TIMEOUT for measurement in exchanges)
    assert all(abs(sum(measurement.phases.values()) - measurement.duration) < 0.001 for measurement in exchanges)
    assert sum(read) <= len(exchanges) * MAX_RESPONSE_SIZE
    assert simulator.log.connections("uat") == other
    if row.phase is not None:
        assert result.measurement.failed_phase is row.phase
    exposition = harness.exposition()
    _assert_exported(exposition, row, endpoint, before)
    _assert_logged(row, endpoint, caplog)
    assert_nothing_leaked(harness, exposition, caplog)
    if row.lifetime is not None:
        assert value(exposition, "tigr_token_lifetime_seconds", environment="prod") == row.lifetime

    faults.clear()
    caplog.clear()
    harness.limit(TIMEOUT)
    harness.time.advance(3600)  # beyond whatever holds the next attempt back
    if endpoint is Endpoint.PING:
        harness.environment.run_login_now()
    assert harness.run(endpoint).success
    exposition, labels = harness.exposition(), {"environment": "prod", "endpoint": endpoint.value}
    assert value(exposition, "tigr_up", **labels) == 1
    assert value(exposition, "tigr_consecutive_failures", **labels) == 0
    assert (row.reason is None) == (f"{_JOB[endpoint]} works again" not in caplog.text)


def _assert_exported(exposition: str, row: Row, endpoint: Endpoint, before: dict[str, float]) -> None:
    after = totals(exposition, endpoint)
    counted = {outcome: after[outcome] - before[outcome] for outcome in after if after[outcome] != before[outcome]}
    # A rejected token: one ping with it, and with the new token three, until that is ten seconds old.
    times = 4 if row.reason is Reason.UNAUTHORIZED and endpoint is Endpoint.PING else 1
    if endpoint is Endpoint.TOKEN or row.reason is not None:
        assert counted == {row.reason or "success": times}
    labels = {"environment": "prod", "endpoint": endpoint.value}
    assert value(exposition, "tigr_up", **labels) == (row.reason is None)
    assert value(exposition, "tigr_consecutive_failures", **labels) == (0 if row.reason is None else 1)
    unauthorized = value(exposition, "tigr_unauthorized_total", **labels)
    assert unauthorized == value(exposition, "tigr_requests_total", outcome="unauthorized", **labels)
    failing = [reason for reason in Reason if value(exposition, "tigr_failure", reason=reason, **labels)]
    assert failing == ([row.reason] if row.reason else [])


def _assert_logged(row: Row, endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING and "failed" in record.message]
    if row.reason is None:
        assert not lines
        return
    assert len(lines) == 1
    assert lines[0].message.startswith(f"prod: {_JOB[endpoint]} failed: {row.reason}")
    logged: dict[str, Any] = vars(lines[0])["monitor_fields"]
    assert logged["means"]
    assert logged["next"]


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("status", REDIRECTS)
def test_a_redirect_is_never_followed(status: int, endpoint: Endpoint, simulator: Simulator) -> None:
    """It is an unexpected status: neither form nor token goes to the host that it names."""
    harness = monitored(simulator)
    elsewhere = simulator.environment("uat")
    location = elsewhere.token_url if endpoint is Endpoint.TOKEN else f"{elsewhere.api_url}/api/system/ping"
    before = simulator.log.connections()
    faults_of(simulator, endpoint).set(Status(status, Content.HTML, {"Location": location}))

    assert harness.run(endpoint).verdict.reason is Reason.UNEXPECTED_STATUS
    assert simulator.log.connections() == before + 1
