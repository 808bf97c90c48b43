"""`tigr-monitor check` through a running monitor: its credentials, its current token and its limits."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.service.control import ControlResponse, StreamedResponse
from monitor.simulator import Simulator
from monitor.simulator.faults import Echo, HangAfterHandshake, Status
from monitor.web.responses import text_response
from tests.support.call import call
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.checkout import ROOT
from tests.support.control import FakeDaemon, serving
from tests.support.process import PATIENCE, Monitor, clean, command, wait_for

pytestmark = pytest.mark.once

PROD_TOKEN = {"environment": "prod", "endpoint": "token"}
OFTEN = {"TIGR_PING_INTERVAL": "1s", "TIGR_TIMEOUT": "30s"}
SELDOM = {"TIGR_PING_INTERVAL": "5m", "TIGR_AUTH_INTERVAL": "1h"}
LIGHT = "import sys; from monitor.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments with canaries as secrets."""
    with simulator_with_canaries() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the socket."""
    return tmp_path / "control.sock"


def check(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `check` without any setting but the socket."""
    return call(["check", *arguments, "--socket", str(path)], {})


@contextlib.contextmanager
def monitor(simulator: Simulator, path: Path, **changes: str) -> Iterator[Monitor]:
    """Yield a running monitor whose first login in `prod` has ended."""
    environ = simulator.settings() | {"TIGR_CONTROL_SOCKET": str(path)} | changes
    with Monitor(environ, path.parent) as running:
        wait_for(lambda: running.value("tigr_up", **PROD_TOKEN) is not None, "the first login has ended")
        yield running


def test_a_check_needs_no_settings_and_is_a_login_of_the_monitor(simulator: Simulator, path: Path) -> None:
    """It prints every step; metrics and log have a login with the cause `operator`."""
    with monitor(simulator, path, **OFTEN) as running:
        # A scheduled login may have begun less than a ping interval ago.
        wait_for(lambda: "  ✓ token " in check(path, "prod").stdout, "a login of the check")
        assert (running.value("tigr_token_renewals_total", environment="prod", cause="operator") or 0) >= 1
        assert "cause=operator" in running.log()
        ended = check(path, "prod", "uat")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "prod: ping at localhost:" in ended.stdout
        assert "uat: ping at localhost:" in ended.stdout


def test_a_check_within_the_interval_pings_with_the_current_token(simulator: Simulator, path: Path) -> None:
    """It succeeds, and its JSON has the ping only."""
    with monitor(simulator, path, **SELDOM) as running:
        ended = check(path, "prod")
        assert ended.returncode == 0
        assert "not sent: the last login began less than TIGR_PING_INTERVAL (5m) ago" in ended.stdout
        assert "Current token: valid for another " in ended.stdout
        assert "  ✓ ping " in ended.stdout
        printed = check(path, "prod", "--json")
        assert [exchange["endpoint"] for exchange in json.loads(printed.stdout)] == ["ping"]
        assert printed.stderr == ""
        assert simulator.log.requests("prod", "token") == 1
        only = check(path, "prod", "--ping-only").stdout
        assert "login" not in only
        assert "  ✓ ping " in only
        assert running.value("tigr_requests_total", environment="prod", endpoint="ping", outcome="success") == 4


def test_a_rejected_password_is_not_sent_by_a_check(simulator: Simulator, path: Path) -> None:
    """The output names the responsible party, the attempts left and what allows one."""
    simulator.environment("prod").change_password()
    wrong = {"TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}
    with monitor(simulator, path, **OFTEN, **wrong) as running:
        running.wait_for(1, "tigr_credentials_rejected", environment="prod")
        sent = simulator.log.requests("prod", "token")
        ended = check(path, "prod", "--evidence")
        assert ended.returncode == 1
        text = " ".join(ended.stdout.split())
        assert "– login not sent: these credentials were rejected before" in text  # noqa: RUF001 - the mark
        assert "Responsible: probably our credentials" in text
        assert "1 more request with these credentials before logins stop" in text
        assert "SIGUSR1 allows one login" in text
        assert "Not for the vendor's support" in text  # the text about the incident that the rejection opened
        without_token = check(path, "prod", "--ping-only").stdout
        assert "Responsible: probably our credentials" in without_token
        assert simulator.log.requests("prod", "token") == sent


def test_json_reports_a_login_that_must_wait_on_standard_error(simulator: Simulator, path: Path) -> None:
    """The array has no object for it, and the status is 1."""
    simulator.environment("prod").token_faults.set(Status(503, headers={"Retry-After": "600"}))
    with monitor(simulator, path, **SELDOM):
        printed = check(path, "prod", "--json")
    assert printed.returncode == 1
    assert printed.stderr.startswith("tigr-monitor: prod: login not sent: the last login failed, and the next one")
    assert [exchange["reason"] for exchange in json.loads(printed.stdout)] == ["no_token"]


def test_the_evidence_about_a_failure_is_printed_at_the_end(simulator: Simulator, path: Path) -> None:
    """Without a daemon too; it contains no secret, even if the server echoes the request."""
    simulator.environment("prod").api_faults.set(Status(503))
    simulator.environment("uat").api_faults.set(Echo(400))
    with monitor(simulator, path, **SELDOM):
        through_daemon = check(path, "--evidence")
    alone = call(["check", "--evidence"], simulator.settings())
    for ended in (through_daemon, alone):
        assert ended.returncode == 1
        *_, first, second = ended.stdout.split("\nTo: ")
        assert "Subject: TIGR Client API ping has failed since " in first
        assert "server_error, status 503" in first
        assert "This text contains no secret" in " ".join(second.split())
        assert not leaks(ended.stdout + ended.stderr, values(CANARIES))
    assert "\nTo: " not in call(["check"], simulator.settings()).stdout


def test_an_unknown_environment_has_status_2(simulator: Simulator, path: Path) -> None:
    """The message lists those of the monitor."""
    with monitor(simulator, path):
        ended = check(path, "prud")
    assert ended.returncode == 2
    assert ended.stderr == "tigr-monitor: check: unknown environment prud; the environments are prod, uat\n"


def test_the_ping_alone_needs_a_monitor(simulator: Simulator, path: Path) -> None:
    """Without one there is no current token, and nothing is sent."""
    ended = call(["check", "--ping-only"], simulator.settings() | {"TIGR_CONTROL_SOCKET": str(path)})
    assert ended.returncode == 3
    assert ended.stderr.startswith("tigr-monitor: no monitor runs on this machine")
    assert simulator.log.connections() == 0


def test_a_monitor_that_is_killed_ends_the_check(simulator: Simulator, path: Path) -> None:
    """The command reports that the result is incomplete, with status 1."""
    simulator.environment("uat").token_faults.set(HangAfterHandshake())
    with monitor(simulator, path, TIGR_TIMEOUT="600s") as running:
        arguments = command("check", "uat", "--ping-only", "--socket", str(path))
        simulator.environment("uat").api_faults.set(HangAfterHandshake())
        pipe = subprocess.PIPE
        with subprocess.Popen(arguments, env=clean({}), stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("uat: ping without a token at ")
            running.process.kill()
            _, error = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            assert error.startswith("tigr-monitor: the monitor does not respond: ")


def test_an_interrupted_command_leaves_the_check_to_the_monitor(simulator: Simulator, path: Path) -> None:
    """The ping ends and is counted."""
    api = simulator.environment("uat").api_faults
    with monitor(simulator, path, **SELDOM, TIGR_TIMEOUT="60s") as running:
        uat_ping = {"environment": "uat", "endpoint": "ping"}
        running.wait_for(1, "tigr_up", **uat_ping)
        api.set(HangAfterHandshake())
        before = simulator.log.connections()
        arguments = command("check", "uat", "--ping-only", "--socket", str(path))
        with subprocess.Popen(arguments, env=clean({}), stdout=subprocess.PIPE) as process:
            wait_for(lambda: simulator.log.connections() > before, "the ping is in progress")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 1
        assert check(path, "uat").returncode == 1
        assert "another check is in progress" in check(path, "uat").stderr


def test_a_check_through_the_monitor_loads_no_http_client(path: Path) -> None:
    """Neither httpx nor the settings nor the daemon."""
    arguments = [sys.executable, "-c", LIGHT, "check", "--socket", str(path)]
    with serving(path, FakeDaemon().respond):
        loaded = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stderr.split()
    assert "monitor.commands.daemon_check" in loaded
    assert not {"httpx", "httpcore", "pydantic", "uvicorn", "apscheduler"} & set(loaded)
    assert not {"monitor.config", "monitor.service.daemon", "monitor.monitoring"} & set(loaded)


@pytest.mark.parametrize(
    "response,message",
    [
        (text_response(404, "Not found"), "the running monitor cannot check: its version is another one; restart it"),
        (
            text_response(409, "another check is in progress"),
            "the monitor does not check: another check is in progress",
        ),
        (text_response(403, "Only root"), "the monitor does not check: Only root"),
        (StreamedResponse("", [b"<html>\n"]), "the monitor does not respond as expected"),
    ],
    ids=["other version", "other check", "forbidden", "not JSON"],
)
def test_a_response_without_events_is_an_error(response: ControlResponse, message: str, path: Path) -> None:
    """It is one line with the cause, and the status is 1."""
    with serving(path, lambda _: response):
        ended = check(path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"tigr-monitor: {message}")
    assert len(ended.stderr.splitlines()) == 1
