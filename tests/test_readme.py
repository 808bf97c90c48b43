"""The README's tables name what there is, all of it, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from monitor import durations
from monitor.commands.check import CheckReport, as_json
from monitor.config.schema import EnvironmentSchema, Schema
from monitor.model import Endpoint, FieldNames, Phase, Reason, Result, Token
from monitor.monitoring.negotiation import pause_after
from monitor.reporting.metrics import Metrics
from tests.reporting.test_metrics import PING, SETTINGS, Live
from tests.support.checkout import ROOT

README = (ROOT / "README.md").read_text()
FIRST_CELLS = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)
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
}
JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", type(None): "null"}


def test_every_metric_is_in_the_table() -> None:
    """With its labels."""
    live = Live()
    live.token = TOKEN
    metrics = Metrics()
    metrics.watch(SETTINGS, live)
    families = {family.name: family.type for family in metrics._registry.collect()}
    exported = {
        f"{name}_total" if kind == "counter" else name for name, kind in families.items() if name[:5] == "tigr_"
    }
    assert {name for name in FIRST_CELLS if name.startswith("tigr_")} == exported


def test_every_setting_is_in_the_table() -> None:
    """Under its full name."""
    names = {f"TIGR_{name.upper()}" for name in Schema.model_fields if name != "environments"}
    own = [name for name in EnvironmentSchema.model_fields if name not in Schema.model_fields]
    names |= {f"TIGR_ENVIRONMENTS__<NAME>__{name.upper()}" for name in own} | {"TIGR_CONFIG_FILE", "TIGR_SECRETS_DIR"}
    assert {name for name in FIRST_CELLS if name.startswith("TIGR_")} == names


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_in_the_table(reason: Reason) -> None:
    """With what it means."""
    assert reason.value in FIRST_CELLS


def test_every_make_target_that_it_names_exists() -> None:
    """Or a newcomer's first command fails."""
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"(?:^    |`)make ([a-z-]+)", README, re.MULTILINE)
    assert {"demo", "test", "lint", "test-system", "soak", "help"} <= set(named)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


def table(heading: str) -> list[list[str]]:
    """Return the rows of the README's table whose heading begins with `heading`, as texts of their cells."""
    rows = README.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [row.strip("| ").split(" | ") for row in rows]


def printed(*results: Result) -> list[dict[str, Any]]:
    """Return what `check --json` prints of these Results."""
    objects: list[dict[str, Any]] = json.loads(as_json([CheckReport(SETTINGS, results, why_not_persisted="")]))
    return objects


def test_every_key_of_check_json_is_in_its_table() -> None:
    """The table has the keys of a login in their order, and marks those that a ping does not have."""
    rows = table("key of `check --json`")
    login, ping = printed(LOGIN, PING)
    assert [key.strip("`") for key, _, _ in rows] == list(login)
    assert [key.strip("`") for key, _, meaning in rows if not meaning.startswith("login only: ")] == list(ping)


def test_the_types_of_check_json_are_those_of_its_table() -> None:
    """Successes and failures, with every value present and with none, have exactly the types of the table."""
    failed = replace(PING, reason=Reason.FORBIDDEN)
    unsent = replace(LOGIN, reason=Reason.UNAUTHORIZED, status=None, token=None, field_names=None)
    objects = printed(LOGIN, PING, failed, unsent, replace(LOGIN, **COMPLETE), replace(failed, **COMPLETE))
    found = {key: {JSON_TYPES[type(exchange[key])] for exchange in objects if key in exchange} for key in objects[0]}
    assert {key.strip("`"): set(types.split(" or ")) for key, types, _ in table("key of `check --json`")} == found


def test_the_requests_after_a_rejection_are_those_of_its_table() -> None:
    """The pauses are the code's, and each column adds up to the default limit."""
    *rows, totals = table("requests with the rejected password")
    pauses = [durations.text(pause_after(count)) for count in (1, 2)]
    assert [row[0] for row in rows] == ["at once", f"after {pauses[0]}", f"after another {pauses[1]}"]
    limit = Schema.model_fields["rejected_logins"].default
    for column in (1, 2):
        assert sum(int(row[column]) for row in rows) == int(totals[column]) == limit


@pytest.mark.parametrize(
    "row", table("`TIGR_AUTH_INTERVAL` | failing login seen after at most")[:-1], ids=lambda row: row[0]
)
def test_the_costs_of_a_login_interval_are_computed(row: list[str]) -> None:
    """One interval and one timeout; for a dead host two ping intervals and two timeouts, if that is less."""
    ping_interval, timeout = (Schema.model_fields[name].default for name in ("ping_interval", "timeout"))
    interval = durations.parse(row[0].split("`")[1], 1.0)
    failing = interval + timeout
    dead = min(failing, 2 * ping_interval + 2 * min(timeout, ping_interval))
    assert row[1:] == [f"{failing:.0f} s", f"{dead:.0f} s", f"{2 * 3600 / interval:.0f}"]
    assert ("(default)" in row[0]) == (interval == Schema.model_fields["auth_interval"].default)
