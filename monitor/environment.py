"""One environment's state and decisions: which token is in hand, what to send now, when to try next.

Two jobs take turns here, one to log in and one to ping, each in a thread of its own. A turn sends what is due,
through the `Api`, and hands every `Result` to the sink. Nothing here does I/O of its own or waits for time to pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from monitor.backoff import Backoff
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.internal import internal_fault
from monitor.result import Cause, Endpoint, Reason, Result, Spelling, Token
from monitor.settings import FormFields

if TYPE_CHECKING:
    from monitor.settings import EnvironmentSettings
    from monitor.state import Memory, State

CONFIRMATIONS = 2  # pings that follow the first failure at the confirm interval
OPERATOR_PAUSE = 300.0  # seconds between two logins that an operator can ask for
PEEK_PAUSE = 3600.0  # seconds between two looks at a certificate that does not verify
_NOT_CONFIRMED = frozenset({Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.RATE_LIMITED, Reason.NO_TOKEN})
_OTHER = {Spelling.DOCUMENTED: Spelling.RFC6749, Spelling.RFC6749: Spelling.DOCUMENTED}
_SPELLING_MATTERS = frozenset({400, 401})


class Prober(Protocol):
    """What an environment sends its requests through."""

    def log_in(self, spelling: Spelling) -> Result: ...
    def ping(self, token: Token | None) -> Result: ...
    def certificate_expiry(self, endpoint: Endpoint) -> float | None: ...


class Sink(Protocol):
    """Where Results go."""

    def record(self, result: Result) -> None: ...
    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None: ...


class Environment:
    """One environment. Safe to use from many threads at once."""

    def __init__(
        self, settings: EnvironmentSettings, prober: Prober, sink: Sink, state: State, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.name = settings.name
        self._sink = sink
        self._state = state
        self._clock = clock
        self._logging_in = threading.Lock()  # held for the length of a login: one at a time, whichever job wants it
        self._token: Token | None = None
        self._login_began: float | None = None  # on the monotonic clock; None before the first attempt
        self._login_failed = False
        self._cause = Cause.INITIAL  # of the newest login, which its retries keep
        self._asked_for: Cause | None = None  # a login that is due at once, whatever the schedule says
        self._operator_asked: float | None = None
        self._rejection_login: float | None = None  # when a rejected token was last answered with a login
        self._ping_well = False
        self._ping_ended = 0.0
        self._confirmations = 0
        self._peeked: dict[Endpoint, float] = {}
        self._question_backoff = Backoff(clock.now)
        self._backoff = {Endpoint.TOKEN: Backoff(clock.now), Endpoint.PING: Backoff(clock.now)}
        self._memory: Memory
        self._use(settings, prober)
        self._backoff[Endpoint.TOKEN].resume(self._memory.rejections, self._memory.retry_at - clock.wall())

    # What the daemon, the metrics and the status line ask.

    @property
    def attempted(self) -> bool:
        """Whether a login has been attempted, or is held back since before this process began."""
        return self._login_began is not None or self.credentials_rejected

    @property
    def credentials_rejected(self) -> bool:
        """Whether the authorization server has rejected these credentials and logins are held back on purpose."""
        return self._memory.rejections > 0

    @property
    def token(self) -> Token | None:
        """The token in hand, expired or not."""
        return self._token

    def headroom(self) -> float | None:
        """Seconds until the token in hand expires, negative once it has; None before the first."""
        token = self._token
        return None if token is None else token.expires - self._clock.now()

    def backoff(self, endpoint: Endpoint) -> float:
        """Seconds until the next attempt is allowed; 0 when nothing holds it back."""
        return self._backoff[endpoint].remaining()

    def wants_login(self) -> float | None:
        """When a login is due besides the regular turns, on the monotonic clock; None: at none."""
        if self._asked_for is not None:
            return self._clock.now()
        if self._login_failed or self.credentials_rejected:
            return self._backoff[Endpoint.TOKEN].until
        token = self._token
        return None if token is None else self._renewal_due(token)

    def wants_ping(self) -> float | None:
        """When a ping is due besides the regular turns, on the monotonic clock; None: at none."""
        return self._ping_ended + self._settings.confirm_interval if self._confirmations else None

    # The turns.

    def login_turn(self, *, regular: bool) -> None:
        """Log in if it is time: on a regular turn, or because `wants_login` said so. Held back, it records nothing."""
        self._guarded(Endpoint.TOKEN, lambda: self._login_turn(regular=regular))

    def ping_turn(self) -> None:
        """Ping with the token in hand; what a rejected token leads to belongs to the same turn."""
        self._guarded(Endpoint.PING, self._ping_turn)

    def _login_turn(self, *, regular: bool) -> None:
        with self._logging_in:
            wanted = self.wants_login()
            due = wanted is not None and wanted <= self._clock.now()
            if (regular and not self._held_back()) or due:
                self._log_in(self._cause_now())

    def _ping_turn(self) -> None:
        if self._backoff[Endpoint.PING].remaining() > 0:
            return
        token = self._usable_token() or self._token_after_login()
        if token is None:
            self._ping_without_token()
            return
        result = self._prober.ping(token)
        if result.reason is Reason.UNAUTHORIZED:
            result = self._ping_again(token, result)
        self._finish_ping(result)

    # Logins.

    def _cause_now(self) -> Cause:
        if self._asked_for is not None:
            return self._asked_for
        if self._login_began is None:
            return Cause.INITIAL
        if self._login_failed:
            return self._cause
        token = self._token
        if token is not None and self._clock.now() >= self._renewal_due(token):
            return Cause.EXPIRY
        return Cause.SCHEDULED

    def _renewal_due(self, token: Token) -> float:
        """When `token` should be replaced so that it does not run out, at most once per ping interval."""
        margin = min(self._settings.renew_margin, token.lifetime / 5)
        earliest = (self._login_began or 0.0) + self._settings.ping_interval
        return max(token.expires - margin, earliest)

    def _held_back(self) -> bool:
        return self._backoff[Endpoint.TOKEN].remaining() > 0

    def _log_in(self, cause: Cause) -> bool:
        """Log in once, in both spellings where that has to be found out. Returns whether there is a new token."""
        self._login_began = self._clock.now()
        self._cause, self._asked_for = cause, None
        spelling = self._spelling()
        result = self._prober.log_in(spelling)
        if self._worth_the_other_spelling(result):
            self._sink.record(replace(result, superseded=True))
            result = self._prober.log_in(_OTHER[spelling])
            self._memory = replace(self._memory, both_tried=True)
        self._settle(replace(result, cause=cause))
        return result.success

    def _spelling(self) -> Spelling:
        if self._settings.form_fields is FormFields.RFC6749:
            return Spelling.RFC6749
        if self._settings.form_fields is FormFields.DOCUMENTED:
            return Spelling.DOCUMENTED
        return self._memory.spelling or Spelling.DOCUMENTED

    def _worth_the_other_spelling(self, result: Result) -> bool:
        return (
            self._settings.form_fields is FormFields.AUTO
            and self._memory.spelling is None
            and not self._memory.both_tried
            and result.status in _SPELLING_MATTERS
            and not result.names_credentials
        )

    def _settle(self, result: Result) -> None:
        """Draw the consequences of a login, keep what must outlive a restart, then tell."""
        backoff = self._backoff[Endpoint.TOKEN]
        memory = self._memory
        if result.token is not None:
            self._token = result.token
            backoff.clear()
            memory = replace(memory, rejections=0, retry_at=0.0, spelling=result.spelling)
            result = replace(result, spelling_settled=self._memory.spelling is None and self._memory.both_tried)
        else:
            self._hold_logins(backoff, result)
            held_until = self._clock.wall() + backoff.remaining()
            if result.credentials_rejected or memory.rejections:
                rejections = memory.rejections + result.credentials_rejected
                memory = replace(memory, rejections=rejections, retry_at=held_until)
            result = replace(result, held_until=held_until)
        self._login_failed = not result.success
        self._memory = memory
        self._state.remember(self.name, memory)
        self._tell(result)

    def _hold_logins(self, backoff: Backoff, result: Result) -> None:
        settings = self._settings
        if result.credentials_rejected or self.credentials_rejected:  # nobody knows whether a time-out counts as a try
            backoff.hold_rejected()
        elif result.reason is Reason.RATE_LIMITED:
            backoff.hold_rate_limited(settings.auth_interval, result.retry_after)
        elif result.reason is Reason.FORBIDDEN:
            backoff.hold_forbidden()
        elif result.reason is Reason.REJECTED_REQUEST:
            backoff.hold_refused(settings.ping_interval)
        else:
            expires = self._token.expires if self._token else None
            backoff.hold_failed(settings.ping_interval, settings.auth_interval, expires)

    # Pings.

    def _usable_token(self) -> Token | None:
        token = self._token
        return token if token is not None and token.expires > self._clock.now() else None

    def _token_after_login(self) -> Token | None:
        """Wait for the login that is under way, if any; log in if the token ran out and nothing speaks against it."""
        with self._logging_in:
            token = self._usable_token()
            if token is None and self._token is not None and not self._login_failed and not self._held_back():
                if self._renewal_due(self._token) <= self._clock.now():
                    self._log_in(Cause.EXPIRY)
                token = self._usable_token()
        return token

    def _ping_without_token(self) -> None:
        """Count a ping that could not be, and ask all the same whether the Client API is there."""
        started_at = self._clock.wall()
        if self._question_backoff.remaining() <= 0:
            answer = replace(self._prober.ping(None), question=True)
            if answer.reason is Reason.RATE_LIMITED:
                self._question_backoff.hold_rate_limited(self._settings.ping_interval, answer.retry_after)
            else:
                self._question_backoff.clear()
            self._tell(answer)
        self._finish_ping(
            Result(
                environment=self.name,
                endpoint=Endpoint.PING,
                started_at=started_at,
                duration=0.0,
                reason=Reason.NO_TOKEN,
                detail="there is no valid token to ping with",
            )
        )

    def _ping_again(self, token: Token, refused: Result) -> Result:
        """Answer a 401: with the newer token if there is one, else with one login and its token, else not at all."""
        newest = self._usable_token()
        if newest is None or newest is token:
            if newest is None:  # it ran out while it was under way: expiry, not rejection
                newest = self._token_after_login()
            else:
                refused = replace(refused, token_rejected=True)
                newest = self._token_after_rejection(token)
        if newest is None:
            return refused
        self._sink.record(replace(refused, superseded=True))
        again = self._prober.ping(newest)
        still_newest = newest is self._token and newest.expires > self._clock.now()
        return replace(again, token_rejected=again.reason is Reason.UNAUTHORIZED and still_newest)

    def _token_after_rejection(self, rejected: Token) -> Token | None:
        with self._logging_in:
            if self._token is not rejected:  # somebody else was faster
                return self._usable_token()
            now = self._clock.now()
            last = self._rejection_login
            if self._held_back() or (last is not None and now - last < self._settings.auth_interval):
                return None
            self._rejection_login = now
            return self._usable_token() if self._log_in(Cause.REJECTED) else None

    def _finish_ping(self, result: Result) -> None:
        backoff = self._backoff[Endpoint.PING]
        if result.reason is Reason.RATE_LIMITED:
            backoff.hold_rate_limited(self._settings.ping_interval, result.retry_after)
            result = replace(result, held_until=self._clock.wall() + backoff.remaining())
        else:
            backoff.clear()
        if result.success or result.reason in _NOT_CONFIRMED:
            self._confirmations = 0
        elif self._ping_well:
            self._confirmations = CONFIRMATIONS
        else:
            self._confirmations = max(0, self._confirmations - 1)
        self._ping_well = result.success
        self._ping_ended = self._clock.now()
        self._tell(result)

    # Everything else.

    def use(self, settings: EnvironmentSettings, prober: Prober) -> None:
        """Take over new settings of the same environment. Changed credentials are tried at once; the token goes on.

        At another address everything begins anew: a token is not for the eyes of another host.
        """
        with self._logging_in:
            old = self._settings
            self._use(settings, prober)
            moved = (settings.token_url, settings.api_url) != (old.token_url, old.api_url)
            if moved:
                self._token = None
                self._backoff[Endpoint.PING].clear()
            if moved or settings.credentials != old.credentials:
                self._memory = replace(self._memory, both_tried=False, rejections=0, retry_at=0.0)
                self._backoff[Endpoint.TOKEN].clear()
                self._login_failed = False
                self._asked_for = Cause.INITIAL if moved else Cause.CREDENTIALS

    def ask_for_login(self) -> bool:
        """Let one login through that is held back, because the operator says so: at most one in five minutes."""
        now = self._clock.now()
        asked_lately = self._operator_asked is not None and now - self._operator_asked < OPERATOR_PAUSE
        if asked_lately or not self.credentials_rejected:
            return False
        self._operator_asked = now
        self._asked_for = Cause.OPERATOR
        return True

    def _use(self, settings: EnvironmentSettings, prober: Prober) -> None:
        credentials = settings.credentials
        fingerprint = self._state.fingerprint(
            credentials.client_id, credentials.client_secret, credentials.username, credentials.password
        )
        self._settings = settings
        self._prober = prober
        self._memory = self._state.recall(self.name, settings.token_url, fingerprint, self._clock.wall())

    def _tell(self, result: Result) -> None:
        self._sink.record(result)
        if result.reason is Reason.CERTIFICATE:
            self._peek(result.endpoint)

    def _peek(self, endpoint: Endpoint) -> None:
        """Look when a certificate ends that did not verify: the handshake that failed does not show it."""
        now = self._clock.now()
        if now - self._peeked.get(endpoint, -PEEK_PAUSE) < PEEK_PAUSE:
            return
        self._peeked[endpoint] = now
        expiry = self._prober.certificate_expiry(endpoint)
        if expiry is not None:
            self._sink.certificate_seen(self.name, endpoint, expiry)

    def _guarded(self, endpoint: Endpoint, turn: Callable[[], None]) -> None:
        """Run a turn; a fault of our own is a result like any other, so that it is seen and the next turn comes."""
        started_at, started = self._clock.wall(), self._clock.now()
        try:
            turn()
        except Exception as error:  # noqa: BLE001
            self._sink.record(internal_fault(self.name, endpoint, started_at, self._clock.now() - started, error))
