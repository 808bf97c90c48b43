"""Observed and down time of one endpoint, for a service level objective that no scrape interval changes.

Time is observed while the state of the endpoint is known. The state is known from the end of a decisive probe until the
next probe is overdue. An error of the monitor itself leaves it unknown. Planned maintenance is left out.
"""

from __future__ import annotations

from collections.abc import Callable

from monitor.model import Reason, Result, Role

GRACE = 5.0  # seconds after the time of the next run until that run is overdue


class ObservedTime:
    """Adds up observed and down time. All times are seconds on the monotonic clock. Not thread-safe."""

    def __init__(self, interval: float, timeout: float) -> None:
        self._observed = 0.0
        self._down = 0.0
        self._up: bool | None = None  # state by the last decisive probe; None: unknown
        self._settled = 0.0  # time until which the sums are complete
        self._overdue = 0.0  # time from which the next run is overdue
        self._probe_began: float | None = None  # start of the probe in progress
        self._planned: Callable[[float, float], float] = _no_maintenance
        self.use(interval, timeout)

    def use(self, interval: float, timeout: float) -> None:
        """Apply the interval of the probe and the timeout of one exchange, in seconds."""
        self._interval = interval
        self._timeout = timeout

    def plan(self, planned: Callable[[float, float], float], now: float) -> None:
        """From `now` on, leave out the seconds of maintenance that `planned` returns for a begin and an end."""
        self._settle(now)
        self._planned = planned

    def forget_state(self) -> None:
        """Count no time until the next decisive probe ends, for example because the host has changed."""
        self._up = None

    def totals(self, now: float) -> tuple[float, float]:
        """Return the observed seconds and, of these, the seconds during which the endpoint was down."""
        self._settle(now)
        return self._observed, self._down

    def run_started(self, now: float) -> None:
        """Note a run of the job, so that the next one is due after the interval. The run may decide to wait."""
        self._settle(now)
        self._overdue = now + self._interval + GRACE

    def probe_started(self, now: float) -> None:
        """Note the start of an exchange. Its time is added when it ends."""
        self._settle(now)
        self._probe_began = now

    def probe_ended(self, result: Result, now: float) -> None:
        """Add the time of an exchange, at most its timeout, and apply its state if it is decisive."""
        if result.run.role is Role.UNAUTHENTICATED:
            return
        self._settle(now)
        began, self._probe_began = self._probe_began, None
        if result.is_decisive:
            self._up = None if result.verdict.reason is Reason.INTERNAL else result.success
            self._overdue = now + self._interval + GRACE
        if began is not None:
            self._add(began, min(now, began + self._timeout))
        if result.run.attempts_left is not None:
            # Logins are suppressed because the credentials were rejected. The monitor's silence is no outage.
            self._up = None

    def _settle(self, now: float) -> None:
        if self._probe_began is None:
            self._add(self._settled, min(now, self._overdue))
        self._settled = now

    def _add(self, begin: float, end: float) -> None:
        if self._up is None or end <= begin:
            return
        seconds = max(0.0, end - begin - self._planned(begin, end))
        self._observed += seconds
        if not self._up:
            self._down += seconds


def _no_maintenance(_begin: float, _end: float) -> float:
    return 0.0
