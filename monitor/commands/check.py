"""The `check` command: one login and one ping per environment, shown step by step as they happen, or as JSON.

The daemon on this machine runs the check, with its credentials and its limits; without a daemon, the command does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor import log
from monitor.commands.check_text import CheckText
from monitor.commands.daemon_check import daemon_check
from monitor.commands.layout import style_for
from monitor.commands.marks import marks_for
from monitor.errors import ConfigError, DaemonError, NoDaemonError
from monitor.output.standard_streams import OutputError, print_line, require_output
from monitor.reporting.check_events import CheckEvent, exchanges


@dataclass(frozen=True, slots=True)
class CheckOutput:
    """The form of the output."""

    as_json: bool = False
    has_evidence: bool = False  # with the text for the vendor about each failure, at the end


def check(options: argparse.Namespace) -> int:
    """Check; return the exit status.

    Raises `CheckError`, `ConfigError` and `DaemonError` if no check can start, and `OutputError` if standard output
    cannot be written.
    """
    require_output()  # before a login is sent
    events = _events(options.socket, options.names, ping_only=options.ping_only)
    return 0 if report(events, CheckOutput(as_json=options.json, has_evidence=options.evidence)) else 1


def _events(socket: str | None, names: Sequence[str], *, ping_only: bool) -> Iterator[CheckEvent]:
    try:
        return daemon_check(socket, names, ping_only=ping_only)
    except NoDaemonError as error:
        if socket or ping_only:
            raise
        no_daemon = str(error)
    from monitor.commands.own_check import own_check
    from monitor.commands.service_state import has_settings, no_settings, service_state

    try:
        return own_check(names)
    except ConfigError:
        if not has_settings(os.environ):
            service = service_state()
            raise DaemonError(no_settings(no_daemon, service), exit_status=3 if service else 2) from None
        log.print_error("tigr-monitor: no monitor runs on this machine, so check needs settings of its own:")
        raise


def report(events: Iterable[CheckEvent], output: CheckOutput) -> bool:
    """Print the events of a check as they come; return whether the check succeeded.

    Raises `OutputError` if standard output cannot be written.
    """
    received: list[CheckEvent] = []
    text = CheckText(style_for(sys.stdout, os.environ), marks_for(sys.stdout))
    failure: OutputError | None = None
    for event in events:  # to the end, also without an output: a login must not end halfway
        received.append(event)
        try:
            if output.as_json:
                _report_not_sent(event)
            elif failure is None:
                _print(text.lines(event))
        except OutputError as error:
            failure = error
    if failure is not None:
        raise failure
    if output.as_json:
        print_line(as_json(received))
    elif output.has_evidence:
        _print_evidence(received)
    return any(event["event"] == "end" and event["succeeded"] for event in received)


def as_json(events: Iterable[CheckEvent]) -> str:
    """Return a JSON array with one object per exchange. Times are in RFC 3339, durations in seconds."""
    return json.dumps(exchanges(events), indent=2, ensure_ascii=False)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print_line(line)


def _report_not_sent(event: CheckEvent) -> None:
    """Report a request on standard error whose absence is a failure, because the array contains only Results."""
    if event["event"] == "not_sent" and event["is_failure"]:
        request = "login" if event["endpoint"] == "token" else "ping"
        log.print_error(f"tigr-monitor: {event['environment']}: {request} not sent: {event['text']}")


def _print_evidence(events: Iterable[CheckEvent]) -> None:
    for event in events:
        if event["event"] == "evidence":
            print_line(f"\n{event['text'].rstrip()}")
