"""Event log: one line per change of state, and every exchange at level debug."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, field

from monitor import durations
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.log import fields, timestamp
from monitor.model import Endpoint, FieldNames, HostCheck, LoginCause, Reason, Responsibility, Result, Role
from monitor.tigr.remedies import explain, next_login
from monitor.tigr.responsibility import responsible

_log = logging.getLogger(__name__)
_JOB = {Endpoint.TOKEN: "login", Endpoint.PING: "ping"}
# Causes of renewals that are logged; the others are routine.
_LOGGED_CAUSES = frozenset({LoginCause.REJECTED, LoginCause.CREDENTIALS, LoginCause.OPERATOR})


@dataclass(slots=True)
class _LoggedEndpoint:
    """The logged state of one endpoint of one environment."""

    known: bool = False
    reason: Reason | None = None
    unmeasured: bool = False  # the last run had an internal failure: the state is still `reason`, as far as known
    failing_since: float = 0.0  # seconds on the monotonic clock
    warnings: tuple[str, ...] = ()
    responsible: Responsibility = Responsibility.UNKNOWN  # for the last failure


@dataclass(slots=True)
class _LoggedEnvironment:
    endpoints: dict[Endpoint, _LoggedEndpoint] = field(
        default_factory=lambda: {endpoint: _LoggedEndpoint() for endpoint in Endpoint}
    )
    open: bool = False
    token_rejected: bool = False  # until a ping succeeds in a run without a rejection
    renewed: bool = False  # whether a renewal was logged since then
    lagging: bool = False  # whether the API refused the last token at first
    token_untested: bool = False  # whether no ping has succeeded since the last login
    run_rejected: bool = False  # whether the current run of the ping had a rejection


class EventLog:
    """Writes the log lines of all environments. Thread-safe."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._logged: dict[str, _LoggedEnvironment] = {}

    def remove(self, environment: str) -> None:
        """Discard the logged state of a removed environment."""
        with self._mutex:
            self._logged.pop(environment, None)

    def suppressed_at_start(self, name: str, *, rejected: bool, pause: float, wall: float) -> None:
        """Log that logins were suppressed before this start; `pause` is in seconds, `wall` in Unix seconds."""
        if rejected:  # explains pings without a token
            with self._mutex:
                login = self._logged.setdefault(name, _LoggedEnvironment()).endpoints[Endpoint.TOKEN]
                login.responsible = Responsibility.CREDENTIALS
        cause = "these credentials were rejected" if rejected else "earlier logins got no response"
        end = "logins have stopped" if math.isinf(pause) else f"logins are suppressed until {timestamp(wall + pause)}"
        _log.warning(
            "%s: %s: %s before this start; change the credentials to resume logins, or allow one login with a reload "
            "(SIGHUP, once per rejection) or with SIGUSR1",
            name,
            end,
            cause,
        )

    def token_host_checked(self, check: HostCheck) -> None:
        """Log the outcome of a check of a token host at level debug."""
        reason = check.reason or "success"
        extra = fields(environment=check.environment, reason=check.reason, detail=check.detail or None)
        _log.debug("%s: token host check: %s", check.environment, reason, extra=extra)

    def record(self, result: Result) -> None:
        """Log the changes of state that `result` causes."""
        _log_exchange(result)
        with self._mutex:
            logged = self._logged.setdefault(result.environment, _LoggedEnvironment())
            if result.run.role is Role.UNAUTHENTICATED:
                _log_open_api(result, logged)
                return
            _log_rejection(result, logged)
            if result.run.role is Role.RETRIED:
                return
            _log_lag(result, logged)
            _set_responsible(result, logged)
            _log_state(result, logged.endpoints[result.endpoint], self._clock.now())
            _log_renewal(result, logged)
            _log_login(result, logged.endpoints[result.endpoint])


def _set_responsible(result: Result, logged: _LoggedEnvironment) -> None:
    login = logged.endpoints[Endpoint.TOKEN].responsible
    party = Responsibility.UNKNOWN if result.success else responsible(result, login)
    logged.endpoints[result.endpoint].responsible = party


def _log_exchange(result: Result) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        return
    job = "unauthenticated probe" if result.run.role is Role.UNAUTHENTICATED else _JOB[result.endpoint]
    phases = {phase.value: round(seconds, 6) for phase, seconds in result.measurement.phases.items()}
    _log.debug(
        "%s: %s: %s",
        result.environment,
        job,
        result.verdict.reason or "success",
        extra=_fields(
            result,
            started_at=timestamp(result.measurement.started_at),
            duration=round(result.measurement.duration, 6),
            **phases,
            tls_version=result.measurement.tls_version,
            field_names=result.field_names,
            cause=result.run.cause,
            lifetime=result.token.lifetime if result.token else None,
        ),
    )


def _log_open_api(result: Result, logged: _LoggedEnvironment) -> None:
    is_open = result.success
    if is_open and not logged.open:
        _log.error("%s: the Client API accepts unauthenticated requests", result.environment, extra=_fields(result))
    elif logged.open and not is_open and result.reached:
        _log.info(
            "%s: the Client API no longer accepts unauthenticated requests", result.environment, extra=_fields(result)
        )
    logged.open = is_open if result.reached else logged.open


def _log_rejection(result: Result, logged: _LoggedEnvironment) -> None:
    """Log the first rejection of a token since pings last succeeded without one."""
    if result.endpoint is not Endpoint.PING:
        return
    if result.run.token_rejected and not logged.token_rejected:
        _log.warning(
            "%s: the token was rejected before it had expired",
            result.environment,
            extra=_fields(result, responsible=responsible(result).text, next=explain(result).next_step),
        )
    logged.run_rejected |= result.run.token_rejected
    logged.token_rejected |= result.run.token_rejected
    if result.run.role is not Role.RETRIED:
        logged.token_rejected &= logged.run_rejected or not result.success
        logged.renewed &= logged.token_rejected
        logged.run_rejected = False


def _log_lag(result: Result, logged: _LoggedEnvironment) -> None:
    """Log the first new token that the API refused at first, since a new token was accepted at once."""
    if result.endpoint is Endpoint.TOKEN:
        logged.token_untested |= result.success
    elif result.run.token_lag is not None:
        if not logged.lagging:
            _log.info(
                "%s: the API refused the new token until it was at least %.1f s old, then accepted it",
                result.environment,
                result.run.token_lag,
            )
        logged.lagging, logged.token_untested = True, False
    elif result.success and logged.token_untested:
        logged.lagging = logged.token_untested = False


def _log_state(result: Result, endpoint: _LoggedEndpoint, now: float) -> None:
    """Log the first success, each failure with a new reason, and each recovery with the duration of the outage.

    `now` is on the monotonic clock: a step of the wall clock does not change the duration.
    """
    job, reason = _JOB[result.endpoint], result.verdict.reason
    if reason is Reason.INTERNAL:
        _log_unmeasured(result, endpoint)
        return
    if endpoint.unmeasured:
        endpoint.unmeasured = False
        _log.info("%s: %s is measured again", result.environment, job, extra=_fields(result))
    if reason is None:
        after = now - endpoint.failing_since
        if endpoint.reason is not None:
            _log.info(
                "%s: %s works again",
                result.environment,
                job,
                extra=_fields(result, after=durations.text(round(max(after, 0.0)))),
            )
        elif not endpoint.known:
            _log.info("%s: %s works", result.environment, job, extra=_fields(result))
    elif reason is not endpoint.reason or result.run.credentials_rejected:  # each rejection starts a pause
        if endpoint.reason is None:
            endpoint.failing_since = now - result.measurement.duration
        explanation = explain(result)
        _log.warning(
            "%s: %s failed: %s%s",
            result.environment,
            job,
            reason,
            _pause(result),
            extra=_fields(
                result,
                responsible=endpoint.responsible.text,
                means=explanation.means,
                next=explanation.next_step,
            ),
        )
    endpoint.known, endpoint.reason = True, reason


def _log_unmeasured(result: Result, endpoint: _LoggedEndpoint) -> None:
    """Log the first of several internal failures. The state of the endpoint is unknown, so it does not change."""
    if endpoint.unmeasured:
        return
    endpoint.unmeasured = True
    explanation = explain(result)
    _log.error(
        "%s: %s could not be measured: internal",
        result.environment,
        _JOB[result.endpoint],
        extra=_fields(
            result, responsible=endpoint.responsible.text, means=explanation.means, next=explanation.next_step
        ),
    )


def _pause(result: Result) -> str:
    return f": credentials rejected, {next_login(result)}" if result.run.credentials_rejected else ""


def _log_renewal(result: Result, logged: _LoggedEnvironment) -> None:
    """Log an unusual renewal. If tokens are rejected again and again, only the first is logged."""
    cause = result.run.cause
    if not result.success or cause not in _LOGGED_CAUSES or (cause is LoginCause.REJECTED and logged.renewed):
        return
    _log.info("%s: token renewed", result.environment, extra=_fields(result, cause=cause))
    if cause is LoginCause.REJECTED:
        logged.renewed = logged.token_rejected


def _log_login(result: Result, endpoint: _LoggedEndpoint) -> None:
    name = result.environment
    if result.run.field_names_settled and result.field_names is not None:
        setting = f"TIGR_ENVIRONMENTS__{name.upper()}__FORM_FIELDS={result.field_names}"
        names = {FieldNames.DOCUMENTED: "Username and Password", FieldNames.RFC6749: "username and password"}
        _log.info("%s: the server accepts the form fields %s; %s pins them", name, names[result.field_names], setting)
    if result.success and result.verdict.warnings != endpoint.warnings:
        for warning in set(result.verdict.warnings) - set(endpoint.warnings):
            _log.warning("%s: %s", name, warning, extra=_fields(result))
        endpoint.warnings = result.verdict.warnings


def _fields(result: Result, **more: object) -> dict[str, dict[str, object]]:
    measured, verdict = result.measurement, result.verdict
    known: dict[str, object] = {
        "environment": result.environment,
        "endpoint": result.endpoint,
        "reason": verdict.reason,
        "phase": measured.failed_phase,
        "status": measured.status,
        "detail": verdict.detail or None,
        "other_refusal": result.run.other_refusal or None,
        "code": verdict.error_code,
        "submission_id": verdict.submission_id,
        "address": measured.address,
    }
    return fields(**(known | more))
