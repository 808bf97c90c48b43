"""Phases of an exchange, and its one deadline, on the monotonic clock.

The phases tile the exchange: the time that the program itself takes between two phases (microseconds) belongs to the
earlier one, so their sum is the duration.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.model import Phase


class ExchangeTiming:
    """Measures the phases of one exchange, and knows the time that is left until its deadline."""

    def __init__(self, timeout: float, on_phase_end: Callable[[Phase, float], None] | None = None) -> None:
        """Create the timing of an exchange with a timeout in seconds.

        `on_phase_end` is called with each phase that has ended and its seconds. Its own time counts to the next phase,
        so it must return at once. The probes of the daemon have none.
        """
        self.phase = Phase.RESOLVE  # the current phase
        self.phases: dict[Phase, float] = {}  # seconds
        self.elapsed = 0.0  # seconds from the start to the last stamp
        self.deadline = 0.0  # a moment of time.monotonic(); `timeout` seconds after the start
        self._timeout = timeout
        self._on_phase_end = on_phase_end
        self._started = self._entered = 0.0

    def start(self, moment: float) -> None:
        """Start the exchange, its current phase and its deadline at `moment` (`time.monotonic`)."""
        self._started = self._entered = moment
        self.deadline = moment + self._timeout

    @property
    def late(self) -> bool:
        """Whether the last stamp is after the deadline: the process was stopped, or did not get the CPU."""
        return self.elapsed > self._timeout

    def remaining(self) -> float:
        """Return the seconds until the deadline. Raises `ExchangeError` if it has passed."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise self.timed_out()
        return seconds

    def timed_out(self) -> ExchangeError:
        """Return the error for a deadline that has passed."""
        return ExchangeError(ExchangeFault.TIMEOUT, f"no response within {self._timeout:g} s")

    def enter(self, phase: Phase, moment: float | None = None) -> None:
        """End the current phase and begin `phase`, now or at a `moment` that has just passed."""
        ended = self.phase
        self._entered = self.stamp(moment)
        self.phase = phase
        if self._on_phase_end is not None:
            self._on_phase_end(ended, self.phases[ended])

    def stamp(self, moment: float | None = None) -> float:
        """Count the time up to now, or up to `moment`, to the current phase. Return that moment."""
        if moment is None:
            moment = time.monotonic()
        self.phases[self.phase] = moment - self._entered
        self.elapsed = moment - self._started
        return moment
