"""The report command: its text, its period, and its months."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.commands.layout import Style
from monitor.commands.report import Month, as_text, month_of, percentage
from monitor.model import Endpoint
from monitor.reporting.overview import Availability, Uptime
from monitor.web import representation
from tests.support.call import call
from tests.support.control import FakeDaemon, serving
from tests.support.overviews import DAY, NOW, FakeReports, make_incident
from tests.support.process import run

pytestmark = pytest.mark.once

OCTOBER = Month(2026, 10)


def as_json(*values: Availability) -> list[dict[str, Any]]:
    """Return endpoints after the transport as JSON."""
    objects: list[dict[str, Any]] = json.loads(json.dumps([representation.availability(each) for each in values]))
    return objects


def incident(number: int = 17, **values: object) -> dict[str, Any]:
    """Return an incident after the transport as JSON."""
    content: dict[str, Any] = json.loads(json.dumps(representation.incident(make_incident(number, **values))))
    return content


ENDPOINTS = as_json(
    Availability("prod", Endpoint.TOKEN, Uptime(31 * DAY, 31 * DAY, 0.0)),
    Availability("prod", Endpoint.PING, Uptime(31 * DAY, 30 * DAY, 1234.5)),
    Availability("uat", Endpoint.PING, Uptime(31 * DAY, 0.0, 0.0)),
)


def test_the_report_has_a_table_and_the_longest_incidents() -> None:
    """Availability is a share of the observed time; an endpoint that was not observed has none."""
    report = as_text(OCTOBER, OCTOBER.end + DAY, ENDPOINTS, [incident(end=NOW)], Style())
    rows = [" ".join(line.split()) for line in report.splitlines()]
    assert rows[0] == "TIGR Registry Client API: availability in 2026-10 (UTC)"
    assert "environment endpoint availability down observed incidents" in rows
    assert "prod login 100.000 % 0 s 100.0 % 0" in rows
    assert "prod ping 99.952 % 20 min 34 s 96.7 % 1" in rows
    assert "uat ping not observed 0 s 0.0 % 0" in rows
    assert "17 prod ping, from 2026-10-31 22:56:40 to 2026-10-31 23:06:40: down for 10 min" in rows
    assert "server_error (20); responsible: the vendor's API" in rows
    assert "submissionId: sub-0, sub-1" in rows
    assert max(map(len, report.splitlines())) <= 100
    assert "The month has not ended." not in report


def test_a_month_in_progress_is_marked() -> None:
    """A report of it changes."""
    report = as_text(OCTOBER, OCTOBER.end - DAY, ENDPOINTS, [], Style())
    assert "The month has not ended." in report
    assert "No incidents." in report


def test_a_month_without_observation_is_a_sentence() -> None:
    """An empty table would read like a fault of the command."""
    report = as_text(OCTOBER, OCTOBER.end + DAY, [], [], Style())
    assert "\n\nNothing was observed in this month: the monitor did not run" in report
    assert "availability  down" not in report


def test_logins_come_before_pings() -> None:
    """The order is that of the status."""
    lines = as_text(OCTOBER, OCTOBER.end + DAY, ENDPOINTS[::-1], [], Style()).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(("prod ", "uat "))] == [
        ["prod", "login"],
        ["prod", "ping"],
        ["uat", "ping"],
    ]


def test_the_ten_longest_incidents_are_listed() -> None:
    """The longest comes first, and the number of all is given."""
    incidents = [incident(number=number, down=number * 60.0) for number in range(1, 13)]
    report = as_text(OCTOBER, NOW, ENDPOINTS, incidents, Style())
    assert "The 10 longest of 12 incidents" in report
    listed = [line.split()[0] for line in report.splitlines() if "down for" in line]
    assert listed == [str(number) for number in range(12, 2, -1)]


@given(st.integers(2000, 2098), st.integers(1, 12))
def test_months_follow_each_other(year: int, number: int) -> None:
    """The end of a month is the begin of the next one, and every moment between belongs to it."""
    month = Month(year, number)
    assert month.following.preceding == month
    assert month.end == month.following.begin > month.begin
    assert month_of(month.begin) == month_of(month.end - 0.001) == month
    assert datetime.fromtimestamp(month.begin, UTC).day == 1


@pytest.mark.parametrize(
    "share,text", [(1.0, "100.000 %"), (0.999999, "99.999 %"), (0.0, "0.000 %"), (0.12345, "12.345 %")]
)
def test_a_percentage_is_rounded_down(share: float, text: str) -> None:
    """An outage of a second is not 100 %."""
    assert percentage(share, decimals=3) == text


def test_the_command_asks_for_the_month(tmp_path: Path) -> None:
    """Incidents that began after the month are left out; the default is the month before the current one."""
    path = tmp_path / "control.sock"
    reports = FakeReports(journal=[make_incident(18, begin=OCTOBER.end + 60.0), make_incident(17)])
    with serving(path, FakeDaemon(reports).respond):
        ended = run(["report", "--month", "2026-10", "--socket", str(path)], {})
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "17  prod ping" in ended.stdout
        assert "18  prod ping" not in ended.stdout
        assert run(["report", "--socket", str(path)], {}).returncode == 0
    september = OCTOBER.preceding
    assert reports.periods == [(OCTOBER.begin, NOW), (september.begin, september.end)]


@pytest.mark.parametrize("month", ["2026", "2026-13", "2026-1", "october", "2099-12"])
def test_a_month_that_is_none_or_in_the_future_is_status_2(month: str) -> None:
    """No daemon is asked."""
    assert call(["report", "--month", month], {}).returncode == 2
