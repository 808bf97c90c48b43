"""Planned maintenance of the environments while the monitor runs: its time, and its log lines."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow, current, utc_text
from monitor.log import fields

_log = logging.getLogger(__name__)


class PlannedTime:
    """The windows of one environment, seen from the monotonic clock. A step of the wall clock moves them."""

    def __init__(self, windows: tuple[MaintenanceWindow, ...], clock: Clock) -> None:
        self._windows = windows
        self._clock = clock

    def seconds_between(self, begin: float, end: float) -> float:
        """Return the seconds of maintenance between `begin` and `end`, both on the monotonic clock."""
        if not self._windows:
            return 0.0
        ahead = self._clock.wall() - self._clock.now()
        return sum(window.seconds_between(begin + ahead, end + ahead) for window in self._windows)


@dataclass(slots=True)
class _Announced:
    windows: tuple[MaintenanceWindow, ...] = ()
    logged: MaintenanceWindow | None = None  # the window whose begin was logged, until its end is logged


class MaintenanceLog:
    """Writes one line at the begin and one at the end of each window. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._announced: dict[str, _Announced] = {}

    def use(self, environment: str, windows: tuple[MaintenanceWindow, ...]) -> None:
        """Apply the windows of an environment. The next check logs a window that has begun or ended by that."""
        with self._mutex:
            self._announced.setdefault(environment, _Announced()).windows = windows

    def remove(self, environment: str) -> None:
        """Discard the windows of a removed environment."""
        with self._mutex:
            self._announced.pop(environment, None)

    def next_check(self, environment: str) -> float | None:
        """Return the time of the next begin or end on the monotonic clock; None if there is none."""
        with self._mutex:
            announced = self._announced.get(environment)
            if announced is None or not (announced.windows or announced.logged):  # at almost every call
                return None
            now, wall = self._clock.now(), self._clock.wall()
            if current(announced.windows, wall) != announced.logged:
                return now
            borders = [border for window in announced.windows for border in (window.begin, window.end) if border > wall]
            return now + min(borders) - wall if borders else None

    def check(self, environment: str) -> None:
        """Log the begin or the end of a window, if there was one since the last check."""
        with self._mutex:
            announced = self._announced.get(environment)
            if announced is None:
                return
            window = current(announced.windows, self._clock.wall())
            if window == announced.logged:
                return
            announced.logged = window
            if window is None:
                _log.info("%s: planned maintenance has ended", environment, extra=fields(environment=environment))
            else:
                _log.info(
                    "%s: planned maintenance until %s: the SLO leaves this time out, and alerts are not sent",
                    environment,
                    utc_text(window.end),
                    extra=fields(environment=environment),
                )
