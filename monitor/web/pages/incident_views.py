"""Views of incidents: everything that the journal knows about one, as texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.durations import span
from monitor.reporting.incident import Incident, ProbeRecord
from monitor.web.pages.history import failure_text
from monitor.web.pages.texts import Moment, duration, moment, visible
from monitor.web.pages.views import NAMES, phases


@dataclass(frozen=True, slots=True)
class ResponseView:
    """The first or the last failed probe of an incident."""

    name: str
    moment: Moment | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class IncidentLineView:
    """The line of an incident: all that is shown of a folded one."""

    id: str
    number: int
    environment: str
    endpoint: str
    is_open: bool
    begin: Moment | None
    down: str
    reasons: str


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident."""

    line: IncidentLineView
    end: Moment | None
    last_observed: Moment | None  # the end is between this time and `end`, and was not observed
    episodes: int
    responsible: str
    url: str
    submission_ids: tuple[str, ...]
    decisions: tuple[str, ...]
    responses: tuple[ResponseView, ResponseView]


def incident_id(of: Incident) -> str:
    """Return the id of the section of an incident."""
    return f"incident-{of.number}"


def line(of: Incident) -> IncidentLineView:
    """Return the line of an incident. The down time of an open one is in whole minutes."""
    return IncidentLineView(
        id=incident_id(of),
        number=of.number,
        environment=of.environment,
        endpoint=NAMES[of.endpoint].lower(),
        is_open=of.is_open,
        begin=moment(of.begin),
        down=_open_span(of.down) if of.is_open else span(of.down),
        reasons=", ".join(f"{reason} ({count})" for reason, count in of.reasons),
    )


def incident(of: Incident) -> IncidentView:
    """Return the view of an incident."""
    return IncidentView(
        line=line(of),
        end=moment(of.end),
        last_observed=None if of.end is None else moment(of.last_observed),
        episodes=of.episodes,
        responsible=of.responsibility.text,
        url=visible(of.url),
        submission_ids=tuple(visible(each) for each in of.submission_ids),
        decisions=tuple(visible(each) for each in of.decisions),
        responses=(_response("First failure", of.first), _response("Last failure", of.last)),
    )


def _open_span(down: float) -> str:
    """Return the down time of an open incident, which changes once a minute."""
    return span(down, smallest="min") if down >= 60 else "less than 1 min"


def _response(name: str, record: ProbeRecord) -> ResponseView:
    return ResponseView(name, moment(record.started_at), tuple(_facts(record)))


def _facts(record: ProbeRecord) -> Iterator[tuple[str, str]]:
    yield "Result", "success" if record.reason is None else failure_text(record)
    if record.detail:
        yield "Message", visible(record.detail)
    if record.error_code:
        yield "Code", visible(record.error_code)
    if record.submission_id:
        yield "submissionId", visible(record.submission_id)
    yield "Duration", duration(record.duration)
    if record.phases:
        yield "Phases", ", ".join(f"{phase} {text}" for phase, text in phases(record))
    if record.address:
        yield "Address", visible(record.address)
    if record.tls_version:
        yield "TLS", visible(record.tls_version)
