"""Journals for tests: their source of observed time, and a clock that a test moves."""

from __future__ import annotations

from monitor.clock import Clock
from monitor.model import Endpoint, Reason, Result
from monitor.reporting.journal import Journal
from monitor.reporting.observed_time import ObservedTime
from tests.support.results import make_result, vary

START = 1_800_000_000.0  # Unix seconds: 08:00 UTC
PING = "https://api.example/ClientAPI/api/system/ping"
URLS = {Endpoint.TOKEN: "https://login.example/oauth/token", Endpoint.PING: PING}
INTERVAL = 15.0  # seconds


class JournalTime:
    """A clock, and the observed time of two endpoints of some environments, as the metrics compute it."""

    def __init__(self, *environments: str, wall: float = START) -> None:
        self.elapsed = 0.0
        self.wall = wall
        self.opened: list[tuple[str, Endpoint, Reason]] = []
        self.observed = {
            (name, endpoint): ObservedTime(INTERVAL, 30.0) for name in environments for endpoint in Endpoint
        }
        self.clock = Clock(now=lambda: 1000.0 + self.elapsed, wall=lambda: self.wall + self.elapsed)

    def restarted(self) -> JournalTime:
        """Return the time of a process that starts now."""
        return JournalTime(*{name for name, _ in self.observed}, wall=self.clock.wall())

    def observed_of(self, environment: str, endpoint: Endpoint) -> tuple[float, float]:
        """Return observed and down seconds of an endpoint."""
        times = self.observed.get((environment, endpoint))
        return (0.0, 0.0) if times is None else times.totals(self.clock.now())

    def observed_totals(self) -> dict[tuple[str, Endpoint], tuple[float, float]]:
        """Return observed and down seconds of all endpoints."""
        return {host: times.totals(self.clock.now()) for host, times in self.observed.items()}

    def incident_opened(self, environment: str, endpoint: Endpoint, reason: Reason) -> None:
        """Store the incident that was counted."""
        self.opened.append((environment, endpoint, reason))

    def probe(self, result: Result, duration: float = 0.5) -> Result:
        """Let an exchange take its time; return its Result with its times."""
        times = self.observed[result.environment, result.endpoint]
        times.run_started(self.clock.now())
        times.probe_started(self.clock.now())
        started_at = self.clock.wall()
        self.elapsed += duration
        measured = vary(result, started_at=started_at, duration=duration)
        times.probe_ended(measured, self.clock.now())
        return measured


def journal_of(time: JournalTime, *environments: str, is_loaded: bool = True) -> Journal:
    """Return a journal of these environments."""
    journal = Journal(time, time.clock, is_loaded=is_loaded)
    for name in environments:
        journal.use(name, URLS)
    return journal


def run(
    journal: Journal, time: JournalTime, symbols: str, endpoint: Endpoint = Endpoint.PING, environment: str = "prod"
) -> None:
    """Record probes, one per interval: `+` a success, `s` a server error, `i` an internal failure, `n` no token."""
    reasons = {"+": None, "s": Reason.SERVER_ERROR, "i": Reason.INTERNAL, "n": Reason.NO_TOKEN}
    for symbol in symbols:
        reason = reasons[symbol]
        status = {None: 200, Reason.SERVER_ERROR: 503}.get(reason)
        detail = "" if reason is None else f"failed: {reason}"
        result = make_result(endpoint, environment, reason=reason, status=status, detail=detail)
        journal.record(time.probe(result))
        time.elapsed += INTERVAL - 0.5
