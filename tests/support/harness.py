"""Harness of one environment: the objects of the daemon without its scheduler. A test starts each run."""

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
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.state import State
from monitor.reporting.event_log import EventLog
from monitor.reporting.metrics import Metrics
from monitor.simulator import Simulator
from monitor.tigr.client import TigrClient

_LABEL = re.compile(r'(\w+)="([^"]*)"')  # no label value contains a quotation mark


_context = functools.cache(verifying_context)  # shared, as in the daemon


class MovableClock:
    """The clocks of the system plus offsets that a test changes."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._wall_ahead = 0.0
        self.clock = Clock(now=lambda: time.monotonic() + self._ahead, wall=lambda: time.time() + self._wall_ahead)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._ahead += seconds
        self._wall_ahead += seconds

    def step(self, seconds: float) -> None:
        """Step only the wall clock."""
        self._wall_ahead += seconds


class EnvironmentHarness:
    """An environment that monitors a simulator, with its settings, metrics and log lines."""

    def __init__(
        self,
        simulator: Simulator,
        name: str = "prod",
        *,
        resolver: Resolver | None = None,
        state_dir: Path | None = None,
        changes: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        environ = simulator.settings() | {"TIGR_TIMEOUT": "1s"} | dict(changes or {})
        loaded = load(environ, run_secrets=Path("/nonexistent"))
        settings = next(settings for settings in loaded.settings.environments if settings.name == name)
        self.settings: EnvironmentSettings = replace(settings, timeout=timeout)
        self.time = MovableClock()
        self.results: list[Result] = []
        self.metrics = Metrics()
        self._event_log = EventLog()
        self.wire = HttpClient(_context(simulator.ca_file), resolver, self.time.clock)
        self.api = TigrClient(self.settings, self.wire, self.time.clock)
        self.state = State(state_dir)
        self.environment = MonitoredEnvironment(self.settings, self.api, self, self.state, self.time.clock)
        self.metrics.add(self.settings, self.environment)

    def limit(self, timeout: float) -> None:
        """Use another timeout (seconds) from the next exchange on."""
        if timeout == self.settings.timeout:
            return
        self.settings = replace(self.settings, timeout=timeout)
        self.api = TigrClient(self.settings, self.wire, self.time.clock)
        self.environment.use(self.settings, self.api)

    def record(self, result: Result) -> None:
        """Store a Result and pass it to metrics and event log."""
        self.results.append(result)
        self.metrics.record(result)
        self._event_log.record(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Pass the outcome of a check of the token host to the metrics."""
        self.metrics.token_host_checked(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Pass the expiry of a certificate (Unix seconds) to the metrics."""
        self.metrics.certificate_seen(environment, endpoint, expiry)

    def run(self, endpoint: Endpoint) -> Result:
        """Run one job, and repeat it while a young token is refused; return the decisive Result."""
        before = len(self.results)
        run = self.environment.run_login_now if endpoint is Endpoint.TOKEN else self.environment.run_ping
        for _ in range(4):  # at most two more pings with a young token, and a decisive one
            run()
            recorded = [result for result in self.results[before:] if result.endpoint is endpoint]
            decisive = [result for result in recorded if result.is_decisive]
            if decisive:
                return decisive[-1]
            assert recorded, "the run decided to wait"
            self.time.advance(self.settings.confirm_interval)
        raise AssertionError("no result was decisive")

    def exposition(self) -> str:
        """Return all metrics as text."""
        return self.metrics.render("")[1].decode()

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series of this environment; None if it is not exported."""
        wanted = {"environment": self.settings.name} | labels
        return value(self.exposition(), name, **wanted)


def value(exposition: str, name: str, **labels: str) -> float | None:
    """Return the value of one series; None if it does not exist."""
    return next((float(number) for each, number in _samples(exposition).get(name, ()) if each == labels), None)


@functools.lru_cache(maxsize=2)  # a test asks for many values of one text
def _samples(exposition: str) -> Mapping[str, list[tuple[dict[str, str], str]]]:
    """Return the labels and the number of each series, by its name."""
    samples: dict[str, list[tuple[dict[str, str], str]]] = {}
    for line in exposition.splitlines():
        if line and not line.startswith("#"):
            head, _, number = line.rpartition(" ")
            samples.setdefault(head.partition("{")[0], []).append((dict(_LABEL.findall(head)), number))
    return samples


def series(exposition: str, pattern: str) -> dict[str, float]:
    """Return every series whose text matches `pattern`, with its value."""
    lines = [line.rsplit(" ", 1) for line in exposition.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in lines if re.search(pattern, name)}
