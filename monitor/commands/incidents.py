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
    printable_lines,
    responsible,
    style_for,
)
from monitor.log import timestamp
from monitor.output.standard_streams import print_line

_HEADINGS = ("id", "environment", "endpoint", "begin (UTC)", "end (UTC)", "down", "reasons (failures): responsible")
JsonObject = dict[str, Any]


def incidents(options: argparse.Namespace) -> int:
    """Print the incidents that had not ended at a time. Raises `DaemonError`."""
    parameters = {"since": timestamp(options.since), "environment": options.environment}
    query = urlencode({name: text for name, text in parameters.items() if text is not None})
    listed = fetch_json(options.socket, f"/api/v1/incidents?{query}")
    if options.json:
        print_line(json.dumps(listed["incidents"], indent=2))
    else:
        print_line(as_text(listed["incidents"], options.since, style_for(sys.stdout, os.environ)))
    return 0


def evidence(options: argparse.Namespace) -> int:
    """Print the text for the vendor's support about an incident. Raises `DaemonError`."""
    print_line(printable_lines(fetch_text(options.socket, f"/api/v1/evidence/{options.id}").rstrip("\n")))
    return 0


def as_text(listed: list[JsonObject], since: float, style: Style) -> str:
    """Return a table of incidents, or a sentence if there are none."""
    if not listed:
        return f"no incidents since {clock(timestamp(since))} UTC"
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
