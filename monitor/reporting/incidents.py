"""Incidents of one endpoint: the Results that open, continue, end and reopen one.

This is the only place that decides it, for the journal and for `tigr_incidents_total`. The rules:

- Three failed pings or two failed logins in a row open an incident, or a rejection of the credentials. It begins with
  the first failure of the row, and ends with the first success.
- If the next row begins within ten minutes of the end, the incident goes on with a further episode. After the wall
  clock was stepped back by more than that, the time since the end is unknown, and the row is another incident.
- `no_token` belongs to the incident of the login, and `internal` says nothing about the host: both change nothing.
- After a restart, an open incident goes on if the first Result is a failure. If it is a success, the end of the
  incident was not observed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from monitor.model import Endpoint, Reason, Responsibility, Result
from monitor.reporting.decisions import decision
from monitor.reporting.incident import Incident, ProbeRecord
from monitor.reporting.records import end_of, record_of

# Failed probes in a row that open an incident. A login is rare, and its failure is repeated at the next attempt.
OPENING_FAILURES = {Endpoint.TOKEN: 2, Endpoint.PING: 3}
REOPENING_TIME = 600.0  # seconds after the end of an incident in which further failures belong to it
MAX_LISTED = 20  # submissionIds and decisions of an incident: the first ten and the last ten
_IGNORED = frozenset({Reason.INTERNAL, Reason.NO_TOKEN})


class Change(Enum):
    """Effects of a Result on the incidents of its endpoint."""

    NONE = auto()
    OPENED = auto()
    REOPENED = auto()
    CONTINUED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class _Row:
    """The failures in a row before they open an incident."""

    count: int
    first: ProbeRecord
    last: ProbeRecord
    reasons: tuple[tuple[Reason, int], ...]
    submission_ids: tuple[str, ...]
    decisions: tuple[str, ...]
    down_before: float  # seconds of down time before the first of them


class EndpointIncidents:
    """The incidents of one endpoint. Not thread-safe."""

    def __init__(self, environment: str, endpoint: Endpoint, next_number: Callable[[], int], url: str = "") -> None:
        self.url = url
        self.incident: Incident | None = None  # the open one, or the one that ended last
        self._environment = environment
        self._endpoint = endpoint
        self._next_number = next_number
        self._row: _Row | None = None
        self._down_seen = 0.0  # seconds of down time at the last Result, since the start of the process
        self._down_at_begin = 0.0  # and at the begin of the current episode in this process
        self._down_earlier = 0.0  # seconds of the incident before that
        self._is_restored = False  # the open incident has had no Result in this process

    @property
    def open_incident(self) -> Incident | None:
        """The open incident; None if there is none."""
        return self.incident if self.incident is not None and self.incident.is_open else None

    def restore(self, incident: Incident) -> None:
        """Continue with the incident of an earlier process: an open one, or the one that ended last."""
        self.incident = incident
        self._is_restored = incident.is_open
        self._down_earlier = incident.down
        self._down_at_begin = self._down_seen

    def record(self, result: Result, responsibility: Responsibility, down: float) -> Change:
        """Apply a Result. `down` is the down time of the endpoint since the start of the process, in seconds."""
        reason = result.verdict.reason
        if not result.is_decisive:
            return Change.NONE
        down_before, self._down_seen = self._down_seen, down
        if reason in _IGNORED:
            return Change.NONE
        if reason is None:
            self._row = None
            return self._end(result.measurement.ended_at, down)
        # The time of the probe itself was added to the down time when it ended.
        down_before = max(down_before, down - result.measurement.duration)
        record, decided = record_of(result), decision(result)
        if self.open_incident is not None:
            self._continue(record, reason, responsibility, decided, down, down_before)
            return Change.CONTINUED
        self._row = _longer(self._row, record, reason, decided, down_before)
        if not (result.run.credentials_rejected or self._row.count >= OPENING_FAILURES[self._endpoint]):
            return Change.NONE
        row, self._row = self._row, None
        return self._open(row, responsibility, down)

    def end_unobserved(self, moment: float) -> Change:
        """End the open incident at `moment` (Unix seconds), because its endpoint is no longer probed."""
        self._row = None
        incident = self.open_incident
        if incident is None:
            return Change.NONE
        last = end_of(incident.last)
        self.incident = replace(incident, end=max(moment, last), last_observed=last)
        self._is_restored = False
        return Change.ENDED

    def _open(self, row: _Row, responsibility: Responsibility, down: float) -> Change:
        before = self.incident
        begin = row.first.started_at
        self._down_at_begin = row.down_before
        if before is not None and before.end is not None and abs(begin - before.end) <= REOPENING_TIME:
            self._down_earlier = before.down
            self.incident = replace(
                before,
                end=None,
                last_observed=None,
                responsibility=responsibility,
                reasons=_added(before.reasons, row.reasons),
                last=row.last,
                submission_ids=_limited((*before.submission_ids, *row.submission_ids)),
                episodes=before.episodes + 1,
                down=self._down(down),
                decisions=_limited((*before.decisions, *row.decisions)),
            )
            return Change.REOPENED
        self._down_earlier = 0.0
        self.incident = Incident(
            number=self._next_number(),
            environment=self._environment,
            endpoint=self._endpoint,
            begin=begin,
            end=None,
            last_observed=None,
            responsibility=responsibility,
            reasons=row.reasons,
            first=row.first,
            last=row.last,
            submission_ids=row.submission_ids,
            episodes=1,
            down=self._down(down),
            decisions=row.decisions,
            url=self.url,
        )
        return Change.OPENED

    def _continue(  # noqa: PLR0913, PLR0917 - the parts of one failure
        self,
        record: ProbeRecord,
        reason: Reason,
        responsibility: Responsibility,
        decided: str,
        down: float,
        down_before: float,
    ) -> None:
        incident = self.open_incident
        if incident is None:
            return
        if self._is_restored:
            self._is_restored = False
            self._down_at_begin = down_before
        self.incident = replace(
            incident,
            responsibility=responsibility,
            reasons=_added(incident.reasons, ((reason, 1),)),
            last=record,
            submission_ids=_with_id(incident.submission_ids, record),
            down=self._down(down),
            decisions=_with_decision(incident.decisions, decided),
        )

    def _end(self, moment: float, down: float) -> Change:
        incident = self.open_incident
        if incident is None:
            return Change.NONE
        last_observed = end_of(incident.last) if self._is_restored else None
        end = max(moment, incident.begin, last_observed or 0.0)
        seconds = incident.down if self._is_restored else self._down(down)
        self.incident = replace(incident, end=end, last_observed=last_observed, down=seconds)
        self._is_restored = False
        return Change.ENDED

    def _down(self, down: float) -> float:
        return self._down_earlier + max(0.0, down - self._down_at_begin)


def _longer(row: _Row | None, record: ProbeRecord, reason: Reason, decided: str, down_before: float) -> _Row:
    """Return the row with one more failure."""
    if row is None:
        decisions = (decided,) if decided else ()
        return _Row(1, record, record, ((reason, 1),), _with_id((), record), decisions, down_before)
    return replace(
        row,
        count=row.count + 1,
        last=record,
        reasons=_added(row.reasons, ((reason, 1),)),
        submission_ids=_with_id(row.submission_ids, record),
        decisions=_with_decision(row.decisions, decided),
    )


def _added(
    reasons: tuple[tuple[Reason, int], ...], more: tuple[tuple[Reason, int], ...]
) -> tuple[tuple[Reason, int], ...]:
    counts = dict(reasons)
    for reason, count in more:
        counts[reason] = counts.get(reason, 0) + count
    return tuple(counts.items())


def _with_id(submission_ids: tuple[str, ...], record: ProbeRecord) -> tuple[str, ...]:
    return _limited((*submission_ids, record.submission_id)) if record.submission_id else submission_ids


def _with_decision(decisions: tuple[str, ...], decided: str) -> tuple[str, ...]:
    return _limited((*decisions, decided)) if decided else decisions


def _limited(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first and the last of more texts than an incident keeps."""
    half = MAX_LISTED // 2
    return texts if len(texts) <= MAX_LISTED else (*texts[:half], *texts[-half:])
