"""Views: an overview as the texts of the page."""

from __future__ import annotations

import math

import pytest

from monitor.model import Reason, Responsibility
from monitor.reporting.overview import EndpointState, Maintenance, Overview, Uptime
from monitor.web.pages import incident_views, views
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
)
from tests.support.page_states import login_rejected, never_reached, stopped

pytestmark = pytest.mark.once


def of(overview: Overview) -> views.EnvironmentView:
    """Return the view of the first environment."""
    return views.environment(overview.environments[0], overview.time)


def test_failing_environments_come_first_in_the_order_of_the_settings() -> None:
    """The order of the others does not change either."""
    names = ["a", "b", "c", "d"]
    overview = make_overview(
        *(make_failed_environment(name) if name in "bd" else make_environment(name) for name in names)
    )
    assert [each.name for each in views.ordered(overview.environments)] == ["b", "d", "a", "c"]


@pytest.mark.parametrize(
    "uptime,expected",
    [
        (Uptime(DAY, DAY, 0.0), ("24 h", "100 %", "100 %")),
        (Uptime(DAY, DAY, 0.001), ("24 h", "99.99 %", "100 %")),
        (Uptime(30 * DAY, 15 * DAY, DAY), ("30 d", "93.33 %", "50 %")),
        (Uptime(365 * DAY, 600.0, 0.0), ("1 y", "100 %", "10 min")),
        (Uptime(365 * DAY, 59.0, 0.0), ("1 y", "100 %", "less than 1 min")),
        (Uptime(365 * DAY, 0.0, 0.0), ("1 y", "not observed", "0 %")),
    ],
)
def test_an_uptime_has_the_share_that_was_observed(uptime: Uptime, expected: tuple[str, str, str]) -> None:
    """A share below one percent is a duration instead, and without observed time there is no uptime."""
    view = views.environment(make_environment(ping=make_endpoint(uptimes=(uptime,))), NOW).endpoints[1]
    assert view.uptimes == (views.UptimeView(*expected),)


@pytest.mark.parametrize("responsibility", Responsibility)
def test_every_party_has_a_name(responsibility: Responsibility) -> None:
    """The failing step names the party that is likely responsible."""
    failed = make_failed_endpoint(failure=make_failure(responsibility=responsibility))
    failure = views.environment(make_failed_environment(ping=failed), NOW).endpoints[1].failure
    assert failure is not None
    assert ("Likely responsible", responsibility.text) in failure.facts


def test_the_failing_step_is_in_the_order_of_a_reader() -> None:
    """Cause and party, then sent, expected and received, then the meaning and the next step."""
    failure = views.environment(make_failed_environment(), NOW).endpoints[1].failure
    assert failure is not None
    assert [name for name, _ in failure.facts] == [
        "Reason", "Likely responsible", "Sent", "Expected", "Received", "submissionId", "Meaning", "Next step",
    ]  # fmt: skip


def test_a_fact_that_is_missing_has_no_row() -> None:
    """A failure without a submissionId has no row for it."""
    failed = make_failed_endpoint(failure=make_failure(submission_id=None, phase=None))
    failure = views.environment(make_failed_environment(ping=failed), NOW).endpoints[1].failure
    assert failure is not None
    assert "submissionId" not in dict(failure.facts)
    assert dict(failure.facts)["Reason"] == "server_error"


def test_rejected_credentials_have_the_number_of_further_requests() -> None:
    """The reader learns how many requests are left, and that they stop then."""
    prod = of(login_rejected())
    assert prod.attempts.startswith("At most 2 more requests with these credentials")
    assert prod.endpoints[0].state_text == "down: credentials rejected"
    assert of(login_rejected(1)).attempts.startswith("At most 1 more request with")


def test_stopped_logins_have_no_next_attempt() -> None:
    """Infinity is a text, not a time."""
    prod = of(stopped())
    login = prod.endpoints[0]
    assert (login.next_attempt, login.next_text) == (None, "none until an operator acts")
    assert prod.attempts.startswith("No further login")
    assert prod.token == "expired"


def test_an_environment_that_was_never_reached_has_no_times() -> None:
    """Nothing is shown as measured."""
    prod = of(never_reached())
    assert (prod.line.state, prod.token, prod.clock_offset) == ("starting", "none", "")
    for endpoint in prod.endpoints:
        assert (endpoint.since, endpoint.last, endpoint.last_text, endpoint.latency) == (None, None, "none yet", "")
        assert endpoint.state is EndpointState.STARTING


@pytest.mark.parametrize("at,in_progress", [(NOW - 1, False), (NOW, True), (NOW + 59, True), (NOW + 60, False)])
def test_maintenance_is_in_progress_from_its_begin_to_its_end(at: float, *, in_progress: bool) -> None:
    """The begin belongs to the window, the end does not."""
    view = views.environment(make_environment(maintenance=(Maintenance(NOW, NOW + 60),)), at)
    assert view.windows[0].in_progress is in_progress
    assert ("planned maintenance" in view.line.state_text) is in_progress


def test_all_windows_are_in_the_order_of_their_begin() -> None:
    """The list has the windows of every environment."""
    overview = make_overview(
        make_environment("a", maintenance=(Maintenance(NOW + 100, NOW + 200),)),
        make_environment("b", maintenance=(Maintenance(NOW, NOW + 10), Maintenance(NOW + 300, NOW + 400))),
    )
    assert [view.environment for view in views.windows(overview)] == ["b", "a", "b"]


@pytest.mark.parametrize(
    "offset,expected",
    [
        (0.0041, "the server's clock is 4 ms ahead"),
        (-0.2, "the server's clock is 200 ms behind"),
        (65.0, "the server's clock is 1 min 5 s ahead"),
        (-3600.0, "the server's clock is 1 h behind"),
    ],
)
def test_a_clock_offset_is_a_sentence(offset: float, expected: str) -> None:
    """A reader does not have to know the meaning of the sign."""
    assert views.environment(make_environment(clock_offset=offset), NOW).clock_offset == expected


def test_a_near_expiry_is_marked() -> None:
    """Fourteen days before, and after the expiry."""
    ends = [NOW + days * DAY for days in (-1, 13, 15)]
    marks = []
    for expiry in ends:
        certificate = views.environment(
            make_environment(ping=make_endpoint(certificate_expiry=expiry)), NOW
        ).endpoints[1].certificate  # fmt: skip
        assert certificate is not None
        marks.append(certificate.is_soon)
    assert marks == [True, True, False]


def test_the_title_counts_failing_environments() -> None:
    """The tab of the browser shows the state."""
    assert views.state(make_overview(), None).title == "all well · tigr-monitor"
    assert views.state(make_overview(make_failed_environment(), make_environment("uat")), None).title == (
        "1 of 2 failing · tigr-monitor"
    )
    assert views.state(make_overview(is_well=False, problems=("a job hangs",)), None).title == "not well · tigr-monitor"


def test_an_incident_whose_end_was_not_observed_has_two_times() -> None:
    """The end is between the last observation and the first success."""
    view = incident_views.incident(make_incident(end=NOW, last_observed=NOW - 600))
    assert view.last_observed is not None
    assert view.end is not None
    assert not view.line.is_open


def test_an_open_incident_changes_once_a_minute() -> None:
    """The down time of an ended incident is exact, that of an open one is in minutes."""
    assert incident_views.line(make_incident(down=659.0)).down == "10 min"
    assert incident_views.line(make_incident(down=0.0)).down == "less than 1 min"
    assert incident_views.line(make_incident(down=659.0, end=NOW)).down == "10 min 59 s"


def test_an_incident_has_everything_that_is_known() -> None:
    """Reasons with their counts, and both responses with their details."""
    view = incident_views.incident(make_incident(reasons=((Reason.TIMEOUT, 3), (Reason.CONNECT, 2))))
    assert view.line.reasons == "timeout (3), connect (2)"
    assert [response.name for response in view.responses] == ["First failure", "Last failure"]
    assert dict(view.responses[0].facts)["Message"] == "Service Unavailable"
    assert dict(view.responses[0].facts)["Address"] == "192.0.2.10"


def test_infinite_values_never_reach_the_page() -> None:
    """A time that is infinite is none."""
    view = views.environment(make_environment(token_expiry=math.inf), NOW)
    assert view.token_expiry is None
