"""Length of the pause before the next attempt, by the cause of the failure.

Each cause has its own count: a rate limit in the middle of an outage begins with its own first pause. Rejected
credentials are the subject of `monitor.monitoring.negotiation`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum, auto

FIRST_FORBIDDEN_PAUSE = 30.0  # seconds
MAX_PAUSE = 900.0  # seconds, after a response that asks the monitor to stay away
MAX_PING_THROTTLE = 120.0  # seconds, after a 429 to a ping that names no time: its end must be seen soon
MAX_PAUSE_WITHOUT_TOKEN = 60.0  # seconds: without a token every ping is missed
JITTER = 0.15  # share by which a doubled pause may be shorter, so that many clients do not return at one moment


class _Cause(Enum):
    RATE_LIMITED = auto()
    FORBIDDEN = auto()
    NOT_ACCEPTED = auto()
    FAILED = auto()


class Backoff:
    """Delays one kind of request. Durations are seconds, moments are on the clock that it is given."""

    def __init__(self, now: Callable[[], float], uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._now = now
        self._uniform = uniform
        self._cause: _Cause | None = None
        self._count = 0
        self.until = float("-inf")

    def remaining(self) -> float:
        """Return the seconds until the next attempt is allowed, 0 when it is."""
        return max(0.0, self.until - self._now())

    def clear(self) -> None:
        """Delay nothing and forget the count."""
        self._cause, self._count, self.until = None, 0, float("-inf")

    def login_rate_limited(self, first: float, shortest: float, retry_after: float | None) -> None:
        """Pause after a 429 to a login: as long as the server asks, else doubling from `first` to 15 minutes.

        A server that asks for less than `shortest`, the ping interval, names no useful time: `Retry-After: 0` in
        each response would be one login after another, with the password in each.
        """
        self._pause(_Cause.RATE_LIMITED, first, max(MAX_PAUSE, first), shortest)
        if retry_after is not None and retry_after >= shortest:
            self.until = self._now() + retry_after

    def ping_rate_limited(self, interval: float, retry_after: float | None) -> None:
        """Pause after a 429 to a ping: as long as the server asks, else doubling from `interval` to two minutes."""
        self._pause(_Cause.RATE_LIMITED, interval, max(MAX_PING_THROTTLE, interval), interval)
        if retry_after is not None:
            self.until = self._now() + max(retry_after, interval)

    def login_forbidden(self, shortest: float) -> None:
        """Pause after a 403 to a login, 30 s doubling to 15 minutes: an allowlist has to change first."""
        self._pause(_Cause.FORBIDDEN, FIRST_FORBIDDEN_PAUSE, MAX_PAUSE, shortest)

    def login_not_accepted(self, interval: float) -> None:
        """Pause after another 4xx to a login, doubling to 15 minutes: an earlier attempt would not help."""
        self._pause(_Cause.NOT_ACCEPTED, interval, max(MAX_PAUSE, interval), interval)

    def login_failed(
        self, interval: float, longest: float, token_expires: float | None, retry_after: float | None = None
    ) -> None:
        """Pause after a failure of network or server, doubling from `interval` to `longest`.

        Without a valid token the pause is at most a minute, and never below `interval`. A server that asks for a
        longer one (503 with Retry-After) gets it.
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
