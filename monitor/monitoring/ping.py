"""Pings of one environment: which token a run uses, what follows a rejected token, when the next run is due."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from monitor.clock import Clock
from monitor.model import Endpoint, Reason, Result, Token
from monitor.monitoring.backoff import Backoff
from monitor.monitoring.login import Logins, Sink

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

CONFIRMATIONS = 2  # pings that follow the first failure at the confirm interval
YOUNG_TOKEN = 10.0  # seconds: servers with replicas or skewed clocks accept a new token after 1 to 3 s
MAX_UNDECIDED = 20.0  # seconds without a decisive ping: the time of two young tokens, one after the other
_NOT_CONFIRMED = frozenset({Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.RATE_LIMITED, Reason.NO_TOKEN})


class Sender(Protocol):
    """Sends one ping, without a token if that is None; the Result holds whatever came of it."""

    def ping(self, token: Token | None) -> Result: ...


class Pings:
    """The pings of one environment. One run at a time; safe to read from many threads."""

    def __init__(self, settings: EnvironmentSettings, sender: Sender, sink: Sink, logins: Logins, clock: Clock) -> None:
        self._settings = settings
        self._sender = sender
        self._sink = sink
        self._logins = logins
        self._clock = clock
        self._backoff = Backoff(clock.now)
        self._well = False
        self._ended = 0.0
        self._confirmations = 0  # runs that are still to come at the confirm interval
        self._waits_for_token = False  # a run was put off until the first login, which comes a little later
        self._young: Token | None = None  # a token that the API refused in the newest run, too early to decide
        self._refused_young: Token | None = None  # the same, of the run before
        self._lag = 0.0  # seconds after which the API had not accepted it yet
        self._undecided_since: float | None = None  # the first such refusal since the newest decisive ping
        self._unauthenticated_backoff = Backoff(clock.now)
        self._unauthenticated_at = clock.now()  # of the newest unauthenticated probe, or of the start

    def remaining(self) -> float:
        """Return the seconds until the next ping is allowed; 0 when nothing delays it."""
        return self._backoff.remaining()

    def next_run(self) -> float | None:
        """Return when a ping is due in addition to the scheduled ones, on the monotonic clock; None: at no time."""
        if self._waits_for_token:
            return self._clock.now() if self._logins.usable_token is not None else None
        if self._confirmations or self._young is not None:
            return max(self._ended + self._settings.confirm_interval, self._backoff.until)
        return None

    def run(self) -> None:
        """Ping with the current token, and once more with a newer one if the first was rejected."""
        if self._backoff.remaining() > 0:
            return
        sender, token = self._sender_and_token()
        self._waits_for_token = token is None and self._logins.first_is_late
        if self._waits_for_token:
            return
        if token is None:
            self._run_without_token()
            return
        self._refused_young, self._young = self._young, None
        result = sender.ping(token)
        if result.rejects_token:
            self._after_rejection(sender, token, result)
        else:
            self._finish(self._with_lag(token, result))
        if result.success:
            self._probe_unauthenticated_if_due()

    def _sender_and_token(self) -> tuple[Sender, Token | None]:
        """Return a sender and a token for the same host: a reload may replace both between two statements.

        A reload drops the token of another host before it replaces the sender, and no login runs meanwhile.
        """
        while True:
            sender = self._sender
            token = self._logins.usable_token or self._logins.token_after_login()
            if sender is self._sender:
                return sender, token

    def use(self, settings: EnvironmentSettings, sender: Sender) -> None:
        """Take over new settings of the same environment."""
        if settings.api_url != self._settings.api_url:
            self._backoff.clear()
            self._unauthenticated_backoff.clear()
        self._settings, self._sender = settings, sender

    # Rejected tokens.

    def _after_rejection(self, sender: Sender, token: Token, refusal: Result) -> None:
        """Ping once more with a newer token, if there is one or a login grants one; else the refusal is decisive."""
        if self._is_too_early(token):
            self._retry_young(token, refusal)
            return
        current = self._logins.usable_token
        if current is None:  # it expired while the ping was in progress: expiry, not rejection
            newer = self._logins.token_after_login()
        elif current is not token:
            newer = current
        else:
            refusal = replace(refusal, token_rejected=True)
            newer = self._logins.token_after_rejection(token)
        if newer is None or sender is not self._sender:  # after a reload, the newer token may be another host's
            self._finish(refusal)
            return
        self._sink.record(replace(refusal, retried=True))
        again = sender.ping(newer)
        if again.rejects_token and self._is_too_early(newer):
            self._retry_young(newer, again)
            return
        is_current = newer is self._logins.usable_token
        self._finish(self._with_lag(newer, replace(again, token_rejected=again.rejects_token and is_current)))

    def _is_too_early(self, token: Token) -> bool:
        """Return whether a later ping with the same token may still be accepted.

        Tokens that expire or are replaced before they are ten seconds old must not hide an API that refuses them all.
        """
        now = self._clock.now()
        if token is not self._logins.usable_token or token.age(now) >= YOUNG_TOKEN:
            return False
        undecided = 0.0 if self._undecided_since is None else now - self._undecided_since
        return token.expires > now + self._settings.confirm_interval and undecided < MAX_UNDECIDED

    def _retry_young(self, token: Token, refusal: Result) -> None:
        """Record a refusal that decides nothing: the API may not know the token yet."""
        self._young, self._lag = token, token.age(self._clock.now())
        self._ended = self._clock.now()
        if self._undecided_since is None:
            self._undecided_since = self._ended
        self._sink.record(replace(refusal, retried=True))

    def _with_lag(self, token: Token, result: Result) -> Result:
        return replace(result, token_lag=self._lag) if result.success and token is self._refused_young else result

    # Probes without a token.

    def _run_without_token(self) -> None:
        """Record a ping that had no token, and probe the API without one to see whether it is reachable."""
        started_at = self._clock.wall()
        self._probe_unauthenticated()
        self._finish(
            Result(
                environment=self._settings.name,
                endpoint=Endpoint.PING,
                started_at=started_at,
                duration=0.0,
                reason=Reason.NO_TOKEN,
                detail="there is no valid token to ping with",
            )
        )

    def _probe_unauthenticated_if_due(self) -> None:
        interval = self._settings.unauthenticated_interval
        if interval is not None and self._clock.now() - self._unauthenticated_at >= interval:
            self._probe_unauthenticated()

    def _probe_unauthenticated(self) -> None:
        if self._unauthenticated_backoff.remaining() > 0:
            return
        self._unauthenticated_at = self._clock.now()
        result = replace(self._sender.ping(None), unauthenticated=True)
        if result.reason is Reason.RATE_LIMITED:
            self._unauthenticated_backoff.ping_rate_limited(self._settings.ping_interval, result.retry_after)
        else:
            self._unauthenticated_backoff.clear()
        self._sink.record(result)

    def _finish(self, result: Result) -> None:
        """Update backoff and confirmations from the decisive Result of a run, then record it."""
        if result.reason is Reason.RATE_LIMITED:
            self._backoff.ping_rate_limited(self._settings.ping_interval, result.retry_after)
            result = replace(result, suppressed_until=self._clock.wall() + self._backoff.remaining())
        else:
            self._backoff.clear()
        if result.success or result.reason in _NOT_CONFIRMED:
            self._confirmations = 0
        elif self._well:
            self._confirmations = CONFIRMATIONS
        else:
            self._confirmations = max(0, self._confirmations - 1)
        self._well = result.success
        self._undecided_since = None
        self._ended = self._clock.now()
        self._sink.record(result)
