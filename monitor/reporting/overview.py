"""The state of all environments for people: the content of the status page, of `status` and of the JSON interface.

Times are in Unix seconds, durations in seconds. The redactor has checked every text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.model import Endpoint, Phase, Reason, Responsibility, Severity
from monitor.reporting.incident import Incident, ProbeRecord


class EndpointState(StrEnum):
    """States of an endpoint."""

    STARTING = "starting"  # no probe has ended yet
    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"  # the last probe failed because of the monitor itself


@dataclass(frozen=True, slots=True)
class Uptime:
    """Observed time and down time in a period."""

    period: float  # seconds: 24 h, 30 days, 365 days
    observed: float
    down: float

    @property
    def share(self) -> float | None:
        """The share of the observed time in which the endpoint was up; None if nothing was observed."""
        return None if self.observed <= 0 else 1 - self.down / self.observed


@dataclass(frozen=True, slots=True)
class Failure:
    """The failing step of an endpoint, for a person who has to act."""

    reason: Reason
    responsibility: Responsibility
    phase: Phase | None
    sent: str  # the request line, or the step that was attempted, for example a TLS handshake with a host
    expected: str
    received: str  # status and message of the server, or the error of the network
    submission_id: str | None
    means: str
    next_step: str
    ticket: str | None  # text for the vendor's support; None if the vendor cannot help with it


@dataclass(frozen=True, slots=True)
class EndpointOverview:
    """The state of the login or of the ping of an environment."""

    endpoint: Endpoint
    host: str
    state: EndpointState
    since: float | None  # begin of this state; None while starting
    last: ProbeRecord | None  # the most recent probe that decided the state
    next_attempt: float | None  # infinity: none until an operator acts; None: not scheduled
    delay: str  # why the next attempt comes later than the interval; empty if it does not
    history: Sequence[ProbeRecord]  # the last probes that decided the state, at most 60, oldest first
    uptimes: tuple[Uptime, ...]  # of 24 h, 30 days and 365 days
    certificate_expiry: float | None
    chain_expiry: float | None
    failure: Failure | None  # None unless `state` is down or unknown
    incident: int | None  # number of the open incident


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A window of planned maintenance that is in progress or to come."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class EnvironmentOverview:
    """The state of one environment."""

    name: str
    severity: Severity
    sentence: str  # the state in one sentence: "logins rejected since 02:14 UTC; pings work for 6 min 40 s more"
    is_well: bool
    login: EndpointOverview
    ping: EndpointOverview
    credentials_rejected: bool
    attempts_left: int | None  # further logins with rejected credentials; None if they are not rejected
    token_expiry: float | None
    token_lifetime: float | None
    clock_offset: float | None
    api_open: bool  # the Client API accepts unauthenticated requests
    maintenance: tuple[Maintenance, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of all environments at one time."""

    version: str
    time: float
    started_at: float  # start of the monitor
    sentence: str  # the state of all environments in one sentence
    is_well: bool
    problems: tuple[str, ...]  # of the monitor itself: a failed reload, a job without progress, a failed journal
    environments: tuple[EnvironmentOverview, ...]  # in the order of the settings
    incidents: tuple[Incident, ...]  # the most recent ones, newest first, at most 50


class JournalBusyError(Exception):
    """The journal did not respond in time, because its disk is slow, for example."""


class Reports(Protocol):
    """The reports that pages and commands read. All methods are thread-safe."""

    def overview(self) -> Overview:
        """Return the state of all environments. It is computed from memory and never waits."""

    def results(self, environment: str, endpoint: Endpoint) -> Sequence[ProbeRecord] | None:
        """Return the history of an endpoint, oldest first; None if the environment is unknown. It never waits."""

    def incidents(self, since: float | None = None, environment: str | None = None) -> Iterable[Incident]:
        """Return the incidents that had not ended at `since`, newest first, at most 10,000.

        It may wait for the disk, so it must not run in an event loop. Raises `JournalBusyError` after two seconds.
        """

    def evidence(self, number: int | None = None) -> str | None:
        """Return the text for the vendor's support about an incident; None if there is no such incident.

        Without a number: about the open incident that began first, else about the most recent one. It may wait for
        the disk, as `incidents` does.
        """

    def availability(self, begin: float, end: float) -> Sequence[Availability]:
        """Return observed and down time of each endpoint between two times. It may wait for the disk."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Observed and down time of one endpoint in a period that a report names."""

    environment: str
    endpoint: Endpoint
    uptime: Uptime
