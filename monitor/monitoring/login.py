"""Logins of one environment: one at a time, and the changes after each.

`LoginSchedule` decides when a login is due, and `LoginRun` sends its requests.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from monitor.clock import Clock
from monitor.model import FieldNames, LoginCause, Reason, Result, Role, Token
from monitor.monitoring import negotiation
from monitor.monitoring.generation import Generations
from monitor.monitoring.login_run import LoginAccess, LoginRun, LoginSender
from monitor.monitoring.login_schedule import LoginSchedule, OperatorRequest
from monitor.monitoring.negotiation import NEVER, LoginRecord

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State


class ResultSink(Protocol):
    """Receives Results."""

    def record(self, result: Result) -> None: ...


class LoginHindrance(Enum):
    """Reasons why a login that an operator's check asks for is not sent."""

    SUPPRESSED = auto()  # the credentials were rejected, or logins got no response because of restarts
    BACKOFF = auto()  # the last login failed for another reason
    INTERVAL = auto()  # the last run started less than a ping interval ago


class Logins:
    """Runs the logins of one environment. Thread-safe."""

    def __init__(
        self, settings: EnvironmentSettings, sender: LoginSender, sink: ResultSink, state: State, clock: Clock
    ) -> None:
        self._sink = sink
        self._state = state
        self._clock = clock
        self.generations = Generations()  # of the environment
        self.running = threading.Lock()  # held during a run: one login at a time, whichever job requires it
        self.failed_internally = False  # the last login had an internal failure: the state of the server is unknown
        self._refusals: dict[FieldNames, str] = {}  # text of the last refusal of each, since the last grant
        self._rejection_login = NEVER  # start of the last login that a rejected token caused
        self._schedule = LoginSchedule(settings, self.generations, state, clock)
        self._access = self._access_with(settings, sender)

    # The schedule, for readers.

    @property
    def token(self) -> Token | None:
        """The current token, which may have expired."""
        return self._schedule.token

    @property
    def usable_token(self) -> Token | None:
        """The current token, or None if it has expired."""
        return self._schedule.usable_token

    @property
    def attempted(self) -> bool:
        """Whether this process has attempted a login, or logins are suppressed."""
        return self._schedule.attempted

    @property
    def credentials_rejected(self) -> bool:
        """Whether the authorization server has rejected these credentials."""
        return self._schedule.record.rejected

    @property
    def refused(self) -> bool:
        """Whether a response has refused these credentials; restarts alone can suppress logins, too."""
        return self._schedule.record.any_refused

    @property
    def suppressed_for(self) -> float:
        """Seconds for which rejected credentials suppress logins; infinity while they are stopped."""
        return self._schedule.suppressed_for

    @property
    def attempts_left(self) -> int:
        """Number of further requests that may contain these credentials without an operator's request."""
        return max(0, self._access.settings.rejected_logins - self._schedule.record.counted)

    @property
    def first_is_late(self) -> bool:
        """Whether the first login of this process waits only because an earlier process logged in a short time ago."""
        return self._schedule.first_is_late

    def hindrance(self) -> LoginHindrance | None:
        """Return the reason why `run_for_check` would send nothing now; None if it would send a login."""
        if self._schedule.record.rejected or self.suppressed_for > 0:
            return LoginHindrance.SUPPRESSED
        if self._schedule.remaining() > 0:
            return LoginHindrance.BACKOFF
        return LoginHindrance.INTERVAL if self._schedule.is_soon_after_last() else None

    def remaining(self) -> float:
        """Return the seconds until the next attempt is allowed; 0 if nothing delays it."""
        return self._schedule.remaining()

    def next_run(self) -> float | None:
        """Return the time of the next login on the monotonic clock; None before the first scheduled run."""
        return self._schedule.next_run()

    # Requests of other jobs, and of operators.

    def run_if_due(self) -> None:
        """Log in if a login is due. Call it at least once per scheduled interval, and at the time of `next_run`."""
        with self.running:
            self._schedule.expect_run()
            if self._schedule.is_due():
                self._run(self._schedule.next_cause())

    def run_now(self) -> None:
        """Log in once for an operator, independent of the schedule, unless logins are suppressed or delayed."""
        with self.running:
            if self.remaining() <= 0:
                self._run(self._schedule.next_cause())

    def run_for_check(self) -> None:
        """Log in once for the check of an operator, unless there is a `hindrance`.

        A check grants no attempt with rejected credentials, and its login keeps the interval between two runs.
        """
        with self.running:
            self._schedule.expect_run()
            if self.hindrance() is None:
                self._run(LoginCause.OPERATOR)

    def token_after_login(self) -> Token | None:
        """Wait for a login that is in progress, if any; log in if the token has expired and nothing delays a login."""
        with self.running:
            if self._schedule.may_replace_expired():
                self._run(LoginCause.EXPIRY)
            return self.usable_token

    def token_after_rejection(self, rejected: Token) -> Token | None:
        """Return a newer token than `rejected`, after one login if that is allowed; None if there is none.

        Rejected tokens cause one login per `auth_interval`. Two runs start at least one ping interval apart, so a login
        that would start earlier is only requested.
        """
        with self.running:
            if self.token is not rejected:  # another thread has replaced it
                return self.usable_token
            now = self._clock.now()
            if now - self._rejection_login < self._access.settings.auth_interval or self.remaining() > 0:
                return None
            self._rejection_login = now
            if self._schedule.is_soon_after_last():
                self._schedule.replace_request(LoginCause.REJECTED)
                return None
            return self.usable_token if self._run(LoginCause.REJECTED) else None

    def request_scheduled(self) -> None:
        """Bring the next scheduled login forward to now, unless the last login failed or another login is requested."""
        self._schedule.request_scheduled()

    def request_after_reload(self) -> bool | None:
        """Allow one login with rejected credentials, once per rejection; return whether it is allowed.

        None: a login is in progress, and the request is decided after it.
        """
        return self._schedule.request_by_operator(OperatorRequest.RELOAD)

    def request_after_signal(self) -> bool | None:
        """Allow one login that is delayed, once in five minutes; return as `request_after_reload` does."""
        return self._schedule.request_by_operator(OperatorRequest.SIGNAL)

    # New settings.

    def use(self, settings: EnvironmentSettings, sender: LoginSender) -> None:
        """Apply new settings of the same environment. The caller holds the lock of the generations.

        Changed credentials, or another client certificate, cause a login at once. If an address changed, the token is
        dropped, because it must not be sent to another host.
        """
        old = self._access
        self._schedule.use(settings)
        self._access = self._access_with(settings, sender)
        moved = (settings.token_url, settings.api_url) != (old.settings.token_url, old.settings.api_url)
        if self.token is not None:
            sender.learn(self.token)
        if moved or self._access.key != old.key or _identify(settings) != _identify(old.settings):
            self._refusals.clear()
            self.failed_internally = False
            self._schedule.start_over(LoginCause.INITIAL if moved else LoginCause.CREDENTIALS, keep_token=not moved)

    def _access_with(self, settings: EnvironmentSettings, sender: LoginSender) -> LoginAccess:
        return LoginAccess(settings, sender, self._schedule.key, self.generations.current)

    # A run.

    def _run(self, cause: LoginCause) -> bool:
        """Send the login, with both field names while they are unsettled; return whether it was granted."""
        access = self._access
        with self._state.login_lock(access.key):
            with self.generations.verdict(access.generation) as decides:
                operator = self._schedule.allows_operator(cause)
                # A reload, or a login of another environment, may have come first.
                if not decides or (not operator and self._schedule.is_suppressed):
                    return False
                started = self._schedule.begin_run(cause)
            run = LoginRun(access, self._state, self._clock, started, operator=operator)
            run.send(lambda: self.generations.is_current(access.generation))
            is_rejected = run.save()
            with self.generations.verdict(access.generation) as decides:
                if not decides:
                    self._drop(run.decisive)
                    return False
                self._settle(run.before, self._decide(run), is_rejected=is_rejected)
                return run.decisive.success

    def _drop(self, decisive: Result) -> None:
        """Drop the login of an older generation; repeat it with the current settings."""
        if decisive.token is not None:
            self._access.sender.learn(decisive.token)  # a server may quote it
        self._schedule.request(LoginCause.SCHEDULED)

    def _decide(self, run: LoginRun) -> Result:
        """Return the decisive Result of a run with its outcome; record the other one."""
        for result in run.results:
            if result.verdict.refused and result.field_names is not None:
                self._refusals[result.field_names] = _refusal_text(result)
        decisive = run.decisive
        for other in run.results:
            if other is not decisive:
                self._sink.record(other.with_role(Role.RETRIED))
        names = negotiation.OTHER[decisive.field_names] if decisive.field_names else None
        refusal = self._refusals.get(names, "") if names and not decisive.success else ""
        settled = decisive.success and bool(self._refusals)
        outcome = replace(decisive.run, cause=self._schedule.cause, other_refusal=refusal, field_names_settled=settled)
        return replace(decisive, run=outcome)

    def _settle(self, before: LoginRecord, decisive: Result, *, is_rejected: bool) -> None:
        """Update token and backoff from the decisive Result, then record it."""
        self.failed_internally = decisive.verdict.reason is Reason.INTERNAL
        if decisive.token is not None:
            self._schedule.granted(decisive.token)
            self._refusals.clear()
            self._sink.record(decisive)
            return
        outcome = decisive.run
        if is_rejected:
            self._schedule.rejected()
            outcome = replace(
                outcome,
                credentials_rejected=decisive.verdict.refused or not before.rejected,
                attempts_left=self.attempts_left,
            )
        else:
            self._schedule.failed(decisive)
        outcome = replace(outcome, suppressed_until=self._clock.wall() + self.remaining())
        self._sink.record(replace(decisive, run=outcome))


def _identify(settings: EnvironmentSettings) -> tuple[object, object]:
    """Return all by which a server knows the client."""
    return settings.credentials, settings.client_certificate


def _refusal_text(refusal: Result) -> str:
    """Return one refusal as text, with the field names of its request."""
    names = refusal.field_names.text if refusal.field_names else "the other field names"
    return f"with the field names {names}: status {refusal.measurement.status}, {refusal.verdict.detail}"
