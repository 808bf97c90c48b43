"""The command line `tigr-monitor`: parse the arguments, run the command, return the exit status."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

from monitor import __version__, log
from monitor.commands.parsers import add_daemon_commands
from monitor.commands.setup_parsers import add_setup_commands
from monitor.commands.simulator_parsers import add_simulator_commands
from monitor.errors import ConfigError, DaemonError, InstallationError, describe_exception
from monitor.machine.limits import local_limit
from monitor.output.standard_streams import (
    OutputError,
    discard_streams,
    flush_error,
    flush_output,
    prepare,
    print_line,
)

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

_DESCRIPTION = "Monitor login to the TIGR Registry Client API and its reachability."
_EPILOG = """\
Settings are read from TIGR_CONFIG_FILE (TOML), then from files in TIGR_SECRETS_DIR, then from variables that begin
with TIGR_; a later source overrides an earlier one. The required settings, for each of PROD and UAT:

  TIGR_ENVIRONMENTS__PROD__CLIENT_ID   TIGR_ENVIRONMENTS__PROD__CLIENT_SECRET
  TIGR_ENVIRONMENTS__PROD__USERNAME    TIGR_ENVIRONMENTS__PROD__PASSWORD

To disable an environment: TIGR_ENVIRONMENTS__UAT__ENABLED=false

first steps:
  tigr-monitor setup     enter the secrets of the service of systemd, check them, start it
  tigr-monitor demo      monitor a simulated TIGR on this machine
  tigr-monitor config    print the effective settings and the source of each
  tigr-monitor check     log in and ping once
  tigr-monitor run       monitor continuously, and serve http://127.0.0.1:9844/
  tigr-monitor status    print the state of all environments, while the monitor runs
  tigr-monitor simulate  run a simulated TIGR, to rehearse an alert

exit status: 0 success, 1 failure, 2 invalid settings or arguments, 3 no monitor runs on this machine
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    prepare()
    try:
        return _reported(arguments)
    except KeyboardInterrupt:
        discard_streams()  # the interrupt may have ended a write that was stuck, and the exit would repeat it
        return EXIT_FAILED


def _reported(arguments: Sequence[str] | None) -> int:
    """Run the command, print its error if it has one, and return the exit status."""
    try:
        return _execute(arguments)
    except ConfigError as error:
        _print_error(*_error_lines(error))
        return EXIT_USAGE
    except (DaemonError, InstallationError) as error:
        _print_error(*(line.strip() for line in str(error).splitlines()))
        return error.exit_status
    except OutputError as error:
        _print_error(f"cannot write to standard output: {error}; the output is incomplete")
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - a traceback may contain a secret
        if limit := local_limit(error):
            _print_error(f"{limit}: raise the limit of the process or free what others use, and start it again")
            return EXIT_FAILED
        _print_error(f"internal error: {describe_exception(error)}; please report this line, it contains no secret")
        return EXIT_FAILED


def _execute(arguments: Sequence[str] | None) -> int:
    try:
        options = command_parser().parse_args(arguments)
    except SystemExit as ended:
        flush_error()
        if ended.code == EXIT_OK:  # after --help and --version
            flush_output()
        raise
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, from which man page and shell completion are generated too."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tigr-monitor", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=layout)
    parser.add_argument("-V", "--version", action="version", version=f"tigr-monitor {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], int], summary: str, details: str = ""
    ) -> argparse.ArgumentParser:
        text = f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        added = commands.add_parser(name, help=summary, description=text, formatter_class=layout)
        added.set_defaults(command=command)
        return added

    add(
        "run",
        _run,
        "monitor, and serve the status page and the metrics, until SIGTERM or SIGINT",
        "SIGHUP reloads the settings.",
    )
    check = add(
        "check",
        _check,
        "log in and ping once per environment, and show each step",
        "The running\nmonitor sends the requests, if there is one; else the command does, with its own settings.\n"
        "While logins are suppressed, for example after rejected credentials, no login is sent.",
    )
    check.add_argument("names", nargs="*", metavar="NAME", help="an environment, such as prod (default: all)")
    form = check.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print an array with one object per exchange")
    form.add_argument(
        "--evidence", action="store_true", help="print a text about each failure at the end, for the vendor's support"
    )
    check.add_argument(
        "--ping-only", action="store_true", help="ping with the current token of the running monitor, without a login"
    )
    check.add_argument("--socket", metavar="PATH", help="the control socket of the monitor")
    add_simulator_commands(add, _demo, _simulate)
    add("config", _config, "validate the settings, and print the effective values and the source of each")
    add_daemon_commands(add)
    add_setup_commands(add)
    return parser


def _run(_options: argparse.Namespace) -> int:
    from monitor.config.settings import load
    from monitor.service.daemon import CannotStartError, Daemon
    from monitor.service.process_limits import forbid_core_dumps
    from monitor.service.signals import SignalRequests
    from monitor.service.systemd import SystemdNotifier

    signals = SignalRequests()
    log.start_writer()
    log.configure("info", "logfmt", journald=log.is_journal(os.environ))  # until the settings are loaded
    forbid_core_dumps()  # before the secrets are loaded
    notifier = SystemdNotifier(os.environ)
    try:
        Daemon(load(os.environ), os.environ, notifier, signals).run()
    except ConfigError as error:
        notifier.start_failed(" ".join(_error_lines(error)))
        raise
    except CannotStartError as error:
        notifier.start_failed(str(error))
        _print_error(str(error))
        return EXIT_FAILED
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    from monitor.commands.check import check
    from monitor.reporting.check_events import CheckError

    try:
        return check(options)
    except CheckError as error:
        _print_error(f"check: {error}")
        return EXIT_USAGE


def _demo(options: argparse.Namespace) -> int:
    from monitor.simulator.demo.run import main as demo

    return demo(options.listen, options.seconds)


def _simulate(options: argparse.Namespace) -> int:
    from monitor.simulator import command

    if options.send:
        return command.send(options.send, options.control_port)
    return command.simulate(
        command.Options(
            tuple(dict.fromkeys(options.names)),
            tls=not options.plain,
            ipv6=options.ipv6,
            log=options.log,
            control_port=options.control_port,
            directory=options.directory,
        )
    )


def _config(_options: argparse.Namespace) -> int:
    from monitor.commands.service_state import has_settings, service_state
    from monitor.config.settings import describe, load
    from monitor.service.process_limits import forbid_core_dumps

    forbid_core_dumps()
    try:
        loaded = load(os.environ)
    except ConfigError:
        if not has_settings(os.environ) and service_state():
            log.print_error(
                "tigr-monitor: this shell has no settings; the service tigr-monitor has its own, and its log reports "
                "wrong and missing ones: journalctl -u tigr-monitor -o cat -n 20"
            )
        raise
    for line in describe(loaded):
        print_line(line)
    return EXIT_OK


def _error_lines(error: ConfigError) -> list[str]:
    count = len(error.problems)
    return [f"{count} settings are wrong:" if count > 1 else "a setting is wrong:", *error.problems]


def _print_error(first: str, *more: str) -> None:
    priority = "<3>" if log.is_journal(os.environ) else ""  # the priority of an error, by sd-daemon(3)
    lines = (f"tigr-monitor: {first}", *(f"  {line}" for line in more))
    log.print_error("\n".join(f"{priority}{line}" for line in lines))
