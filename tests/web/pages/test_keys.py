"""Keys: a section is rendered again if anything that it shows has changed, and not every second."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from monitor.model import Endpoint, Phase, Reason, Responsibility, Severity
from monitor.reporting.incident import Incident
from monitor.reporting.overview import (
    EndpointOverview,
    EndpointState,
    EnvironmentOverview,
    Failure,
    Maintenance,
    Uptime,
)
from monitor.web.pages import incident_views
from monitor.web.pages.keys import environment_key, incident_key, incident_line_key, windows_key
from tests.support.overviews import (
    DAY,
    NOW,
    make_endpoint,
    make_environment,
    make_failed_endpoint,
    make_failed_environment,
    make_failure,
    make_incident,
    make_overview,
    make_probe,
)

pytestmark = pytest.mark.once

OF_ENVIRONMENT: dict[str, Any] = {
    "name": "other",
    "severity": Severity.WARNING,
    "is_well": False,
    "login": make_failed_endpoint(Endpoint.TOKEN),
    "ping": make_failed_endpoint(),
    "credentials_rejected": True,
    "attempts_left": 1,
    "token_expiry": NOW,
    "token_lifetime": 60.0,
    "clock_offset": 1.0,
    "api_open": True,
    "maintenance": (Maintenance(NOW, NOW + 1),),
}
OF_ENDPOINT: dict[str, Any] = {
    "endpoint": Endpoint.TOKEN,
    "host": "other",
    "state": EndpointState.UNKNOWN,
    "since": NOW,
    "last": make_probe(started_at=NOW),
    "next_attempt": None,
    "delay": "backoff",
    "history": (make_probe(),),
    "uptimes": (Uptime(DAY, DAY, 9.0),),
    "certificate_expiry": NOW,
    "chain_expiry": NOW,
    "failure": make_failure(),
    "incident": 3,
}
OF_FAILURE: dict[str, Any] = {
    "reason": Reason.TIMEOUT,
    "responsibility": Responsibility.NETWORK,
    "phase": Phase.CONNECT,
    "sent": "other",
    "expected": "other",
    "received": "other",
    "submission_id": "other",
    "means": "other",
    "next_step": "other",
    "ticket": None,
}
OF_INCIDENT: dict[str, Any] = {
    "number": 3,
    "environment": "other",
    "endpoint": Endpoint.TOKEN,
    "begin": NOW,
    "end": NOW,
    "last_observed": NOW,
    "responsibility": Responsibility.NETWORK,
    "reasons": ((Reason.TIMEOUT, 1),),
    "first": make_probe(started_at=NOW),
    "last": make_probe(started_at=NOW),
    "submission_ids": ("other",),
    "episodes": 2,
    "down": 700.0,
    "decisions": ("other",),
    "url": "https://other.example/",
}


@pytest.mark.parametrize("name", [each.name for each in fields(EnvironmentOverview) if each.name != "sentence"])
def test_each_value_of_an_environment_is_in_its_key(name: str) -> None:
    """A new field of the overview needs a value here, and a place in the key."""
    base = make_environment()
    assert environment_key(replace(base, **{name: OF_ENVIRONMENT[name]}), NOW) != environment_key(base, NOW)


@pytest.mark.parametrize("name", [each.name for each in fields(EndpointOverview)])
def test_each_value_of_an_endpoint_is_in_its_key(name: str) -> None:
    """A new field of the overview needs a value here, and a place in the key."""
    base, changed = make_endpoint(), replace(make_endpoint(), **{name: OF_ENDPOINT[name]})
    before = environment_key(make_environment(ping=base, login=base), NOW)
    assert environment_key(make_environment(ping=changed, login=base), NOW) != before
    assert environment_key(make_environment(ping=base, login=changed), NOW) != before


@pytest.mark.parametrize("name", [each.name for each in fields(Failure)])
def test_each_value_of_a_failure_is_in_its_key(name: str) -> None:
    """A new field of the failure needs a value here, and a place in the key."""
    before, after = (
        environment_key(make_failed_environment(ping=make_failed_endpoint(failure=failure)), NOW)
        for failure in (make_failure(), replace(make_failure(), **{name: OF_FAILURE[name]}))
    )
    assert before != after


@pytest.mark.parametrize("name", [each.name for each in fields(Incident)])
def test_each_value_of_an_incident_is_in_its_key(name: str) -> None:
    """A new field of the incident needs a value here, and a place in the key."""
    assert incident_key(replace(make_incident(), **{name: OF_INCIDENT[name]})) != incident_key(make_incident())


@pytest.mark.parametrize("name", [each.name for each in fields(Incident)])
def test_each_value_in_the_line_of_an_incident_is_in_its_key(name: str) -> None:
    """Another line has another key."""
    base, changed = make_incident(), replace(make_incident(), **{name: OF_INCIDENT[name]})
    is_changed = incident_views.line(base) != incident_views.line(changed)
    assert is_changed <= (incident_line_key(base) != incident_line_key(changed))
    assert is_changed == (name in {"number", "environment", "endpoint", "begin", "end", "reasons", "down"})


def test_the_key_does_not_change_every_second() -> None:
    """The time, observed time, the countdown of the sentence, and the time in the ticket are left out."""
    before, after = (
        environment_key(
            make_failed_environment(
                sentence=f"pings work for {seconds} s more",
                ping=make_failed_endpoint(
                    failure=make_failure(ticket=f"made at {seconds}"),
                    uptimes=(Uptime(DAY, 8e4 + seconds, 0.0), Uptime(365 * DAY, 60.0 + seconds, 0.0)),
                    next_attempt=NOW + seconds / 100,
                ),
            ),
            NOW - seconds,
        )
        for seconds in (9.0, 8.0)
    )
    assert before == after
    assert incident_key(make_incident(down=601.0)) == incident_key(make_incident(down=602.0))
    assert incident_key(make_incident(down=601.0, end=NOW)) != incident_key(make_incident(down=602.0, end=NOW))


def test_a_new_probe_changes_the_key() -> None:
    """The history is compared by its ends, because it only grows and loses its oldest records."""
    history = [make_probe(started_at=NOW - age) for age in (90.0, 60.0, 30.0)]
    keys = {
        environment_key(make_environment(ping=make_endpoint(history=records)), NOW)
        for records in (history[:2], history, history[1:], ())
    }
    assert len(keys) == 4


@pytest.mark.parametrize("at", [NOW + 3000.0, NOW + DAY, NOW + 60 * DAY])
def test_time_changes_the_key_where_it_is_shown(at: float) -> None:
    """A token expires, and certificates have fewer days."""
    assert environment_key(make_environment(), at) != environment_key(make_environment(), NOW)


def test_a_window_changes_the_key_when_it_begins_and_ends() -> None:
    """The environment and the list of windows show which one is in progress."""
    environment = make_environment(maintenance=(Maintenance(NOW - 20, NOW - 10),))
    of_list = [windows_key(make_overview(environment, time=NOW + after)) for after in (-30, -21, -20, -11, -10)]
    alone = [environment_key(environment, NOW + after) for after in (-30, -21, -20, -11, -10)]
    for before, still_before, begun, in_progress, ended in (of_list, alone):
        assert before == still_before != begun == in_progress != ended
