"""Logins of one environment: their schedule, the requests of a run, and the changes after a response.

`Logins` owns the current token and the backoff of failed logins. `State` stores the record of rejected credentials.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from monitor.clock import Clock
from monitor.model import FieldNames, LoginCause, Reason, Result, Role, Token
from monitor.monitoring import negotiation
from monitor.monitoring.backoff import Backoff
from monitor.monitoring.generation import Generations
from monitor.monitoring.negotiation import NEVER, LoginRecord
from monitor.monitoring.state import LoginKey

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State

SIGNAL_INTERVAL = 300.0  # seconds between two logins that SIGUSR1 can request


class LoginSender(Protocol):
    """Sends one login request and returns its Result, also after a failure."""

    def log_in(self, names: FieldNames) -> Result: ...
    def learn(self, token: Token) -> None: ...


class ResultSink(Protocol):
    """Receives Results."""

    def record(self, result: Result) -> None: ...


class _OperatorRequest(Enum):
    """Requests for a login that is delayed."""

    RELOAD = auto()
    SIGNAL = auto()


@dataclass(frozen=True, slots=True)
class _Access:
    """Settings of a run: it ends with those with which it began, although a reload may replace them meanwhile."""

    settings: EnvironmentSettings
    sender: LoginSender
    key: LoginKey
    generation: int


class Logins:
    """Runs the logins of one environment. Thread-safe."""

    def __init__(
        self, settings: EnvironmentSettings, sender: LoginSender, sink: ResultSink, state: State, clock: Clock
    ) -> None:
        self._name = settings.name
        self._sink = sink
        self._state = state
        self._clock = clock
        self.generations = Generations()  # of the environment
        self.running = threading.Lock()  # held during a run: one login at a time, whichever job requires it
        self._token: Token | None = None
        self._last_start = state.last_login(settings.name)  # of the last run, possibly by an earlier process
        self._attempted = False
        self._expected = False  # the first scheduled run has started
        self._failed = False
        self.failed_internally = False  # the last login had an internal failure: the state of the server is unknown
        self._cause = LoginCause.INITIAL  # of the most recent run; its retries keep it
        self._requested: LoginCause | None = None  # cause of a login that does not wait for the schedule
        self._refusals: dict[FieldNames, str] = {}  # text of the last refusal of each, since the last grant
        self._backoff = Backoff(clock.now)
        self._rejection_login = NEVER  # start of the last login that a rejected token caused
        self._adopted = False  # the record of the credentials was adapted to the settings
        self._asked: set[_OperatorRequest] = set()  # requests that wait for the end of a login in progress
        self._use(settings, sender)

    @property
    def token(self) -> Token | None:
        """The current token, which may have expired."""
        return self._token

    @property
    def usable_token(self) -> Token | None:
        """The current token, or None if it has expired."""
        token = self._token
        return token if token is not None and token.expires > self._clock.now() else None

    @property
    def attempted(self) -> bool:
        """Whether this process has attempted a login, or logins are suppressed."""
        return self._attempted or self.suppressed_for > 0

    @property
    def credentials_rejected(self) -> bool:
        """Whether the authorization server has rejected these credentials."""
        return self._record.rejected

    @property
    def refused(self) -> bool:
        """Whether a response has refused these credentials; restarts alone can suppress logins, too."""
        return self._record.any_refused

    @property
    def suppressed_for(self) -> float:
        """Seconds for which rejected credentials suppress logins; infinity while they are stopped."""
        return max(0.0, self._record.resume_at - self._clock.now())

    @property
    def attempts_left(self) -> int:
        """Number of further requests that may contain these credentials without an operator's request."""
        return max(0, self._settings.rejected_logins - self._record.counted)

    @property
    def first_is_late(self) -> bool:
        """Whether the first login of this process waits only because an earlier process logged in a short time ago."""
        return not self.attempted and self._last_start + self._settings.ping_interval > self._clock.now()

    def remaining(self) -> float:
        """Return the seconds until the next attempt is allowed; 0 if nothing delays it."""
        return max(self.suppressed_for, self._backoff.remaining())

    def next_run(self) -> float | None:
        """Return the time of the next login on the monotonic clock; None before the first scheduled run."""
        if self._asked or not self._adopted:
            return NEVER  # the run waits for the login in progress, then decides
        moment = self._due()
        return None if moment is None else max(moment, self._last_start + self._settings.ping_interval)

    def run_if_due(self) -> None:
        """Log in if a login is due. Call it at least once per scheduled interval, and at the time of `next_run`."""
        with self.running:
            self._expected = True
            self._catch_up(wait=True)
            moment = self.next_run()
            if moment is not None and moment <= self._clock.now():
                self._run(self._next_cause())

    def run_now(self) -> None:
        """Log in once for an operator, independent of the schedule, unless logins are suppressed or delayed."""
        with self.running:
            if self.remaining() <= 0:
                self._run(self._next_cause())

    def token_after_login(self) -> Token | None:
        """Wait for a login that is in progress, if any; log in if the token has expired and nothing delays a login."""
        with self.running:
            if self.usable_token is None and self._token is not None and not self._failed:
                moment = self.next_run()
                if moment is not None and moment <= self._clock.now():
                    self._run(LoginCause.EXPIRY)
            return self.usable_token

    def token_after_rejection(self, rejected: Token) -> Token | None:
        """Return a newer token than `rejected`, after one login if that is allowed; None if there is none.

        Rejected tokens cause one login per `auth_interval`. Two runs start at least one ping interval apart, so a login
        that would start earlier is only requested.
        """
        with self.running:
            if self._token is not rejected:  # another thread has replaced it
                return self.usable_token
            now = self._clock.now()
            if now - self._rejection_login < self._settings.auth_interval or self.remaining() > 0:
                return None
            self._rejection_login = now
            if self._last_start + self._settings.ping_interval > now:
                self._requested = LoginCause.REJECTED
                return None
            return self.usable_token if self._run(LoginCause.REJECTED) else None

    def request_scheduled(self) -> None:
        """Bring the next scheduled login forward to now, unless the last login failed or another login is requested."""
        if not self._failed and self._requested is None:
            self._requested = LoginCause.SCHEDULED

    def request_after_reload(self) -> bool | None:
        """Allow one login with rejected credentials, once per rejection; return whether it is allowed.

        None: a login is in progress, and the request is decided after it.
        """
        return self._request(_OperatorRequest.RELOAD)

    def request_after_signal(self) -> bool | None:
        """Allow one login that is delayed, once in five minutes; return as `request_after_reload` does."""
        return self._request(_OperatorRequest.SIGNAL)

    def _request(self, request: _OperatorRequest) -> bool | None:
        with self.generations.lock:
            self._asked.add(request)
        allowed = self._catch_up(wait=False)
        return None if allowed is None else request in allowed

    def use(self, settings: EnvironmentSettings, sender: LoginSender) -> None:
        """Apply new settings of the same environment. The caller holds the lock of the generations.

        Changed credentials, or another client certificate, cause a login at once. If an address changed, the token is
        dropped, because it must not be sent to another host.
        """
        old = self._access
        self._use(settings, sender)
        moved = (settings.token_url, settings.api_url) != (old.settings.token_url, old.settings.api_url)
        if self._token is not None:
            sender.learn(self._token)
        if moved:
            self._token = None
        if moved or self._access.key != old.key or _identify(settings) != _identify(old.settings):
            self._backoff.clear()
            self._refusals.clear()
            self._failed = self.failed_internally = False
            self._requested = LoginCause.INITIAL if moved else LoginCause.CREDENTIALS

    @property
    def _settings(self) -> EnvironmentSettings:
        return self._access.settings

    @property
    def _record(self) -> LoginRecord:
        return self._state.record(self._access.key)

    def _use(self, settings: EnvironmentSettings, sender: LoginSender) -> None:
        key = LoginKey(settings.token_url, self._state.fingerprint(*settings.identity))
        self._access = _Access(settings, sender, key, self.generations.current)
        self._state.use(self._name, key)
        self._adopted = False
        self._catch_up(wait=False)

    def _catch_up(self, *, wait: bool) -> set[_OperatorRequest] | None:
        """Adapt the record of the credentials to the settings, and decide the requests; return those that were allowed.

        A login in progress changes the record. If one is, and this must not `wait`, return None: the next run decides.
        """
        if self._adopted and not self._asked:
            return set()
        key = self._access.key
        lock = self._state.login_lock(key)
        if not lock.acquire(blocking=wait):
            return None
        try:
            with self.generations.lock:
                if key != self._access.key:  # a reload changed the credentials meanwhile
                    return None
                self._adopt()
                asked, self._asked = self._asked, set()
                return {request for request in asked if self._allow(request)}
        finally:
            lock.release()

    def _adopt(self) -> None:
        if not self._adopted:
            record, now, limit = self._record, self._clock.now(), self._settings.rejected_logins
            current = negotiation.after_restart(record, limit, now)
            current = negotiation.with_limit(current, limit, now)
            if current != record:
                self._state.save(self._access.key, current)
            self._adopted = True

    def _allow(self, request: _OperatorRequest) -> bool:
        record, now = self._record, self._clock.now()
        if request is _OperatorRequest.RELOAD:
            if not self._is_suppressed(record) or record.reload_used:
                return False
            record = replace(record, reload_used=True)
        else:
            if self.remaining() <= 0 or now - record.signalled_at < SIGNAL_INTERVAL:
                return False
            record = replace(record, signalled_at=now)
        self._state.save(self._access.key, record)
        self._requested = LoginCause.OPERATOR
        return True

    def _is_suppressed(self, record: LoginRecord) -> bool:
        return record.resume_at > self._clock.now()

    # The schedule.

    def _due(self) -> float | None:
        """Return the time of the next login, without the minimum interval between two runs."""
        if self._requested is LoginCause.OPERATOR:
            return NEVER
        allowed = max(self._record.resume_at, self._backoff.until)
        if self._requested is not None or self._failed or self._record.rejected:
            return allowed
        if self._token is None:
            return allowed if self._expected else None
        return max(allowed, min(self._last_start + self._settings.auth_interval, self._renewal_due(self._token)))

    def _renewal_due(self, token: Token) -> float:
        """Return the time at which `token` should be replaced, so that it does not expire in use."""
        return token.expires - min(self._settings.renew_margin, token.lifetime / 5)

    def _next_cause(self) -> LoginCause:
        if self._requested is not None:
            return self._requested
        if not self._attempted:
            return LoginCause.INITIAL
        if self._failed:
            return self._cause
        if self._token is not None and self._renewal_due(self._token) <= self._clock.now():
            return LoginCause.EXPIRY
        return LoginCause.SCHEDULED

    # A run.

    def _run(self, cause: LoginCause) -> bool:
        """Send the login, with both field names while they are unsettled; return whether it was granted."""
        access = self._access
        with self._state.login_lock(access.key):
            with self.generations.verdict(access.generation) as decides:
                # A scheduled retry of an operator's attempt keeps its cause, so the cause alone is not sufficient.
                operator = cause is self._requested is LoginCause.OPERATOR
                # A reload, or a login of another environment, may have come first.
                if not decides or (not operator and self._is_suppressed(self._record)):
                    return False
                self._last_start, self._attempted = self._clock.now(), True
                self._cause, self._requested = cause, None
                before = self._record
            record, results = self._exchanges(access, before, operator=operator)
            return self._conclude(access, before, record, results, operator=operator)

    def _exchanges(self, access: _Access, record: LoginRecord, *, operator: bool) -> tuple[LoginRecord, list[Result]]:
        """Send one request, and after a refusal the other if it is allowed. Save each request before it is sent.

        Return the record after the last response, which is not saved yet, and the Results.
        """
        settings, results = access.settings, list[Result]()
        granted = self._state.granted(settings.token_url)
        for names in negotiation.names_to_send(record, granted, settings.form_fields, operator=operator):
            if results and not (
                results[-1].verdict.refused
                and (operator or record.counted < settings.rejected_logins)
                and self.generations.is_current(access.generation)
            ):
                break
            self._state.begin_login(access.key, replace(record, in_flight=True), self._name, self._last_start)
            result = access.sender.log_in(names)
            record = negotiation.after_exchange(record, names, result)
            results.append(result)
        return record, results

    def _conclude(
        self, access: _Access, before: LoginRecord, record: LoginRecord, results: list[Result], *, operator: bool
    ) -> bool:
        """Save the record with the credentials of the run. If the run still decides, apply its Results.

        Return whether it was granted.
        """
        decisive = _by_weight(results)[-1]
        is_rejected = not decisive.success and self._is_rejected(access, record)
        if is_rejected:
            record = self._paused(access, before, record, decisive, operator=operator)
        self._state.save(access.key, record, decisive.field_names if decisive.success else None)
        with self.generations.verdict(access.generation) as decides:
            if not decides:
                self._drop(decisive)
                return False
            decisive = self._decide(results)
            self._settle(before, decisive, is_rejected=is_rejected)
            return decisive.success

    def _drop(self, decisive: Result) -> None:
        """Drop the login of an older generation; repeat it with the current settings."""
        if decisive.token is not None:
            self._access.sender.learn(decisive.token)  # a server may quote it
        if self._requested is None:
            self._requested = LoginCause.SCHEDULED

    def _decide(self, results: list[Result]) -> Result:
        """Return the decisive Result of a run, the refusal with more weight or else the last; record the other."""
        for result in results:
            if result.verdict.refused and result.field_names is not None:
                self._refusals[result.field_names] = _refusal_text(result)
        *others, decisive = _by_weight(results)
        for other in others:
            self._sink.record(other.with_role(Role.RETRIED))
        names = negotiation.OTHER[decisive.field_names] if decisive.field_names else None
        refusal = self._refusals.get(names, "") if names and not decisive.success else ""
        settled = decisive.success and bool(self._refusals)
        outcome = replace(decisive.run, cause=self._cause, other_refusal=refusal, field_names_settled=settled)
        return replace(decisive, run=outcome)

    def _is_rejected(self, access: _Access, record: LoginRecord) -> bool:
        """Return whether the credentials of the run are rejected."""
        granted, pinned = self._state.granted(access.settings.token_url), access.settings.form_fields
        out_of_attempts = record.any_refused and record.counted >= access.settings.rejected_logins
        return record.rejected or out_of_attempts or negotiation.is_rejected(record, granted, pinned)

    def _paused(
        self, access: _Access, before: LoginRecord, record: LoginRecord, decisive: Result, *, operator: bool
    ) -> LoginRecord:
        """Return the record of rejected credentials with the pause after the run."""
        shortest = max(access.settings.ping_interval, decisive.verdict.retry_after or 0.0)
        limit = access.settings.rejected_logins
        paused = negotiation.suppressed(record, before.counted, limit, self._clock.now(), shortest)
        if operator and paused.counted == before.counted:  # the server did not judge the attempt
            return replace(paused, reload_used=False)
        return paused

    def _settle(self, before: LoginRecord, decisive: Result, *, is_rejected: bool) -> None:
        """Update token and backoff from the decisive Result, then record it."""
        self._failed = not decisive.success
        self.failed_internally = decisive.verdict.reason is Reason.INTERNAL
        if decisive.token is not None:
            self._token = decisive.token
            self._backoff.clear()
            self._refusals.clear()
            self._sink.record(decisive)
            return
        outcome = decisive.run
        if is_rejected:
            self._backoff.clear()
            outcome = replace(
                outcome,
                credentials_rejected=decisive.verdict.refused or not before.rejected,
                attempts_left=self.attempts_left,
            )
        else:
            self._delay(decisive)
        outcome = replace(outcome, suppressed_until=self._clock.wall() + self.remaining())
        self._sink.record(replace(decisive, run=outcome))

    def _delay(self, result: Result) -> None:
        settings = self._settings
        if result.verdict.reason is Reason.RATE_LIMITED:
            self._backoff.login_rate_limited(settings.auth_interval, settings.ping_interval, result.verdict.retry_after)
        elif result.verdict.reason is Reason.FORBIDDEN:
            self._backoff.login_forbidden(settings.ping_interval)
        elif result.verdict.reason is Reason.REJECTED_REQUEST and not result.verdict.refused:
            self._backoff.login_not_accepted(settings.ping_interval)
        else:
            expires = self._token.expires if self._token else None
            retry_after = result.verdict.retry_after if result.measurement.status == 503 else None
            self._backoff.login_failed(settings.ping_interval, settings.auth_interval, expires, retry_after)


def _identify(settings: EnvironmentSettings) -> tuple[object, object]:
    """Return all by which a server knows the client."""
    return settings.credentials, settings.client_certificate


def _by_weight(results: list[Result]) -> list[Result]:
    """Return the Results of a run with the decisive one last: the refusal with more weight, else the last Result."""
    if len(results) > 1 and results[-1].verdict.refused and _weight_falls(results):
        return results[::-1]
    return results


def _weight_falls(results: list[Result]) -> bool:
    return negotiation.weight(results[0]) > negotiation.weight(results[-1])


def _refusal_text(refusal: Result) -> str:
    """Return one refusal as text, with the field names of its request."""
    names = refusal.field_names.text if refusal.field_names else "the other field names"
    return f"with the field names {names}: status {refusal.measurement.status}, {refusal.verdict.detail}"
