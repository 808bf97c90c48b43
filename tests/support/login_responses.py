"""Responses of the two servers, by short names that hypothesis prints for a failed example."""

from __future__ import annotations

from types import MappingProxyType

from monitor.model import Phase, Reason, Result
from tests.support.results import vary
from tests.support.virtual_time import PONG, UNAUTHORIZED, WELL


def _failed(reason: Reason, status: int | None = None, phases: dict[Phase, float] | None = None) -> Result:
    return vary(WELL, reason=reason, status=status, phases=MappingProxyType(phases or {}))


def _refused(reason: Reason, status: int, *, named: bool = True) -> Result:
    return vary(_failed(reason, status), refused=True, names_credentials=named)


_SENT = {Phase.PROCESSING: 1.0}
LOGIN_RESPONSES = MappingProxyType(
    {
        "grant": WELL,
        "401": _refused(Reason.UNAUTHORIZED, 401, named=False),
        "401 invalid_grant": _refused(Reason.UNAUTHORIZED, 401),
        "400": _refused(Reason.REJECTED_REQUEST, 400, named=False),
        "400 invalid_grant": _refused(Reason.REJECTED_REQUEST, 400),
        "422": _refused(Reason.REJECTED_REQUEST, 422, named=False),
        "200 error object": _refused(Reason.MALFORMED, 200),
        "403": _failed(Reason.FORBIDDEN, 403),
        "403 invalid_grant": _refused(Reason.FORBIDDEN, 403),
        "404": _failed(Reason.REJECTED_REQUEST, 404),
        "429": _failed(Reason.RATE_LIMITED, 429),
        "429 invalid_grant": _refused(Reason.RATE_LIMITED, 429),
        "302": _failed(Reason.UNEXPECTED_STATUS, 302),
        "500": _failed(Reason.SERVER_ERROR, 500),
        "500 invalid_grant": _refused(Reason.SERVER_ERROR, 500),
        "502": _failed(Reason.SERVER_ERROR, 502),
        "503": _failed(Reason.SERVER_ERROR, 503),
        "503 invalid_grant": _refused(Reason.SERVER_ERROR, 503),
        "malformed": _failed(Reason.MALFORMED, 200),
        "connect": _failed(Reason.CONNECT),
        "drop": _failed(Reason.DISCONNECT, None, _SENT),
        "timeout": _failed(Reason.TIMEOUT, None, _SENT),
        "200 breaks off": _failed(Reason.DISCONNECT, 200, _SENT),
    }
)
PING_RESPONSES = MappingProxyType(
    {
        "200": PONG,
        "401": UNAUTHORIZED,
        "403": vary(PONG, reason=Reason.FORBIDDEN, status=403),
        "403 invalid_token": vary(PONG, reason=Reason.FORBIDDEN, status=403, rejects_token=True),
        "429": vary(PONG, reason=Reason.RATE_LIMITED, status=429),
        "500": vary(PONG, reason=Reason.SERVER_ERROR, status=500),
        "timeout": vary(PONG, reason=Reason.TIMEOUT, status=None),
    }
)
