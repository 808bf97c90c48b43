"""Pings of one environment: the token of a run, the reaction to a rejected token, and additional runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from monitor.clock import Clock
from monitor.model import Endpoint, Measurement, Reason, Result, Role, Token, Verdict
from monitor.monitoring.backoff import Backoff
from monitor.monitoring.login import Logins, ResultSink

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

CONFIRMATIONS = 2  # pings that follow the first failure at the confirm interval
YOUNG_TOKEN = 10.0  # seconds: servers with replicas or skewed clocks accept a new token after 1 to 3 s (measured)
MAX_UNDECIDED = 20.0  # seconds without a decisive ping: the time of two young tokens, one after the other
_NOT_CONFIRMED = frozenset({Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.RATE_LIMITED, Reason.NO_TOKEN})


class PingSender(Protocol):
    """Sends one ping, without a token if it is None, and returns its Result, also after a failure."""

    def ping(self, token: Token | None) -> Result: ...


@dataclass(frozen=True, slots=True)
class _Access:
    """Settings of a run, which a reload may replace meanwhile."""

    settings: EnvironmentSettings
    sender: PingSender
    generation: int


class Pings:
    """Runs the pings of one environment, one run at a time; reading is thread-safe."""

    def __init__(
        self, settings: EnvironmentSettings, sender: PingSender, sink: ResultSink, logins: Logins, clock: Clock
    ) -> None:
        self._access = _Access(settings, sender, logins.generations.current)
        self._sink = sink
        self._logins = logins
        self._running = threading.Lock()  # held during a run: an operator's check pings too
        self._clock = clock
        self._backoff = Backoff(clock.now)
        self._succeeded = False
        self._ended = 0.0
        self._confirmations = 0  # remaining runs at the confirm interval
        self._waits_for_token = False  # a run was postponed until the first login, which follows within a ping interval
        self._young: Token | None = None  # a young token that the API refused in the last run
        self._refused_young: Token | None = None  # a young token that the API refused in the run before
        self._lag = 0.0  # age of the young token, in seconds, at its last refusal
        self._undecided_since: float | None = None  # the first such refusal since the last decisive ping
        self._unauthenticated_backoff = Backoff(clock.now)
        self._unauthenticated_at = clock.now()  # of the last unauthenticated probe, or of the start

    def remaining(self) -> float:
        """Return the seconds until the next ping is allowed; 0 if nothing delays it."""
        return self._backoff.remaining()

    def next_run(self) -> float | None:
        """Return the time of an additional, unscheduled ping on the monotonic clock; None if there is none."""
        if self._waits_for_token:
            return self._clock.now() if self._logins.usable_token is not None else None
        if self._confirmations or self._young is not None:
            return max(self._ended + self._access.settings.confirm_interval, self._backoff.until)
        return None

    def run(self, *, may_log_in: bool = True) -> None:
        """Ping with the current token. If the API rejects it, ping once more with a newer one.

        Unless the run `may_log_in`, it uses only tokens that other runs obtain.
        """
        is_done = False
        while not is_done and self._backoff.remaining() <= 0:
            # Before the lock: a run that may not log in must not wait for the login of another run.
            access, token = self._access_and_token(may_log_in=may_log_in)
            with self._running:
                is_done = access is self._access
                if is_done and self._backoff.remaining() <= 0:
                    self._run(access, token, may_log_in=may_log_in)

    def _run(self, access: _Access, token: Token | None, *, may_log_in: bool) -> None:
        self._waits_for_token = token is None and self._logins.first_is_late
        if self._waits_for_token:
            return
        if token is None:
            self._run_without_token(access)
            return
        self._refused_young, self._young = self._young, None
        result = access.sender.ping(token)
        if result.verdict.rejects_token:
            self._after_rejection(access, token, result, may_log_in=may_log_in)
        else:
            self._finish(access, self._with_lag(token, result))
        if result.success:
            self._probe_unauthenticated_if_due(access)

    def _access_and_token(self, *, may_log_in: bool) -> tuple[_Access, Token | None]:
        """Return a sender and a token for the same host, although a reload may replace both at any time.

        A reload that changes the host drops the token and begins a generation. No login of an older generation sets it.
        """
        while True:
            access = self._access
            token = self._logins.usable_token
            if token is None and may_log_in:
                token = self._logins.token_after_login()
            if access is self._access:
                return access, token

    def use(self, settings: EnvironmentSettings, sender: PingSender) -> None:
        """Apply new settings of the same environment."""
        if settings.api_url != self._access.settings.api_url:
            self._backoff.clear()
            self._unauthenticated_backoff.clear()
            self._succeeded, self._confirmations = False, 0
            self._young = self._refused_young = self._undecided_since = None
        self._access = _Access(settings, sender, self._logins.generations.current)

    # Rejected tokens.

    def _after_rejection(self, access: _Access, token: Token, refusal: Result, *, may_log_in: bool) -> None:
        """Ping once more if there is a newer token or a login grants one; else the refusal is decisive."""
        if self._is_too_early(token):
            self._retry_young(access, token, refusal)
            return
        current = self._logins.usable_token
        if current is None:  # it expired during the ping, so this is no rejection
            newer = self._logins.token_after_login() if may_log_in else None
        elif current is not token:
            newer = current
        else:
            refusal = replace(refusal, run=replace(refusal.run, token_rejected=True))
            newer = self._logins.token_after_rejection(token) if may_log_in else None
        if newer is None:
            self._finish(access, refusal)
            return
        with self._logins.generations.verdict(access.generation) as decides:
            if not decides:  # the newer token may be of another host
                return
            self._sink.record(refusal.with_role(Role.RETRIED))
        again = access.sender.ping(newer)
        if again.verdict.rejects_token and self._is_too_early(newer):
            self._retry_young(access, newer, again)
            return
        is_current = newer is self._logins.usable_token
        outcome = replace(again.run, token_rejected=again.verdict.rejects_token and is_current)
        self._finish(access, self._with_lag(newer, replace(again, run=outcome)))

    def _is_too_early(self, token: Token) -> bool:
        """Return whether a later ping with the same token may still be accepted.

        Tokens that expire or are replaced before they are ten seconds old must not hide an API that refuses them all.
        """
        now = self._clock.now()
        if token is not self._logins.usable_token or token.age(now) >= YOUNG_TOKEN:
            return False
        undecided = 0.0 if self._undecided_since is None else now - self._undecided_since
        return token.expires > now + self._access.settings.confirm_interval and undecided < MAX_UNDECIDED

    def _retry_young(self, access: _Access, token: Token, refusal: Result) -> None:
        """Record a refusal that is not decisive, because the API may not accept the token yet."""
        with self._logins.generations.verdict(access.generation) as decides:
            if not decides:
                return
            self._young, self._lag = token, token.age(self._clock.now())
            self._ended = self._clock.now()
            if self._undecided_since is None:
                self._undecided_since = self._ended
            self._sink.record(refusal.with_role(Role.RETRIED))

    def _with_lag(self, token: Token, result: Result) -> Result:
        if not result.success or token is not self._refused_young:
            return result
        return replace(result, run=replace(result.run, token_lag=self._lag))

    # Unauthenticated probes.

    def _run_without_token(self, access: _Access) -> None:
        """Record a ping that had no token, and probe the API without one to see whether it is reachable.

        If the monitor itself could not log in, the state of the API is unknown: this is no failure of the vendor.
        """
        started_at = self._clock.wall()
        verdict = Verdict(reason=Reason.NO_TOKEN, detail="there is no valid token to ping with")
        if self._logins.failed_internally:
            detail = f"{verdict.detail}, because the last login had an internal failure"
            verdict = Verdict(reason=Reason.INTERNAL, detail=detail)
        self._probe_unauthenticated(access)
        self._finish(
            access,
            Result(
                environment=access.settings.name,
                endpoint=Endpoint.PING,
                measurement=Measurement(started_at, duration=0.0),
                verdict=verdict,
            ),
        )

    def _probe_unauthenticated_if_due(self, access: _Access) -> None:
        interval = access.settings.unauthenticated_interval
        if interval is not None and self._clock.now() - self._unauthenticated_at >= interval:
            self._probe_unauthenticated(access)

    def _probe_unauthenticated(self, access: _Access) -> None:
        if self._unauthenticated_backoff.remaining() > 0:
            return
        self._unauthenticated_at = self._clock.now()
        result = access.sender.ping(None).with_role(Role.UNAUTHENTICATED)
        with self._logins.generations.verdict(access.generation) as decides:
            if not decides:
                return
            if result.verdict.reason is Reason.RATE_LIMITED:
                interval, retry_after = access.settings.ping_interval, result.verdict.retry_after
                self._unauthenticated_backoff.ping_rate_limited(interval, retry_after)
            else:
                self._unauthenticated_backoff.clear()
            self._sink.record(result)

    def _finish(self, access: _Access, result: Result) -> None:
        """Update backoff and confirmations from the decisive Result of a run, then record it."""
        with self._logins.generations.verdict(access.generation) as decides:
            if decides:
                self._apply(access, result)

    def _apply(self, access: _Access, result: Result) -> None:
        if result.verdict.reason is Reason.RATE_LIMITED:
            self._backoff.ping_rate_limited(access.settings.ping_interval, result.verdict.retry_after)
            outcome = replace(result.run, suppressed_until=self._clock.wall() + self._backoff.remaining())
            result = replace(result, run=outcome)
        else:
            self._backoff.clear()
        if result.verdict.reason is Reason.INTERNAL:  # says nothing about the API, so the next failure is confirmed
            self._confirmations = max(0, self._confirmations - 1)
            self._ended = self._clock.now()
            self._sink.record(result)
            return
        if result.success or result.verdict.reason in _NOT_CONFIRMED:
            self._confirmations = 0
        elif self._succeeded:
            self._confirmations = CONFIRMATIONS
        else:
            self._confirmations = max(0, self._confirmations - 1)
        self._succeeded = result.success
        self._undecided_since = None
        self._ended = self._clock.now()
        self._sink.record(result)
