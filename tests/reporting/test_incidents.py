"""Incidents: the Results that open one, and its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Endpoint, Reason, Result, Role
from monitor.reporting.incidents import Incidents
from tests.support.results import make_result

SYMBOLS = {
    "+": None,
    "s": Reason.SERVER_ERROR,
    "t": Reason.TIMEOUT,
    "u": Reason.UNAUTHORIZED,
    "i": Reason.INTERNAL,
    "n": Reason.NO_TOKEN,
}


def opened(endpoint: Endpoint, course: str) -> str:
    """Return the reasons of the incidents that a course of Results opens, as symbols; `R` is a rejection (`u`)."""
    incidents = Incidents(endpoint)
    symbols = {reason: symbol for symbol, reason in SYMBOLS.items()}
    reasons = [incidents.record(result_of(endpoint, symbol)) for symbol in course]
    return "".join(symbols[reason] for reason in reasons if reason is not None)


def result_of(endpoint: Endpoint, symbol: str) -> Result:
    """Return the Result of a symbol."""
    if symbol == "R":
        return make_result(endpoint, reason=Reason.UNAUTHORIZED, credentials_rejected=True)
    return make_result(endpoint, reason=SYMBOLS[symbol])


@pytest.mark.parametrize(
    "course, reasons",
    [
        ("ss", ""),
        ("sss", "s"),
        ("tss", "t"),  # the first reason
        ("ssssssss", "s"),
        ("ss+ss+ss", ""),
        ("ss+sts+ttt", "st"),
        ("sisis", "s"),  # internal failures change nothing
        ("iiii", ""),
        ("sss+i+sss", "ss"),
        ("ssinn", ""),
        ("nnnnnn", ""),  # the incident of the login
        ("nns", ""),
        ("nnsns", ""),
        ("nnsnss", "s"),
        ("sssnnn+nsss", "ss"),
    ],
)
def test_three_failed_pings_in_a_row_open_an_incident(course: str, reasons: str) -> None:
    """Its reason is that of the first; it ends with a success."""
    assert opened(Endpoint.PING, course) == reasons


@pytest.mark.parametrize(
    "course, reasons",
    [
        ("s", ""),
        ("ss", "s"),
        ("ts", "t"),
        ("s+s", ""),
        ("sis", "s"),
        ("R", "u"),
        ("RRR", "u"),
        ("R+R", "uu"),
        ("tR", "t"),
        ("RtttR", "u"),
        ("u+u", ""),  # 401 without a rejection, because other field names are left
    ],
)
def test_two_failed_logins_or_a_rejection_open_an_incident(course: str, reasons: str) -> None:
    """A rejection opens it at once."""
    assert opened(Endpoint.TOKEN, course) == reasons


@pytest.mark.parametrize("role", [Role.RETRIED, Role.UNAUTHENTICATED])
def test_an_exchange_that_is_not_decisive_opens_and_ends_no_incident(role: Role) -> None:
    """Another exchange of the run decides."""
    incidents = Incidents(Endpoint.PING)
    failure, success = result_of(Endpoint.PING, "s"), result_of(Endpoint.PING, "+")
    assert [incidents.record(failure.with_role(role)) for _ in range(5)] == [None] * 5
    reasons = [incidents.record(each) for each in (failure, success.with_role(role), failure, failure)]
    assert reasons == [None, None, None, Reason.SERVER_ERROR]


@given(st.sampled_from(Endpoint), st.text(alphabet="+stuinR", max_size=60))
def test_there_is_at_most_one_incident_between_two_successes(endpoint: Endpoint, course: str) -> None:
    """Internal failures and pings without a token could be left out of every course."""
    reasons = opened(endpoint, course)
    assert len(reasons) <= course.count("+") + 1
    assert reasons == opened(endpoint, course.replace("i", "").replace("n", ""))
    assert not set(reasons) & set("in+")
