"""The state of all environments, composed from the memory of the reports and from the monitor's live state."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from monitor import __version__
from monitor.clock import Clock
from monitor.config.maintenance import current
from monitor.hosts import host_of
from monitor.model import Endpoint, Reason, Responsibility, Token
from monitor.reporting import sentences
from monitor.reporting.delays import delay_text
from monitor.reporting.evidence import evidence, is_for_vendor
from monitor.reporting.incident import Incident, ProbeRecord
from monitor.reporting.incident_json import Row, decode_rows
from monitor.reporting.journal import merged
from monitor.reporting.latest import Latest
from monitor.reporting.overview import (
    Availability,
    EndpointOverview,
    EndpointState,
    EnvironmentOverview,
    Failure,
    Maintenance,
    Overview,
    Uptime,
)
from monitor.reporting.recorder import Recorder, urls_of
from monitor.reporting.records import record_of
from monitor.reporting.steps import step_of
from monitor.tigr.remedies import explain, explain_rejection

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

MAX_INCIDENTS = 50  # in an overview
MAX_BARS = 60  # probes of an endpoint in an overview


class LiveEnvironment(Protocol):
    """State of an environment; `monitor.monitoring.environment` documents the members."""

    @property
    def credentials_rejected(self) -> bool: ...
    @property
    def attempts_left(self) -> int: ...
    @property
    def token(self) -> Token | None: ...
    def headroom(self) -> float | None: ...
    def backoff(self, endpoint: Endpoint) -> float: ...


class LiveState(Protocol):
    """State of the monitor; `monitor.service.supervisor` documents the members."""

    def live(self) -> Mapping[str, tuple[EnvironmentSettings, LiveEnvironment]]: ...
    def next_run(self, environment: str, endpoint: Endpoint) -> float | None: ...
    def problems(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Subject:
    """One environment at one time."""

    settings: EnvironmentSettings
    live: LiveEnvironment
    latest: Mapping[Endpoint, Latest]
    is_open: bool  # the API accepts unauthenticated requests
    now: float  # Unix seconds

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def is_stopped(self) -> bool:
        """Whether no login happens until an operator acts."""
        return math.isinf(self.live.backoff(Endpoint.TOKEN))


class LiveReports:
    """Implements `monitor.reporting.overview.Reports`. Thread-safe."""

    def __init__(self, recorder: Recorder, state: LiveState, clock: Clock) -> None:
        self._recorder = recorder
        self._state = state
        self._clock = clock
        self._started_at = clock.wall()
        self._mutex = threading.Lock()  # of the texts below
        self._tickets: dict[int, tuple[Incident, str]] = {}

    def overview(self) -> Overview:
        """Return the state of all environments. It is computed from memory and never waits."""
        self._recorder.journal.settle()
        now = self._clock.wall()
        problems = self._problems()
        environments = tuple(
            self._environment(self._subject(settings, live, now)) for settings, live in self._state.live().values()
        )
        return Overview(
            version=__version__,
            time=now,
            started_at=self._started_at,
            sentence=sentences.sentence_of_all(environments, problems),
            is_well=not problems and all(each.is_well for each in environments),
            problems=problems,
            environments=environments,
            incidents=tuple(self._recorder.journal.recent(MAX_INCIDENTS)),
        )

    def results(self, environment: str, endpoint: Endpoint) -> Sequence[ProbeRecord] | None:
        """Return the history of an endpoint, oldest first; None if the environment is unknown. It never waits."""
        if environment not in self._state.live():
            return None
        return self._recorder.history.all(environment, endpoint)

    def incidents(self, since: float | None = None, environment: str | None = None) -> Iterator[Incident]:
        """Return the incidents that had not ended at `since`, newest first. Raises `JournalBusyError`.

        They are decoded one by one: 10,000 of them would take more memory than the monitor may use.
        """
        rows = self._recorder.writer.read(lambda database: database.rows(since, environment), list[Row])
        return merged(decode_rows(_taken(rows)), self._recorder.journal.cached(since, environment))

    def evidence(self, number: int | None = None) -> str | None:
        """Return the text about an incident for the party that can end it; None if there is no such incident.

        Without a number: about the open incident that began first, else about the most recent one. Raises
        `JournalBusyError`.
        """
        journal = self._recorder.journal
        if number is None:
            recent = journal.recent(MAX_INCIDENTS)
            is_open = [each for each in recent if each.is_open]
            incident = is_open[-1] if is_open else next(iter(recent), None)
        else:
            incident = journal.incident(number) or self._recorder.writer.read(
                lambda database: database.incident(number), lambda: None
            )
        return None if incident is None else self._evidence(incident)

    def availability(self, begin: float, end: float) -> Sequence[Availability]:
        """Return observed and down time of each endpoint between two times (Unix seconds).

        In the last 39 days the period begins and ends with a whole hour, before that with a whole day in UTC. Raises
        `JournalBusyError`.
        """
        journal = self._recorder.journal
        journal.settle()
        return self._recorder.writer.read(
            lambda database: [
                Availability(name, Endpoint(endpoint), Uptime(end - begin, *seconds))
                for (name, endpoint), seconds in database.totals(begin, end, self._clock.wall()).items()
            ],
            lambda: journal.availability(begin, end),
        )

    def _evidence(self, incident: Incident) -> str:
        failures = self._recorder.history.failures(incident.environment, incident.endpoint)
        return evidence(incident, failures, self._clock.wall())

    def _ticket(self, incident: Incident) -> str:
        """Return the text about an open incident. It is made again after each failure, and not for each reader."""
        with self._mutex:
            known = self._tickets.get(incident.number)
            if known is None or known[0] is not incident:
                self._tickets[incident.number] = known = incident, self._evidence(incident)
                while len(self._tickets) > MAX_INCIDENTS:
                    del self._tickets[next(iter(self._tickets))]
            return known[1]

    def _problems(self) -> tuple[str, ...]:
        problem = self._recorder.writer.problem
        journal = [f"the journal cannot be saved, so incidents are lost at a restart: {problem}"] if problem else []
        return (*self._state.problems(), *journal)

    def _subject(self, settings: EnvironmentSettings, live: LiveEnvironment, now: float) -> _Subject:
        login, ping, is_open = self._recorder.latest.of(settings.name)
        return _Subject(settings, live, {Endpoint.TOKEN: login, Endpoint.PING: ping}, is_open, now)

    def _environment(self, subject: _Subject) -> EnvironmentOverview:
        login, ping = (self._endpoint(subject, endpoint) for endpoint in (Endpoint.TOKEN, Endpoint.PING))
        live, token = subject.live, subject.live.token
        windows = [each for each in subject.settings.maintenance if each.end > subject.now]
        in_progress = current(windows, subject.now)
        facts = sentences.EnvironmentFacts(
            login=_facts(login, subject.latest[Endpoint.TOKEN]),
            ping=_facts(ping, subject.latest[Endpoint.PING]),
            is_rejected=live.credentials_rejected,
            is_stopped=subject.is_stopped,
            headroom=live.headroom(),
            is_open=subject.is_open,
            maintenance_until=None if in_progress is None else in_progress.end,
            now=subject.now,
        )
        return EnvironmentOverview(
            name=subject.name,
            severity=subject.settings.severity,
            sentence=sentences.sentence_of(facts),
            is_well=sentences.is_well(facts),
            login=login,
            ping=ping,
            credentials_rejected=live.credentials_rejected,
            attempts_left=live.attempts_left if live.credentials_rejected else None,
            token_expiry=None if token is None else token.expires_at,
            token_lifetime=None if token is None else token.lifetime,
            clock_offset=subject.latest[Endpoint.PING].clock_offset,
            api_open=subject.is_open,
            maintenance=tuple(Maintenance(each.begin, each.end) for each in windows),
        )

    def _endpoint(self, subject: _Subject, endpoint: Endpoint) -> EndpointOverview:
        latest = subject.latest[endpoint]
        journal, name = self._recorder.journal, subject.name
        incident = journal.open_incident(name, endpoint)
        if latest.result is not None and latest.result.verdict.reason is Reason.NO_TOKEN:
            incident = incident or journal.open_incident(name, Endpoint.TOKEN)
        since = latest.since
        is_down = latest.state in (EndpointState.DOWN, EndpointState.STARTING)
        if is_down and not latest.was_up and incident is not None and incident.endpoint is endpoint:
            since = incident.begin  # the incident outlasts a restart of the monitor
        return EndpointOverview(
            endpoint=endpoint,
            host=host_of(urls_of(subject.settings)[endpoint]),
            state=EndpointState.DOWN if _is_rejected_before(subject, endpoint) else latest.state,
            since=since,
            last=None if latest.result is None else record_of(latest.result),
            next_attempt=self._next_attempt(subject, endpoint),
            delay=delay_text(endpoint, subject.live, latest.result),
            history=self._recorder.history.last(name, endpoint, MAX_BARS),
            uptimes=journal.uptimes(name, endpoint),
            certificate_expiry=latest.certificate_expiry,
            chain_expiry=latest.chain_expiry,
            failure=self._failure(subject, endpoint, incident),
            incident=None if incident is None else incident.number,
        )

    def _next_attempt(self, subject: _Subject, endpoint: Endpoint) -> float | None:
        """Return the time of the next attempt in Unix seconds; infinity while logins are stopped."""
        moment, now = self._state.next_run(subject.name, endpoint), self._clock.now()
        if endpoint is Endpoint.TOKEN and subject.is_stopped:
            return math.inf
        if moment is None:
            return None
        return subject.now + max(0.0, moment - now, subject.live.backoff(endpoint))

    @staticmethod
    def _earlier_rejection(subject: _Subject, endpoint: Endpoint, incident: Incident | None) -> Failure | None:
        """Return the rejection of the credentials that the journal has from an earlier process."""
        if incident is None or incident.last.reason is None or not _is_rejected_before(subject, endpoint):
            return None
        step = step_of(endpoint, urls_of(subject.settings)[endpoint], incident.last)
        explanation = explain_rejection(incident.last.error_code)
        return Failure(
            reason=incident.last.reason,
            responsibility=Responsibility.CREDENTIALS,
            phase=None,  # the status names the step
            sent=step.sent,
            expected=step.expected,
            received=step.received,
            submission_id=incident.last.submission_id,
            means=explanation.means,
            next_step=explanation.next_step,
            ticket=None,
        )

    def _failure(self, subject: _Subject, endpoint: Endpoint, incident: Incident | None) -> Failure | None:
        latest = subject.latest[endpoint]
        result = latest.result
        if result is None:
            return self._earlier_rejection(subject, endpoint, incident)
        if result.verdict.reason is None:
            return None
        record, explanation = record_of(result), explain(result)
        step = step_of(endpoint, urls_of(subject.settings)[endpoint], record)
        party = latest.responsibility
        if result.verdict.reason is Reason.NO_TOKEN and subject.live.credentials_rejected:
            party = Responsibility.CREDENTIALS  # also before the first login of this process
        return Failure(
            reason=result.verdict.reason,
            responsibility=party,
            phase=record.failed_phase,
            sent=step.sent,
            expected=step.expected,
            received=step.received,
            submission_id=record.submission_id,
            means=explanation.means,
            next_step=explanation.next_step,
            ticket=self._ticket(incident) if incident is not None and is_for_vendor(incident) else None,
        )


def _is_rejected_before(subject: _Subject, endpoint: Endpoint) -> bool:
    """Return whether an earlier process has the rejection of the credentials, and this one has sent no login."""
    is_first = subject.latest[endpoint].result is None
    return endpoint is Endpoint.TOKEN and subject.live.credentials_rejected and is_first


def _taken(rows: list[Row]) -> Iterator[Row]:
    """Yield the rows in their order, and remove each from the list, so that its memory can be used again."""
    rows.reverse()
    while rows:
        yield rows.pop()


def _facts(endpoint: EndpointOverview, latest: Latest) -> sentences.EndpointFacts:
    failure = endpoint.failure
    return sentences.EndpointFacts(
        endpoint=endpoint.endpoint,
        state=endpoint.state,
        since=endpoint.since,
        reason=None if failure is None else failure.reason,
        party="" if failure is None else failure.responsibility.text,
        was_up=latest.was_up,
    )
