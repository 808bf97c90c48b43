"""One incident: an outage of one endpoint that was confirmed, or a rejection of its credentials.

An incident opens after three failed pings or two failed logins in a row, or with a rejection. It ends with the first
success. All times are in Unix seconds. The redactor has checked every text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from monitor.model import Endpoint, Phase, Reason, Responsibility


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """One probe, as the history and the journal keep it. Times are in seconds."""

    started_at: float  # Unix time
    duration: float
    reason: Reason | None = None  # None: the probe succeeded
    status: int | None = None  # HTTP status
    detail: str = ""  # the server's message
    error_code: str | None = None
    submission_id: str | None = None
    failed_phase: Phase | None = None
    phases: Mapping[Phase, float] = field(default_factory=lambda: MappingProxyType({}))  # only reached phases
    address: str | None = None
    tls_version: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. Failures that follow within ten minutes of its end belong to it as a further episode."""

    number: int  # unique in the journal; it never changes
    environment: str
    endpoint: Endpoint
    begin: float  # start of the first failed probe
    end: float | None  # end of the first successful probe; None while the incident is open
    # If the monitor did not run at the end of the incident: the last time at which it was known to be open.
    # The end is between this time and `end`.
    last_observed: float | None
    responsibility: Responsibility
    reasons: tuple[tuple[Reason, int], ...]  # with the number of failures, in the order of their first occurrence
    first: ProbeRecord
    last: ProbeRecord
    submission_ids: tuple[str, ...]  # of all failures, oldest first; at most 20
    episodes: int
    down: float  # seconds; the time between two episodes and the time that was not observed are left out
    decisions: tuple[str, ...]  # decisions of the monitor, for example that logins were suppressed, oldest first
    url: str = ""  # of the request: the settings may name another one later

    @property
    def is_open(self) -> bool:
        """Whether the incident has not ended."""
        return self.end is None
