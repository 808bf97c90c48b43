"""A check of environments: one login and one ping of each, with an event for each step as it happens.

The command runs it with environments of its own, and the daemon with those that it monitors. Then a login of a check is
a login of the environment, with its limits, and a ping is one of its pings.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor import durations
from monitor.clock import SYSTEM_CLOCK
from monitor.log import timestamp
from monitor.model import Endpoint, Measurement, Reason, Result, Role, RunOutcome, Verdict
from monitor.monitoring.login import LoginHindrance
from monitor.monitoring.ping import MAX_UNDECIDED, YOUNG_TOKEN
from monitor.reporting.check_events import EvidenceEvent, NotSentEvent
from monitor.reporting.evidence import evidence
from monitor.reporting.overview import JournalBusyError, Reports
from monitor.service.check_observer import CheckObserver, Emit, incident_of
from monitor.tigr.observation import observed

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.environment import MonitoredEnvironment
    from monitor.monitoring.state import State

_MAX_REPEATED = 2 * MAX_UNDECIDED  # seconds during which a ping with a new token is repeated


@dataclass(frozen=True, slots=True)
class CheckedEnvironment:
    """An environment to check."""

    settings: EnvironmentSettings
    environment: MonitoredEnvironment
    state: State
    reports: Reports | None = None  # of the daemon; None if the environment is the command's own

    @property
    def name(self) -> str:
        """The name of the environment."""
        return self.settings.name

    @property
    def is_monitored(self) -> bool:
        """Whether the daemon monitors the environment."""
        return self.reports is not None


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """The choices of the operator."""

    ping_only: bool = False  # ping with the current token, and never log in


def run_check(environments: Iterable[CheckedEnvironment], options: CheckOptions, emit: Emit) -> None:
    """Check the environments one after the other, and pass each event to `emit`.

    While logins are suppressed, no login is sent. A ping that is refused because its token is new is repeated until the
    token is ten seconds old.
    """
    succeeded = True
    for checked in environments:
        succeeded &= _EnvironmentCheck(checked, emit).run(options)
    emit({"event": "end", "succeeded": succeeded})


class _EnvironmentCheck:
    """The check of one environment."""

    def __init__(self, checked: CheckedEnvironment, emit: Emit) -> None:
        self._checked = checked
        self._environment = checked.environment
        self._emit = emit
        self._observer = CheckObserver(
            checked.settings, emit, credentials_rejected=checked.environment.credentials_rejected
        )

    def run(self, options: CheckOptions) -> bool:
        """Run the check; return whether its decisive requests succeeded."""
        with observed(self._observer):
            login_is_well = options.ping_only or self._log_in()
            if self._observer.last_of(Endpoint.TOKEN) is None:
                self._report_token()
            self._ping(options)
        self._report_unpersisted_logins()
        decisive = [result for result in self._observer.results if result.is_decisive]
        self._report_evidence(decisive)
        has_ping = any(result.endpoint is Endpoint.PING for result in decisive)
        return login_is_well and has_ping and all(result.success for result in decisive)

    # The login.

    def _log_in(self) -> bool:
        """Log in; return False if the login could not be sent although the last one had failed."""
        logins, observer = self._environment.logins, self._observer
        if not self._checked.is_monitored and logins.suppressed_for <= 0:
            self._environment.run_login_now()
        elif self._checked.is_monitored:
            self._environment.run_login_for_check()
        if login := observer.last_of(Endpoint.TOKEN):
            self._report_field_names(login)
            return True
        hindrance = logins.hindrance()
        if hindrance is LoginHindrance.SUPPRESSED:
            observer.recorded(_suppressed(self._environment))
            return False
        is_well = hindrance is LoginHindrance.INTERVAL
        self._not_sent(Endpoint.TOKEN, self._text_of(hindrance), is_failure=not is_well)
        return is_well

    def _text_of(self, hindrance: LoginHindrance | None) -> str:
        interval = durations.text(self._checked.settings.ping_interval)
        if hindrance is LoginHindrance.INTERVAL:
            return f"the last login began less than TIGR_PING_INTERVAL ({interval}) ago"
        if hindrance is LoginHindrance.BACKOFF:
            until = _moment_after(self._environment.backoff(Endpoint.TOKEN))
            return f"the last login failed, and the next one is sent after {until}; SIGUSR1 allows one now"
        return "the settings changed, or another login has just ended; repeat the check"

    def _report_field_names(self, login: Result) -> None:
        if login.run.field_names_settled and login.field_names:
            setting = f"TIGR_ENVIRONMENTS__{login.environment.upper()}__FORM_FIELDS={login.field_names}"
            text = f"the server accepts {login.field_names.text}; to pin them, set {setting}"
            self._note("Field names", text)

    def _report_token(self) -> None:
        """Report the current token, with which the ping is sent if there was no login."""
        headroom = self._environment.headroom()
        if headroom is not None and headroom > 0:
            self._note("Current token", f"valid for another {durations.text(round(headroom))}")

    # The ping.

    def _ping(self, options: CheckOptions) -> None:
        observer = self._observer
        ping = self._environment.run_ping_only if options.ping_only else self._environment.run_ping
        give_up = SYSTEM_CLOCK.now() + _MAX_REPEATED
        ping()
        while (last := observer.last_of(Endpoint.PING)) and last.run.role is Role.RETRIED:
            if SYSTEM_CLOCK.now() > give_up:
                break
            due = self._environment.next_ping()  # None: a scheduled ping has been sent meanwhile
            time.sleep(0.0 if due is None else min(max(0.0, due - SYSTEM_CLOCK.now()), YOUNG_TOKEN))
            ping()
            if observer.last_of(Endpoint.PING) is last:
                break
        if last is None:
            self._not_sent(Endpoint.PING, self._why_no_ping(), is_failure=True)

    def _why_no_ping(self) -> str:
        pause = self._environment.backoff(Endpoint.PING)
        if pause > 0:
            return f"the server limits the rate of requests; the next ping is sent after {_moment_after(pause)}"
        if self._environment.logins.first_is_late:
            return "there is no token yet: the first login waits because an earlier process has just logged in"
        return "the settings changed meanwhile; repeat the check"

    # Texts.

    def _report_unpersisted_logins(self) -> None:
        sent, reason = _password_sent(self._observer.results), self._checked.state.why_not_persisted
        if sent and reason and not self._checked.is_monitored:
            times = "once" if sent == 1 else f"{sent} times"
            text = f"the password was sent {times} without a grant, and this is not persisted: {reason}. "
            self._note("Note", f"{text}Every further check sends the password again and may lock the account.")

    def _report_evidence(self, decisive: list[Result]) -> None:
        """Emit the text for the vendor about each failure."""
        for result in decisive:
            if not result.success and (text := self._evidence(result)):
                event: EvidenceEvent = {
                    "event": "evidence",
                    "environment": result.environment,
                    "endpoint": result.endpoint.value,
                    "text": text,
                }
                self._emit(event)

    def _evidence(self, failed: Result) -> str:
        """Return the text about the open incident of the daemon; without one, about the failure of a request."""
        reports = self._checked.reports
        if reports and (number := _open_incident(reports, failed)) is not None:
            with suppress(JournalBusyError):
                if text := reports.evidence(number):
                    return text
        if not (failed.sent or failed.measurement.phases):
            return ""  # nothing was sent
        return evidence(incident_of(failed, self._observer.url_of(failed)), (), SYSTEM_CLOCK.wall())

    def _note(self, name: str, text: str) -> None:
        self._emit({"event": "note", "environment": self._checked.name, "name": name, "text": text})

    def _not_sent(self, endpoint: Endpoint, text: str, *, is_failure: bool) -> None:
        event: NotSentEvent = {
            "event": "not_sent",
            "environment": self._checked.name,
            "endpoint": endpoint.value,
            "is_failure": is_failure,
            "text": text,
        }
        self._emit(event)


def _open_incident(reports: Reports, failed: Result) -> int | None:
    """Return the number of the open incident to which a failure belongs."""
    for environment in reports.overview().environments:
        if environment.name == failed.environment:
            return (environment.login if failed.endpoint is Endpoint.TOKEN else environment.ping).incident
    return None


def _moment_after(pause: float) -> str:
    return timestamp(SYSTEM_CLOCK.wall() + pause)


def _password_sent(results: list[Result]) -> int:
    """Return the number of requests that carried the password without a grant."""
    logins = [result for result in results if result.endpoint is Endpoint.TOKEN]
    if any(result.success for result in logins):  # a grant resets the failure count of the server too
        return 0
    return sum(result.sent for result in logins)


def _suppressed(environment: MonitoredEnvironment) -> Result:
    """Return the Result of a login that is not sent because logins are suppressed."""
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
