"""How long the next attempt is held back, and why.

Each cause has its own count, so that a rate limit in the middle of an outage does not begin where the outage had got
to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum, auto

REJECTED_FIRST, REJECTED_LONGEST = 300.0, 3600.0  # seconds: a monitor must never be what locks the account
FORBIDDEN_FIRST = 30.0  # seconds
LONGEST = 900.0  # seconds, for whatever the server asked us to leave alone
WITHOUT_TOKEN_LONGEST = 60.0  # seconds: without a token every ping is missed
JITTER = 0.15  # share by which a doubled pause may be shorter, so that many clients do not return as one


class _Why(Enum):
    REJECTED = auto()
    RATE_LIMITED = auto()
    FORBIDDEN = auto()
    REFUSED = auto()
    FAILED = auto()


class Backoff:
    """Holds back one kind of request. Times are seconds, moments are on the clock that it is given."""

    def __init__(self, now: Callable[[], float], uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._now = now
        self._uniform = uniform
        self._why: _Why | None = None
        self._count = 0
        self.until = float("-inf")

    def remaining(self) -> float:
        """Seconds until the next attempt is allowed, 0 when it is."""
        return max(0.0, self.until - self._now())

    def clear(self) -> None:
        """Hold nothing back and forget the count."""
        self._why, self._count, self.until = None, 0, float("-inf")

    def resume(self, rejections: int, seconds: float) -> None:
        """Go on with a pause for rejected credentials that began in an earlier process."""
        if rejections > 0:
            self._why, self._count = _Why.REJECTED, rejections
            self.until = self._now() + max(0.0, seconds)

    def hold_rejected(self) -> None:
        """Credentials rejected: five minutes, doubling to an hour, to the second."""
        self._hold(_Why.REJECTED, REJECTED_FIRST, REJECTED_LONGEST, jitter=False)

    def hold_rate_limited(self, interval: float, retry_after: float | None, least: float = 0.0) -> None:
        """429: as long as the server says, but `least`; else doubling from one interval to 15 minutes, or to it."""
        self._hold(_Why.RATE_LIMITED, interval, max(LONGEST, interval))
        if retry_after is not None:
            self.until = self._now() + max(retry_after, least)

    def hold_forbidden(self) -> None:
        """403 to a login: somebody has to change a list first."""
        self._hold(_Why.FORBIDDEN, FORBIDDEN_FIRST, LONGEST)

    def hold_refused(self, interval: float) -> None:
        """Another 4xx to a login: the request itself is refused, which no hurry mends."""
        self._hold(_Why.REFUSED, interval, max(LONGEST, interval))

    def hold_failed(self, first: float, longest: float, token_expires: float | None) -> None:
        """A login that failed for want of network or server; more often once there is no token to ping with."""
        usable = 0.0 if token_expires is None else token_expires - self._now()
        self._hold(_Why.FAILED, first, min(max(first, longest), max(first, WITHOUT_TOKEN_LONGEST, usable)))

    def _hold(self, why: _Why, first: float, longest: float, *, jitter: bool = True) -> None:
        self._count = self._count + 1 if why is self._why else 1
        self._why = why
        pause = min(longest, first * 2 ** min(self._count - 1, 30))
        if jitter and self._count > 1:
            pause *= self._uniform(1 - JITTER, 1)
        self.until = self._now() + pause
