"""Command `python -m monitor.simulator`: print the settings for a monitor, then run commands from standard input."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from contextlib import ExitStack, suppress

from monitor.simulator.control import CommandError, Commands, ControlPort
from monitor.simulator.simulator import Simulator


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator until Ctrl-C, SIGTERM or `quit`; return 1 if the control port is not available, else 0."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as resources:
        simulator = resources.enter_context(Simulator(options.names, tls=not options.plain, ipv6=options.ipv6))
        if options.log:
            simulator.log.on_record = lambda record: _print(str(record))
        commands = Commands(simulator)
        try:
            control = ControlPort(commands, options.control_port)
        except OSError as error:
            _print(
                f"cannot listen on control port {options.control_port}: {error.strerror}; "
                "choose another with --control-port",
                error=True,
            )
            return 1
        resources.callback(control.close)
        for name, value in simulator.settings().items():
            _print(f"export {name}={shlex.quote(value)}")
        _print(f"# Type commands here, or send them to {control.url}; `help` lists them, Ctrl-C stops the simulator.")
        while not _run_commands(commands):
            signal.pause()  # standard input is closed: run in the background until a signal
    return 0


def _run_commands(commands: Commands) -> bool:
    """Run commands from standard input; return True at `quit`, False at the end of the input."""
    for line in sys.stdin:
        try:
            arguments = shlex.split(line)
            if arguments in (["quit"], ["exit"]):
                return True
            if arguments:
                _print(commands.run(arguments))
        except (CommandError, ValueError) as error:
            _print(str(error), error=True)
    return False


def _print(text: str, *, error: bool = False) -> None:
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitor.simulator", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        default=["prod", "uat"],
        metavar="NAME",
        help="names of the environments (default: prod uat)",
    )
    parser.add_argument("--plain", action="store_true", help="use plain HTTP instead of TLS")
    parser.add_argument("--ipv6", action="store_true", help="listen on ::1 too")
    parser.add_argument(
        "--control-port", type=int, default=0, metavar="PORT", help="port for commands (default: a free one)"
    )
    parser.add_argument("--log", action="store_true", help="print every request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
