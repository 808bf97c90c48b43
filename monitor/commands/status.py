"""The `status` command: the state of all environments, as the daemon on this machine knows it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from monitor.commands.connection import fetch_json
from monitor.commands.layout import Style, clock, duration, moment, printable, responsible, style_for
from monitor.errors import DaemonError
from monitor.model import Reason
from monitor.output.standard_streams import print_line, require_output

_TARGET = "/api/v1/status"
_WATCH_INTERVAL = 2.0  # seconds
_CLEAR = "\x1b[H\x1b[2J"  # cursor to the first line, and erase the display: ECMA-48
_COLOURS = {"up": "green", "down": "red"}
JsonObject = dict[str, Any]


def main(options: argparse.Namespace) -> int:
    """Print the state; return 0 if every environment and the monitor itself are well, else 1.

    Raises `DaemonError`.
    """
    if options.watch:
        return _watch(options.socket)
    status = fetch_json(options.socket, _TARGET)
    if options.json:
        print_line(json.dumps(status, indent=2))
    else:
        print_line(as_text(status, style_for(sys.stdout, os.environ)))
    return 0 if status["well"] else 1


def _watch(path: str | None) -> int:
    """Print the state every two seconds until Ctrl-C."""
    require_output()
    try:
        text = _current(path, style_for(sys.stdout, os.environ))  # without a daemon, this ends the command
        while print_line(f"{_CLEAR}{text}" if sys.stdout.isatty() else f"{text}\n"):
            time.sleep(_WATCH_INTERVAL)
            try:
                text = _current(path, style_for(sys.stdout, os.environ))
            except DaemonError as error:  # the daemon may come back
                text = str(error)
    except KeyboardInterrupt:
        pass
    return 0


def _current(path: str | None, style: Style) -> str:
    return as_text(fetch_json(path, _TARGET), style)


def as_text(status: JsonObject, style: Style) -> str:
    """Return the state as text: one sentence, then each environment with its login and its ping."""
    lines = style.wrapped(status["sentence"])
    lines[0] = style.paint(lines[0], "bold")
    for problem in status["problems"]:
        lines += style.wrapped(problem, "monitor: ")
    now = moment(status["time"])
    for environment in status["environments"]:
        lines += ["", *style.wrapped(environment["sentence"], f"{printable(environment['name'])}: ", "    ")]
        for name in ("login", "ping"):
            lines += _endpoint(name, environment[name], now, style)
    lines += ["", *style.wrapped(f"{clock(status['time'])} UTC, tigr-monitor {status['version']}")]
    return "\n".join(lines)


def _endpoint(name: str, endpoint: JsonObject, now: float, style: Style) -> Iterator[str]:
    state = endpoint["state"]
    since = endpoint["since"]
    text = f"since {clock(since)} UTC ({duration(now - moment(since))})" if since else "no probe has ended yet"
    first, *others = style.wrapped(text, f"    {name:5}  {printable(state):8} ")
    yield first.replace(state, style.paint(state, _COLOURS.get(state, "yellow")), 1)
    yield from others
    failure = endpoint["failure"]
    if failure:
        phase = f" in the phase {failure['phase']}" if failure["reason"] == Reason.TIMEOUT and failure["phase"] else ""
        yield from style.wrapped(f"{failure['reason']}{phase}: {failure['received']}", _labelled("reason"))
        yield from style.wrapped(responsible(failure["responsibility"]), _labelled("responsible"))
    yield from style.wrapped(_next_attempt(endpoint, now), _labelled("next try"))
    if failure:
        yield from style.wrapped(failure["next"], _labelled("next step"))
        if endpoint["incident"] is not None:  # without a ticket, the text is for others who can help
            label = "ticket" if failure["ticket"] else "evidence"
            yield from style.wrapped(f"tigr-monitor evidence {endpoint['incident']}", _labelled(label))


def _labelled(label: str) -> str:
    """Return the beginning of a line under the state of an endpoint."""
    return f"{'':11}{label:11}  "


def _next_attempt(endpoint: JsonObject, now: float) -> str:
    if endpoint["stopped"]:
        text = "no attempt until an operator acts"
    elif endpoint["next_attempt"] is None:
        text = "no attempt is scheduled"
    else:
        remaining = moment(endpoint["next_attempt"]) - now
        text = f"{clock(endpoint['next_attempt'])} UTC (in {duration(remaining)})"
    return f"{text}: {endpoint['delay']}" if endpoint["delay"] else text
