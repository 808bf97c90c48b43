"""A control socket with the routes of the daemon, and values that a test sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from monitor.service.check_stream import MonitoredChecks
from monitor.service.control import ControlServer, Respond
from monitor.service.control_routes import ControlRoutes
from monitor.service.reload import ReloadOutcome
from monitor.service.signals import SignalRequest
from tests.support.overviews import FakeReports


class FakeDaemon:
    """The parts of the daemon that respond to requests."""

    def __init__(self, reports: FakeReports | None = None) -> None:
        self.reports = reports or FakeReports()
        self.stalled_jobs: list[str] = []
        self.outcome = ReloadOutcome(is_refused=False, lines=("new settings are in force",))
        self.requests: list[SignalRequest] = []
        self.respond = ControlRoutes(self, self.reports, self, MonitoredChecks(list)).respond

    def stalled(self) -> list[str]:
        """Return the stalled jobs."""
        return self.stalled_jobs

    def add(self, request: SignalRequest) -> Future[object]:
        """Record the request; return the outcome."""
        self.requests.append(request)
        result: Future[object] = Future()
        result.set_result(self.outcome)
        return result


@contextlib.contextmanager
def serving(path: Path, respond: Respond) -> Iterator[ControlServer]:
    """Yield a running control server."""
    server = ControlServer(path, respond)
    server.start()
    try:
        yield server
    finally:
        server.stop()
