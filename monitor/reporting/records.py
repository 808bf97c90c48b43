"""Conversion of Results to the records that history and journal keep."""

from __future__ import annotations

from monitor.model import Result
from monitor.reporting.incident import ProbeRecord


def record_of(result: Result) -> ProbeRecord:
    """Return the record of a Result. It contains no token."""
    measured, verdict = result.measurement, result.verdict
    return ProbeRecord(
        started_at=measured.started_at,
        duration=measured.duration,
        reason=verdict.reason,
        status=measured.status,
        detail=verdict.detail,
        error_code=verdict.error_code,
        submission_id=verdict.submission_id,
        failed_phase=measured.failed_phase,
        phases=measured.phases,
        address=measured.address,
        tls_version=measured.tls_version,
    )


def end_of(record: ProbeRecord) -> float:
    """Return the end of a probe, in Unix seconds."""
    return record.started_at + record.duration
