"""Decisions of the monitor after a failure, as texts."""

from __future__ import annotations

import math

from monitor.log import timestamp
from monitor.model import Endpoint, Result
from monitor.reporting.words import counted


def decision(result: Result) -> str:
    """Return the decision that followed from a failed Result, with the time of the failure; empty if there was none."""
    outcome = result.run
    if outcome.suppressed_until is None:
        return ""
    return f"{timestamp(result.measurement.ended_at)}: {_text(result, outcome.suppressed_until)}"


def _text(result: Result, until: float) -> str:
    if math.isinf(until):
        return "logins stopped: no further request may contain the rejected credentials"
    if result.run.attempts_left is not None:
        left = f"{counted(result.run.attempts_left, 'more request')} with these credentials before logins stop"
        return f"credentials rejected: logins suppressed until {timestamp(until)}, {left}"
    job = "login" if result.endpoint is Endpoint.TOKEN else "ping"
    return f"backoff: no {job} before {timestamp(until)}"
