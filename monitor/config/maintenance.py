"""Windows of planned maintenance, on the wall clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, order=True)
class MaintenanceWindow:
    """One window. Both times are in Unix seconds; the window contains its begin and not its end."""

    begin: float
    end: float

    def contains(self, wall: float) -> bool:
        """Return whether the window contains `wall` (Unix seconds)."""
        return self.begin <= wall < self.end

    def seconds_between(self, begin: float, end: float) -> float:
        """Return the seconds that the window shares with the time from `begin` to `end` (Unix seconds)."""
        return max(0.0, min(end, self.end) - max(begin, self.begin))

    def __str__(self) -> str:
        """Return the window as an interval of ISO 8601, in UTC."""
        return f"{utc_text(self.begin)}/{utc_text(self.end)}"


def current(windows: Iterable[MaintenanceWindow], wall: float) -> MaintenanceWindow | None:
    """Return the window that contains `wall` (Unix seconds); None if there is none."""
    return next((window for window in windows if window.contains(wall)), None)


def utc_text(moment: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, with the fraction of a second only if there is one."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
