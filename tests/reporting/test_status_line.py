"""The status line that `systemctl status` shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow
from monitor.model import Endpoint, Reason, Role
from monitor.reporting.status_line import MAX_ENVIRONMENTS, StatusLine
from tests.support.results import make_result, vary

pytestmark = pytest.mark.once

LOGIN = make_result(Endpoint.TOKEN, started_at=0.0, duration=0.1)
PING = replace(LOGIN, endpoint=Endpoint.PING)
NOON = 1_800_000_000.0 // 86400 * 86400 + 43200
CLOCK = Clock(now=lambda: 0.0, wall=lambda: NOON)


@dataclass
class FakeStatus:
    """State of an environment that a test sets."""

    credentials_rejected: bool = False
    left: float | None = 560.0
    wait: float = 0.0

    def headroom(self) -> float | None:
        """Return the headroom of the token in seconds."""
        return self.left

    def backoff(self, endpoint: Endpoint) -> float:
        """Return the backoff of logins in seconds."""
        return self.wait if endpoint is Endpoint.TOKEN else 0.0


@pytest.fixture
def status_line() -> StatusLine:
    """Return a status line at noon, after a successful login and ping of prod."""
    made = StatusLine(CLOCK)
    made.record(LOGIN)
    made.record(PING)
    return made


def test_an_environment_is_starting_before_its_first_result() -> None:
    """It is neither up nor failing."""
    assert StatusLine(CLOCK).text({"prod": FakeStatus(left=None)}) == "prod starting"


@pytest.mark.parametrize("left,shown", [(560.0, "9 min"), (60.0, "1 min"), (59.0, "59 s")])
def test_an_environment_that_is_up_shows_the_headroom_of_its_token(
    status_line: StatusLine, left: float, shown: str
) -> None:
    """The headroom is in minutes, below one minute in seconds."""
    assert status_line.text({"prod": FakeStatus(left=left)}) == f"prod up, token {shown}"


def test_each_failing_endpoint_is_listed(status_line: StatusLine) -> None:
    """Each endpoint has its own reason."""
    status_line.record(vary(PING, reason=Reason.FORBIDDEN))
    assert status_line.text({"prod": FakeStatus()}) == "prod PING FAILING (forbidden), token 9 min"
    status_line.record(vary(LOGIN, reason=Reason.DNS))
    assert status_line.text({"prod": FakeStatus()}) == "prod LOGIN FAILING (dns), PING FAILING (forbidden), token 9 min"
    status_line.record(vary(PING, reason=Reason.NO_TOKEN))
    assert status_line.text({"prod": FakeStatus(left=-1.0)}) == "prod LOGIN FAILING (dns), no token"


def test_an_internal_failure_is_an_unknown_state(status_line: StatusLine) -> None:
    """The status line blames no host for a failure of the monitor."""
    for result in (LOGIN, PING):
        status_line.record(vary(result, reason=Reason.INTERNAL))
    shown = "prod LOGIN UNKNOWN (internal), PING UNKNOWN (internal), token 9 min"
    assert status_line.text({"prod": FakeStatus()}) == shown


def test_a_missing_token_without_a_failed_login_is_a_failing_ping(status_line: StatusLine) -> None:
    """Logins that work with short tokens, or that are suppressed without a rejection, leave pings without a token."""
    status_line.record(vary(PING, reason=Reason.NO_TOKEN))
    assert status_line.text({"prod": FakeStatus(left=-1.0)}) == "prod PING FAILING (no_token), no token"


def test_rejected_credentials_show_the_time_of_the_next_login(status_line: StatusLine) -> None:
    """The time is also shown after a restart, before a request was sent."""
    rejected = FakeStatus(credentials_rejected=True, left=None, wait=300.0)
    text = "LOGIN REJECTED, next try 12:05 UTC, no token"
    assert status_line.text({"prod": FakeStatus(), "uat": rejected}) == f"prod up, token 9 min; uat {text}"


def test_planned_maintenance_is_shown_with_its_end(status_line: StatusLine) -> None:
    """Failures are still listed."""
    windows = {name: MaintenanceWindow(NOON, NOON + 3600) for name in ("prod", "uat")}
    until = "planned maintenance until 2027-01-15T13:00:00Z"
    states = {"prod": FakeStatus(), "uat": FakeStatus(left=None), "nar": FakeStatus(left=None)}
    assert status_line.text(states, windows) == f"prod up, token 9 min, {until}; uat starting, {until}; nar starting"
    status_line.record(vary(PING, reason=Reason.DNS))
    shown = f"prod PING FAILING (dns), token 9 min, {until}"
    assert status_line.text({"prod": FakeStatus()}, windows) == shown


def test_of_many_environments_the_number_in_maintenance_is_shown(status_line: StatusLine) -> None:
    """The line stays short."""
    names = ["prod", *(f"e{number}" for number in range(MAX_ENVIRONMENTS))]
    windows = {name: MaintenanceWindow(NOON, NOON + 3600) for name in names[:3]}
    text = status_line.text({name: FakeStatus() for name in names}, windows)
    assert text == "9 of 9 without failures; 3 in planned maintenance"


def test_only_decisive_results_count(status_line: StatusLine) -> None:
    """A retried exchange and an unauthenticated probe change nothing."""
    status_line.record(vary(PING, reason=Reason.UNAUTHORIZED, role=Role.RETRIED))
    status_line.record(vary(PING, reason=Reason.UNAUTHORIZED, role=Role.UNAUTHENTICATED))
    assert status_line.text({"prod": FakeStatus()}) == "prod up, token 9 min"


def test_a_removed_environment_is_starting_again(status_line: StatusLine) -> None:
    """Its earlier outcomes are discarded."""
    status_line.remove("prod")
    assert status_line.text({"prod": FakeStatus()}) == "prod starting"


def test_of_many_environments_only_failing_ones_are_listed() -> None:
    """At most eight failing environments are listed, so that the line stays short."""
    status_line = StatusLine(CLOCK)
    for number in range(30):
        status_line.record(vary(LOGIN, environment=f"e{number}", reason=Reason.DNS if number % 2 else None))
    text = status_line.text({f"e{number}": FakeStatus() for number in range(30)})
    assert text.count("LOGIN FAILING (dns)") == MAX_ENVIRONMENTS
    assert text.endswith("; 7 more with failures; 15 of 30 without failures")
