"""The requests that the control socket serves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from monitor.reporting.overview import Reports
from monitor.service import check_request
from monitor.service.check_stream import MonitoredChecks
from monitor.service.control import ControlRequest, ControlResponse
from monitor.service.reload import ReloadOutcome
from monitor.service.signals import SignalRequest
from monitor.web.api import PREFIX, JsonInterface
from monitor.web.responses import health_response, text_response

_RELOAD_TIMEOUT = 60.0  # seconds; systemd waits 90 s for its command


class Monitor(Protocol):
    """The part of the supervisor that responds to `/-/healthy`."""

    def stalled(self) -> list[str]:
        """Return one text per job that makes no progress."""


class Requests(Protocol):
    """The queue of reloads and login requests."""

    def add(self, request: SignalRequest) -> Future[object]:
        """Handle `request` soon; return the future result of its task."""


class ControlRoutes:
    """Responds to the requests of commands. A response may wait."""

    def __init__(self, monitor: Monitor, reports: Reports, requests: Requests, checks: MonitoredChecks) -> None:
        self._monitor = monitor
        self._api = JsonInterface(reports)
        self._requests = requests
        self._checks = checks
        # By method and path.
        self._routes: dict[tuple[str, str], Callable[[ControlRequest], ControlResponse]] = {
            ("GET", "/-/healthy"): self._healthy,
            ("POST", "/reload"): self._reload,
            ("POST", "/check"): self._check,
        }

    def respond(self, request: ControlRequest) -> ControlResponse:
        """Return the response to a request."""
        if request.path.startswith(PREFIX):
            return self._api.respond(request.method, request.path, request.query)
        if route := self._routes.get((request.method, request.path)):
            return route(request)
        methods = [method for method, path in self._routes if path == request.path]
        if methods:
            return text_response(405, "Method not allowed", ((b"allow", ", ".join(methods).encode()),))
        return text_response(404, "Not found")

    def _healthy(self, _request: ControlRequest) -> ControlResponse:
        return health_response(self._monitor.stalled())

    def _check(self, request: ControlRequest) -> ControlResponse:
        return check_request.respond(self._checks, request.body)

    def _reload(self, _request: ControlRequest) -> ControlResponse:
        """Reload as SIGHUP does, and wait for the outcome."""
        try:
            outcome = self._requests.add(SignalRequest.RELOAD).result(_RELOAD_TIMEOUT)
        except TimeoutError:
            return text_response(504, f"The reload has not ended within {_RELOAD_TIMEOUT:.0f} s; see the log.")
        assert isinstance(outcome, ReloadOutcome)  # noqa: S101 - the task of every reload returns one
        return text_response(422 if outcome.is_refused else 200, "\n".join(outcome.lines))
