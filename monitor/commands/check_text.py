"""The text of a check: a line for each step as it happens, and the explanation of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from monitor import durations
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.commands.layout import Style, printable
from monitor.commands.marks import Mark, Marks
from monitor.model import Endpoint, FieldNames, Phase, Reason, Responsibility, Role
from monitor.reporting.check_events import (
    CertificateEvent,
    CheckEvent,
    NotSentEvent,
    RequestEvent,
    ResponseEvent,
    ResultEvent,
    StepEvent,
)

_DAY = 86400.0  # seconds
_PARAGRAPH = " " * 4
_NAME_WIDTH, _TIME_WIDTH = 8, 10  # columns
_STEPS = {Phase.RESOLVE.value: "lookup", Phase.CONNECT.value: "connect", Phase.TLS.value: "TLS"}
_REQUESTS = {Endpoint.TOKEN.value: "login", Endpoint.PING.value: "ping"}


class CheckText:
    """Turns the events of a check into lines that fit the style."""

    def __init__(self, style: Style, marks: Marks, clock: Clock = SYSTEM_CLOCK) -> None:
        self._style = style
        self._marks = marks
        self._clock = clock
        self._has_proxy = False  # of the current request
        self._field_names: str | None = None  # of the last login

    def lines(self, event: CheckEvent) -> Iterator[str]:
        """Yield the lines of an event; some have none."""
        match event["event"]:
            case "request":
                yield from self._request(event)
            case "step":
                yield from self._step(event)
            case "response":
                yield from self._response(event)
            case "result":
                yield from self._result(event)
            case "certificate":
                yield from self._certificate(event)
            case "not_sent":
                yield from self._not_sent(event)
            case "note":
                yield from self._paragraph(event["name"], event["text"])

    def _request(self, event: RequestEvent) -> Iterator[str]:
        self._has_proxy = event["has_proxy"]
        names = event["field_names"]
        self._field_names = names or self._field_names
        without = " without a token" if event["endpoint"] == Endpoint.PING.value and not event["has_token"] else ""
        with_names = f", with {FieldNames(names).text}" if names else ""
        request = _REQUESTS[event["endpoint"]]
        yield self._heading(f"{event['environment']}: {request}{without} at {event['host']}{with_names}")

    def _step(self, event: StepEvent) -> Iterator[str]:
        if event["phase"] in _STEPS:
            yield from self._line(Mark.OK, _STEPS[event["phase"]], event["seconds"], self._learned(event))

    def _learned(self, event: StepEvent) -> str:
        if event["phase"] == Phase.CONNECT.value:
            return f"{'to the proxy ' if self._has_proxy else ''}{event['address'] or ''}"
        if event["phase"] != Phase.TLS.value:
            return ""
        expiry, chain = event["certificate_expires_at"], event["chain_expires_at"]
        parts = [event["tls_version"] or ""]
        if expiry is not None:
            parts.append(f"certificate {self._validity(expiry)}")
        if chain is not None and chain != expiry:
            parts.append(f"its chain {self._validity(chain)}")
        return ", ".join(filter(None, parts))

    def _response(self, event: ResponseEvent) -> Iterator[str]:
        exchange, request = event["exchange"], _REQUESTS[event["endpoint"]]
        if not event["was_sent"]:
            yield from self._unsent(event["environment"], request, exchange)
        elif event["endpoint"] == Endpoint.PING.value and not event["has_token"] and exchange["status"] is not None:
            yield from self._unauthenticated(exchange)
        elif exchange["success"]:
            yield from self._success(request, exchange)
        else:
            yield from self._failure(request, exchange)

    def _unsent(self, environment: str, request: str, exchange: dict[str, Any]) -> Iterator[str]:
        yield self._heading(f"{environment}: {request}")
        mark = Mark.FAILED if exchange["reason"] == Reason.INTERNAL.value else Mark.SKIPPED
        yield from self._line(mark, request, None, exchange["detail"] or exchange["reason"])

    def _unauthenticated(self, exchange: dict[str, Any]) -> Iterator[str]:
        if exchange["success"]:
            text = "the Client API ACCEPTS UNAUTHENTICATED REQUESTS: report it to the vendor"
            yield from self._line(Mark.FAILED, "ping", _response_seconds(exchange), text)
        else:
            text = f"the Client API is reachable (status {exchange['status']})"
            yield from self._line(Mark.OK, "ping", _response_seconds(exchange), text)

    def _success(self, request: str, exchange: dict[str, Any]) -> Iterator[str]:
        offset = exchange["clock_offset_seconds"]
        learned = "" if offset is None else f", {_clock_text(offset)}"
        status = f"status {exchange['status']}{learned}"
        yield from self._line(Mark.OK, request, _response_seconds(exchange), status)
        lifetime = exchange.get("lifetime_seconds")
        if lifetime is not None:
            yield from self._line(Mark.OK, "token", None, f"valid for {durations.text(round(lifetime))}")
        for warning in exchange["warnings"]:
            yield from self._paragraph("Warning", warning)

    def _failure(self, request: str, exchange: dict[str, Any]) -> Iterator[str]:
        phase, status = exchange["failed_phase"], exchange["status"]
        seconds = exchange["phases"].get(phase) if phase in _STEPS else _response_seconds(exchange)
        text = exchange["reason"] + (f" (status {status})" if status is not None else "")
        yield from self._line(Mark.FAILED, _STEPS.get(phase, request), seconds, text)
        texts = {
            "Detail": exchange["detail"],
            "Code": exchange["error_code"],
            "submissionId": exchange["submission_id"],
        }
        for name, value in texts.items():
            if value:
                yield from self._paragraph(name, value)

    def _result(self, event: ResultEvent) -> Iterator[str]:
        exchange = event["exchange"]
        if event["role"] == Role.RETRIED.value:
            yield from self._paragraph("Not decisive", _why_not_decisive(exchange))
        elif exchange["means"] is not None:
            names = exchange.get("field_names")
            if names is not None and names != self._field_names:
                yield from self._paragraph("Decisive", f"the request with {FieldNames(names).text}")
            yield from self._paragraph("Responsible", Responsibility(exchange["responsible"]).probable_text)
            yield from self._paragraph("Means", exchange["means"])
            yield from self._paragraph("Next", exchange["next"])
            if exchange["do_not"]:
                yield from self._style.wrapped(exchange["do_not"], _PARAGRAPH, f"{_PARAGRAPH}  ")

    def _certificate(self, event: CertificateEvent) -> Iterator[str]:
        validity = self._validity(event["certificate_expires_at"])
        yield from self._paragraph("Certificate", f"of the host of the {_REQUESTS[event['endpoint']]}, {validity}")

    def _not_sent(self, event: NotSentEvent) -> Iterator[str]:
        request = _REQUESTS[event["endpoint"]]
        yield self._heading(f"{event['environment']}: {request}")
        yield from self._line(Mark.SKIPPED, request, None, f"not sent: {event['text']}")

    def _line(self, mark: Mark, name: str, seconds: float | None, text: str) -> Iterator[str]:
        """Yield the line of a step, with more lines if its text is long."""
        columns = f"{name:<{_NAME_WIDTH}}{'' if seconds is None else _time_text(seconds):>{_TIME_WIDTH}}  "
        indent = " " * (3 + self._marks.width + len(columns))
        first, *more = self._style.wrapped(text, indent)
        yield f"  {self._marks.text(mark, self._style)} {columns}{first[len(indent) :]}".rstrip()
        yield from more

    def _paragraph(self, name: str, text: str) -> list[str]:
        return self._style.wrapped(f"{name}: {text}", _PARAGRAPH, f"{_PARAGRAPH}  ")

    def _heading(self, text: str) -> str:
        line, width = printable(text), self._style.width
        return self._style.paint(line if len(line) <= width else f"{line[: width - 3]}...", "bold")

    def _validity(self, expiry: str) -> str:
        days = (datetime.fromisoformat(expiry).timestamp() - self._clock.wall()) / _DAY
        return f"expired {_days(-days)} ago" if days < 0 else f"valid for {_days(days)}"


def _response_seconds(exchange: dict[str, Any]) -> float | None:
    """Return the seconds from the request to the end of its response; None if no request was sent."""
    phases = exchange["phases"]
    parts = [phases[phase.value] for phase in (Phase.PROCESSING, Phase.TRANSFER) if phase.value in phases]
    return sum(parts) if parts else None


def _time_text(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _days(days: float) -> str:
    if days < 2:
        hours = int(days * 24)
        return "1 hour" if hours == 1 else f"{hours} hours"
    return f"{int(days)} days"


def _clock_text(offset: float) -> str:
    if abs(offset) < 0.0005:
        return "its clock agrees with ours"
    return f"its clock is {_time_text(abs(offset))} {'ahead of' if offset > 0 else 'behind'} ours"


def _why_not_decisive(exchange: dict[str, Any]) -> str:
    if exchange["endpoint"] == Endpoint.PING.value:
        return "the refused ping is repeated, because its token is new or was replaced"
    names = FieldNames(exchange["field_names"]).text if exchange["field_names"] else "the other field names"
    return f"the login with {names}; the one with the other field names decides"
