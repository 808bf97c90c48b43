"""Views: the values of an overview as texts, in the form in which the templates show them.

A view contains no age: the script of the page counts ages from the times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.durations import span
from monitor.model import Endpoint
from monitor.reporting.incident import ProbeRecord
from monitor.reporting.overview import (
    EndpointOverview,
    EndpointState,
    EnvironmentOverview,
    Failure,
    Overview,
)
from monitor.reporting.words import counted, telling_phase
from monitor.web.pages.history import failure_text
from monitor.web.pages.texts import Moment, days_left, duration, moment, percent, visible

NAMES = {Endpoint.TOKEN: "Login", Endpoint.PING: "Ping"}
_PERIODS = {86_400: "24 h", 30 * 86_400: "30 d", 365 * 86_400: "1 y"}
_SOON = 14  # days before an expiry from which on it is marked


@dataclass(frozen=True, slots=True)
class ExpiryView:
    """Days until a certificate expires."""

    text: str
    moment: Moment | None
    is_soon: bool


@dataclass(frozen=True, slots=True)
class UptimeView:
    """The uptime of a period, and the share of the period that was observed."""

    period: str
    share: str
    observed: str


@dataclass(frozen=True, slots=True)
class FailureView:
    """The failing step: the rows of a list, and the ticket."""

    facts: tuple[tuple[str, str], ...]
    ticket: str | None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """The login or the ping of an environment."""

    id: str
    name: str
    noun: str  # plural of the probe
    host: str
    state: EndpointState
    state_text: str
    since: Moment | None
    last: Moment | None
    last_text: str
    last_failed: bool
    next_attempt: Moment | None
    next_text: str
    delay: str
    latency: str
    phases: tuple[tuple[str, str], ...]
    history: Sequence[ProbeRecord]
    uptimes: tuple[UptimeView, ...]
    certificate: ExpiryView | None
    chain: ExpiryView | None
    failure: FailureView | None
    incident: int | None


@dataclass(frozen=True, slots=True)
class WindowView:
    """A window of planned maintenance."""

    environment: str
    begin: Moment | None
    end: Moment | None
    in_progress: bool


@dataclass(frozen=True, slots=True)
class LineView:
    """The line of an environment: all that is shown of a folded one, with its sentence."""

    id: str
    name: str
    is_well: bool
    state: str  # class of the badge
    state_text: str


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """One environment."""

    line: LineView
    severity: str
    attempts: str  # further logins with rejected credentials, as a sentence; empty if they are not rejected
    token: str
    token_expiry: Moment | None
    token_lifetime: str
    clock_offset: str
    api_open: bool
    windows: tuple[WindowView, ...]
    endpoints: tuple[EndpointView, EndpointView]


@dataclass(frozen=True, slots=True)
class StateView:
    """The top of the page."""

    sentence: str
    is_well: bool
    title: str
    problems: tuple[str, ...]
    version: str
    started: Moment | None
    alertmanager_url: str | None


def state(overview: Overview, alertmanager_url: str | None) -> StateView:
    """Return the view of the top of the page."""
    failing = sum(not each.is_well for each in overview.environments)
    mark = f"{failing} of {len(overview.environments)} failing" if failing else "all well"
    if not failing and not overview.is_well:
        mark = "not well"
    return StateView(
        sentence=visible(overview.sentence),
        is_well=overview.is_well,
        title=f"{mark} · tigr-monitor",
        problems=tuple(visible(problem) for problem in overview.problems),
        version=overview.version,
        started=moment(overview.started_at),
        alertmanager_url=alertmanager_url,
    )


def ordered(environments: Sequence[EnvironmentOverview]) -> list[EnvironmentOverview]:
    """Return the environments that are not well first, else in the order of the settings."""
    return sorted(environments, key=lambda each: each.is_well)


def environment_id(of: EnvironmentOverview) -> str:
    """Return the id of the section of an environment."""
    return f"environment-{of.name}"


def windows(overview: Overview) -> tuple[WindowView, ...]:
    """Return all windows of planned maintenance in the order of their begin."""
    every = [view for each in overview.environments for view in _windows(each, overview.time)]
    return tuple(sorted(every, key=lambda view: 0 if view.begin is None else view.begin.seconds))


def line(of: EnvironmentOverview, now: float) -> LineView:
    """Return the line of an environment at a time in Unix seconds."""
    level, text = _environment_state(of)
    if any(window.begin <= now < window.end for window in of.maintenance):
        level, text = "maintenance", f"{text}, planned maintenance"
    return LineView(environment_id(of), of.name, of.is_well, level, text)


def environment(of: EnvironmentOverview, now: float) -> EnvironmentView:
    """Return the view of an environment at a time in Unix seconds."""
    return EnvironmentView(
        line=line(of, now),
        severity=of.severity,
        attempts=_attempts(of),
        token=_token(of.token_expiry, now),
        token_expiry=moment(of.token_expiry),
        token_lifetime="" if of.token_lifetime is None else span(of.token_lifetime),
        clock_offset="" if of.clock_offset is None else _offset(of.clock_offset),
        api_open=of.api_open,
        windows=_windows(of, now),
        endpoints=(_endpoint(of, of.login, now), _endpoint(of, of.ping, now)),
    )


def _windows(of: EnvironmentOverview, now: float) -> tuple[WindowView, ...]:
    return tuple(
        WindowView(of.name, moment(window.begin), moment(window.end), window.begin <= now < window.end)
        for window in of.maintenance
    )


def _environment_state(of: EnvironmentOverview) -> tuple[str, str]:
    states = {of.login.state, of.ping.state}
    if of.credentials_rejected:
        return "down", "credentials rejected"
    for each, text in ((EndpointState.DOWN, "failing"), (EndpointState.UNKNOWN, "state unknown")):
        if each in states:
            return each, text
    if not of.is_well:
        return ("starting", "starting") if EndpointState.STARTING in states else ("down", "not well")
    return ("starting", "starting") if states == {EndpointState.STARTING} else ("up", "well")


def _attempts(of: EnvironmentOverview) -> str:
    if not of.credentials_rejected:
        return ""
    left = of.attempts_left or 0
    if left == 0:
        return "No further login is sent with these credentials, so that the account is not locked."
    requests = counted(left, "more request")
    return f"At most {requests} with these credentials, then logins stop, so that the account is not locked."


def _token(expiry: float | None, now: float) -> str:
    if expiry is None:
        return "none"
    return "valid until" if expiry > now else "expired"


def _offset(seconds: float) -> str:
    """Return the clock offset as text: a reader needs to know which clock is ahead."""
    size = f"{abs(seconds) * 1000:.0f} ms" if abs(seconds) < 1 else span(abs(seconds))
    return f"the server's clock is {size} {'ahead' if seconds >= 0 else 'behind'}"


def _endpoint(of: EnvironmentOverview, endpoint: EndpointOverview, now: float) -> EndpointView:
    name = NAMES[endpoint.endpoint]
    last, attempt = endpoint.last, endpoint.next_attempt
    is_stopped = attempt is not None and math.isinf(attempt)
    return EndpointView(
        id=f"{environment_id(of)}-{name.lower()}",
        name=name,
        noun=f"{name.lower()}s",
        host=endpoint.host,
        state=endpoint.state,
        state_text=_endpoint_state(of, endpoint),
        since=moment(endpoint.since),
        last=None if last is None else moment(last.started_at),
        last_text=_last(last),
        last_failed=last is not None and last.reason is not None,
        next_attempt=moment(attempt),
        next_text="none until an operator acts" if is_stopped else "not scheduled" if attempt is None else "",
        delay=visible(endpoint.delay),
        latency="" if last is None or last.reason is not None else duration(last.duration),
        phases=() if last is None else phases(last),
        history=endpoint.history,
        uptimes=tuple(_uptime(each.period, each.observed, each.share) for each in endpoint.uptimes),
        certificate=_expiry(endpoint.certificate_expiry, now),
        chain=_expiry(endpoint.chain_expiry, now),
        failure=None if endpoint.failure is None else _failure(endpoint.failure, last),
        incident=endpoint.incident,
    )


def _endpoint_state(of: EnvironmentOverview, endpoint: EndpointOverview) -> str:
    if endpoint.endpoint is Endpoint.TOKEN and of.credentials_rejected:
        return "down: credentials rejected"
    return {
        EndpointState.STARTING: "starting: no probe has ended yet",
        EndpointState.UP: "up",
        EndpointState.DOWN: "down",
        EndpointState.UNKNOWN: "unknown: the monitor itself failed",
    }[endpoint.state]


def _last(last: ProbeRecord | None) -> str:
    if last is None:
        return "none yet"
    return "success" if last.reason is None else failure_text(last)


def phases(record: ProbeRecord) -> tuple[tuple[str, str], ...]:
    """Return the phases that a probe reached, with their durations."""
    return tuple((phase.value, duration(seconds)) for phase, seconds in record.phases.items())


def _uptime(period: float, observed: float, share: float | None) -> UptimeView:
    name = _PERIODS.get(round(period), span(period))
    if share is None:
        return UptimeView(name, "not observed", "0 %")
    part = math.floor(100 * observed / period) if period > 0 else 0
    return UptimeView(name, percent(share), f"{min(100, part)} %" if part else _short_span(observed))


def _short_span(seconds: float) -> str:
    return "less than 1 min" if 0 < seconds < 60 else span(seconds, smallest="min")


def _expiry(expiry: float | None, now: float) -> ExpiryView | None:
    if expiry is None:
        return None
    return ExpiryView(days_left(expiry, now), moment(expiry), expiry - now < _SOON * 86_400)


def _failure(failure: Failure, last: ProbeRecord | None) -> FailureView:
    phase = telling_phase(failure.reason, failure.phase, None if last is None else last.status)
    step = failure.reason.value if phase is None else f"{failure.reason.value} in the phase {phase}"
    facts: Sequence[tuple[str, str | None]] = (
        ("Reason", step),
        ("Likely responsible", failure.responsibility.text),
        ("Sent", failure.sent),
        ("Expected", failure.expected),
        ("Received", failure.received),
        ("submissionId", failure.submission_id),
        ("Meaning", failure.means),
        ("Next step", failure.next_step),
    )
    shown = tuple((name, visible(text)) for name, text in facts if text)
    ticket = failure.ticket
    return FailureView(shown, None if ticket is None else visible(ticket, limit=len(ticket)))
