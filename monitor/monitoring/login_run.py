"""One run of a login: its requests, its decisive Result, and the record of the credentials that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from monitor.clock import Clock
from monitor.model import FieldNames, Result, Token
from monitor.monitoring import negotiation
from monitor.monitoring.negotiation import LoginRecord
from monitor.monitoring.state import LoginKey

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State


class LoginSender(Protocol):
    """Sends one login request and returns its Result, also after a failure."""

    def log_in(self, names: FieldNames) -> Result: ...
    def learn(self, token: Token) -> None: ...


@dataclass(frozen=True, slots=True)
class LoginAccess:
    """Settings of a run: it ends with those with which it began, although a reload may replace them meanwhile."""

    settings: EnvironmentSettings
    sender: LoginSender
    key: LoginKey
    generation: int


class LoginRun:
    """The requests of one run. The caller holds the login lock of its credentials. It is used once."""

    def __init__(self, access: LoginAccess, state: State, clock: Clock, started: float, *, operator: bool) -> None:
        """Prepare a run that `started` at a moment of the monotonic clock; an `operator` may have requested it."""
        self.before = state.record(access.key)
        self.results: list[Result] = []  # one, or two with the other field names
        self._record = self.before
        self._access = access
        self._state = state
        self._clock = clock
        self._started = started
        self._operator = operator

    @property
    def decisive(self) -> Result:
        """The refusal with more weight, or else the last Result."""
        first, last = self.results[0], self.results[-1]
        both_refused = len(self.results) > 1 and last.verdict.refused
        return first if both_refused and negotiation.weight(first) > negotiation.weight(last) else last

    def send(self, may_continue: Callable[[], bool]) -> None:
        """Send one request, and after a refusal the other if it is allowed. Save each request before it is sent."""
        access = self._access
        granted = self._state.granted(access.settings.token_url)
        pinned = access.settings.form_fields
        for names in negotiation.names_to_send(self.before, granted, pinned, operator=self._operator):
            if self.results and not (self._may_send_other() and may_continue()):
                break
            in_flight = replace(self._record, in_flight=True)
            self._state.begin_login(access.key, in_flight, access.settings.name, self._started)
            result = access.sender.log_in(names)
            self._record = negotiation.after_exchange(self._record, names, result)
            self.results.append(result)

    def save(self) -> bool:
        """Save the record that the run leaves. Return whether the credentials are rejected."""
        decisive = self.decisive
        is_rejected = not decisive.success and self._is_rejected()
        record = self._paused(decisive) if is_rejected else self._record
        self._state.save(self._access.key, record, decisive.field_names if decisive.success else None)
        return is_rejected

    def _may_send_other(self) -> bool:
        has_attempts = self._operator or self._record.counted < self._access.settings.rejected_logins
        return self.results[-1].verdict.refused and has_attempts

    def _is_rejected(self) -> bool:
        record, settings = self._record, self._access.settings
        granted, pinned = self._state.granted(settings.token_url), settings.form_fields
        out_of_attempts = record.any_refused and record.counted >= settings.rejected_logins
        return record.rejected or out_of_attempts or negotiation.is_rejected(record, granted, pinned)

    def _paused(self, decisive: Result) -> LoginRecord:
        """Return the record of rejected credentials with the pause after the run."""
        settings, before = self._access.settings, self.before.counted
        shortest = max(settings.ping_interval, decisive.verdict.retry_after or 0.0)
        paused = negotiation.suppressed(self._record, before, settings.rejected_logins, self._clock.now(), shortest)
        if self._operator and paused.counted == before:  # the server did not judge the attempt
            return replace(paused, reload_used=False)
        return paused
