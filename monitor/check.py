"""One login and one ping per environment, by hand, in words or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from monitor import durations
from monitor.api import Api
from monitor.clock import SYSTEM_CLOCK
from monitor.environment import Environment
from monitor.explain import explain
from monitor.log import timestamp
from monitor.result import Endpoint, Reason, Result
from monitor.wire import Wire

if TYPE_CHECKING:
    from monitor.settings import EnvironmentSettings
    from monitor.state import State

_INDENT = " " * 8
_WIDTH = 100


def check(settings: EnvironmentSettings, wire: Wire, state: State) -> list[Result]:
    """Log in and ping once, as the daemon would, and return what was found, in the order in which it was sent.

    Logins that are held back because these credentials were rejected stay held back: the login then is a Result with
    that reason, and nothing is sent.
    """
    found = _Collection()
    environment = Environment(settings, Api(settings, wire), found, state)
    if environment.credentials_rejected and environment.backoff(Endpoint.TOKEN) > 0:
        found.record(_held_back(settings.name, environment.backoff(Endpoint.TOKEN)))
    else:
        environment.login_turn(regular=True)
    environment.ping_turn()
    return found.results


def all_well(results: Iterable[Result]) -> bool:
    """Whether each login and each ping did its job in the end."""
    return all(result.success for result in results if not result.superseded and not result.question)


def as_json(results: Iterable[Result]) -> str:
    """Return an array with an object per exchange. Times are RFC 3339 and seconds."""
    return json.dumps([_object(result) for result in results if not result.question], indent=2, ensure_ascii=False)


def in_words(results: Iterable[Result]) -> str:
    """Return what was found, for a person."""
    return "\n".join(line for result in results for line in _lines(result))


class _Collection:
    def __init__(self) -> None:
        self.results: list[Result] = []

    def record(self, result: Result) -> None:
        self.results.append(result)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Add it to the Result that it belongs to: the newest."""
        newest = self.results[-1]
        if (newest.environment, newest.endpoint) == (environment, endpoint):
            self.results[-1] = replace(newest, certificate_expiry=expiry)


def _held_back(name: str, seconds: float) -> Result:
    now = SYSTEM_CLOCK.wall()
    return Result(
        environment=name,
        endpoint=Endpoint.TOKEN,
        started_at=now,
        duration=0.0,
        reason=Reason.UNAUTHORIZED,
        detail="not sent: these credentials were rejected before, and logins are held back "
        f"until {timestamp(now + seconds)}, so that the account is not locked",
        credentials_rejected=True,
        held_until=now + seconds,
    )


def _object(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {
        "environment": result.environment,
        "endpoint": result.endpoint.value,
        "success": result.success,
        "reason": result.reason.value if result.reason else None,
        "status": result.status,
        "started_at": timestamp(result.started_at),
        "duration_seconds": round(result.duration, 6),
        "phases": {phase.value: round(seconds, 6) for phase, seconds in result.phases.items()},
        "detail": result.detail,
        "submission_id": result.submission_id,
    }
    if result.endpoint is Endpoint.TOKEN:
        told["lifetime_seconds"] = result.token.lifetime if result.token else None
    return told


def _lines(result: Result) -> Iterator[str]:
    head = f"{result.environment:<7} {'login' if result.endpoint is Endpoint.TOKEN else 'ping':<5} "
    if result.question:
        yield f"{head} asked without a token: " + _door(result)
        return
    if result.success:
        yield f"{head} ok, {result.duration:.3f} s" + _granted(result)
    elif result.superseded:
        yield f"{head} {result.reason}{_status(result)}, tried once more:"
    else:
        yield f"{head} FAILED: {result.reason}{_status(result)}" + _spent(result)
    if result.phases:
        yield _INDENT + "  ".join(f"{phase} {seconds * 1000:.1f} ms" for phase, seconds in result.phases.items())
    for warning in result.warnings:
        yield f"{_INDENT}Warning: {warning}"
    if result.reason is not None and not result.superseded:
        yield from _help(result)


def _door(result: Result) -> str:
    if not result.reached:
        return f"the Client API does not answer ({result.reason})"
    if result.status == 200:
        return "the Client API ANSWERS WITHOUT A TOKEN: tell the vendor"
    return f"the Client API is there (status {result.status})"


def _granted(result: Result) -> str:
    return f", token good for {durations.text(round(result.token.lifetime))}" if result.token else ""


def _status(result: Result) -> str:
    return f" (status {result.status})" if result.status is not None else ""


def _spent(result: Result) -> str:
    where = f", in phase {result.failed_phase}" if result.failed_phase and result.status is None else ""
    return f" after {result.duration:.3f} s{where}" if result.phases or result.duration else ""


def _help(result: Result) -> Iterator[str]:
    explanation = explain(result)
    told = {
        "Detail": result.detail,
        "Code": result.error_code,
        "submissionId": result.submission_id,
        "Means": explanation.means,
        "Next": explanation.next_step,
    }
    for name, text in told.items():
        if text:
            yield textwrap.fill(f"{name}: {text}", _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")
