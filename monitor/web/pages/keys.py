"""Keys: the values that decide the HTML of a section. Equal keys have equal HTML, so the section is not rendered again.

A key costs a tenth of a view. It leaves out what changes every second and is not shown exactly: observed time, the down
time of an open incident, and the time at which a ticket was made (a new probe makes a new ticket).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.reporting.incident import Incident, ProbeRecord
from monitor.reporting.overview import EndpointOverview, EnvironmentOverview, Failure, Overview, Uptime

_DAY = 86_400  # seconds

Key = tuple[object, ...]


def environment_key(of: EnvironmentOverview, now: float) -> Key:
    """Return the key of an environment at a time in Unix seconds. Its sentence is inserted into the HTML afterwards."""
    return (
        of.name,
        of.severity,
        of.is_well,
        of.credentials_rejected,
        of.attempts_left,
        _whole(of.token_expiry),
        of.token_expiry is not None and of.token_expiry <= now,
        of.token_lifetime,
        of.clock_offset,
        of.api_open,
        tuple((window.begin, window.end, window.begin <= now < window.end) for window in of.maintenance),
        _endpoint_key(of.login, now),
        _endpoint_key(of.ping, now),
    )


def windows_key(overview: Overview) -> Key:
    """Return the key of the list of all maintenance windows."""
    now = overview.time
    return tuple(
        (each.name, window.begin, window.end, window.begin <= now < window.end)
        for each in overview.environments
        for window in each.maintenance
    )


def incident_line_key(of: Incident) -> Key:
    """Return the key of the line of an incident; the down time of an open one is in whole minutes."""
    down = of.down // 60 if of.is_open else of.down
    return (of.number, of.environment, of.endpoint, of.begin, of.is_open, down, of.reasons)


def incident_key(of: Incident) -> Key:
    """Return the key of an incident with its details."""
    return (
        incident_line_key(of),
        (of.end, of.last_observed, of.responsibility, of.episodes),
        _record_key(of.first),
        _record_key(of.last),
        of.submission_ids,
        of.decisions,
        of.url,
    )


def _endpoint_key(of: EndpointOverview, now: float) -> Key:
    return (
        of.endpoint,
        of.host,
        of.state,
        _whole(of.since),
        None if of.last is None else _record_key(of.last),
        _whole(of.next_attempt),
        of.delay,
        _ends(of.history),
        tuple(_uptime_key(each) for each in of.uptimes),
        _expiry_key(of.certificate_expiry, now),
        _expiry_key(of.chain_expiry, now),
        None if of.failure is None else _failure_key(of.failure),
        of.incident,
    )


def _failure_key(of: Failure) -> Key:
    texts = (of.sent, of.expected, of.received, of.submission_id, of.means, of.next_step)
    return (of.reason, of.responsibility, of.phase, texts, of.ticket is None)


def _record_key(of: ProbeRecord) -> Key:
    """Return the key of a probe: no two probes of an endpoint begin at the same time."""
    return (of.started_at, of.duration, of.reason)


def _ends(records: Sequence[ProbeRecord]) -> Key:
    """Return the key of a history, which only grows and loses its oldest records."""
    return (len(records), records[0].started_at, records[-1].started_at) if records else ()


def _uptime_key(of: Uptime) -> Key:
    """Return the key of an uptime, as exactly as it is shown."""
    if of.share is None or of.period <= 0:
        return (of.period, None)
    percent = 100 * of.observed // of.period
    return (of.period, math.floor(of.share * 10_000), percent or -of.observed // 60)


def _expiry_key(expiry: float | None, now: float) -> Key:
    return () if expiry is None else (expiry, (expiry - now) // _DAY)


def _whole(seconds: float | None) -> float | None:
    return None if seconds is None else seconds // 1
