"""One environment as the daemon wires it, without its schedule: a test says whose turn it is."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from monitor.clock import Clock
from monitor.config.settings import EnvironmentSettings, load
from monitor.http.client import HttpClient
from monitor.http.resolver import Resolver
from monitor.http.tls import verifying_context
from monitor.model import Endpoint, HostCheck, Result
from monitor.monitoring.environment import Environment
from monitor.monitoring.state import State
from monitor.reporting.event_log import Narrator
from monitor.reporting.metrics import Metrics
from monitor.simulator import Simulator
from monitor.tigr.client import TigrClient

_LABEL = re.compile(r'(\w+)="([^"]*)"')  # no label of ours has a quotation mark in its value


_context = functools.cache(verifying_context)  # as the daemon has one for all


class MovableClock:
    """The system's clocks, which a test can move on; the wall clock also apart from the other."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._wall_ahead = 0.0
        self.clock = Clock(now=lambda: time.monotonic() + self._ahead, wall=lambda: time.time() + self._wall_ahead)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds
        self._wall_ahead += seconds

    def step(self, seconds: float) -> None:
        """Step the wall clock alone."""
        self._wall_ahead += seconds


class Rig:
    """A monitored environment of a simulator, from its settings to its metrics and log lines."""

    def __init__(
        self,
        simulator: Simulator,
        name: str = "prod",
        *,
        resolver: Resolver | None = None,
        state_dir: Path | None = None,
        changes: Mapping[str, str] | None = None,
        timeout: float = 0.6,
    ) -> None:
        environ = simulator.settings() | {"TIGR_TIMEOUT": "1s"} | dict(changes or {})
        loaded = load(environ, run_secrets=Path("/nonexistent"))
        own = next(own for own in loaded.settings.environments if own.name == name)
        self.settings: EnvironmentSettings = replace(own, timeout=timeout)
        self.time = MovableClock()
        self.results: list[Result] = []
        self.metrics = Metrics()
        self._narrator = Narrator()
        self.http_client = HttpClient(_context(simulator.ca_file), resolver, self.time.clock)
        self.api = TigrClient(self.settings, self.http_client, self.time.clock)
        self.state = State(state_dir)
        self.environment = Environment(self.settings, self.api, self, self.state, self.time.clock)
        self.metrics.watch(self.settings, self.environment)

    def record(self, result: Result) -> None:
        """Take a Result in, as the daemon does."""
        self.results.append(result)
        self.metrics.record(result)
        self._narrator.record(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """As the daemon does."""
        self.metrics.token_host_checked(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """As the daemon does."""
        self.metrics.certificate_seen(environment, endpoint, expiry)

    def turn(self, endpoint: Endpoint) -> Result:
        """Run one job, again while a young token is refused; return the decisive Result."""
        before = len(self.results)
        run = self.environment.run_login_now if endpoint is Endpoint.TOKEN else self.environment.run_ping
        for _ in range(4):  # two more pings while the token is young, and one that decides
            run()
            recorded = [result for result in self.results[before:] if result.endpoint is endpoint]
            decisive = [result for result in recorded if not result.retried and not result.unauthenticated]
            if decisive:
                return decisive[-1]
            assert recorded, "the run decided to wait"
            self.time.advance(self.settings.confirm_interval)
        raise AssertionError("no result was decisive")

    def exposition(self) -> str:
        """All metrics, as text."""
        return self.metrics.render("")[1].decode()

    def value(self, name: str, **labels: str) -> float | None:
        """One series of this environment; None if it is not exported."""
        wanted = {"environment": self.settings.name} | labels
        return value(self.exposition(), name, **wanted)


def value(exposition: str, name: str, **labels: str) -> float | None:
    """One series; None if it is not there."""
    start = f"{name}{{" if labels else f"{name} "
    for line in exposition.splitlines():
        if line.startswith(start) and dict(_LABEL.findall(line)) == labels:
            return float(line.rsplit(" ", 1)[1])
    return None


def series(exposition: str, pattern: str) -> dict[str, float]:
    """Every series whose text matches."""
    lines = [line.rsplit(" ", 1) for line in exposition.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in lines if re.search(pattern, name)}
