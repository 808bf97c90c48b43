"""Overviews, incidents and probes as objects of JSON. `openapi.json` describes them.

Times are texts in RFC 3339, in UTC with milliseconds, durations are in seconds, and an unknown value is null. JSON has
no infinity and no NaN (RFC 8259 section 6).
"""

from __future__ import annotations

import math
from typing import Any

from monitor.log import timestamp
from monitor.reporting.incident import Incident, ProbeRecord
from monitor.reporting.overview import Availability, EndpointOverview, EnvironmentOverview, Failure, Overview, Uptime

JsonObject = dict[str, Any]


def overview(value: Overview) -> JsonObject:
    """Return the state of all environments."""
    return {
        "version": value.version,
        "time": _time(value.time),
        "started_at": _time(value.started_at),
        "sentence": value.sentence,
        "well": value.is_well,
        "problems": list(value.problems),
        "environments": [_environment(each) for each in value.environments],
        "incidents": [incident(each) for each in value.incidents],
    }


def incident(value: Incident) -> JsonObject:
    """Return an incident."""
    return {
        "id": value.number,
        "environment": value.environment,
        "endpoint": value.endpoint,
        "open": value.is_open,
        "begin": _time(value.begin),
        "end": _time(value.end),
        "last_observed_at": _time(value.last_observed),
        "down_seconds": _number(value.down),
        "episodes": value.episodes,
        "responsibility": value.responsibility,
        "reasons": [{"reason": reason, "count": count} for reason, count in value.reasons],
        "first": probe(value.first),
        "last": probe(value.last),
        "submission_ids": list(value.submission_ids),
        "decisions": list(value.decisions),
    }


def probe(value: ProbeRecord) -> JsonObject:
    """Return a probe, with the names of `check --json`."""
    return {
        "started_at": _time(value.started_at),
        "duration_seconds": _number(value.duration),
        "success": value.reason is None,
        "reason": value.reason,
        "status": value.status,
        "detail": value.detail,
        "error_code": value.error_code,
        "submission_id": value.submission_id,
        "failed_phase": value.failed_phase,
        "phases": {phase: _number(seconds) for phase, seconds in value.phases.items()},
        "address": value.address,
        "tls_version": value.tls_version,
    }


def availability(value: Availability) -> JsonObject:
    """Return observed and down time of an endpoint in a period that a report names."""
    return {"environment": value.environment, "endpoint": value.endpoint, **_uptime(value.uptime)}


def _environment(value: EnvironmentOverview) -> JsonObject:
    return {
        "name": value.name,
        "severity": value.severity,
        "sentence": value.sentence,
        "well": value.is_well,
        "login": _endpoint(value.login),
        "ping": _endpoint(value.ping),
        "credentials_rejected": value.credentials_rejected,
        "attempts_left": value.attempts_left,
        "token_expires_at": _time(value.token_expiry),
        "token_lifetime_seconds": _number(value.token_lifetime),
        "clock_offset_seconds": _number(value.clock_offset),
        "api_open": value.api_open,
        "maintenance": [{"begin": _time(each.begin), "end": _time(each.end)} for each in value.maintenance],
    }


def _endpoint(value: EndpointOverview) -> JsonObject:
    return {
        "endpoint": value.endpoint,
        "host": value.host,
        "state": value.state,
        "since": _time(value.since),
        "last": None if value.last is None else probe(value.last),
        "next_attempt": _time(value.next_attempt),
        "stopped": value.next_attempt == math.inf,
        "delay": value.delay,
        "uptimes": [_uptime(each) for each in value.uptimes],
        "certificate_expires_at": _time(value.certificate_expiry),
        "chain_expires_at": _time(value.chain_expiry),
        "failure": None if value.failure is None else _failure(value.failure),
        "incident": value.incident,
    }


def _failure(value: Failure) -> JsonObject:
    return {
        "reason": value.reason,
        "responsibility": value.responsibility,
        "phase": value.phase,
        "sent": value.sent,
        "expected": value.expected,
        "received": value.received,
        "submission_id": value.submission_id,
        "means": value.means,
        "next": value.next_step,
        "ticket": value.ticket,
    }


def _uptime(value: Uptime) -> JsonObject:
    return {
        "period_seconds": _number(value.period),
        "observed_seconds": _number(value.observed),
        "down_seconds": _number(value.down),
        "share": _number(value.share),
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _time(value: float | None) -> str | None:
    """Return Unix seconds as text; None if they are unknown, infinite, or beyond the year 9999."""
    if value is None or not math.isfinite(value):
        return None
    try:
        return timestamp(value)
    except (OSError, OverflowError, ValueError):
        return None
