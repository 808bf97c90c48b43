"""Events of a check, one for each step as it happens. As JSON, one per line, they are the response of the daemon.

`tigr-monitor check` prints the same events, whether the daemon or the command itself runs the check. Times are in RFC
3339, durations in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from monitor.hosts import host_of
from monitor.log import timestamp
from monitor.model import Endpoint, Responsibility, Result, Role
from monitor.tigr.remedies import avoid, explain, next_login
from monitor.tigr.responsibility import responsible

if TYPE_CHECKING:
    from monitor.http.exchange import PhaseEnd
    from monitor.tigr.observation import RequestBegin


class CheckError(Exception):
    """A check cannot start. The message is for the operator."""


class RequestEvent(TypedDict):
    """A request is about to be sent."""

    event: Literal["request"]
    environment: str
    endpoint: str
    host: str
    field_names: str | None  # of a login
    has_token: bool
    has_proxy: bool


class StepEvent(TypedDict):
    """A phase of the request has ended."""

    event: Literal["step"]
    environment: str
    phase: str
    seconds: float
    address: str | None
    tls_version: str | None
    certificate_expires_at: str | None
    chain_expires_at: str | None


class ResponseEvent(TypedDict):
    """The request has ended; its consequences follow in a `ResultEvent`. Without a request, nothing was sent."""

    event: Literal["response"]
    environment: str
    endpoint: str
    exchange: dict[str, Any]  # as in `ResultEvent`
    has_token: bool
    was_sent: bool


class ResultEvent(TypedDict):
    """The Result of a request, with its consequences."""

    event: Literal["result"]
    environment: str
    endpoint: str
    role: str  # `monitor.model.Role`
    exchange: dict[str, Any]  # an element of the array that `check --json` prints


class CertificateEvent(TypedDict):
    """The expiry of a certificate that failed verification, in an earlier request to this endpoint."""

    event: Literal["certificate"]
    environment: str
    endpoint: str
    certificate_expires_at: str


class NotSentEvent(TypedDict):
    """A request was not sent, and there is no Result."""

    event: Literal["not_sent"]
    environment: str
    endpoint: str
    is_failure: bool  # the check fails because of it
    text: str


class NoteEvent(TypedDict):
    """A fact about the environment."""

    event: Literal["note"]
    environment: str
    name: str
    text: str


class EvidenceEvent(TypedDict):
    """The text for the vendor's support, or for others who can help, about a request that failed."""

    event: Literal["evidence"]
    environment: str
    endpoint: str
    text: str


class EndEvent(TypedDict):
    """The check of all environments has ended. It is always the last event."""

    event: Literal["end"]
    succeeded: bool


CheckEvent = (
    RequestEvent
    | StepEvent
    | ResponseEvent
    | ResultEvent
    | CertificateEvent
    | NotSentEvent
    | NoteEvent
    | EvidenceEvent
    | EndEvent
)


def request_event(environment: str, request: RequestBegin) -> RequestEvent:
    """Return the event of a request that begins."""
    return {
        "event": "request",
        "environment": environment,
        "endpoint": request.endpoint.value,
        "host": host_of(request.url),
        "field_names": request.field_names.value if request.field_names else None,
        "has_token": request.has_token,
        "has_proxy": request.has_proxy,
    }


def step_event(environment: str, end: PhaseEnd) -> StepEvent:
    """Return the event of a phase that has ended."""
    return {
        "event": "step",
        "environment": environment,
        "phase": end.phase.value,
        "seconds": round(end.seconds, 6),
        "address": end.address,
        "tls_version": end.tls_version,
        "certificate_expires_at": _time(end.certificate_expiry),
        "chain_expires_at": _time(end.chain_expiry),
    }


def response_event(result: Result, url: str, *, has_token: bool, was_sent: bool) -> ResponseEvent:
    """Return the event of a request that has ended."""
    return {
        "event": "response",
        "environment": result.environment,
        "endpoint": result.endpoint.value,
        "exchange": _exchange(result, url),
        "has_token": has_token,
        "was_sent": was_sent,
    }


def result_event(result: Result, url: str, login: Responsibility = Responsibility.UNKNOWN) -> ResultEvent:
    """Return the event of a Result; `url` is that of its request.

    A ping without a token takes the responsibility for the failed `login`.
    """
    is_explained = result.is_decisive and not result.success
    return {
        "event": "result",
        "environment": result.environment,
        "endpoint": result.endpoint.value,
        "role": result.run.role.value,
        "exchange": {**_exchange(result, url), **(_explained(result, login) if is_explained else _UNEXPLAINED)},
    }


def certificate_event(environment: str, endpoint: Endpoint, expiry: float) -> CertificateEvent:
    """Return the event of a certificate that failed verification; `expiry` is in Unix seconds."""
    return {
        "event": "certificate",
        "environment": environment,
        "endpoint": endpoint.value,
        "certificate_expires_at": timestamp(expiry),
    }


def exchanges(events: Iterable[CheckEvent]) -> list[dict[str, Any]]:
    """Return the elements of the array that `check --json` prints, in the order in which the requests were sent.

    The unauthenticated probe is not one of them. The expiry of a certificate that failed verification is added to the
    last request to its endpoint.
    """
    collected: list[dict[str, Any]] = []
    for event in events:
        if event["event"] == "result" and event["role"] != Role.UNAUTHENTICATED.value:
            collected.append(event["exchange"])
        elif event["event"] == "certificate":
            for exchange in reversed(collected):
                if (exchange["environment"], exchange["endpoint"]) == (event["environment"], event["endpoint"]):
                    exchange["certificate_expires_at"] = event["certificate_expires_at"]
                    break
    order = list(dict.fromkeys(exchange["environment"] for exchange in collected))
    return sorted(collected, key=lambda each: (order.index(each["environment"]), each["started_at"]))


def _exchange(result: Result, url: str) -> dict[str, Any]:
    measured, verdict = result.measurement, result.verdict
    exchange: dict[str, Any] = {
        "environment": result.environment,
        "endpoint": result.endpoint.value,
        "success": result.success,
        "decisive": result.is_decisive,
        "reason": verdict.reason.value if verdict.reason else None,
        "status": measured.status,
        "started_at": timestamp(measured.started_at),
        "duration_seconds": round(measured.duration, 6),
        "phases": {phase.value: round(seconds, 6) for phase, seconds in measured.phases.items()},
        "failed_phase": measured.failed_phase.value if measured.failed_phase else None,
        "url": url,
        "host": host_of(url),
        "address": measured.address,
        "tls_version": measured.tls_version,
        "certificate_expires_at": _time(measured.certificate_expiry),
        "chain_expires_at": _time(measured.chain_expiry),
        "clock_offset_seconds": None if result.clock_offset is None else round(result.clock_offset, 6),
        "detail": verdict.detail,
        "error_code": verdict.error_code,
        "submission_id": verdict.submission_id,
        "warnings": list(verdict.warnings),
    }
    if result.endpoint is Endpoint.TOKEN:
        exchange["lifetime_seconds"] = result.token.lifetime if result.token else None
        exchange["field_names"] = result.field_names.value if result.field_names else None
    return exchange


_UNEXPLAINED: dict[str, Any] = dict.fromkeys(("responsible", "means", "next", "do_not", "attempts_left"))


def _explained(result: Result, login: Responsibility) -> dict[str, Any]:
    explanation = explain(result)
    return {
        "responsible": responsible(result, login).value,
        "means": explanation.means,
        "next": " ".join(filter(None, (explanation.next_step, _sentence(next_login(result))))),
        "do_not": avoid(result) or None,
        "attempts_left": result.run.attempts_left,
    }


def _sentence(text: str) -> str:
    """Return `text` with a capital and a full stop; empty if it is empty."""
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _time(moment: float | None) -> str | None:
    return None if moment is None or not math.isfinite(moment) else timestamp(moment)
