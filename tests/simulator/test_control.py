"""Commands to the simulator: every fault has a name, commands change the simulator, and errors name the cause."""

from __future__ import annotations

import http.client
import typing
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.simulator import CertificateVariant, SimulatedCredentials, Simulator, faults
from monitor.simulator.control import CommandError, Commands, ControlPort
from monitor.simulator.fault_syntax import describe_faults, format_fault, parse_fault
from monitor.simulator.personalities import PERSONALITIES
from tests.simulator.client import SimulatorClient

pytestmark = pytest.mark.once

RFC6749 = ("username", "password")
ALL_FAULTS = typing.get_args(faults.HostFault)


@pytest.fixture
def commands(simulator: Simulator) -> Commands:
    """Return the commands of the simulator."""
    return Commands(simulator)


@pytest.mark.parametrize("fault_type", ALL_FAULTS, ids=lambda fault_type: fault_type.__name__)
def test_every_fault_has_a_name_and_a_help_text(fault_type: type[faults.HostFault]) -> None:
    """The name alone is the fault with its defaults; the help has the name and the docstring of the fault."""
    name = format_fault(fault_type()).split()[0]
    assert parse_fault([name]) == fault_type()
    assert f"  {name}" in describe_faults()
    assert fault_type.__doc__
    assert fault_type.__doc__ in describe_faults()


@pytest.mark.parametrize(
    "arguments, fault",
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
def test_options_follow_the_name_of_a_fault(arguments: str, fault: faults.HostFault) -> None:
    """The first option is the value of the fault's name; options with a capital first letter are headers."""
    assert parse_fault(arguments.split()) == fault


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("", "unknown fault ''"),
        ("stutter", "unknown fault 'stutter'"),
        ("hang=5", "takes no value"),
        ("status=many", "code=many is not an integer"),
        ("reset=later", "at=later is not one of accept, handshake"),
        ("slow=1 colour=red", "unknown option 'colour'"),
        ("token_response={", "is not valid JSON"),
    ],
)
def test_the_error_for_an_invalid_fault_names_the_cause(arguments: str, message: str) -> None:
    """The error has the invalid name or value, and the valid ones if they are few."""
    with pytest.raises(ValueError, match=message):
        parse_fault(arguments.split())


def test_commands_change_the_simulator(commands: Commands, client: SimulatorClient) -> None:
    """Each command has the effect of the method or attribute of its name."""
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
    assert "uat: token: none; api: none; lifetime=3600" in commands.run(["show"])
    assert "POST /oauth/token" in commands.run(["log", "1"])
    assert "api_open" in commands.run(["help"])


def test_commands_set_the_personality_and_the_state_of_the_user(commands: Commands, client: SimulatorClient) -> None:
    """Each command sets the attribute of its name, and the state shows the value."""
    environment = client.environment
    assert all(name in commands.run(["help"]) for name in PERSONALITIES)
    assert "personality=keycloak" in commands.run(["prod", "personality=keycloak"])
    commands.run(["prod", "lock-after=1"])
    assert (
        client.login(SimulatedCredentials(username=environment.credentials.username), field_names=RFC6749).status == 401
    )
    assert "failed-logins=0 lock-after=1 locked=no" in commands.run(["show"])  # the client was wrong too
    wrong = replace(environment.credentials, password="wrong")
    assert client.login(wrong, field_names=RFC6749).json["error"] == "invalid_grant"
    assert "failed-logins=1 lock-after=1 locked=yes" in commands.run(["show"])
    assert "failed-logins=0 lock-after=1 locked=no" in commands.run(["prod", "unlock"])
    assert "disabled=yes" in commands.run(["prod", "disabled=yes"])
    assert client.login(field_names=RFC6749).json["error_description"] == "Account disabled"
    assert "disabled=no" in commands.run(["prod", "disabled=no"])
    assert client.login(field_names=RFC6749).status == 200
    assert "refuse-everybody=yes" in commands.run(["prod", "refuse-everybody=yes"])
    assert client.login(field_names=RFC6749).status == 401
    assert "personality=none" in commands.run(["prod", "personality=none"])
    assert "lock-after=none" in commands.run(["prod", "lock-after=none"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nar", "token", "hang"], "neither a command nor an environment"),
        (["prod"], "NAME takes exactly one command"),
        (["prod", "token"], "unknown fault ''"),
        (["prod", "token", "pong=1"], "not a fault of the token host"),
        (["prod", "token", "hang", "times=0"], "times=0 is not a positive integer"),
        (["prod", "token", "hang", "times=x"], "times=x is not a positive integer"),
        (["prod", "explode"], "unknown command 'explode'"),
        (["prod", "lifetime=-1"], "not a number of seconds"),
        (["prod", "fields=both"], "not one of documented, rfc6749, either"),
        (["prod", "personality=nginx"], "the names are spring-legacy, keycloak"),
        (["prod", "lock-after=0"], "lock-after=0 is not a positive integer"),
        (["prod", "disabled=maybe"], "'maybe' is not one of no, yes"),
    ],
)
def test_an_invalid_command_changes_nothing(commands: Commands, arguments: list[str], message: str) -> None:
    """The error has the reason, and the state stays the same."""
    before = commands.run(["show"])
    with pytest.raises(CommandError, match=message):
        commands.run(arguments)
    assert commands.run(["show"]) == before


@pytest.fixture
def control(commands: Commands) -> Iterator[ControlPort]:
    """Yield the HTTP port for commands."""
    port = ControlPort(commands)
    yield port
    port.close()


def command(port: int, method: str, path: str, form: str = "") -> tuple[int, str]:
    """Send a command over HTTP and return the status and the text of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, form, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_commands_work_over_http(control: ControlPort, client: SimulatorClient) -> None:
    """A command consists of the parts of the path, then of the form."""
    status, text = command(control.port, "POST", "/prod/api/fault", "status=429&Retry-After=9&times=1")
    assert (status, text[:27]) == (200, "prod: token: none; api: sta")
    refused = client.ping()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "9")
    assert command(control.port, "POST", "/prod/set", "lifetime=9")[0] == 200
    assert client.environment.lifetime == 9
    assert command(control.port, "GET", "/help")[1].startswith("Commands")
    assert command(control.port, "POST", "/prod/api/fault", "nonsense")[0] == 400
