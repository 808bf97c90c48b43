"""The simulator on its own: `python -m monitor.simulator` prints what to set, then takes commands."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from contextlib import ExitStack, suppress

from monitor.simulator.control import CommandError, Commands, ControlPort
from monitor.simulator.simulator import Simulator


def main(arguments: list[str] | None = None) -> int:
    """Simulate until Ctrl-C, SIGTERM or `quit`."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as resources:
        simulator = resources.enter_context(Simulator(options.names, tls=not options.plain, ipv6=options.ipv6))
        if options.log:
            simulator.log.on_record = lambda record: _say(str(record))
        commands = Commands(simulator)
        try:
            control = ControlPort(commands, options.control_port)
        except OSError as error:
            _say(f"The control port {options.control_port} cannot be had: {error.strerror}", error=True)
            return 1
        resources.callback(control.close)
        for name, value in simulator.settings().items():
            _say(f"export {name}={shlex.quote(value)}")
        _say(f"# Commands here, or at {control.url}; `help` lists them, Ctrl-C ends it.")
        while not _converse(commands):
            signal.pause()  # the input has ended: it runs in the background, until a signal
    return 0


def _converse(commands: Commands) -> bool:
    """Take commands from standard input; True at `quit`, False when the input ends."""
    for line in sys.stdin:
        try:
            words = shlex.split(line)
            if words in (["quit"], ["exit"]):
                return True
            if words:
                _say(commands.run(words))
        except (CommandError, ValueError) as error:
            _say(str(error), error=True)
    return False


def _say(words: str, *, error: bool = False) -> None:
    print(words, file=sys.stderr if error else sys.stdout, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitor.simulator", description=__doc__)
    parser.add_argument("names", nargs="*", default=["prod", "uat"], metavar="NAME", help="environments (prod uat)")
    parser.add_argument("--plain", action="store_true", help="plain HTTP instead of TLS")
    parser.add_argument("--ipv6", action="store_true", help="listen on ::1 too")
    parser.add_argument("--control-port", type=int, default=0, metavar="PORT", help="for commands (any free one)")
    parser.add_argument("--log", action="store_true", help="print every request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
