"""The two clocks: one to decide by, one to show.

Decisions use a clock that no operator, NTP daemon or leap second moves, and that goes on while the machine is
suspended: a token ages while we sleep. Only what a person or another machine reads is told in wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from; tests bring their own."""

    now: Callable[[], float]  # seconds since some fixed moment, never stepped
    wall: Callable[[], float]  # Unix seconds, as this machine believes them


# CLOCK_BOOTTIME is Linux's; elsewhere the monotonic clock is the nearest there is.
SYSTEM_CLOCK = Clock(now=_boot_time if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic, wall=time.time)
