"""The request `POST /check` of the control socket: its body, and its response of one JSON object per line.

The body is a JSON object with `names` (an array; empty: all environments) and `ping_only` (a boolean), both optional.
Each line of the response is a `CheckEvent`; the last one has the type `end`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.reporting.check_events import CheckError, CheckEvent
from monitor.service.check import CheckOptions
from monitor.service.check_stream import CheckInProgressError, MonitoredChecks
from monitor.service.control import ControlResponse, StreamedResponse
from monitor.web.responses import text_response

_CONTENT_TYPE = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class _Request:
    names: list[str]
    options: CheckOptions


def respond(checks: MonitoredChecks, body: bytes) -> ControlResponse:
    """Start the check that `body` describes, and return its events.

    The status is 400 for a wrong request and 409 during another check.
    """
    try:
        request = _parsed(body)
        events = checks.start(request.names, request.options)
    except CheckInProgressError as error:
        return text_response(409, str(error))
    except CheckError as error:
        return text_response(400, str(error))
    return StreamedResponse(_CONTENT_TYPE, _encoded(events))


def _parsed(body: bytes) -> _Request:
    """Return the request in `body`. Raises `CheckError`."""
    try:
        content = json.loads(body or b"{}")
    except (RecursionError, ValueError):
        content = None
    if not isinstance(content, dict) or content.keys() - {"names", "ping_only"}:
        raise CheckError('the body must be a JSON object with the keys "names" and "ping_only"')
    names, ping_only = content.get("names", []), content.get("ping_only", False)
    # JSON can contain lone surrogates, which no name has and which cannot be encoded for a response.
    if not isinstance(names, list) or not all(isinstance(name, str) and _is_encodable(name) for name in names):
        raise CheckError('"names" must be an array of strings')
    if not isinstance(ping_only, bool):
        raise CheckError('"ping_only" must be a boolean')
    return _Request(names, CheckOptions(ping_only=ping_only))


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _encoded(events: Iterator[CheckEvent]) -> Iterator[bytes]:
    for event in events:
        yield json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n"
