"""The commands `incidents` and `evidence`: the journal of the daemon on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any
from urllib.parse import urlencode

from monitor.commands.connection import fetch_json, fetch_text
from monitor.commands.layout import (
    Style,
    clock,
    columns,
    duration,
    endpoint_name,
    printable,
    printable_lines,
    responsible,
    style_for,
)
from monitor.log import timestamp
from monitor.output.standard_streams import print_line

_HEADINGS = ("id", "environment", "endpoint", "begin (UTC)", "end (UTC)", "down", "reasons (failures): responsible")
_LATEST = "latest"  # the default of the parser
JsonObject = dict[str, Any]


def incidents(options: argparse.Namespace) -> int:
    """Print the incidents that had not ended at a time. Raises `DaemonError`."""
    parameters = {"since": timestamp(options.since), "environment": options.environment}
    query = urlencode({name: text for name, text in parameters.items() if text is not None})
    listed = fetch_json(options.socket, f"/api/v1/incidents?{query}")
    if options.json:
        print_line(json.dumps(listed["incidents"], indent=2))
    elif listed["incidents"]:
        print_line(as_text(listed["incidents"], style_for(sys.stdout, os.environ)))
    else:
        print_line(_none(options.socket, options.environment, options.since))
    return 0


def evidence(options: argparse.Namespace) -> int:
    """Print the text for the vendor's support about an incident. Raises `DaemonError`."""
    missing = "there is no incident yet, so there is no evidence"
    if options.id != _LATEST:
        missing = f"there is no incident {options.id}; `tigr-monitor incidents --since 400d` lists all"
    print_line(printable_lines(fetch_text(options.socket, f"/api/v1/evidence/{options.id}", missing).rstrip("\n")))
    return 0


def _none(socket: str | None, environment: str | None, since: float) -> str:
    """Return the sentence for an empty list. An unknown environment is no error: the journal keeps removed ones."""
    time = f"{clock(timestamp(since))} UTC"
    if environment is None:
        return f"no incidents since {time}"
    names = [each["name"] for each in fetch_json(socket, "/api/v1/status")["environments"]]
    hint = "" if environment in names else f"; the monitored environments are {', '.join(names)}"
    return printable(f"no incidents of {environment} since {time}{hint}")


def as_text(listed: list[JsonObject], style: Style) -> str:
    """Return a table of incidents."""
    return "\n".join(columns([_HEADINGS, *map(_row, listed)], style))


def _row(incident: JsonObject) -> tuple[str, ...]:
    return (
        str(incident["id"]),
        incident["environment"],
        endpoint_name(incident["endpoint"]),
        clock(incident["begin"])[:16],
        clock(incident["end"])[:16] if incident["end"] else "open",
        duration(incident["down_seconds"]),
        f"{reasons(incident)}: {responsible(incident['responsibility'])}",
    )


def reasons(incident: JsonObject) -> str:
    """Return the reasons of an incident with the number of their failures."""
    return ", ".join(f"{each['reason']} ({each['count']})" for each in incident["reasons"])
