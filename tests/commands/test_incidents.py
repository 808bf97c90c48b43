"""The commands incidents and evidence: their tables, filters and texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.incidents import as_text
from monitor.commands.layout import Style
from monitor.model import Endpoint, Reason, Responsibility
from monitor.reporting.incident import Incident
from monitor.web import representation
from tests.support.call import call
from tests.support.control import FakeDaemon, serving
from tests.support.overviews import NOW, FakeReports, make_incident
from tests.support.process import run

pytestmark = pytest.mark.once

ENDED = make_incident(
    16,
    environment="uat",
    endpoint=Endpoint.TOKEN,
    begin=NOW - 90_000.0,
    end=NOW - 80_000.0,
    down=9_000.0,
    responsibility=Responsibility.NETWORK,
    reasons=((Reason.TIMEOUT, 12), (Reason.CONNECT, 30)),
)


def listed(*incidents: Incident) -> list[dict[str, Any]]:
    """Return the incidents after the transport as JSON."""
    objects: list[dict[str, Any]] = json.loads(json.dumps([representation.incident(each) for each in incidents]))
    return objects


def test_the_table_is_aligned_and_fits() -> None:
    """Newest first; an open incident has no end, and the last column is wrapped."""
    lines = as_text(listed(make_incident(), ENDED), Style()).splitlines()
    assert lines[0].split("  ")[0] == "id"
    assert [line[:2] for line in lines if line[:2].strip()] == ["id", "17", "16"]
    assert max(map(len, lines)) <= 100
    joined = " ".join(" ".join(lines).split())
    assert "17 prod ping 2026-10-31 22:56 open 10 min server_error (20): the vendor's API" in joined
    assert "16 uat login 2026-10-30 22:06 2026-10-31 00:53 2 h 30 min timeout (12), connect (30): our network" in joined


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of the socket."""
    return str(tmp_path / "control.sock")


def numbers(path: str, *arguments: str) -> list[int]:
    """Return the numbers of the incidents that the command prints as JSON."""
    ended = call(["incidents", "--json", "--socket", path, *arguments], {})
    assert (ended.returncode, ended.stderr) == (0, "")
    return [each["id"] for each in json.loads(ended.stdout)]


def test_incidents_are_filtered_by_time_and_environment(path: str) -> None:
    """The time is an age or a date."""
    with serving(Path(path), FakeDaemon(FakeReports(journal=[make_incident(), ENDED])).respond):
        assert numbers(path, "--since", "2026-10-30") == [17, 16]
        assert numbers(path, "--since", "2026-11-01") == [17]  # it is open
        assert numbers(path, "--since", "20y") == [17, 16]
        assert numbers(path, "--since", "20y", "--environment", "uat") == [16]
        assert numbers(path, "--since", "1s", "--environment", "a&b c") == []
        plain = run(["incidents", "--since", "20y", "--socket", path], {})
    assert plain.returncode == 0
    assert plain.stdout.startswith("id  environment  ")


def test_no_incident_is_a_sentence(path: str) -> None:
    """It has the begin of the period, and for a name that is not monitored those that are."""
    with serving(Path(path), FakeDaemon().respond):
        texts = [
            call(["incidents", "--since", "2030-01-01", "--socket", path, *more], {}).stdout.rstrip()
            for more in ([], ["--environment", "prod"], ["--environment", "prd"])
        ]
    assert texts == [
        "no incidents since 2030-01-01 00:00:00 UTC",
        "no incidents of prod since 2030-01-01 00:00:00 UTC",
        "no incidents of prd since 2030-01-01 00:00:00 UTC; the monitored environments are prod, uat",
    ]


def test_evidence_is_printed_without_control_characters(path: str) -> None:
    """It is the text of an incident or of the current one; an unknown number is status 1."""
    reports = FakeReports(journal=[make_incident(), ENDED])
    reports.texts[16] = "line 1\n\tline\x1b[2J 2\n"
    with serving(Path(path), FakeDaemon(reports).respond):
        assert call(["evidence", "--socket", path], {}).stdout == reports.texts[17]
        assert call(["evidence", "16", "--socket", path], {}).stdout == "line 1\n        line [2J 2\n"
        unknown = call(["evidence", "15", "--socket", path], {})
    assert unknown.returncode == 1
    assert "there is no incident 15; `tigr-monitor incidents --since 400d` lists all" in unknown.stderr


def test_evidence_without_an_incident_is_a_sentence(path: str) -> None:
    """It does not speak of a number, because none was entered."""
    with serving(Path(path), FakeDaemon().respond):
        ended = call(["evidence", "--socket", path], {})
    assert (ended.returncode, ended.stderr) == (1, "tigr-monitor: there is no incident yet, so there is no evidence\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["incidents", "--since", "soon"],
        ["incidents", "--since", "2026-13-01"],
        ["incidents", "--since", "200y"],
        ["evidence", "x"],
        ["evidence", "-1"],
    ],
)
def test_wrong_arguments_are_status_2(arguments: list[str]) -> None:
    """No daemon is asked."""
    assert call(arguments, {}).returncode == 2
