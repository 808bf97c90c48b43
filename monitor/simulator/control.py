"""The simulator by hand: commands in words, from the keyboard or over HTTP on a loopback port."""

from __future__ import annotations

import textwrap
import typing
import urllib.parse
from collections.abc import Sequence

from monitor.simulator.fault_syntax import fault_from, vocabulary, words_of
from monitor.simulator.listener import AcceptedConnection, ConnectionListener
from monitor.simulator.message import BadRequestError, ReceivedRequest, SimulatedResponse, read_request
from monitor.simulator.personalities import PERSONALITIES
from monitor.simulator.registry import FieldNames, TokenErrors
from monitor.simulator.request_log import Host
from monitor.simulator.simulator import SimulatedEnvironment, Simulator

_INDENT = " " * 28
HELP = """\
Commands (NAME is an environment; the same words work over HTTP: curl -X POST CONTROL/NAME/token/fault -d status=500):
  NAME token FAULT [OPTION=VALUE]... [times=N]   let the token endpoint have a fault, or only its next N connections
  NAME api FAULT [OPTION=VALUE]... [times=N]     let the Client API have it
  NAME token clear, NAME api clear, NAME clear   all is well again
  NAME revoke               reject every token granted so far
  NAME rotate-key           sign with another key from now on
  NAME password[=NEW]       take another password only
  NAME lifetime=SECONDS     of the tokens granted from now on
  NAME fields=documented|rfc6749|either|any_case the field names that a login is read from
  NAME errors=documented|rfc6749                 how logins are refused
  NAME personality=SERVER   respond as this server, whatever fields and errors are (none: the vendor's page):
{personalities}
  NAME lock-after=N         lock the user after N failed logins in a row (none: never)
  NAME unlock               set the user's count of failed logins to zero
  NAME disabled=yes|no      disable the user's account
  NAME refuse-everybody=yes|no                   refuse every password: the user store is down
  NAME clock=SECONDS        how far the server's clock is ahead
  NAME latency=SECONDS      exactly, for both hosts
  show                      what is set
  log [N]                   the last N requests (20)
  help
Faults, with their options:
""".replace(
    "{personalities}",
    textwrap.fill(
        ", ".join(PERSONALITIES), 110, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    ),
)


_YES_NO = ("no", "yes")


class CommandError(Exception):
    """A command that was not understood; the text says why."""


class Commands:
    """What can be said to a running simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def run(self, words: Sequence[str]) -> str:
        """Do it and say what was done; raises CommandError."""
        match list(words):
            case [] | ["help"]:
                return HELP + vocabulary()
            case ["show"]:
                return "\n".join(self._state(environment) for environment in self._simulator.environments.values())
            case ["log", *rest]:
                count = int(rest[0]) if rest and rest[0].isdecimal() else 20
                return "\n".join(str(record) for record in self._simulator.log.records()[-count:]) or "no request yet"
            case [name, *rest] if name in self._simulator.environments:
                environment = self._simulator.environment(name)
                try:
                    self._change(environment, rest)
                except ValueError as error:
                    raise CommandError(str(error)) from None
                return self._state(environment)
            case [word, *_]:
                names = ", ".join(self._simulator.environments)
                raise CommandError(f"{word!r} is neither a command nor an environment ({names}); try help")
        raise CommandError("try help")

    def _change(self, environment: SimulatedEnvironment, words: list[str]) -> None:
        hosts = {Host.TOKEN.value: environment.token_faults, Host.API.value: environment.api_faults}
        match words:
            case [host, "clear"] if host in hosts:
                hosts[host].clear()
            case [host, *fault] if host in hosts:
                times = [word.removeprefix("times=") for word in fault if word.startswith("times=")]
                what = fault_from([word for word in fault if not word.startswith("times=")])
                hosts[host].set(what, int(times[0]) if times else None)
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
                raise ValueError("one thing at a time; try help")

    @staticmethod
    def _state(environment: SimulatedEnvironment) -> str:
        return (
            f"{environment.name}: token: {words_of(environment.token_faults.current)}; "
            f"api: {words_of(environment.api_faults.current)}; lifetime={environment.lifetime:g} "
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
            environment.lock_after = None if value == "none" else _positive(value)
        case "disabled":
            environment.disabled = _one_of(value, _YES_NO) == "yes"
        case "refuse-everybody":
            environment.refuse_everybody = _one_of(value, _YES_NO) == "yes"
        case _:
            raise ValueError(f"{name!r} is unknown; try help")


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{text} is not a number of seconds")
    return int(number) if number.is_integer() else number


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise ValueError(f"{text!r} is neither a positive number nor none")
    return int(text)


def _one_of(value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise ValueError(f"{value!r} is not one of {', '.join(values)}")
    return value


class ControlPort:
    """Commands over HTTP: the words of the path, then those of the form; `fault` and `set` in a path are polite."""

    def __init__(self, commands: Commands, port: int = 0) -> None:
        """Listen at once, on 127.0.0.1 only; OSError goes to the caller."""
        self._commands = commands
        self._listener = ConnectionListener(self._handle, "127.0.0.1", port)
        self._listener.start()
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def close(self) -> None:
        """End it."""
        self._listener.close()

    def _handle(self, connection: AcceptedConnection) -> None:
        try:
            request = read_request(connection.receive)
            if request is None:
                return
            status, said = 200, self._commands.run(_words(request))
        except BadRequestError as error:
            status, said = error.status, str(error)
        except CommandError as error:
            status, said = 400, str(error)
        answer = SimulatedResponse(status, said.encode() + b"\n", "text/plain; charset=utf-8")
        connection.send(answer.header_section(connection="close") + answer.body)


def _words(request: ReceivedRequest) -> list[str]:
    path = [word for word in request.path.split("/") if word not in ("", "fault", "set")]
    form = urllib.parse.parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return path + [f"{name}={value}" if value else name for name, value in form]
