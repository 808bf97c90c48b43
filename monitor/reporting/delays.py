"""The reason why the next attempt comes later than the interval, as text."""

from __future__ import annotations

import math
from typing import Protocol

from monitor.model import Endpoint, Reason, Result
from monitor.reporting.words import counted

_BACKOFF = {
    Reason.RATE_LIMITED: "the server asked for fewer requests (429)",
    Reason.FORBIDDEN: "the server refuses this client (403), and a retry will not help soon",
    Reason.REJECTED_REQUEST: "the server does not accept the request, and a retry will not help soon",
}


class Delays(Protocol):
    """State of an environment; `monitor.monitoring.environment` documents the members."""

    @property
    def credentials_rejected(self) -> bool: ...
    @property
    def attempts_left(self) -> int: ...
    def backoff(self, endpoint: Endpoint) -> float: ...


def delay_text(endpoint: Endpoint, environment: Delays, last: Result | None) -> str:
    """Return why the next attempt of an endpoint is delayed; empty if it is not. `last` is its most recent Result."""
    pause = environment.backoff(endpoint)
    if pause <= 0:
        return ""
    if endpoint is Endpoint.TOKEN and math.isinf(pause):
        return (
            "logins have stopped, so that the account is not locked: they resume when the credentials change, and a "
            "reload or SIGUSR1 allows one login"
        )
    if endpoint is Endpoint.TOKEN and environment.credentials_rejected:
        left = counted(environment.attempts_left, "more request")
        return (
            f"the credentials were rejected: {left} may contain them before logins stop, so that no account is locked"
        )
    if last is None:
        return "earlier logins got no response, and the server may have counted them as failed"
    reason = last.verdict.reason
    return _BACKOFF.get(reason, f"backoff after a failure ({reason})") if reason else "backoff"
