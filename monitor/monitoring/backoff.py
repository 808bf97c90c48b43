"""Length of the pause before the next attempt, by the cause of the failure.

Each cause has its own count: a rate limit during an outage starts with its own first pause. The pauses after rejected
credentials are computed in `monitor.monitoring.negotiation`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum, auto

FIRST_FORBIDDEN_PAUSE = 30.0  # seconds
MAX_PAUSE = 900.0  # seconds, after a 403, a 429 or another 4xx
MAX_PING_THROTTLE = 120.0  # seconds, after a 429 to a ping without Retry-After: short, so that its end is seen soon
MAX_PAUSE_WITHOUT_TOKEN = 60.0  # seconds: without a token every ping fails
JITTER = 0.15  # fraction by which a doubled pause may be shorter, so that clients do not all return at the same time


class _Cause(Enum):
    RATE_LIMITED = auto()
    FORBIDDEN = auto()
    NOT_ACCEPTED = auto()
    FAILED = auto()


class Backoff:
    """Delays one kind of request. Durations are in seconds, times are on the clock that `now` reads."""

    def __init__(self, now: Callable[[], float], uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._now = now
        self._uniform = uniform
        self._cause: _Cause | None = None
        self._count = 0
        self.until = float("-inf")

    def remaining(self) -> float:
        """Return the seconds until the next attempt is allowed; 0 if it is allowed now."""
        return max(0.0, self.until - self._now())

    def clear(self) -> None:
        """Remove the delay and reset the count."""
        self._cause, self._count, self.until = None, 0, float("-inf")

    def login_rate_limited(self, first: float, shortest: float, retry_after: float | None) -> None:
        """Pause after a 429 to a login: for `retry_after`, else doubling from `first` to 15 minutes.

        A `retry_after` below `shortest`, the ping interval, is ignored: with `Retry-After: 0` in each response, the
        logins would follow each other without a pause, each with the password.
        """
        self._pause(_Cause.RATE_LIMITED, first, max(MAX_PAUSE, first), shortest)
        if retry_after is not None and retry_after >= shortest:
            self.until = self._now() + retry_after

    def ping_rate_limited(self, interval: float, retry_after: float | None) -> None:
        """Pause after a 429 to a ping: for `retry_after`, else doubling from `interval` to two minutes."""
        self._pause(_Cause.RATE_LIMITED, interval, max(MAX_PING_THROTTLE, interval), interval)
        if retry_after is not None:
            self.until = self._now() + max(retry_after, interval)

    def login_forbidden(self, shortest: float) -> None:
        """Pause after a 403 to a login, doubling from 30 s to 15 minutes: an IP allowlist must change first."""
        self._pause(_Cause.FORBIDDEN, FIRST_FORBIDDEN_PAUSE, MAX_PAUSE, shortest)

    def login_not_accepted(self, interval: float) -> None:
        """Pause after another 4xx to a login, doubling from `interval` to 15 minutes: a retry will not help soon."""
        self._pause(_Cause.NOT_ACCEPTED, interval, max(MAX_PAUSE, interval), interval)

    def login_failed(
        self, interval: float, longest: float, token_expires: float | None, retry_after: float | None = None
    ) -> None:
        """Pause after a failure of the network or the server, doubling from `interval` to `longest`.

        Without a valid token the pause is at most a minute, and never below `interval`. A longer `retry_after` (503
        with Retry-After) is respected.
        """
        usable = 0.0 if token_expires is None else token_expires - self._now()
        longest = min(max(interval, longest), max(interval, MAX_PAUSE_WITHOUT_TOKEN, usable))
        self._pause(_Cause.FAILED, interval, longest, interval)
        self.until = max(self.until, self._now() + (retry_after or 0.0))

    def _pause(self, cause: _Cause, first: float, longest: float, shortest: float) -> None:
        self._count = self._count + 1 if cause is self._cause else 1
        self._cause = cause
        pause = min(longest, first * 2 ** min(self._count - 1, 30))
        if self._count > 1:
            pause *= self._uniform(1 - JITTER, 1)
        self.until = self._now() + max(pause, shortest)
