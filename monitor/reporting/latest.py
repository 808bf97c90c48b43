"""The most recent outcome of each endpoint, and the facts about its host that outlast one probe."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from monitor.model import Endpoint, HostCheck, Reason, Responsibility, Result, Role
from monitor.reporting.overview import EndpointState
from monitor.tigr.responsibility import responsible

Host = tuple[str, Endpoint]


@dataclass(frozen=True, slots=True)
class Latest:
    """State of one endpoint. Times are in Unix seconds."""

    state: EndpointState = EndpointState.STARTING
    since: float | None = None  # begin of the state
    decided: EndpointState = EndpointState.STARTING  # the last state that was up or down
    decided_since: float | None = None
    was_up: bool = False  # a probe has succeeded since the start of the process or the last change of the host
    result: Result | None = None  # the most recent decisive one, without its token
    responsibility: Responsibility = Responsibility.UNKNOWN  # for the failure of `result`
    certificate_expiry: float | None = None
    chain_expiry: float | None = None
    clock_offset: float | None = None  # seconds


@dataclass(slots=True)
class _Environment:
    endpoints: dict[Endpoint, Latest] = field(default_factory=lambda: {each: Latest() for each in Endpoint})
    is_open: bool = False  # the API accepts unauthenticated requests


class LatestResults:
    """Keeps the most recent outcome of all endpoints. Thread-safe."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._environments: dict[str, _Environment] = {}

    def record(self, result: Result) -> None:
        """Apply a Result."""
        with self._mutex:
            environment = self._environments.setdefault(result.environment, _Environment())
            latest = _with_certificates(environment.endpoints[result.endpoint], result)
            if result.clock_offset is not None:
                latest = replace(latest, clock_offset=result.clock_offset)
            if result.run.role is Role.UNAUTHENTICATED:
                if result.verdict.reason is not Reason.INTERNAL:
                    environment.is_open = result.success
            elif result.is_decisive:
                login = environment.endpoints[Endpoint.TOKEN]
                latest = _with_outcome(latest, replace(result, token=None), login.responsibility)
            environment.endpoints[result.endpoint] = latest

    def token_host_checked(self, check: HostCheck) -> None:
        """Apply the certificates that a check of a token host has seen."""
        if check.reason is not Reason.INTERNAL:
            self._see(check.environment, Endpoint.TOKEN, check.certificate_expiry, check.chain_expiry, check.reason)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Apply the expiry (Unix seconds) of a certificate that failed verification."""
        self._see(environment, endpoint, expiry, None, Reason.CERTIFICATE)

    def credentials_were_rejected(self, environment: str) -> None:
        """Note that an earlier process has seen the rejection of the credentials, which explains a missing token."""
        with self._mutex:
            endpoints = self._environments.setdefault(environment, _Environment()).endpoints
            login = endpoints[Endpoint.TOKEN]
            if login.result is None:
                endpoints[Endpoint.TOKEN] = replace(login, responsibility=Responsibility.CREDENTIALS)

    def forget(self, environment: str, endpoint: Endpoint) -> None:
        """Discard the state of an endpoint, because it has moved to another host."""
        with self._mutex:
            if (known := self._environments.get(environment)) is not None:
                known.endpoints[endpoint] = Latest()
                known.is_open = known.is_open and endpoint is not Endpoint.PING

    def remove(self, environment: str) -> None:
        """Discard the state of a removed environment."""
        with self._mutex:
            self._environments.pop(environment, None)

    def of(self, environment: str) -> tuple[Latest, Latest, bool]:
        """Return the state of login and ping, and whether the API accepts unauthenticated requests."""
        with self._mutex:
            known = self._environments.get(environment) or _Environment()
            return known.endpoints[Endpoint.TOKEN], known.endpoints[Endpoint.PING], known.is_open

    def _see(
        self,
        environment: str,
        endpoint: Endpoint,
        expiry: float | None,
        chain_expiry: float | None,
        reason: Reason | None,
    ) -> None:
        with self._mutex:
            endpoints = self._environments.setdefault(environment, _Environment()).endpoints
            endpoints[endpoint] = _with_expiry(endpoints[endpoint], expiry, chain_expiry, reason)


def _with_outcome(latest: Latest, result: Result, login: Responsibility) -> Latest:
    measured, reason = result.measurement, result.verdict.reason
    party = Responsibility.UNKNOWN if reason is None else responsible(result, login)
    latest = replace(latest, result=result, responsibility=party)
    if reason is Reason.INTERNAL:  # the state of the host is unknown: the last known one goes on after that
        since = latest.since if latest.state is EndpointState.UNKNOWN else measured.started_at
        return replace(latest, state=EndpointState.UNKNOWN, since=since)
    state = EndpointState.UP if reason is None else EndpointState.DOWN
    begin = measured.ended_at if state is EndpointState.UP else measured.started_at
    since = latest.decided_since if state is latest.decided else begin
    was_up = latest.was_up or state is EndpointState.UP
    return replace(latest, state=state, since=since, decided=state, decided_since=since, was_up=was_up)


def _with_certificates(latest: Latest, result: Result) -> Latest:
    measured = result.measurement
    return _with_expiry(latest, measured.certificate_expiry, measured.chain_expiry, result.verdict.reason)


def _with_expiry(latest: Latest, expiry: float | None, chain_expiry: float | None, reason: Reason | None) -> Latest:
    """Return the state with the expiry of the certificates. A chain that failed verification has none."""
    if expiry is None and chain_expiry is None and reason is not Reason.CERTIFICATE:
        return latest
    seen = latest.certificate_expiry if expiry is None else expiry
    return replace(latest, certificate_expiry=seen, chain_expiry=chain_expiry)
