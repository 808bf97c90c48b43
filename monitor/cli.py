"""The command `tigr-monitor`: parse, call, print, exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from monitor import __version__
from monitor.config.settings import describe, load
from monitor.errors import ConfigError, describe_exception

WELL, NOT_WELL, WRONG_SETTINGS = 0, 1, 2

_DESCRIPTION = "Watch whether the TIGR Registry Client API can be logged in to and reached."
_EPILOG = """\
Settings are read from TIGR_CONFIG_FILE (TOML), then from files in TIGR_SECRETS_DIR, then from variables that begin
with TIGR_; the later wins. The least there is to set, for each of PROD and UAT:

  TIGR_ENVIRONMENTS__PROD__CLIENT_ID   TIGR_ENVIRONMENTS__PROD__CLIENT_SECRET
  TIGR_ENVIRONMENTS__PROD__USERNAME    TIGR_ENVIRONMENTS__PROD__PASSWORD

or leave one out: TIGR_ENVIRONMENTS__UAT__ENABLED=false

first steps:
  tigr-monitor demo      see it work against a TIGR that runs on this machine
  tigr-monitor config    see what is in force, and where each value came from
  tigr-monitor check     log in and ping once
  tigr-monitor run       go on doing so, and serve http://127.0.0.1:9844/metrics

exit status: 0 all well, 1 something is not, 2 wrong settings or arguments
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
    except ConfigError as error:
        _complain(*_in_words(error))
        return WRONG_SETTINGS
    except KeyboardInterrupt:
        return NOT_WELL
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_WELL
    except Exception as error:  # noqa: BLE001 - a traceback would quote what may be secret
        _complain(
            f"a fault of tigr-monitor itself: {describe_exception(error)}; please report it, this line holds no secret"
        )
        return NOT_WELL
    return status


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tigr-monitor", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=layout)
    parser.add_argument("--version", action="version", version=f"tigr-monitor {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], int], says: str, more: str = ""
    ) -> argparse.ArgumentParser:
        text = f"{says[0].upper()}{says[1:]}. {more}".strip()
        added = commands.add_parser(name, help=says, description=text, formatter_class=layout)
        added.set_defaults(command=command)
        return added

    add("run", _run, "watch, and serve the metrics, until SIGTERM or SIGINT", "SIGHUP reads the settings again.")
    check = add(
        "check",
        _check,
        "log in and ping once per environment, and say what was found",
        "Credentials that a\nrunning monitor had rejected are not tried again before their time.",
    )
    check.add_argument(
        "names", nargs="*", metavar="NAME", help="an environment, such as prod; all of them if none is named"
    )
    check.add_argument("--json", action="store_true", help="print an array with one object per exchange")
    demo = add("demo", _demo, "watch a TIGR that runs on this machine, with small incidents; sends nothing elsewhere")
    demo.add_argument("--listen", default="127.0.0.1:9844", metavar="ADDRESS", help="where to serve (%(default)s)")
    demo.add_argument("--seconds", type=float, metavar="N", help="end after so long; else with Ctrl-C")
    add("config", _config, "validate the settings and print what is in force, and where each value came from")
    add("health", _health, "ask the monitor that runs here whether it is healthy, as a container's health check does")
    return parser


def _run(_options: argparse.Namespace) -> int:
    from monitor.service.daemon import CannotStartError, Daemon
    from monitor.service.systemd import Notifier

    notifier = Notifier(os.environ)
    try:
        Daemon(load(os.environ), os.environ, notifier).run()
    except ConfigError as error:
        notifier.refused(" ".join(_in_words(error)))
        raise
    except CannotStartError as error:
        notifier.refused(str(error))
        _complain(str(error))
        return NOT_WELL
    return WELL


def _check(options: argparse.Namespace) -> int:
    from monitor import log
    from monitor.commands.check import as_json, as_text, check
    from monitor.http.client import HttpClient
    from monitor.monitoring.state import State
    from monitor.service.trust import probing_context

    loaded = load(os.environ)
    chosen = [own for own in loaded.settings.environments if not options.names or own.name in options.names]
    known = [own.name for own in loaded.settings.environments]
    if unknown := [name for name in options.names if name not in known]:
        _complain(f"check: there is no environment {', '.join(unknown)}; there are {', '.join(known)}")
        return WRONG_SETTINGS
    log.configure("warning", "logfmt", journald=False)
    http_client = HttpClient(probing_context(loaded.settings))
    state = State(loaded.settings.state_dir, shared=True)
    reports = []
    for own in chosen:
        report = check(own, http_client, state)
        reports.append(report)
        if not options.json:
            _say(as_text(report))
    if options.json:
        _say(as_json(reports))
    return WELL if all(report.well for report in reports) else NOT_WELL


def _demo(options: argparse.Namespace) -> int:
    from monitor.simulator.demo import main as demo

    return demo(options.listen, options.seconds)


def _config(_options: argparse.Namespace) -> int:
    for line in describe(load(os.environ)):
        _say(line)
    return WELL


def _health(_options: argparse.Namespace) -> int:
    from monitor.commands.health import health
    from monitor.web.access import local_access

    settings = load(os.environ).settings
    access = local_access(settings.web_config_file)
    healthy, text = health(
        settings.listen_host, settings.listen_port, tls=access.tls, authorization=access.authorization
    )
    _say(text)
    return WELL if healthy else NOT_WELL


def _in_words(error: ConfigError) -> list[str]:
    count = len(error.problems)
    return [f"{count} settings are wrong:" if count > 1 else "a setting is wrong:", *error.problems]


def _say(text: str) -> None:
    print(text)


def _complain(first: str, *more: str) -> None:
    from monitor.log import is_journal

    priority = "<3>" if is_journal(os.environ) else ""  # an error, of sd-daemon(3)
    for line in (f"tigr-monitor: {first}", *(f"  {line}" for line in more)):
        print(f"{priority}{line}", file=sys.stderr)
