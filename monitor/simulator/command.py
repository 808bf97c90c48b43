"""The command `tigr-monitor simulate`: run a simulated TIGR on this machine, or send a command to the one that runs."""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import sys
import urllib.parse
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.config.validation import ENVIRONMENT_NAME
from monitor.output.standard_streams import OutputError, print_error, print_line, require_output
from monitor.service.systemd import SystemdNotifier
from monitor.simulator.control import CommandError, Commands, ControlPort
from monitor.simulator.extra import missing_modules

if TYPE_CHECKING:
    from monitor.simulator.simulator import Simulator

_DEFAULT_PORT = 9845  # the control port that the command line chooses
_TIMEOUT = 10.0  # seconds, for the response to a command
_NAME_RULE = "the name of an environment consists of a-z, 0-9 and single underscores between them"


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command that runs a simulator."""

    names: tuple[str, ...]
    tls: bool
    ipv6: bool
    log: bool  # print every request
    control_port: int  # 0: a free one
    directory: Path | None  # of the settings for a service; None: they are printed


def simulate(options: Options) -> int:
    """Run the simulator until Ctrl-C, SIGTERM or `quit`; return the exit status: 0, 1 after a failure, 2 for bad input.

    Raises `OutputError` if standard output cannot be written.
    """
    require_output()
    if wrong := [name for name in options.names if not ENVIRONMENT_NAME.fullmatch(name)]:
        return _fail(f"{wrong[0]!r}: {_NAME_RULE}; choose another name", 2)
    if missing := missing_modules():
        return _fail(
            f"the simulator needs packages that are not installed ({', '.join(missing)}); in the folder of the source "
            f"code, run: {sys.executable} -m pip install --require-hashes --no-deps -r requirements/demo.txt",
            2,
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as resources:
        return _run(options, resources)
    return 0


def _run(options: Options, resources: ExitStack) -> int:
    from monitor.simulator.simulator import Simulator

    simulator = resources.enter_context(Simulator(options.names, tls=options.tls, ipv6=options.ipv6))
    if options.log:
        simulator.log.on_record = lambda record: _print_if_possible(str(record))
    commands = Commands(simulator)
    try:
        control = ControlPort(commands, options.control_port)
    except OSError as error:
        return _fail(
            f"cannot listen on control port {options.control_port}: {error.strerror}; "
            "choose another with --control-port",
            1,
        )
    resources.callback(control.close)
    try:
        _print_settings(simulator, options.directory, resources)
    except OSError as error:
        return _fail(f"cannot write the settings to {options.directory}: {error.strerror}; choose another directory", 1)
    _print_instructions(options, control)
    SystemdNotifier(os.environ).ready()
    while not _run_commands(commands):
        signal.pause()  # standard input is closed: run in the background until a signal
    return 0


def _print_settings(simulator: Simulator, directory: Path | None, resources: ExitStack) -> None:
    from monitor.simulator.settings_files import assignments, settings_files

    if directory is None:
        for assignment in assignments(simulator.settings()):
            print_line(f"export {assignment}")
    else:
        path = resources.enter_context(settings_files(simulator, directory.absolute()))
        print_line(f"# The settings of a monitor are in {path}.")


def _print_instructions(options: Options, control: ControlPort) -> None:
    send = "tigr-monitor simulate"
    if control.port != _DEFAULT_PORT:
        send += f" --control-port {control.port}"
    print_line(f"# A fault, from another shell: {send} --send {options.names[0]} api status=503")
    print_line(f"# Its end: {send} --send {options.names[0]} clear")
    print_line(f"# All commands: {send} --send help")
    print_line("# Type commands here, too, without the part up to --send. Ctrl-C stops the simulator.")


def _run_commands(commands: Commands) -> bool:
    """Run commands from standard input; return True at `quit`, False at the end of the input."""
    for line in sys.stdin:
        try:
            arguments = shlex.split(line)
            if arguments in (["quit"], ["exit"]):
                return True
            if arguments:
                print_line(commands.run(arguments))
        except (CommandError, ValueError) as error:
            print_error(str(error))
    return False


def send(command: Sequence[str], control_port: int) -> int:
    """Send a command to the simulator on this machine, and print its response.

    Return the exit status: 0, 1 if no simulator responds, 2 if it refuses the command. Raises `OutputError`.
    """
    require_output()
    form = "&".join("=".join(map(urllib.parse.quote, argument.split("=", 1))) for argument in command)
    connection = http.client.HTTPConnection("127.0.0.1", control_port, timeout=_TIMEOUT)
    try:
        connection.request("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace").rstrip("\n")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return _fail(
            f"no simulator responds on control port {control_port}: {reason}; start `tigr-monitor simulate` in another "
            "shell, or name its port with --control-port",
            1,
        )
    finally:
        connection.close()
    if response.status != 200:
        return _fail(f"the simulator refuses the command: {text}", 2)
    print_line(text)
    return 0


def _print_if_possible(text: str) -> None:
    with suppress(OutputError):  # raised in the thread of a connection, which must respond nevertheless
        print_line(text)


def _fail(text: str, status: int) -> int:
    print_error(f"tigr-monitor: {text}")
    return status
