"""The one line that `systemctl status` shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from monitor.clock import Clock
from monitor.model import Endpoint, Reason, Result
from monitor.reporting.status_line import MOST, Summary

LOGIN = Result(environment="prod", endpoint=Endpoint.TOKEN, started_at=0.0, duration=0.1)
PING = replace(LOGIN, endpoint=Endpoint.PING)
NOON = 1_800_000_000.0 // 86400 * 86400 + 43200
CLOCK = Clock(now=lambda: 0.0, wall=lambda: NOON)


@dataclass
class Live:
    """An environment, as it is at the moment."""

    credentials_rejected: bool = False
    left: float | None = 560.0
    wait: float = 0.0

    def headroom(self) -> float | None:
        """Seconds."""
        return self.left

    def backoff(self, endpoint: Endpoint) -> float:
        """Seconds."""
        return self.wait if endpoint is Endpoint.TOKEN else 0.0


@pytest.fixture
def summary() -> Summary:
    """At noon, with prod well."""
    made = Summary(CLOCK)
    made.record(LOGIN)
    made.record(PING)
    return made


def test_before_the_first_result_it_is_starting() -> None:
    """Neither well nor in trouble."""
    assert Summary(CLOCK).text({"prod": Live(left=None)}) == "prod starting"


@pytest.mark.parametrize("left,told", [(560.0, "9 min"), (60.0, "1 min"), (59.0, "59 s")])
def test_well_is_up_and_how_long_the_token_lasts(summary: Summary, left: float, told: str) -> None:
    """In minutes, and at the end in seconds."""
    assert summary.text({"prod": Live(left=left)}) == f"prod up, token {told}"


def test_trouble_is_named(summary: Summary) -> None:
    """Each host's own."""
    summary.record(replace(PING, reason=Reason.FORBIDDEN))
    assert summary.text({"prod": Live()}) == "prod PING FAILING (forbidden), token 9 min"
    summary.record(replace(LOGIN, reason=Reason.DNS))
    assert summary.text({"prod": Live()}) == "prod LOGIN FAILING (dns), PING FAILING (forbidden), token 9 min"
    summary.record(replace(PING, reason=Reason.NO_TOKEN))
    assert summary.text({"prod": Live(left=-1.0)}) == "prod LOGIN FAILING (dns), no token"


def test_a_missing_token_without_a_failed_login_is_trouble(summary: Summary) -> None:
    """Logins that work with short tokens, or that are suppressed without a rejection, leave pings without a token."""
    summary.record(replace(PING, reason=Reason.NO_TOKEN))
    assert summary.text({"prod": Live(left=-1.0)}) == "prod PING FAILING (no_token), no token"


def test_rejected_credentials_say_when_they_are_tried_next(summary: Summary) -> None:
    """Also right after a restart, when nothing was sent yet."""
    rejected = Live(credentials_rejected=True, left=None, wait=300.0)
    told = "LOGIN REJECTED, next try 12:05 UTC, no token"
    assert summary.text({"prod": Live(), "uat": rejected}) == f"prod up, token 9 min; uat {told}"


def test_what_does_not_decide_is_left_out(summary: Summary) -> None:
    """An exchange that was repeated at once, and a question without a token."""
    summary.record(replace(PING, reason=Reason.UNAUTHORIZED, retried=True))
    summary.record(replace(PING, reason=Reason.UNAUTHORIZED, unauthenticated=True))
    assert summary.text({"prod": Live()}) == "prod up, token 9 min"


def test_an_environment_that_comes_back_begins_anew(summary: Summary) -> None:
    """What was known of it is of another time."""
    summary.forget("prod")
    assert summary.text({"prod": Live()}) == "prod starting"


def test_of_many_only_those_with_trouble_are_told() -> None:
    """A line stays a line."""
    summary = Summary(CLOCK)
    for number in range(30):
        summary.record(replace(LOGIN, environment=f"e{number}", reason=Reason.DNS if number % 2 else None))
    text = summary.text({f"e{number}": Live() for number in range(30)})
    assert text.count("LOGIN FAILING (dns)") == MOST
    assert text.endswith("; 7 more with trouble; 15 of 30 without")
