"""The `check` command: one login and one ping per environment, reported as text or as JSON."""

from __future__ import annotations

import json
import math
import textwrap
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from monitor import durations
from monitor.clock import SYSTEM_CLOCK
from monitor.http.client import HttpClient
from monitor.log import timestamp
from monitor.model import Endpoint, HostCheck, Measurement, Reason, Result, Role, RunOutcome, Verdict
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.ping import YOUNG_TOKEN
from monitor.tigr.client import PING_PATH, TigrClient
from monitor.tigr.remedies import explain, next_login

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State

_INDENT = " " * 8
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The exchanges with one environment, in the order in which their requests were sent."""

    settings: EnvironmentSettings
    results: tuple[Result, ...]
    why_not_persisted: str  # the reason why refused logins are not persisted; empty if they are

    @property
    def succeeded(self) -> bool:
        """Whether the decisive login and the decisive ping succeeded."""
        return all(result.success for result in self.results if result.is_decisive)

    @property
    def password_sent(self) -> int:
        """Number of requests that carried the password without a grant."""
        logins = [result for result in self.results if result.endpoint is Endpoint.TOKEN]
        if any(result.success for result in logins):  # a grant resets the failure count of the server too
            return 0
        return sum(result.sent for result in logins)


def check(settings: EnvironmentSettings, http_client: HttpClient, state: State) -> CheckReport:
    """Log in and ping once, by the rules of the daemon.

    If logins are suppressed, no login is sent, and its Result has that reason. A ping that is refused because its token
    is new is repeated until the token is ten seconds old.
    """
    exchanges = _ResultCollector()
    environment = MonitoredEnvironment(settings, TigrClient(settings, http_client), exchanges, state)
    if environment.logins.suppressed_for > 0:
        exchanges.record(_suppressed(environment))
    else:
        environment.run_login_now()
    environment.run_ping()
    while exchanges.results[-1].run.role is Role.RETRIED and (due := environment.next_ping()) is not None:
        time.sleep(min(max(0.0, due - SYSTEM_CLOCK.now()), YOUNG_TOKEN))
        environment.run_ping()
    return CheckReport(settings, tuple(exchanges.in_order()), state.why_not_persisted)


def as_json(reports: Iterable[CheckReport]) -> str:
    """Return a JSON array with one object per exchange. Times are in RFC 3339, durations in seconds."""
    exchanges = [
        _json_object(report.settings, result)
        for report in reports
        for result in report.results
        if result.run.role is not Role.UNAUTHENTICATED
    ]
    return json.dumps(exchanges, indent=2, ensure_ascii=False)


def as_text(report: CheckReport) -> str:
    """Return a report as text."""
    lines: list[str] = []
    for position, result in enumerate(report.results):
        is_last = all(later.endpoint is not result.endpoint for later in report.results[position + 1 :])
        lines += _lines(result, is_last=is_last)
    if report.password_sent and report.why_not_persisted:
        times = "once" if report.password_sent == 1 else f"{report.password_sent} times"
        lines += _paragraph(
            "Note",
            f"the password was sent {times} without a grant, and this is not persisted: {report.why_not_persisted}. "
            "Every further check sends the password again and may lock the account.",
        )
    return "\n".join(lines)


class _ResultCollector:
    """Collect the Results of one environment."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def record(self, result: Result) -> None:
        self.results.append(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Ignore the check of the token host: a report does not contain it."""

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Add the expiry to its Result: the most recent one whose certificate failed verification."""
        for number, result in reversed(list(enumerate(self.results))):
            failed = result.verdict.reason is Reason.CERTIFICATE
            if failed and (result.environment, result.endpoint) == (environment, endpoint):
                measurement = replace(result.measurement, certificate_expiry=expiry)
                self.results[number] = replace(result, measurement=measurement)
                return

    def in_order(self) -> list[Result]:
        """Return the Results in the order in which their requests were sent."""
        return sorted(self.results, key=lambda result: result.measurement.started_at)


def _suppressed(environment: MonitoredEnvironment) -> Result:
    now, pause = SYSTEM_CLOCK.wall(), environment.logins.suppressed_for
    rejected = environment.logins.refused
    cause = "these credentials were rejected before" if rejected else "earlier logins got no response"
    pause_text = "logins have stopped" if math.isinf(pause) else f"logins are suppressed until {timestamp(now + pause)}"
    return Result(
        environment=environment.name,
        endpoint=Endpoint.TOKEN,
        measurement=Measurement(started_at=now, duration=0.0),
        verdict=Verdict(
            reason=Reason.UNAUTHORIZED,
            detail=f"not sent: {cause}, and {pause_text}, so that the account is not locked",
        ),
        run=RunOutcome(
            credentials_rejected=rejected,
            attempts_left=environment.logins.attempts_left,
            suppressed_until=now + pause,
        ),
    )


def _json_object(settings: EnvironmentSettings, result: Result) -> dict[str, Any]:
    measured, verdict = result.measurement, result.verdict
    is_login = result.endpoint is Endpoint.TOKEN
    url = settings.token_url if is_login else settings.api_url + PING_PATH
    explanation = explain(result) if result.is_decisive and not result.success else None
    expiry = measured.certificate_expiry
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
        "url": url,
        "host": urlsplit(url).netloc,
        "address": measured.address,
        "tls_version": measured.tls_version,
        "certificate_expires_at": None if expiry is None else timestamp(expiry),
        "clock_offset_seconds": None if result.clock_offset is None else round(result.clock_offset, 6),
        "detail": verdict.detail,
        "error_code": verdict.error_code,
        "submission_id": verdict.submission_id,
        "means": explanation.means if explanation else None,
        "next": " ".join(filter(None, (explanation.next_step, _sentence(next_login(result))))) if explanation else None,
    }
    if is_login:
        exchange["lifetime_seconds"] = result.token.lifetime if result.token else None
        exchange["field_names"] = result.field_names.value if result.field_names else None
    return exchange


def _lines(result: Result, *, is_last: bool) -> Iterator[str]:
    prefix = f"{result.environment:<7} {'login' if result.endpoint is Endpoint.TOKEN else 'ping':<5} "
    if result.run.role is Role.UNAUTHENTICATED:
        yield f"{prefix} unauthenticated probe: " + _api_state(result)
        return
    failure = f"{result.verdict.reason}{_status(result)}{_sent_names(result)}"
    if result.success:
        yield f"{prefix} ok, {result.measurement.duration:.3f} s" + _lifetime(result)
    elif result.run.role is Role.RETRIED:
        decisive = "the request before it" if is_last else "a later request"
        yield f"{prefix} {failure}, not decisive: {decisive} decides"
    else:
        yield f"{prefix} FAILED: {failure}" + _failure_time(result)
    if result.measurement.phases:
        phases = result.measurement.phases.items()
        yield _INDENT + "  ".join(f"{phase} {seconds * 1000:.1f} ms" for phase, seconds in phases)
    for warning in result.verdict.warnings:
        yield f"{_INDENT}Warning: {warning}"
    if result.run.field_names_settled and result.field_names:
        setting = f"TIGR_ENVIRONMENTS__{result.environment.upper()}__FORM_FIELDS={result.field_names}"
        yield from _paragraph(
            "Field names", f"the server accepts {result.field_names.text}; to pin them, set {setting}"
        )
    if result.verdict.reason is not None:
        yield from _explained(result)


def _api_state(result: Result) -> str:
    if not result.reached:
        return f"the Client API is not reachable ({result.verdict.reason})"
    if result.success:
        return "the Client API ACCEPTS UNAUTHENTICATED REQUESTS: report it to the vendor"
    return f"the Client API is reachable (status {result.measurement.status})"


def _lifetime(result: Result) -> str:
    return f", token valid for {durations.text(round(result.token.lifetime))}" if result.token else ""


def _status(result: Result) -> str:
    return f" (status {result.measurement.status})" if result.measurement.status is not None else ""


def _sent_names(result: Result) -> str:
    return f", with {result.field_names.text}" if result.field_names and result.sent else ""


def _failure_time(result: Result) -> str:
    measured = result.measurement
    if not (measured.phases or measured.duration):
        return ""
    phase = f", in phase {measured.failed_phase}" if measured.failed_phase and not result.reached else ""
    return f" after {measured.duration:.3f} s{phase}"


def _explained(result: Result) -> Iterator[str]:
    texts = {
        "Detail": result.verdict.detail,
        "Code": result.verdict.error_code,
        "submissionId": result.verdict.submission_id,
    }
    if result.is_decisive:
        explanation = explain(result)
        texts |= {"Means": explanation.means, "Next": explanation.next_step, "Retry": _sentence(next_login(result))}
    for name, text in texts.items():
        if text:
            yield from _paragraph(name, text)


def _paragraph(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{name}: {text}",
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""
