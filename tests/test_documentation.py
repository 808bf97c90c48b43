"""The tables of the documents agree with the code: every metric, setting, reason, key and command, and no other."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from monitor import durations
from monitor.commands.check import as_json
from monitor.config.schema import EnvironmentSchema, Schema
from monitor.model import Endpoint, FieldNames, Phase, Reason, Result, Token
from monitor.monitoring.negotiation import pause_after
from monitor.reporting.check_events import result_event
from monitor.reporting.metrics import Metrics
from tests.reporting.test_metrics import PING, SETTINGS, FakeReadings
from tests.support import documents
from tests.support.results import vary

pytestmark = pytest.mark.once

METRICS, CONFIGURATION, OPERATIONS = "docs/metrics.md", "docs/configuration.md", "docs/operations.md"
TOKEN = Token(value="x", lifetime=60.0, expires=0.0, expires_at=1060.0)
LOGIN = replace(PING, endpoint=Endpoint.TOKEN, token=TOKEN, field_names=FieldNames.DOCUMENTED)
COMPLETE: dict[str, Any] = {
    "address": "127.0.0.1",
    "tls_version": "TLSv1.3",
    "certificate_expiry": 2000.0,
    "clock_offset": 0.5,
    "error_code": "code",
    "submission_id": "id",
    "phases": {Phase.RESOLVE: 0.5},
    "chain_expiry": 2000.0,
    "failed_phase": Phase.TLS,
    "attempts_left": 1,
}
JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}


def first_cells(markdown: str) -> list[str]:
    """Return the names in the first column of the tables, without their backticks."""
    return re.findall(r"^\| `([^`]+)` \|", markdown, re.MULTILINE)


def table(name: str, heading: str) -> list[list[str]]:
    """Return the rows of the document's table whose heading begins with `heading`, as texts of their cells."""
    rows = documents.text(name).split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [row.strip("| ").split(" | ") for row in rows]


def test_every_metric_is_in_the_table() -> None:
    """The table has the metrics that are exported, under the names that Prometheus stores."""
    live = FakeReadings()
    live.token = TOKEN
    metrics = Metrics()
    metrics.add(SETTINGS, live)
    families = {family.name: family.type for family in metrics._registry.collect()}
    exported = {
        f"{name}_total" if family_type == "counter" else name
        for name, family_type in families.items()
        if name.startswith("tigr_")
    }
    listed = first_cells(documents.section(METRICS, "Series"))
    assert sorted(listed) == sorted(exported)


def test_every_setting_is_in_the_table() -> None:
    """The table has the full name of every setting."""
    names = {f"TIGR_{name.upper()}" for name in Schema.model_fields if name != "environments"}
    per_environment = [name for name in EnvironmentSchema.model_fields if name not in Schema.model_fields]
    names |= {f"TIGR_ENVIRONMENTS__<NAME>__{name.upper()}" for name in per_environment}
    names |= {"TIGR_CONFIG_FILE", "TIGR_SECRETS_DIR"}
    assert sorted(first_cells(documents.section(CONFIGURATION, "Settings"))) == sorted(names)


def test_every_reason_is_in_the_table() -> None:
    """The table has the reasons of failures."""
    assert sorted(first_cells(documents.section(METRICS, "Reasons"))) == sorted(Reason)


def test_every_phase_is_in_the_table() -> None:
    """The table has the phases in the order of an exchange."""
    assert first_cells(documents.section(METRICS, "Phases")) == list(Phase)


def printed(*results: Result) -> list[dict[str, Any]]:
    """Return what `check --json` prints of these Results."""
    events = [result_event(result, SETTINGS.token_url) for result in results]
    objects: list[dict[str, Any]] = json.loads(as_json(events))
    return objects


def test_every_key_of_check_json_is_in_its_table() -> None:
    """The table has the keys of a login in their order, and marks those that a ping does not have."""
    rows = table(OPERATIONS, "key of `check --json`")
    login, ping = printed(LOGIN, PING)
    assert [key.strip("`") for key, _, _ in rows] == list(login)
    assert [key.strip("`") for key, _, meaning in rows if not meaning.startswith("login only: ")] == list(ping)


def test_the_types_of_check_json_are_those_of_its_table() -> None:
    """Successes and failures, with every value present and with none, have exactly the types of the table."""
    failed = vary(PING, reason=Reason.RATE_LIMITED)
    unsent = vary(LOGIN, reason=Reason.UNAUTHORIZED, status=None, token=None, field_names=None)
    objects = printed(LOGIN, PING, failed, unsent, vary(LOGIN, **COMPLETE), vary(failed, **COMPLETE))
    printed_types = {
        key: {JSON_TYPES[type(exchange[key])] for exchange in objects if key in exchange} for key in objects[0]
    }
    rows = table(OPERATIONS, "key of `check --json`")
    assert {key.strip("`"): set(types.split(" or ")) for key, types, _ in rows} == printed_types


def test_the_requests_after_a_rejection_are_those_of_its_table() -> None:
    """The pauses are the code's, and each column adds up to the default limit."""
    *rows, totals = table(CONFIGURATION, "requests with the rejected password")
    pauses = [durations.text(pause_after(count)) for count in (1, 2)]
    assert [row[0] for row in rows] == ["at once", f"after {pauses[0]}", f"after another {pauses[1]}"]
    limit = Schema.model_fields["rejected_logins"].default
    for column in (1, 2):
        assert sum(int(row[column]) for row in rows) == int(totals[column]) == limit


@pytest.mark.parametrize(
    "row",
    table(CONFIGURATION, "`TIGR_AUTH_INTERVAL` | failing login seen after at most")[:-1],
    ids=lambda row: row[0],
)
def test_the_costs_of_a_login_interval_are_computed(row: list[str]) -> None:
    """A failure is seen after one interval and one timeout, a dead host after two ping intervals and two timeouts."""
    ping_interval, timeout = (Schema.model_fields[name].default for name in ("ping_interval", "timeout"))
    interval = durations.parse(row[0].split("`")[1], 1.0)
    failing = interval + timeout
    dead = min(failing, 2 * ping_interval + 2 * min(timeout, ping_interval))
    assert row[1:] == [f"{failing:.0f} s", f"{dead:.0f} s", f"{2 * 3600 / interval:.0f}"]
    assert ("(default)" in row[0]) == (interval == Schema.model_fields["auth_interval"].default)
