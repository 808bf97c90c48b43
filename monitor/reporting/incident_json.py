"""Incidents as JSON, for the database of the journal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from monitor.model import Endpoint, Phase, Reason, Responsibility
from monitor.reporting.incident import Incident, ProbeRecord

Row = tuple[int, str, str, str]  # number, environment, endpoint and content of an incident

_PROBE_TEXTS = ("detail", "error_code", "submission_id", "address", "tls_version")


def encode(incident: Incident) -> str:
    """Return the incident, except its number, environment and endpoint."""
    return json.dumps(
        {
            "begin": incident.begin,
            "end": incident.end,
            "last_observed": incident.last_observed,
            "responsibility": incident.responsibility,
            "reasons": incident.reasons,
            "first": _probe(incident.first),
            "last": _probe(incident.last),
            "submission_ids": incident.submission_ids,
            "episodes": incident.episodes,
            "down": incident.down,
            "decisions": incident.decisions,
            "url": incident.url,
        },
        separators=(",", ":"),
    )


def decode(number: int, environment: str, endpoint: str, content: str) -> Incident:
    """Return the incident that was encoded. Raises `ValueError` if it has another form."""
    try:
        values = json.loads(content)
        return Incident(
            number=number,
            environment=environment,
            endpoint=Endpoint(endpoint),
            begin=float(values["begin"]),
            end=_number(values["end"]),
            last_observed=_number(values["last_observed"]),
            responsibility=Responsibility(values["responsibility"]),
            reasons=tuple((Reason(reason), int(count)) for reason, count in values["reasons"]),
            first=_record(values["first"]),
            last=_record(values["last"]),
            submission_ids=tuple(map(str, values["submission_ids"])),
            episodes=int(values["episodes"]),
            down=float(values["down"]),
            decisions=tuple(map(str, values["decisions"])),
            url=str(values["url"]),
        )
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"incident {number} has another form") from error


def decode_rows(rows: Iterable[Row]) -> Iterator[Incident]:
    """Yield the incidents of these rows. A row of another form is left out."""
    for row in rows:
        with contextlib.suppress(ValueError):
            yield decode(*row)


def _probe(record: ProbeRecord) -> dict[str, object]:
    values: dict[str, object] = {
        "started_at": record.started_at,
        "duration": record.duration,
        "reason": record.reason,
        "status": record.status,
        "failed_phase": record.failed_phase,
        "phases": dict(record.phases),
        **{name: getattr(record, name) for name in _PROBE_TEXTS},
    }
    return {name: value for name, value in values.items() if value not in (None, "")}


def _record(values: Mapping[str, Any]) -> ProbeRecord:
    reason, failed_phase, status = values.get("reason"), values.get("failed_phase"), values.get("status")
    return ProbeRecord(
        started_at=float(values["started_at"]),
        duration=float(values["duration"]),
        reason=None if reason is None else Reason(reason),
        status=None if status is None else int(status),
        detail=str(values.get("detail", "")),
        error_code=_text(values.get("error_code")),
        submission_id=_text(values.get("submission_id")),
        failed_phase=None if failed_phase is None else Phase(failed_phase),
        phases=MappingProxyType({Phase(phase): float(seconds) for phase, seconds in values["phases"].items()}),
        address=_text(values.get("address")),
        tls_version=_text(values.get("tls_version")),
    )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
