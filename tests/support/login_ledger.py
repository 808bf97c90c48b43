"""Rules that every login request must follow, checked with an independent count of requests.

The ledger sees the same requests as the servers. Of the values that the monitor computes, it reads only the backoff.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from monitor.config.settings import EnvironmentSettings
from monitor.model import FieldNames, Result, Token

TOLERANCE = 1e-6  # seconds: a float of Unix seconds has steps of 2.4e-7
ATTEMPT_COST = 2  # requests that one attempt of an operator may add
MIN_LIMIT_AFTER_KILL = 2  # requests
FIRST_CONTACT = 2  # requests of one run while no field names are settled


@dataclass
class CredentialsLedger:
    """Requests with one set of credentials at one token URL since the last grant."""

    counted: int = 0
    attempts: int = 0  # of operators
    limit: int = 0  # the largest limit that was configured
    refused: set[FieldNames] = field(default_factory=set)


@dataclass
class LoginRun:
    """One login run."""

    operator: bool
    unsettled: bool  # no field names were settled when it began
    sent: list[FieldNames] = field(default_factory=list)
    refused: bool = False  # the newest response was a refusal


@dataclass
class EnvironmentLedger:
    """Requests of one environment."""

    last_start: float = -math.inf
    attempt_open: bool = False  # an operator has requested an attempt that was not sent yet
    generation: int = 0  # number of changes of its addresses
    run: LoginRun | None = None


@dataclass
class Ledger:
    """All login requests and the rules that they broke."""

    broken: list[str] = field(default_factory=list)
    accounts: dict[tuple[str, ...], CredentialsLedger] = field(default_factory=dict)
    environments: dict[str, EnvironmentLedger] = field(default_factory=dict)
    granted: dict[str, FieldNames] = field(default_factory=dict)  # by token URL
    tokens: dict[str, tuple[str, int]] = field(default_factory=dict)  # value: environment and generation

    def environment(self, name: str) -> EnvironmentLedger:
        """Return the ledger of the environment `name`."""
        return self.environments.setdefault(name, EnvironmentLedger())

    def credentials(self, settings: EnvironmentSettings) -> CredentialsLedger:
        """Return the ledger of the credentials in `settings`; its limit is at least their limit."""
        credentials = self.accounts.setdefault((settings.token_url, *settings.identity), CredentialsLedger())
        credentials.limit = max(credentials.limit, settings.rejected_logins)
        return credentials

    def login(self, settings: EnvironmentSettings, names: FieldNames, now: float, backoff: float) -> None:
        """Check a request before it is sent; `backoff` is the current `tigr_backoff_seconds`."""
        environment = self.environment(settings.name)
        if environment.run is None:
            environment.run = self._begun(settings, environment, now, backoff)
        else:
            self._check_second(settings.name, environment.run, names)
        environment.run.sent.append(names)

    def response(self, settings: EnvironmentSettings, names: FieldNames, result: Result) -> None:
        """Count the outcome of a request: refusals, and after the first refusal also requests without a response."""
        credentials, environment = self.credentials(settings), self.environment(settings.name)
        if environment.run is not None:
            environment.run.refused = result.verdict.refused
        if result.token is not None:
            self._granted(settings, names, result.token)
        elif result.verdict.refused:
            credentials.refused.add(names)
            self._count(settings, credentials)
        elif not credentials.refused:
            credentials.counted = 0  # only kills were counted, and the process survived this login
        elif result.sent and not result.has_known_outcome:
            self._count(settings, credentials)

    def killed(self, settings: EnvironmentSettings) -> None:
        """Count a request whose process ended before the response.

        The first one causes no delay even with a limit of 1, because an ordinary restart can cause it.
        """
        credentials = self.credentials(settings)
        credentials.limit = max(credentials.limit, MIN_LIMIT_AFTER_KILL)
        self._count(settings, credentials)

    def operator(self, settings: EnvironmentSettings) -> None:
        """Record that an operator requested an attempt."""
        self.environment(settings.name).attempt_open = True
        self.credentials(settings).attempts += 1

    def ping(self, name: str, token: Token | None) -> None:
        """Check that a token is sent only to the addresses for which it was granted."""
        self.environment(name).run = None
        if token is not None and self.tokens[token.value] != (name, self.environment(name).generation):
            self.broken.append(f"(e) {name} sent a token to an address for which it was not granted")

    def moved(self, name: str) -> None:
        """Record that an address of the environment changed."""
        self.environment(name).generation += 1

    def pause(self, settings: EnvironmentSettings, seconds: float) -> None:
        """Check the pause after a failed login."""
        if seconds < settings.ping_interval - TOLERANCE:
            self.broken.append(
                f"(g) {settings.name} pauses {seconds:.3f} s after a failed login, "
                f"less than its ping interval of {settings.ping_interval} s"
            )

    def _begun(
        self, settings: EnvironmentSettings, environment: EnvironmentLedger, now: float, backoff: float
    ) -> LoginRun:
        operator, environment.attempt_open = environment.attempt_open, False
        gap, environment.last_start = now - environment.last_start, now
        if gap < settings.ping_interval - TOLERANCE:
            self.broken.append(
                f"(a) {settings.name} began a login run {gap:.3f} s after the one before, "
                f"within its ping interval of {settings.ping_interval} s"
            )
        if backoff > 0 and not operator:
            self.broken.append(
                f"(d) {settings.name} logged in without an operator while logins were suppressed for {backoff} s"
            )
        open_names = settings.form_fields is None and settings.token_url not in self.granted
        return LoginRun(operator, open_names and not self.credentials(settings).refused)

    def _check_second(self, name: str, run: LoginRun, names: FieldNames) -> None:
        if names in run.sent or len(run.sent) >= FIRST_CONTACT:
            self.broken.append(f"(c) {name} sent {[*run.sent, names]} in one run")
        elif not run.refused:
            self.broken.append(f"(c) {name} sent a second request after a response that was no refusal")
        elif not (run.operator or run.unsettled):
            self.broken.append(f"(c) {name} sent two requests in one run, although field names are settled")

    def _count(self, settings: EnvironmentSettings, credentials: CredentialsLedger) -> None:
        credentials.counted += 1
        if credentials.counted > credentials.limit + ATTEMPT_COST * credentials.attempts:
            self.broken.append(
                f"(b) {settings.name} sent rejected credentials {credentials.counted} times, "
                f"with a limit of {credentials.limit} and {credentials.attempts} attempts of operators"
            )

    def _granted(self, settings: EnvironmentSettings, names: FieldNames, token: Token) -> None:
        """Start a new count. Attempts that were requested and not sent yet stay allowed."""
        still_open = sum(environment.attempt_open for environment in self.environments.values())
        key = (settings.token_url, *settings.identity)
        self.accounts[key] = CredentialsLedger(attempts=still_open, limit=settings.rejected_logins)
        self.granted[settings.token_url] = names
        self.tokens[token.value] = (settings.name, self.environment(settings.name).generation)
