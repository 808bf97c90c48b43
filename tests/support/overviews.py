"""Overviews, incidents and probes for tests of pages and commands, with defaults that describe a well monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from monitor.model import Endpoint, Phase, Reason, Responsibility, Severity
from monitor.reporting.incident import Incident, ProbeRecord
from monitor.reporting.overview import (
    Availability,
    EndpointOverview,
    EndpointState,
    EnvironmentOverview,
    Failure,
    Overview,
    Uptime,
)

NOW = 1_793_488_000.25  # Unix seconds: 2026-10-31T23:06:40.250Z
DAY = 86_400.0  # seconds
PHASES = {Phase.RESOLVE: 0.002, Phase.CONNECT: 0.008, Phase.TLS: 0.02, Phase.PROCESSING: 0.05, Phase.TRANSFER: 0.001}
TICKET = "Times are in UTC. This text contains no secret.\n\nenvironment: prod\nhost: api.example.net\n"


T = TypeVar("T", ProbeRecord, Failure, EndpointOverview, EnvironmentOverview, Incident, Overview)


def _varied(base: T, values: Mapping[str, object]) -> T:
    changes: dict[str, Any] = dict(values)
    return replace(base, **changes)


def make_probe(**values: object) -> ProbeRecord:
    """Return a probe with these values; without a `reason` it is a success."""
    base = ProbeRecord(
        started_at=NOW - 12.0,
        duration=0.081,
        status=200,
        phases=PHASES,
        address="192.0.2.10",
        tls_version="TLSv1.3",
    )
    return _varied(base, values)


def make_failed_probe(**values: object) -> ProbeRecord:
    """Return a probe that the server refused with status 503."""
    failed: dict[str, object] = {
        "reason": Reason.SERVER_ERROR,
        "status": 503,
        "detail": "Service Unavailable",
        "error_code": "E-503",
        "submission_id": "sub-1",
        "failed_phase": Phase.PROCESSING,
    }
    return _varied(make_probe(), failed | values)


def make_failure(**values: object) -> Failure:
    """Return the failing step of a ping that the server refused with status 503."""
    base = Failure(
        reason=Reason.SERVER_ERROR,
        responsibility=Responsibility.API,
        phase=Phase.PROCESSING,
        sent="GET /ClientAPI/v1/ping",
        expected="status 200 with a pong",
        received="status 503: Service Unavailable",
        submission_id="sub-1",
        means="The server failed to process the request.",
        next_step="Send the ticket to the vendor.",
        ticket=TICKET,
    )
    return _varied(base, values)


def make_uptimes(down: float = 0.0, observed: float = 0.9) -> tuple[Uptime, ...]:
    """Return the uptimes of 24 h, 30 and 365 days with `down` seconds each; `observed` is a share."""
    return tuple(Uptime(days * DAY, observed * days * DAY, down) for days in (1, 30, 365))


def make_endpoint(endpoint: Endpoint = Endpoint.PING, **values: object) -> EndpointOverview:
    """Return a login or a ping that has succeeded for a day."""
    base = EndpointOverview(
        endpoint=endpoint,
        host="login.example.net" if endpoint is Endpoint.TOKEN else "api.example.net",
        state=EndpointState.UP,
        since=NOW - DAY,
        last=make_probe(),
        next_attempt=NOW + 18.0,
        delay="",
        history=tuple(make_probe(started_at=NOW - 12.0 - 30.0 * age) for age in reversed(range(60))),
        uptimes=make_uptimes(),
        certificate_expiry=NOW + 60 * DAY,
        chain_expiry=NOW + 50 * DAY,
        failure=None,
        incident=None,
    )
    return _varied(base, values)


def make_failed_endpoint(endpoint: Endpoint = Endpoint.PING, **values: object) -> EndpointOverview:
    """Return a login or a ping that has failed for ten minutes, with an open incident."""
    failed: dict[str, object] = {
        "state": EndpointState.DOWN,
        "since": NOW - 600.0,
        "last": make_failed_probe(),
        "uptimes": make_uptimes(down=600.0),
        "failure": make_failure(),
        "incident": 17,
    }
    return _varied(make_endpoint(endpoint), failed | values)


def make_environment(name: str = "prod", **values: object) -> EnvironmentOverview:
    """Return an environment whose login and ping succeed."""
    base = EnvironmentOverview(
        name=name,
        severity=Severity.CRITICAL if name == "prod" else Severity.WARNING,
        sentence="login and ping succeed",
        is_well=True,
        login=make_endpoint(Endpoint.TOKEN),
        ping=make_endpoint(Endpoint.PING),
        credentials_rejected=False,
        attempts_left=None,
        token_expiry=NOW + 3000.0,
        token_lifetime=3600.0,
        clock_offset=0.004,
        api_open=False,
        maintenance=(),
    )
    return _varied(base, values)


def make_failed_environment(name: str = "prod", **values: object) -> EnvironmentOverview:
    """Return an environment whose ping has failed for ten minutes."""
    failed: dict[str, object] = {
        "sentence": "pings have failed since 22:56 UTC (server_error); logins succeed",
        "is_well": False,
        "ping": make_failed_endpoint(Endpoint.PING),
    }
    return _varied(make_environment(name), failed | values)


def make_incident(number: int = 17, **values: object) -> Incident:
    """Return an open incident of the ping of prod that began ten minutes ago."""
    base = Incident(
        number=number,
        environment="prod",
        endpoint=Endpoint.PING,
        begin=NOW - 600.0,
        end=None,
        last_observed=None,
        responsibility=Responsibility.API,
        reasons=((Reason.SERVER_ERROR, 20),),
        first=make_failed_probe(started_at=NOW - 600.0),
        last=make_failed_probe(),
        submission_ids=("sub-0", "sub-1"),
        episodes=1,
        down=600.0,
        decisions=(),
    )
    return _varied(base, values)


def make_overview(*environments: EnvironmentOverview, **values: object) -> Overview:
    """Return the overview of these environments, or of prod and uat, both well."""
    of_all = environments or (make_environment("prod"), make_environment("uat"))
    failed = [each for each in of_all if not each.is_well]
    base = Overview(
        version="0.1.0",
        time=NOW,
        started_at=NOW - 30 * DAY,
        sentence=f"{failed[0].name}: {failed[0].sentence}" if failed else "Every environment works.",
        is_well=not failed,
        problems=(),
        environments=of_all,
        incidents=(),
    )
    return _varied(base, values)


class FakeReports:
    """`monitor.reporting.overview.Reports` with values that a test sets."""

    def __init__(self, current: Overview | None = None, journal: Sequence[Incident] = ()) -> None:
        self.current = current or make_overview()
        self.journal = journal  # newest first
        self.texts = {incident.number: f"{TICKET}incident: {incident.number}\n" for incident in journal}
        self.uptimes = [
            Availability(environment.name, endpoint, Uptime(31 * DAY, 30 * DAY, 1234.5))
            for environment in self.current.environments
            for endpoint in (Endpoint.TOKEN, Endpoint.PING)
        ]
        self.times: list[float | None] = []  # since which incidents were requested
        self.periods: list[tuple[float, float]] = []  # for which the availability was requested
        self.fault: Exception | None = None  # raised by the methods that may wait for the disk

    def overview(self) -> Overview:
        """Return `current`."""
        return self.current

    def results(self, environment: str, endpoint: Endpoint) -> Sequence[ProbeRecord] | None:
        """Return the history of an endpoint of `current`."""
        for each in self.current.environments:
            if each.name == environment:
                return (each.login if endpoint is Endpoint.TOKEN else each.ping).history
        return None

    def incidents(self, since: float | None = None, environment: str | None = None) -> Sequence[Incident]:
        """Return the incidents of `journal` that had not ended at `since`."""
        self._fail()
        self.times.append(since)
        return [
            incident
            for incident in self.journal
            if (since is None or incident.end is None or incident.end > since)
            and environment in (None, incident.environment)
        ]

    def evidence(self, number: int | None = None) -> str | None:
        """Return the text about an incident; without a number, about the newest one."""
        self._fail()
        if number is None:
            return next(iter(self.texts.values()), None)
        return self.texts.get(number)

    def availability(self, begin: float, end: float) -> Sequence[Availability]:
        """Return `uptimes`; record the period."""
        self._fail()
        self.periods.append((begin, end))
        return self.uptimes

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault
