"""Periods of failures of a repeated operation, whose start and end are logged instead of each failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MIN_QUIET = 60.0  # seconds without a failure, so that an operation that fails now and then is not logged each time


class FailurePeriod:
    """The current period of failures of one operation, if there is one. Thread-safe.

    A period ends with the first success that has no failure in the `quiet` seconds before it.
    """

    def __init__(self, quiet: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._quiet = MIN_QUIET if quiet is None else quiet
        self._now = now
        self._mutex = threading.Lock()
        self._count = 0
        self._last = 0.0
        self._faults: set[str] = set()

    def failed(self, fault: str = "", count: int = 1) -> bool:
        """Record `count` failures; return whether `fault` is new in this period, so that it should be logged."""
        with self._mutex:
            self._count += count
            self._last = self._now()
            is_new = fault not in self._faults
            self._faults.add(fault)
            return is_new

    def succeeded(self) -> int:
        """Record a success; return the number of failures in the period that it ends, or 0."""
        if not self._count:  # the usual case, without the lock
            return 0
        with self._mutex:
            if self._now() - self._last < self._quiet:
                return 0
            count, self._count = self._count, 0
            self._faults.clear()
            return count
