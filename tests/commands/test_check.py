"""`tigr-monitor check`: one login and one ping, reported step by step and as JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.config.settings import load
from monitor.monitoring.negotiation import LoginRecord
from monitor.monitoring.state import LoginKey, State
from monitor.simulator import Simulator
from monitor.simulator.faults import ApiOpen, Echo, HangAfterHandshake, Refuse, Slow, Status, TokenResponse
from monitor.simulator.message import SimulatedResponse
from monitor.simulator.personalities import VENDOR_PAGE
from tests.support.call import call
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.process import PATIENCE, Monitor, clean, command, run

UTF8 = {"PYTHONUTF8": "1"}
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Return a simulator of both environments whose secrets are canaries."""
    with simulator_with_canaries() as running:
        yield running


def check_json(simulator: Simulator, *names: str, status: int, **changes: str) -> list[dict[str, Any]]:
    """Return the array that `check --json` prints."""
    ended = call(["check", "--json", *names], simulator.settings() | changes)
    assert ended.returncode == status, ended.stderr
    printed: list[dict[str, Any]] = json.loads(ended.stdout)
    return printed


def test_success_is_one_line_per_step(simulator: Simulator) -> None:
    """The report has one login and one ping per environment, with their steps; the exit status is 0."""
    ended = run(["check"], simulator.settings() | UTF8)
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert [line.split()[:2] for line in lines if line[0] != " "] == [
        ["prod:", "login"], ["prod:", "ping"], ["uat:", "login"], ["uat:", "ping"],
    ]  # fmt: skip
    login, ping = ["lookup", "connect", "TLS", "login", "token"], ["lookup", "connect", "TLS", "ping"]
    assert [line.split()[:2] for line in lines if line[0] == " "] == [["✓", step] for step in 2 * (login + ping)]
    for learned in ("127.0.0.1", "TLSv1.3, certificate valid for ", "valid for 1h", "its clock "):
        assert learned in ended.stdout
    assert [simulator.log.requests(name, host) for name in ("prod", "uat") for host in ("token", "api")] == [1] * 4


def test_json_has_an_object_per_exchange(simulator: Simulator) -> None:
    """Each object has exactly the documented keys."""
    login, ping = check_json(simulator, "uat", status=0)
    assert list(login) == [
        "environment", "endpoint", "success", "decisive", "reason", "status", "started_at", "duration_seconds",
        "phases", "failed_phase", "url", "host", "address", "tls_version", "certificate_expires_at", "chain_expires_at",
        "clock_offset_seconds", "detail", "error_code", "submission_id", "warnings", "lifetime_seconds", "field_names",
        "responsible", "means", "next", "do_not", "attempts_left",
    ]  # fmt: skip
    assert "lifetime_seconds" not in ping
    assert (login["environment"], login["endpoint"], login["success"], login["reason"]) == ("uat", "token", True, None)
    assert (login["lifetime_seconds"], login["field_names"], login["decisive"]) == (3600, "documented", True)
    uat = simulator.environment("uat")
    assert (login["url"], ping["url"]) == (uat.token_url, f"{uat.api_url}/api/system/ping")
    assert login["host"] == login["url"].split("/")[2]
    assert login["address"] in {"127.0.0.1", "::1"}
    assert (login["tls_version"], login["certificate_expires_at"][-1]) == ("TLSv1.3", "Z")
    assert (login["clock_offset_seconds"], login["error_code"], login["means"], login["next"]) == (None,) * 4
    assert abs(ping["clock_offset_seconds"]) < 60
    assert ping["status"] == 200
    assert sum(ping["phases"].values()) == pytest.approx(ping["duration_seconds"], abs=0.001)
    assert ping["started_at"].endswith("Z")


def test_a_failure_is_explained(simulator: Simulator) -> None:
    """A failure is reported with its reason, meaning, next step and the text of the server; the exit status is 1."""
    simulator.environment("prod").api_faults.set(Status(403))
    ended = run(["check", "prod"], simulator.settings())
    assert ended.returncode == 1
    assert re.search(r" ping +[\d.]+ m?s  forbidden \(status 403\)", ended.stdout)
    for label in ("Detail:", "Code:", "submissionId:", "Responsible: probably", "Means:", "Next:"):
        assert label in ended.stdout
    assert "IP addresses" in ended.stdout
    _, ping = check_json(simulator, "prod", status=1)
    assert ping["reason"] == "forbidden"
    assert ping["submission_id"].startswith("sim-")


def test_both_requests_of_a_first_contact_are_reported(simulator: Simulator) -> None:
    """Each exchange has its field names and the server's text; the setting that pins the right names is reported."""
    simulator.environment("prod").field_names = "rfc6749"
    first, second, ping = check_json(simulator, "prod", status=0)
    assert (first["success"], second["success"], ping["success"]) == (False, True, True)
    assert [exchange["decisive"] for exchange in (first, second, ping)] == [False, True, True]
    assert (first["field_names"], second["field_names"]) == ("documented", "rfc6749")
    text = call(["check", "prod"], simulator.settings()).stdout
    assert "Not decisive: the login with Username/Password" in text
    assert "Invalid Login ID or Password" in text
    assert "TIGR_ENVIRONMENTS__PROD__FORM_FIELDS=rfc6749" in text
    assert "Note:" not in text


def test_the_more_specific_refusal_is_decisive(simulator: Simulator) -> None:
    """The vendor's sentence to `Username` decides if the server does not know `username`; both texts are reported."""
    prod = simulator.environment("prod")
    prod.personality = replace(VENDOR_PAGE, missing_field=SimulatedResponse(400, b"no such field", "text/plain"))
    prod.change_password()
    wrong = {"TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}
    first, second, ping = check_json(simulator, "prod", status=1, **wrong)
    assert [exchange["decisive"] for exchange in (first, second, ping)] == [True, False, True]
    assert (first["reason"], second["reason"]) == ("unauthorized", "rejected_request")
    assert "client id and secret, or the user name and password" in first["means"]
    assert (second["means"], second["next"]) == (None, None)
    text = call(["check", "prod"], simulator.settings() | wrong).stdout
    assert "Not decisive: the login with username/password" in text
    assert "Decisive: the request with Username/Password" in text


def test_a_rejected_login_reports_the_attempts_left(simulator: Simulator, tmp_path: Path) -> None:
    """With a state directory, the attempts left are reported; without one, that the rejection is not persisted."""
    simulator.environment("prod").change_password()
    wrong = simulator.settings() | {"TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}
    text = " ".join(call(["check", "prod"], wrong).stdout.split())
    assert "the password was sent 2 times without a grant, and this is not persisted: TIGR_STATE_DIR is not set" in text
    text = " ".join(call(["check", "prod"], wrong | {"TIGR_STATE_DIR": str(tmp_path)}).stdout.split())
    assert "1 more request with these credentials before logins stop" in text
    assert "not persisted" not in text
    text = " ".join(call(["check", "prod"], wrong | {"TIGR_STATE_DIR": str(tmp_path)}).stdout.split())
    assert "not sent: these credentials were rejected before, and logins are suppressed until" in text


def test_http_basic_is_reported_if_it_may_be_the_cause(simulator: Simulator) -> None:
    """The setting of the other encoding is reported for a refused secret with a percent sign, not for a plain one."""
    prod = simulator.environment("prod")
    prod.change_password()
    wrong = simulator.settings() | {"TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}
    hint = "TIGR_ENVIRONMENTS__PROD__CLIENT_AUTH=form_encoded"
    odd = {"TIGR_ENVIRONMENTS__PROD__CLIENT_SECRET": "50%+more"}
    plain = {"TIGR_ENVIRONMENTS__PROD__CLIENT_SECRET": "plain", "TIGR_ENVIRONMENTS__PROD__CLIENT_ID": "plain"}
    assert hint in call(["check", "prod"], wrong | odd).stdout
    assert hint not in call(["check", "prod"], wrong | plain).stdout


def test_a_failed_login_is_followed_by_an_unauthenticated_probe(simulator: Simulator) -> None:
    """Without a token, the report contains whether the API is reachable and accepts unauthenticated requests."""
    prod = simulator.environment("prod")
    prod.token_faults.set(Refuse())
    text = call(["check", "prod"], simulator.settings()).stdout
    assert "prod: ping without a token" in text
    assert "the Client API is reachable (status 401)" in text
    assert "there is no valid token to ping with" in text
    prod.api_faults.set(ApiOpen())
    assert "ACCEPTS UNAUTHENTICATED REQUESTS" in call(["check", "prod"], simulator.settings()).stdout
    prod.api_faults.set(Refuse())
    text = call(["check", "prod"], simulator.settings()).stdout.partition("ping without a token")[2]
    assert re.search(r" connect +[\d.]+ m?s  connect\n", text)
    login, ping = check_json(simulator, "prod", status=1)
    assert (login["reason"], ping["reason"]) == ("connect", "no_token")


def test_suppressed_logins_are_not_sent(simulator: Simulator, tmp_path: Path) -> None:
    """After rejected credentials, a further check sends no login before the pause ends."""
    simulator.environment("prod").change_password("something else")
    stale = {"TIGR_STATE_DIR": str(tmp_path), "TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}
    first = check_json(simulator, "prod", status=1, **stale)
    assert [exchange["reason"] for exchange in first] == ["unauthorized", "unauthorized", "no_token"]
    suppressed, _ = check_json(simulator, "prod", status=1, **stale)
    assert suppressed["reason"] == "unauthorized"
    assert suppressed["status"] is None
    assert "suppressed until" in suppressed["detail"]
    assert simulator.log.requests("prod", "token") == 2


def test_logins_without_a_response_are_not_reported_as_rejected(simulator: Simulator, tmp_path: Path) -> None:
    """A monitor that ended during two logins suppresses the next; its log and `check` blame no credentials."""
    environ = simulator.settings() | {"TIGR_STATE_DIR": str(tmp_path), "TIGR_REJECTED_LOGINS": "2"}
    prod = next(environment for environment in load(environ).settings.environments if environment.name == "prod")
    state = State(tmp_path)
    key = LoginKey(prod.token_url, state.fingerprint(*prod.identity))
    state.save(key, LoginRecord(counted=1, in_flight=True))
    state.close()
    login, _ = check_json(simulator, "prod", status=1, **environ)
    assert login["detail"].startswith("not sent: earlier logins got no response")
    assert login["means"].startswith("Earlier logins got no response")
    with Monitor(environ | {"TIGR_ENVIRONMENTS__UAT__ENABLED": "false"}, tmp_path) as monitor:
        monitor.wait_for_log("prod: logins have stopped: earlier logins got no response")
    assert simulator.log.requests("prod", "token") == 0


def test_a_deviation_from_the_documentation_is_a_warning(simulator: Simulator) -> None:
    """A token response without its documented scope is a success with a warning."""
    simulator.environment("prod").token_faults.set(TokenResponse(without=("scope",)))
    ended = call(["check", "prod"], simulator.settings())
    assert ended.returncode == 0
    assert "Warning: scope is not 'access'" in ended.stdout


def test_a_timeout_names_its_phase(simulator: Simulator) -> None:
    """A timeout is reported in the line of the step in which it occurred."""
    simulator.environment("prod").api_faults.set(Slow(60))
    for timeout in ("1s", "20s"):  # a busy machine may take the first one before the step
        text = call(["check", "prod"], simulator.settings() | {"TIGR_TIMEOUT": timeout} | UTF8).stdout
        if "✗ ping" in text:
            break
    assert re.search(r"✗ ping +[\d.]+ m?s  timeout\n", text)
    assert f"no response within {timeout[:-1]} s" in text


def test_each_step_is_printed_when_it_ends(simulator: Simulator) -> None:
    """The steps of a login that hangs are printed while it waits for the response."""
    simulator.environment("prod").token_faults.set(HangAfterHandshake())
    environ = clean(simulator.settings() | {"TIGR_TIMEOUT": "600s"} | UTF8)
    with subprocess.Popen(command("check", "prod"), env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            steps = [process.stdout.readline().split()[1] for _ in range(4)]
            assert steps == ["login", "lookup", "connect", "TLS"]
            assert process.poll() is None
        finally:
            process.kill()


def test_an_interrupt_ends_a_check_that_waits(simulator: Simulator) -> None:
    """Ctrl-C needs no response, and prints no traceback."""
    simulator.environment("prod").token_faults.set(HangAfterHandshake())
    environ = clean(simulator.settings() | {"TIGR_TIMEOUT": "600s"})
    pipe = subprocess.PIPE
    with subprocess.Popen(command("check", "prod"), env=environ, text=True, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "login" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == ""


@pytest.mark.parametrize("locale", [UTF8, ASCII], ids=["UTF-8", "ASCII"])
def test_a_file_gets_the_text_without_colour_in_100_columns(locale: dict[str, str]) -> None:
    """A locale without the marks gets others in ASCII."""
    with Simulator() as plain:  # the canaries are not ASCII
        plain.environment("uat").api_faults.set(Status(403))
        wrong = plain.settings() | {"TIGR_ENVIRONMENTS__PROD__PASSWORD": "not the password"} | locale
        text = run(["check"], wrong).stdout
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert text.isascii() == (locale is ASCII)
    marks = ("!! ping", "ok lookup", "-- ping") if locale is ASCII else ("✗ ping", "✓ lookup", "– ping")  # noqa: RUF001
    assert all(f"  {mark} " in text for mark in marks)


def test_a_terminal_gets_colour_unless_it_is_refused(simulator: Simulator) -> None:
    """NO_COLOR switches it off."""
    assert "\x1b[32m" in on_terminal(simulator.settings())
    assert "\x1b" not in on_terminal(simulator.settings() | {"NO_COLOR": "1"})


def on_terminal(environ: Mapping[str, str]) -> str:
    """Run `check` on a terminal and return its output."""
    ours, theirs = os.openpty()
    with subprocess.Popen(command("check", "prod"), env=clean(environ), stdout=theirs) as process:
        os.close(theirs)
        output = b""
        with suppress(OSError):  # EIO: the terminal has no other user left
            while data := os.read(ours, 65536):
                output += data
        os.close(ours)
        assert process.wait(PATIENCE) == 0
    return output.decode()


def test_an_unknown_environment_is_reported(simulator: Simulator) -> None:
    """The message lists the environments; the exit status is 2."""
    ended = run(["check", "prud"], simulator.settings())
    assert ended.returncode == 2
    assert ended.stderr == "tigr-monitor: check: unknown environment prud; the environments are prod, uat\n"


@pytest.mark.parametrize("arguments", [["check"], ["check", "--json"], ["config"]])
def test_no_secret_is_printed(arguments: list[str], simulator: Simulator) -> None:
    """The output contains no secret, even if the server echoes the request."""
    for environment in simulator.environments.values():
        environment.api_faults.set(Echo(400))
    ended = call(arguments, simulator.settings())
    assert not leaks(ended.stdout + ended.stderr, (*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}"))
    simulator.environment("prod").token_faults.set(Echo(401))
    ended = call(arguments, simulator.settings())
    assert not leaks(ended.stdout + ended.stderr, (*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}"))


def test_without_a_monitor_and_with_incomplete_settings_the_message_names_both(tmp_path: Path) -> None:
    """A list of missing settings alone reads like a fault of the installation."""
    ended = call(["check"], {"TIGR_PING_INTERVAL": "20s"})
    assert ended.returncode == 2
    first, second, *_ = ended.stderr.splitlines()
    assert first == "tigr-monitor: no monitor runs on this machine, so check needs settings of its own:"
    assert second == "tigr-monitor: 8 settings are wrong:"


def test_without_a_monitor_and_without_settings_no_secret_seems_to_be_missing(tmp_path: Path) -> None:
    """A shell without any setting is named as the reason, and no single setting."""
    ended = call(["check"], {"TIGR_STATE_DIR": str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "tigr-monitor: no monitor runs on this machine, and this shell has no settings for a check of its own\n"
        "  start the monitor, or set TIGR_CONFIG_FILE and TIGR_SECRETS_DIR, or variables: tigr-monitor config lists "
        "them\n"
    )
