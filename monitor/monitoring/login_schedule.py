"""Schedule of the logins of one environment: the time and the cause of the next one, and the requests of operators.

The schedule owns the current token, whose expiry it follows, and the backoff of failed logins. `State` stores the
record of rejected credentials.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from monitor.clock import Clock
from monitor.model import LoginCause, Reason, Result, Token
from monitor.monitoring import negotiation
from monitor.monitoring.backoff import Backoff
from monitor.monitoring.generation import Generations
from monitor.monitoring.negotiation import NEVER, LoginRecord
from monitor.monitoring.state import LoginKey

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State

SIGNAL_INTERVAL = 300.0  # seconds between two logins that SIGUSR1 can request


class OperatorRequest(Enum):
    """Requests for a login that is delayed."""

    RELOAD = auto()
    SIGNAL = auto()


class LoginSchedule:
    """Decides when a login is due, and why. Changes need the lock of the generations; reading is thread-safe."""

    def __init__(self, settings: EnvironmentSettings, generations: Generations, state: State, clock: Clock) -> None:
        self._name = settings.name
        self._generations = generations
        self._state = state
        self._clock = clock
        self._token: Token | None = None
        self._last_start = state.last_login(settings.name)  # of the last run, possibly by an earlier process
        self._attempted = False
        self._expected = False  # the first scheduled run has started
        self._failed = False
        self._cause = LoginCause.INITIAL  # of the most recent run; its retries keep it
        self._requested: LoginCause | None = None  # cause of a login that does not wait for the schedule
        self._backoff = Backoff(clock.now)
        self._adopted = False  # the record of the credentials was adapted to the settings
        self._asked: set[OperatorRequest] = set()  # requests that wait for the end of a login in progress
        self.use(settings)

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
    def record(self) -> LoginRecord:
        """The record of the credentials in force."""
        return self._state.record(self._key)

    @property
    def key(self) -> LoginKey:
        """The credentials in force."""
        return self._key

    @property
    def cause(self) -> LoginCause:
        """The cause of the most recent run."""
        return self._cause

    @property
    def is_suppressed(self) -> bool:
        """Whether rejected credentials suppress logins."""
        return self.record.resume_at > self._clock.now()

    @property
    def suppressed_for(self) -> float:
        """Seconds for which rejected credentials suppress logins; infinity while they are stopped."""
        return max(0.0, self.record.resume_at - self._clock.now())

    @property
    def first_is_late(self) -> bool:
        """Whether the first login of this process waits only because an earlier process logged in a short time ago."""
        return not self.attempted and self.is_soon_after_last()

    def remaining(self) -> float:
        """Return the seconds until the next attempt is allowed; 0 if nothing delays it."""
        return max(self.suppressed_for, self._backoff.remaining())

    def next_run(self) -> float | None:
        """Return the time of the next login on the monotonic clock; None before the first scheduled run."""
        if self._asked or not self._adopted:
            return NEVER  # the run waits for the login in progress, then decides
        moment = self._due()
        return None if moment is None else max(moment, self._last_start + self._settings.ping_interval)

    def is_due(self) -> bool:
        """Return whether a login is due now."""
        moment = self.next_run()
        return moment is not None and moment <= self._clock.now()

    def may_replace_expired(self) -> bool:
        """Return whether a login is due, and the current token has expired without a failed login since."""
        return self.usable_token is None and self._token is not None and not self._failed and self.is_due()

    def is_soon_after_last(self) -> bool:
        """Return whether the last run started less than a ping interval ago."""
        return self._last_start + self._settings.ping_interval > self._clock.now()

    def next_cause(self) -> LoginCause:
        """Return the cause of a login that starts now."""
        if self._requested is not None:
            return self._requested
        if not self._attempted:
            return LoginCause.INITIAL
        if self._failed:
            return self._cause
        if self._token is not None and self._renewal_due(self._token) <= self._clock.now():
            return LoginCause.EXPIRY
        return LoginCause.SCHEDULED

    # Changes.

    def use(self, settings: EnvironmentSettings) -> None:
        """Apply new settings of the same environment."""
        self._settings = settings
        self._key = LoginKey(settings.token_url, self._state.fingerprint(*settings.identity))
        self._state.use(self._name, self._key)
        self._adopted = False
        self.catch_up(wait=False)

    def start_over(self, cause: LoginCause, *, keep_token: bool) -> None:
        """Request a login, because the host or the credentials are others; end the backoff."""
        self._backoff.clear()
        self._failed = False
        self._requested = cause
        if not keep_token:
            self._token = None

    def expect_run(self) -> None:
        """Adapt the record and decide the requests of operators, at the start of a scheduled run."""
        self._expected = True
        self.catch_up(wait=True)

    def begin_run(self, cause: LoginCause) -> float:
        """Record the start of a run; return it."""
        self._last_start, self._attempted = self._clock.now(), True
        self._cause, self._requested = cause, None
        return self._last_start

    def allows_operator(self, cause: LoginCause) -> bool:
        """Return whether an operator requested the run; a scheduled retry of such a run keeps its cause."""
        return cause is self._requested is LoginCause.OPERATOR

    def granted(self, token: Token) -> None:
        """Use `token` from now on."""
        self._failed = False
        self._token = token
        self._backoff.clear()

    def rejected(self) -> None:
        """Leave the time of the next login to the record of rejected credentials."""
        self._failed = True
        self._backoff.clear()

    def failed(self, result: Result) -> None:
        """Delay the next login after a failure that does not reject the credentials."""
        self._failed = True
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

    def request(self, cause: LoginCause) -> None:
        """Request a login, unless another one is requested."""
        if self._requested is None:
            self._requested = cause

    def replace_request(self, cause: LoginCause) -> None:
        """Request a login in place of another one that is requested."""
        self._requested = cause

    def request_scheduled(self) -> None:
        """Bring the next scheduled login forward to now, unless the last login failed or another login is requested."""
        if not self._failed:
            self.request(LoginCause.SCHEDULED)

    def request_by_operator(self, request: OperatorRequest) -> bool | None:
        """Allow one login if the request permits it; return whether it does.

        None: a login is in progress, and the request is decided after it.
        """
        with self._generations.lock:
            self._asked.add(request)
        allowed = self.catch_up(wait=False)
        return None if allowed is None else request in allowed

    def catch_up(self, *, wait: bool) -> set[OperatorRequest] | None:
        """Adapt the record of the credentials to the settings, and decide the requests; return those that were allowed.

        A login in progress changes the record. If one is, and this must not `wait`, return None: the next run decides.
        """
        if self._adopted and not self._asked:
            return set()
        key = self._key
        lock = self._state.login_lock(key)
        if not lock.acquire(blocking=wait):
            return None
        try:
            with self._generations.lock:
                if key != self._key:  # a reload changed the credentials meanwhile
                    return None
                self._adopt()
                asked, self._asked = self._asked, set()
                return {request for request in asked if self._allow(request)}
        finally:
            lock.release()

    def _adopt(self) -> None:
        if not self._adopted:
            record, now, limit = self.record, self._clock.now(), self._settings.rejected_logins
            current = negotiation.after_restart(record, limit, now)
            current = negotiation.with_limit(current, limit, now)
            if current != record:
                self._state.save(self._key, current)
            self._adopted = True

    def _allow(self, request: OperatorRequest) -> bool:
        record, now = self.record, self._clock.now()
        if request is OperatorRequest.RELOAD:
            if not self.is_suppressed or record.reload_used:
                return False
            record = replace(record, reload_used=True)
        else:
            if self.remaining() <= 0 or now - record.signalled_at < SIGNAL_INTERVAL:
                return False
            record = replace(record, signalled_at=now)
        self._state.save(self._key, record)
        self._requested = LoginCause.OPERATOR
        return True

    def _due(self) -> float | None:
        """Return the time of the next login, without the minimum interval between two runs."""
        if self._requested is LoginCause.OPERATOR:
            return NEVER
        allowed = max(self.record.resume_at, self._backoff.until)
        if self._requested is not None or self._failed or self.record.rejected:
            return allowed
        if self._token is None:
            return allowed if self._expected else None
        return max(allowed, min(self._last_start + self._settings.auth_interval, self._renewal_due(self._token)))

    def _renewal_due(self, token: Token) -> float:
        """Return the time at which `token` should be replaced, so that it does not expire in use."""
        return token.expires - min(self._settings.renew_margin, token.lifetime / 5)
