"""What the log tells of Results: one line per change of state, and every exchange at level debug."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, field

from monitor import durations
from monitor.log import fields, timestamp
from monitor.model import Endpoint, FieldNames, HostCheck, LoginCause, Reason, Result
from monitor.tigr.remedies import explain, next_login

_log = logging.getLogger(__name__)
_JOB = {Endpoint.TOKEN: "login", Endpoint.PING: "ping"}
_WORTH_TELLING = frozenset(
    {LoginCause.REJECTED, LoginCause.CREDENTIALS, LoginCause.OPERATOR}
)  # the others are daily business


@dataclass(slots=True)
class _Host:
    """What was last told of one endpoint of one environment."""

    known: bool = False
    reason: Reason | None = None
    failing_since: float = 0.0  # Unix seconds
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Told:
    hosts: dict[Endpoint, _Host] = field(default_factory=lambda: {endpoint: _Host() for endpoint in Endpoint})
    open: bool = False


class Narrator:
    """Writes the log lines of all environments. Safe to use from many threads at once."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._told: dict[str, _Told] = {}

    def forget(self, environment: str) -> None:
        """Begin anew with an environment that was taken away, should it come back."""
        with self._mutex:
            self._told.pop(environment, None)

    def suppressed_at_start(self, name: str, *, rejected: bool, pause: float, wall: float) -> None:
        """Log that logins are suppressed since before this start, for `pause` seconds; `wall` is the Unix time."""
        cause = "these credentials were rejected" if rejected else "logins were sent whose responses never arrived"
        end = "logins have stopped" if math.isinf(pause) else f"logins are suppressed until {timestamp(wall + pause)}"
        _log.warning(
            "%s: %s: %s before this start; changed credentials end this, and a reload (SIGHUP, once per rejection) or "
            "SIGUSR1 allows one login",
            name,
            end,
            cause,
        )

    def token_host_checked(self, check: HostCheck) -> None:
        """Log the outcome of a connection to a token host, at level debug."""
        reason = check.reason or "success"
        extra = fields(environment=check.environment, reason=check.reason, detail=check.detail or None)
        _log.debug("%s: token host check: %s", check.environment, reason, extra=extra)

    def record(self, result: Result) -> None:
        """Tell what `result` changes."""
        _tell_exchange(result)
        with self._mutex:
            told = self._told.setdefault(result.environment, _Told())
            if result.unauthenticated:
                _tell_door(result, told)
                return
            if result.token_rejected:
                _log.warning(
                    "%s: the token was rejected before it had expired",
                    result.environment,
                    extra=_fields(result, next=explain(result).next_step),
                )
            if result.retried:
                return
            if result.token_lag is not None:
                _log.info(
                    "%s: the API refused the new token until it was at least %.1f s old, then accepted it",
                    result.environment,
                    result.token_lag,
                )
            _tell_state(result, told.hosts[result.endpoint])
            _tell_login(result, told.hosts[result.endpoint])


def _tell_exchange(result: Result) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        return
    what = "unauthenticated probe" if result.unauthenticated else _JOB[result.endpoint]
    phases = {phase.value: round(seconds, 6) for phase, seconds in result.phases.items()}
    _log.debug(
        "%s: %s: %s",
        result.environment,
        what,
        result.reason or "success",
        extra=_fields(
            result,
            started_at=timestamp(result.started_at),
            duration=round(result.duration, 6),
            **phases,
            tls_version=result.tls_version,
            field_names=result.field_names,
            cause=result.cause,
            lifetime=result.token.lifetime if result.token else None,
        ),
    )


def _tell_door(result: Result, told: _Told) -> None:
    is_open = result.success
    if is_open and not told.open:
        _log.error("%s: the Client API accepts unauthenticated requests", result.environment, extra=_fields(result))
    elif told.open and not is_open and result.reached:
        _log.info(
            "%s: the Client API no longer accepts unauthenticated requests", result.environment, extra=_fields(result)
        )
    told.open = is_open if result.reached else told.open


def _tell_state(result: Result, host: _Host) -> None:
    """Up, down and why, down for another reason, recovered after how long."""
    job = _JOB[result.endpoint]
    if result.reason is None:
        after = result.started_at + result.duration - host.failing_since
        if host.reason is not None:
            _log.info(
                "%s: %s works again",
                result.environment,
                job,
                extra=_fields(result, after=durations.text(round(max(after, 0.0)))),
            )
        elif not host.known:
            _log.info("%s: %s works", result.environment, job, extra=_fields(result))
    elif result.reason is not host.reason or result.credentials_rejected:  # of those, each begins a pause
        if host.reason is None:
            host.failing_since = result.started_at
        explanation = explain(result)
        _log.warning(
            "%s: %s failed: %s%s",
            result.environment,
            job,
            result.reason,
            _pause(result),
            extra=_fields(result, means=explanation.means, next=explanation.next_step),
        )
    host.known, host.reason = True, result.reason


def _pause(result: Result) -> str:
    return f": credentials rejected, {next_login(result)}" if result.credentials_rejected else ""


def _tell_login(result: Result, host: _Host) -> None:
    name = result.environment
    if result.success and result.cause in _WORTH_TELLING:
        _log.info("%s: token renewed", name, extra=_fields(result, cause=result.cause))
    if result.field_names_settled and result.field_names is not None:
        setting = f"TIGR_ENVIRONMENTS__{name.upper()}__FORM_FIELDS={result.field_names}"
        names = {FieldNames.DOCUMENTED: "Username and Password", FieldNames.RFC6749: "username and password"}
        _log.info("%s: the server takes the form fields %s; %s pins them", name, names[result.field_names], setting)
    if result.success and result.warnings != host.warnings:
        for warning in set(result.warnings) - set(host.warnings):
            _log.warning("%s: %s", name, warning, extra=_fields(result))
        host.warnings = result.warnings


def _fields(result: Result, **more: object) -> dict[str, dict[str, object]]:
    known: dict[str, object] = {
        "environment": result.environment,
        "endpoint": result.endpoint,
        "reason": result.reason,
        "phase": result.failed_phase,
        "status": result.status,
        "detail": result.detail or None,
        "other_refusal": result.other_refusal or None,
        "code": result.error_code,
        "submission_id": result.submission_id,
        "address": result.address,
    }
    return fields(**(known | more))
