"""The arguments of the commands that ask the daemon on this machine. A command is imported when it runs."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from monitor import durations

if TYPE_CHECKING:
    from monitor.commands.report import Month

_DEFAULT_SINCE = "30d"
_MAX_AGE = 100 * 31_536_000.0  # seconds
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)


class Add(Protocol):
    """Adds the parser of a command."""

    def __call__(
        self, name: str, command: Callable[[argparse.Namespace], int], summary: str, details: str = ""
    ) -> argparse.ArgumentParser: ...


def add_daemon_commands(add: Add) -> None:
    """Add the commands that need a running daemon."""
    status = add("status", _status, "print the state of all environments", "Status 0: all are well, 1: not.")
    form = status.add_mutually_exclusive_group()
    form.add_argument("--watch", action="store_true", help="print it again every 2 s until Ctrl-C")
    form.add_argument("--json", action="store_true", help="print the object of /api/v1/status")
    incidents = add("incidents", _incidents, "list the incidents, the newest first")
    incidents.add_argument(
        "--since",
        type=since,
        default=_DEFAULT_SINCE,
        metavar="TIME",
        help="those that had not ended then: 7d, or a date such as 2026-11-01 (default: %(default)s)",
    )
    incidents.add_argument("--environment", metavar="NAME", help="those of one environment")
    incidents.add_argument("--json", action="store_true", help="print an array with one object per incident")
    evidence = add("evidence", _evidence, "print the text about an incident for the vendor's support")
    evidence.add_argument(
        "id",
        nargs="?",
        type=_incident,
        default="latest",
        metavar="ID",
        help="number of the incident (default: the current one)",
    )
    report = add("report", _report, "print the availability of a month, with its longest incidents")
    report.add_argument(
        "--month", type=month, metavar="YYYY-MM", help="a month in UTC (default: the last complete one)"
    )
    reload = add("reload", _reload, "read the settings again; status 1 if they are refused")
    health = add("health", _health, "request the health of the local monitor, for the health check of a container")
    for parser in (status, incidents, evidence, report, reload, health):
        parser.add_argument("--socket", metavar="PATH", help="the control socket of the monitor")


def since(text: str) -> float:
    """Return the time that is a duration ago, or the begin of a day in UTC, in Unix seconds."""
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        return time.time() - durations.parse(text, maximum=_MAX_AGE)
    except ValueError:
        raise argparse.ArgumentTypeError("it must be a duration such as 7d, or a date such as 2026-11-01") from None


def month(text: str) -> Month:
    """Return a month."""
    from monitor.commands.report import Month

    match = _MONTH.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("it must be a month such as 2026-10")
    chosen = Month(int(match[1]), int(match[2]))
    if chosen.begin > time.time():
        raise argparse.ArgumentTypeError("it must be a month that has begun")
    return chosen


def _incident(text: str) -> str:
    if text != "latest" and not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError("it must be the number of an incident; `tigr-monitor incidents` lists them")
    return text


def _status(options: argparse.Namespace) -> int:
    from monitor.commands.status import main

    return main(options)


def _incidents(options: argparse.Namespace) -> int:
    from monitor.commands.incidents import incidents

    return incidents(options)


def _evidence(options: argparse.Namespace) -> int:
    from monitor.commands.incidents import evidence

    return evidence(options)


def _report(options: argparse.Namespace) -> int:
    from monitor.commands.report import report

    return report(options)


def _reload(options: argparse.Namespace) -> int:
    from monitor.commands.reload import reload

    return reload(options)


def _health(options: argparse.Namespace) -> int:
    from monitor.commands.health import health

    return health(options)
