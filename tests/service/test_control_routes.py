"""The requests of the control socket."""

from __future__ import annotations

import json
from concurrent.futures import Future

import pytest

from monitor.service import control_routes
from monitor.service.control import ControlRequest
from monitor.service.control_routes import ControlRoutes
from monitor.service.reload import ReloadOutcome
from monitor.service.signals import SignalRequest
from monitor.web.responses import WebResponse
from tests.support.control import FakeDaemon

pytestmark = pytest.mark.once


@pytest.fixture
def daemon() -> FakeDaemon:
    """Return a daemon that is well."""
    return FakeDaemon()


def respond(daemon: FakeDaemon | ControlRoutes, method: str, target: str) -> tuple[int, str]:
    """Return status and text of the response."""
    path, _, query = target.partition("?")
    response = daemon.respond(ControlRequest(method, path, query, b""))
    assert isinstance(response, WebResponse)
    return response.status, response.body.decode()


def test_healthy_names_each_stalled_job(daemon: FakeDaemon) -> None:
    """The status is 200, or 503 with one line per job, as on the port."""
    assert respond(daemon, "GET", "/-/healthy") == (200, "Healthy\n")
    daemon.stalled_jobs = ["prod: no ping for 5 min", "uat: no login for 1 h"]
    assert respond(daemon, "GET", "/-/healthy") == (503, "prod: no ping for 5 min\nuat: no login for 1 h\n")


def test_a_reload_returns_its_outcome(daemon: FakeDaemon) -> None:
    """The status is 200 with the changes, or 422 with one problem per line."""
    assert respond(daemon, "POST", "/reload") == (200, "new settings are in force\n")
    daemon.outcome = ReloadOutcome(is_refused=True, lines=("TIGR_TIMEOUT: is wrong", "TIGR_PROXY: is wrong"))
    assert respond(daemon, "POST", "/reload") == (422, "TIGR_TIMEOUT: is wrong\nTIGR_PROXY: is wrong\n")
    assert daemon.requests == [SignalRequest.RELOAD] * 2


def test_a_reload_that_does_not_end_is_reported(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command must not wait without end."""
    monkeypatch.setattr(control_routes, "_RELOAD_TIMEOUT", 0.01)
    monkeypatch.setattr(daemon, "add", lambda _request: Future())
    status, text = respond(daemon, "POST", "/reload")
    assert status == 504
    assert "has not ended" in text


def test_the_json_interface_is_served(daemon: FakeDaemon) -> None:
    """It has the same paths as on the port."""
    status, text = respond(daemon, "GET", "/api/v1/status")
    assert status == 200
    assert json.loads(text)["well"] is True
    assert respond(daemon, "GET", "/api/v1/incidents?sinc=1")[0] == 400


@pytest.mark.parametrize(
    "method,path,status", [("GET", "/", 404), ("GET", "/reload", 405), ("POST", "/-/healthy", 405)]
)
def test_other_requests_are_refused(method: str, path: str, status: int, daemon: FakeDaemon) -> None:
    """A reload needs POST, so that no link causes one."""
    assert respond(daemon, method, path)[0] == status
    assert daemon.requests == []
