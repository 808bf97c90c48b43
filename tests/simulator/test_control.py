"""The simulator by hand: every fault has a name, commands change what runs, and what is not understood is said."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.simulator import CertificateVariant, SimulatedCredentials, Simulator, faults
from monitor.simulator.control import CommandError, Commands, ControlPort
from monitor.simulator.fault_syntax import fault_from, vocabulary, words_of
from monitor.simulator.personalities import PERSONALITIES
from tests.simulator.client import SimulatorClient

RFC6749 = ("username", "password")
ALL_FAULTS = typing.get_args(faults.HostFault)


@pytest.fixture
def commands(simulator: Simulator) -> Commands:
    """What can be said to the simulator."""
    return Commands(simulator)


@pytest.mark.parametrize("kind", ALL_FAULTS, ids=lambda kind: kind.__name__)
def test_every_fault_can_be_typed_and_is_explained(kind: type[faults.HostFault]) -> None:
    """Its name alone gives it with its defaults; the help has it with what it does."""
    name = words_of(kind()).split()[0]
    assert fault_from([name]) == kind()
    assert f"  {name}" in vocabulary()
    assert kind.__doc__
    assert kind.__doc__ in vocabulary()


@pytest.mark.parametrize(
    "words, fault",
    [
        ("status=503 body=html", faults.Status(503, faults.Content.HTML)),
        ("status=429 Retry-After=7", faults.Status(429, headers={"Retry-After": "7"})),
        ("drip=0.5 at=body", faults.Drip(0.5, faults.Moment.BODY)),
        ("raw=hello then=reset", faults.Raw(b"hello", faults.ConnectionEnd.RESET)),
        ("http_10", faults.Http10()),
        ('token_response={"expires_in":5} without=["scope"]', faults.TokenResponse({"expires_in": 5}, ("scope",))),
        ("pong=yesterday", faults.Pong("yesterday")),
        ("pong=12", faults.Pong(12)),
        ("certificate=wrong_host", faults.Certificate(CertificateVariant.WRONG_HOST)),
    ],
)
def test_options_are_typed_after_the_name(words: str, fault: faults.HostFault) -> None:
    """The first one with the name itself, the others by theirs; headers with a capital."""
    assert fault_from(words.split()) == fault


@pytest.mark.parametrize(
    "words, says",
    [
        ("", "no fault ''"),
        ("stutter", "no fault 'stutter'"),
        ("hang=5", "takes no value"),
        ("status=many", "code=many is not of its kind"),
        ("reset=later", "at=later is not one of accept, handshake"),
        ("slow=1 colour=red", "no option 'colour'"),
        ("token_response={", "is not of its kind"),
    ],
)
def test_a_fault_that_is_not_understood_is_named(words: str, says: str) -> None:
    """With what was typed, and with what there is."""
    with pytest.raises(ValueError, match=says):
        fault_from(words.split())


def test_commands_change_what_runs(commands: Commands, client: SimulatorClient) -> None:
    """Each does what the same call does."""
    token, environment = client.token(), client.environment
    assert "token: status code=503" in commands.run(["prod", "token", "status=503", "times=1"])
    assert [client.login().status, client.login().status] == [503, 200]
    commands.run(["prod", "api", "status=500"])
    assert client.ping(token).status == 500
    commands.run(["prod", "api", "clear"])
    assert client.ping(token).status == 200
    commands.run(["prod", "revoke"])
    assert client.ping(token).status == 401
    token = client.token()
    commands.run(["prod", "rotate-key"])
    assert client.ping(token).status == 401
    commands.run(["prod", "token", "hang"])
    commands.run(["prod", "clear"])
    commands.run(["prod", "lifetime=30"])
    assert client.login().json["expires_in"] == 30
    old = environment.credentials.password
    commands.run(["prod", "password"])
    assert environment.credentials.password != old
    commands.run(["prod", "password=hello"])
    assert environment.credentials.password == "hello"
    commands.run(["prod", "fields=rfc6749"])
    commands.run(["prod", "errors=rfc6749"])
    assert client.login().json["error"] == "invalid_request"
    commands.run(["prod", "clock=-5"])
    commands.run(["prod", "latency=0.5"])
    assert (environment.clock_offset, environment.latency) == (-5, 0.5)
    assert "uat: token: well; api: well; lifetime=3600" in commands.run(["show"])
    assert "POST /oauth/token" in commands.run(["log", "1"])
    assert "api_open" in commands.run(["help"])


def test_commands_set_the_personality_and_the_state_of_the_user(commands: Commands, client: SimulatorClient) -> None:
    """Each sets the attribute of that name, and the state shows it."""
    environment = client.environment
    assert all(name in commands.run(["help"]) for name in PERSONALITIES)
    assert "personality=keycloak" in commands.run(["prod", "personality=keycloak"])
    commands.run(["prod", "lock-after=1"])
    assert client.login(SimulatedCredentials(username=environment.credentials.username), spelling=RFC6749).status == 401
    assert "failed-logins=0 lock-after=1 locked=no" in commands.run(["show"])  # the client was wrong too
    wrong = replace(environment.credentials, password="wrong")
    assert client.login(wrong, spelling=RFC6749).json["error"] == "invalid_grant"
    assert "failed-logins=1 lock-after=1 locked=yes" in commands.run(["show"])
    assert "failed-logins=0 lock-after=1 locked=no" in commands.run(["prod", "unlock"])
    assert "disabled=yes" in commands.run(["prod", "disabled=yes"])
    assert client.login(spelling=RFC6749).json["error_description"] == "Account disabled"
    assert "disabled=no" in commands.run(["prod", "disabled=no"])
    assert client.login(spelling=RFC6749).status == 200
    assert "refuse-everybody=yes" in commands.run(["prod", "refuse-everybody=yes"])
    assert client.login(spelling=RFC6749).status == 401
    assert "personality=none" in commands.run(["prod", "personality=none"])
    assert "lock-after=none" in commands.run(["prod", "lock-after=none"])


@pytest.mark.parametrize(
    "words, says",
    [
        (["nar", "token", "hang"], "neither a command nor an environment"),
        (["prod"], "one thing at a time"),
        (["prod", "token"], "no fault ''"),
        (["prod", "token", "pong=1"], "no fault of the token host"),
        (["prod", "token", "hang", "times=0"], "times is a positive number"),
        (["prod", "token", "hang", "times=x"], "invalid literal"),
        (["prod", "explode"], "'explode' is unknown"),
        (["prod", "lifetime=-1"], "not a number of seconds"),
        (["prod", "fields=both"], "not one of documented, rfc6749, either"),
        (["prod", "personality=nginx"], "the names are spring-legacy, keycloak"),
        (["prod", "lock-after=0"], "'0' is neither a positive number nor none"),
        (["prod", "disabled=maybe"], "'maybe' is not one of no, yes"),
    ],
)
def test_a_command_that_is_not_understood_changes_nothing(commands: Commands, words: list[str], says: str) -> None:
    """And says why."""
    before = commands.run(["show"])
    with pytest.raises(CommandError, match=says):
        commands.run(words)
    assert commands.run(["show"]) == before


@pytest.fixture
def control(commands: Commands) -> Iterator[ControlPort]:
    """The port that takes commands."""
    port = ControlPort(commands)
    yield port
    port.close()


def command(url: str, method: str, path: str, form: str = "") -> tuple[int, str]:
    """Send a command over HTTP, as curl would."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path, form, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_commands_come_over_http_too(control: ControlPort, client: SimulatorClient) -> None:
    """The words of the path, then those of the form."""
    status, said = command(control.url, "POST", "/prod/api/fault", "status=429&Retry-After=9&times=1")
    assert (status, said[:27]) == (200, "prod: token: well; api: sta")
    refused = client.ping()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "9")
    assert command(control.url, "POST", "/prod/set", "lifetime=9")[0] == 200
    assert client.environment.lifetime == 9
    assert command(control.url, "GET", "/help")[1].startswith("Commands")
    assert command(control.url, "POST", "/prod/api/fault", "nonsense")[0] == 400


def test_it_runs_on_its_own_until_it_is_told_to_stop() -> None:
    """It prints what to set, takes commands from its input, goes on without input, and ends with a signal, status 0."""
    arguments = [sys.executable, "-X", "dev", "-m", "monitor.simulator", "prod", "--plain", "--log"]
    with subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    ) as process:
        assert process.stdin
        assert process.stdout
        said = ""
        while "Commands here" not in said:
            said = process.stdout.readline()
            assert said.startswith(("export TIGR_", "# "))
        control = said.split()[5].rstrip(";")
        process.stdin.write("prod token hang\nbla\nprod 'x\n")
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline().startswith("prod: token: hang; api: well;")
        assert command(control, "GET", "/show")[0] == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out) == (0, "")
    assert err == "'bla' is neither a command nor an environment (prod); try help\nNo closing quotation\n"


def test_quit_ends_it() -> None:
    """So does the word."""
    arguments = [sys.executable, "-m", "monitor.simulator", "--plain"]
    done = subprocess.run(arguments, input="quit\n", capture_output=True, text=True, timeout=10, check=True)
    assert done.stderr == ""
