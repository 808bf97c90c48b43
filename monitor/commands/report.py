"""The `report` command: the availability of one month, for a meeting with the vendor."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from monitor import __version__
from monitor.commands.connection import fetch_json
from monitor.commands.incidents import reasons
from monitor.commands.layout import Style, clock, columns, duration, endpoint_name, moment, responsible, style_for
from monitor.log import timestamp
from monitor.model import Endpoint
from monitor.output.standard_streams import print_line

_LONGEST = 10  # incidents that the report lists
_HEADINGS = ("environment", "endpoint", "availability", "down", "observed", "incidents")
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int  # 1 to 12

    @property
    def begin(self) -> float:
        """Begin of the month, in Unix seconds."""
        return datetime(self.year, self.number, 1, tzinfo=UTC).timestamp()

    @property
    def end(self) -> float:
        """End of the month, in Unix seconds."""
        return self.following.begin

    @property
    def following(self) -> Month:
        """The following month."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def preceding(self) -> Month:
        """The preceding month."""
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02}"


def month_of(time: float) -> Month:
    """Return the month of a time in Unix seconds."""
    date = datetime.fromtimestamp(time, UTC)
    return Month(date.year, date.month)


def report(options: argparse.Namespace) -> int:
    """Print the report of a month. Raises `DaemonError`."""
    status = fetch_json(options.socket, "/api/v1/status")
    now = moment(status["time"])
    month: Month = options.month or month_of(now).preceding
    end = min(month.end, now)
    period = urlencode({"begin": timestamp(month.begin), "end": timestamp(end)})
    endpoints = fetch_json(options.socket, f"/api/v1/availability?{period}")["endpoints"]
    since = urlencode({"since": timestamp(month.begin)})
    listed = fetch_json(options.socket, f"/api/v1/incidents?{since}")["incidents"]
    incidents = [each for each in listed if moment(each["begin"]) < end]
    text = as_text(month, now, endpoints, incidents, style_for(sys.stdout, os.environ))
    print_line(text)
    return 0


def as_text(month: Month, now: float, endpoints: list[JsonObject], incidents: list[JsonObject], style: Style) -> str:
    """Return the report. `incidents` are those of the month, `now` is in Unix seconds."""
    lines = [f"TIGR Registry Client API: availability in {month} (UTC)"]
    lines.append(f"measured by tigr-monitor {__version__}, written at {clock(timestamp(now))} UTC")
    if now < month.end:
        lines.append("The month has not ended.")
    if endpoints:
        ordered = sorted(endpoints, key=lambda each: (each["environment"], each["endpoint"] != Endpoint.TOKEN))
        lines += ["", *columns([_HEADINGS, *(_row(each, incidents) for each in ordered)], style), ""]
    else:
        lines += [
            "",
            "Nothing was observed in this month: the monitor did not run, or its journal does not reach back.",
        ]
        return "\n".join(lines)
    lines += style.wrapped(
        "availability: share of the observed time in which the endpoint worked. observed: share of the month in which "
        "its state was known; time in which the monitor did not run, or planned maintenance, is not observed."
    )
    lines += ["", *_longest(incidents, style)]
    return "\n".join(lines)


def _row(endpoint: JsonObject, incidents: list[JsonObject]) -> tuple[str, ...]:
    name = (endpoint["environment"], endpoint["endpoint"])
    count = sum((each["environment"], each["endpoint"]) == name for each in incidents)
    share = endpoint["share"]
    return (
        endpoint["environment"],
        endpoint_name(endpoint["endpoint"]),
        "not observed" if share is None else percentage(share, decimals=3),
        duration(endpoint["down_seconds"]),
        percentage(endpoint["observed_seconds"] / endpoint["period_seconds"], decimals=1),
        str(count),
    )


def percentage(share: float, decimals: int) -> str:
    """Return a share as a percentage that is rounded down, so that 100 % means the whole."""
    scale = 10**decimals
    return f"{int(min(1.0, max(0.0, share)) * 100 * scale + 1e-9) / scale:.{decimals}f} %"


def _longest(incidents: list[JsonObject], style: Style) -> Iterator[str]:
    if not incidents:
        yield "No incidents."
        return
    yield (
        "Longest incidents (times in UTC):"
        if len(incidents) <= _LONGEST
        else (f"The {_LONGEST} longest of {len(incidents)} incidents (times in UTC):")
    )
    for each in sorted(incidents, key=lambda each: -each["down_seconds"])[:_LONGEST]:
        end = f"to {clock(each['end'])}" if each["end"] else "and is open"
        title = f"{each['environment']} {endpoint_name(each['endpoint'])}, from {clock(each['begin'])} {end}"
        yield ""
        yield from style.wrapped(f"{title}: down for {duration(each['down_seconds'])}", f"{each['id']}  ")
        indent = " " * (len(str(each["id"])) + 2)
        yield from style.wrapped(f"{reasons(each)}; responsible: {responsible(each['responsibility'])}", indent)
        if each["submission_ids"]:
            yield from style.wrapped(", ".join(each["submission_ids"]), f"{indent}submissionId: ")
