"""The two clocks: one for decisions, one for display.

Decisions use a clock that no operator, NTP daemon or leap second changes. It continues while the machine is suspended,
because a token ages during that time. The wall clock is used only for times that a person or another machine reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """A source of time. Tests use clocks of their own."""

    now: Callable[[], float]  # seconds since a fixed moment, never stepped
    wall: Callable[[], float]  # Unix seconds, by the clock of this machine


# Only Linux has CLOCK_BOOTTIME. The monotonic clock is the closest replacement: it may stop during suspension.
SYSTEM_CLOCK = Clock(now=_boot_time if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic, wall=time.time)
