"""Changes of the journal that are not on disk: the latest state of each incident, and sums of time per hour."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.model import Endpoint
from monitor.reporting.incident import Incident

MAX_UNSAVED = 200  # incidents that wait for the disk
MAX_UNSAVED_TOTALS = 3000  # hours of endpoints that wait for the disk

HostHour = tuple[str, Endpoint, int]  # environment, endpoint, hour since 1970


@dataclass(slots=True)
class Unsaved:
    """The changes since the last save. If the disk fails for days, the newest ones are kept. Not thread-safe."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    totals: dict[HostHour, tuple[float, float]] = field(default_factory=dict)  # observed and down seconds

    def __bool__(self) -> bool:
        return bool(self.incidents or self.totals)

    def keep(self, incident: Incident) -> None:
        """Save the incident in this state."""
        self.incidents[incident.number] = incident
        self._limit_incidents()

    def add(self, key: HostHour, observed: float, down: float) -> None:
        """Add seconds to an hour of an endpoint."""
        before = self.totals.get(key, (0.0, 0.0))
        self.totals[key] = before[0] + observed, before[1] + down
        if len(self.totals) > MAX_UNSAVED_TOTALS:
            self._forget_oldest_hours()

    def add_older(self, older: Unsaved) -> None:
        """Add changes that could not be saved; for an incident that has changed since, they do not matter."""
        self.incidents = {**older.incidents, **self.incidents}
        for key, seconds in older.totals.items():
            self.add(key, *seconds)
        self._limit_incidents()

    def _limit_incidents(self) -> None:
        excess = len(self.incidents) - MAX_UNSAVED
        if excess > 0:
            for number in sorted(self.incidents)[:excess]:
                del self.incidents[number]

    def _forget_oldest_hours(self) -> None:
        """Delete a tenth of the hours, so that it does not happen at each addition."""
        for key in sorted(self.totals, key=lambda each: each[2])[: MAX_UNSAVED_TOTALS // 10]:
            del self.totals[key]
