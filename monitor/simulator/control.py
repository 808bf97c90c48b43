"""Commands to a running simulator, from standard input or over HTTP on a loopback port."""

from __future__ import annotations

import textwrap
import typing
import urllib.parse
from collections.abc import Sequence

from monitor.simulator.fault_syntax import describe_faults, format_fault, parse_fault
from monitor.simulator.listener import AcceptedConnection, ConnectionListener
from monitor.simulator.message import BadRequestError, ReceivedRequest, SimulatedResponse, read_request
from monitor.simulator.personalities import PERSONALITIES
from monitor.simulator.registry import FieldNames, TokenErrors
from monitor.simulator.request_log import Host
from monitor.simulator.simulator import SimulatedEnvironment, Simulator

_INDENT = " " * 28
HELP = """\
Commands (NAME is an environment), from another shell: tigr-monitor simulate --send NAME token status=500
(over HTTP: curl -d status=500 http://127.0.0.1:9845/NAME/token/fault, with the number of the control port):
  NAME token FAULT [OPTION=VALUE]... [times=N]   set a fault of the token endpoint, or of its next N connections
  NAME api FAULT [OPTION=VALUE]... [times=N]     set a fault of the Client API
  NAME token clear, NAME api clear, NAME clear   clear the faults
  NAME revoke               reject every token granted until now
  NAME rotate-key           sign and verify tokens with another key
  NAME password[=NEW]       accept only another password
  NAME lifetime=SECONDS     lifetime of the tokens granted from now on
  NAME fields=documented|rfc6749|either|any_case field names that the token endpoint reads
  NAME errors=documented|rfc6749                 responses to refused logins
  NAME personality=SERVER   respond as this server; replaces fields and errors (none: the vendor's page):
{personalities}
  NAME lock-after=N         lock the user after N failed logins in a row (none: never)
  NAME unlock               set the user's count of failed logins to zero
  NAME disabled=yes|no      disable the user's account
  NAME refuse-everybody=yes|no                   refuse every password (the user store is down)
  NAME clock=SECONDS        seconds that the server's clock is ahead
  NAME latency=SECONDS      exact latency of both hosts
  show                      show the state of every environment
  log [N]                   show the last N requests (20)
  help                      show this text
Faults with their options:
""".replace(
    "{personalities}",
    textwrap.fill(
        ", ".join(PERSONALITIES), 110, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    ),
)


_YES_NO = ("no", "yes")


class CommandError(Exception):
    """A command is invalid. The text gives the reason."""


class Commands:
    """The commands of a running simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def run(self, arguments: Sequence[str]) -> str:
        """Run one command and return its output. Raises CommandError."""
        match list(arguments):
            case [] | ["help"]:
                return HELP + describe_faults()
            case ["show"]:
                return "\n".join(self._state(environment) for environment in self._simulator.environments.values())
            case ["log", *rest]:
                count = int(rest[0]) if rest and rest[0].isdecimal() else 20
                return "\n".join(str(record) for record in self._simulator.log.records()[-count:]) or "no requests"
            case [name, *rest] if name in self._simulator.environments:
                environment = self._simulator.environment(name)
                try:
                    self._change(environment, rest)
                except ValueError as error:
                    raise CommandError(str(error)) from None
                return self._state(environment)
            case [argument, *_]:
                names = ", ".join(self._simulator.environments)
                raise CommandError(f"{argument!r} is neither a command nor an environment ({names}); try help")
        raise CommandError("no command; try help")

    def _change(self, environment: SimulatedEnvironment, arguments: list[str]) -> None:
        hosts = {Host.TOKEN.value: environment.token_faults, Host.API.value: environment.api_faults}
        match arguments:
            case [host, "clear"] if host in hosts:
                hosts[host].clear()
            case [host, *fault] if host in hosts:
                times = [option.removeprefix("times=") for option in fault if option.startswith("times=")]
                options = [option for option in fault if not option.startswith("times=")]
                hosts[host].set(parse_fault(options), _positive("times", times[0]) if times else None)
            case ["clear"]:
                environment.token_faults.clear()
                environment.api_faults.clear()
            case ["revoke"]:
                environment.revoke_tokens()
            case ["unlock"]:
                environment.unlock()
            case ["rotate-key"]:
                environment.rotate_signing_key()
            case [assignment]:
                _assign(environment, *assignment.partition("=")[::2])
            case _:
                raise ValueError("NAME takes exactly one command; try help")

    @staticmethod
    def _state(environment: SimulatedEnvironment) -> str:
        return (
            f"{environment.name}: token: {format_fault(environment.token_faults.current)}; "
            f"api: {format_fault(environment.api_faults.current)}; lifetime={environment.lifetime:g} "
            f"fields={environment.field_names} errors={environment.token_errors} clock={environment.clock_offset:g} "
            f"{_state_of_user(environment)} password={environment.credentials.password}"
        )


def _state_of_user(environment: SimulatedEnvironment) -> str:
    return (
        f"personality={environment.personality.name if environment.personality else 'none'} "
        f"failed-logins={environment.failed_logins} lock-after={environment.lock_after or 'none'} "
        f"locked={_YES_NO[environment.locked]} disabled={_YES_NO[environment.disabled]} "
        f"refuse-everybody={_YES_NO[environment.refuse_everybody]}"
    )


def _assign(environment: SimulatedEnvironment, name: str, value: str) -> None:
    match name:
        case "password":
            environment.change_password(value or None)
        case "lifetime":
            environment.lifetime = _number(value)
        case "clock":
            environment.clock_offset = float(value)
        case "latency":
            environment.latency = _number(value)
        case "fields":
            environment.field_names = typing.cast("FieldNames", _one_of(value, typing.get_args(FieldNames)))
        case "errors":
            environment.token_errors = typing.cast("TokenErrors", _one_of(value, typing.get_args(TokenErrors)))
        case _:
            _assign_server(environment, name, value)


def _assign_server(environment: SimulatedEnvironment, name: str, value: str) -> None:
    match name:
        case "personality":
            environment.personality = None if value == "none" else value
        case "lock-after":
            environment.lock_after = None if value == "none" else _positive("lock-after", value)
        case "disabled":
            environment.disabled = _one_of(value, _YES_NO) == "yes"
        case "refuse-everybody":
            environment.refuse_everybody = _one_of(value, _YES_NO) == "yes"
        case _:
            raise ValueError(f"unknown command {name!r}; try help")


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{text} is not a number of seconds")
    return int(number) if number.is_integer() else number


def _positive(name: str, text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise ValueError(f"{name}={text} is not a positive integer")
    return int(text)


def _one_of(value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise ValueError(f"{value!r} is not one of {', '.join(values)}")
    return value


class ControlPort:
    """The HTTP port for commands: the parts of the path, then the form. `fault` and `set` in a path have no effect."""

    def __init__(self, commands: Commands, port: int = 0) -> None:
        """Listen on 127.0.0.1. Raises OSError."""
        self._commands = commands
        self._listener = ConnectionListener(self._handle, "127.0.0.1", port)
        self._listener.start()
        self.port = self._listener.port

    def close(self) -> None:
        """Stop listening, and end every connection."""
        self._listener.close()

    def _handle(self, connection: AcceptedConnection) -> None:
        try:
            request = read_request(connection.receive)
            if request is None:
                return
            status, text = 200, self._commands.run(_arguments(request))
        except BadRequestError as error:
            status, text = error.status, str(error)
        except CommandError as error:
            status, text = 400, str(error)
        response = SimulatedResponse(status, text.encode() + b"\n", "text/plain; charset=utf-8")
        connection.send(response.header_section(connection="close") + response.body)


def _arguments(request: ReceivedRequest) -> list[str]:
    path = [part for part in request.path.split("/") if part not in ("", "fault", "set")]
    form = urllib.parse.parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return path + [f"{name}={value}" if value else name for name, value in form]
