"""Explanations of refused logins, and the text about the next login."""

from __future__ import annotations

import math

import pytest

from monitor.model import ClientAuth, Endpoint, Reason
from monitor.tigr.remedies import explain, next_login
from tests.support.results import make_result, vary

pytestmark = pytest.mark.once

REJECTED = make_result(
    Endpoint.TOKEN,
    started_at=0.0,
    duration=0.1,
    reason=Reason.UNAUTHORIZED,
    status=401,
    refused=True,
    credentials_rejected=True,
)


@pytest.mark.parametrize(
    "code,named,compared",
    [
        ("invalid_client", "the client id or the client secret", "client id and secret"),
        ("unauthorized_client", "the client id or the client secret", "client id and secret"),
        ("invalid_grant", "the user name or the password", "user name and password"),
        ("unauthorized", "the client id and secret, or the user name and password", "the four values"),
        (None, "the client id and secret, or the user name and password", "the four values"),
    ],
)
def test_the_code_of_a_rejection_names_which_values_to_compare(code: str | None, named: str, compared: str) -> None:
    """Without such a code the operator compares all four values."""
    explanation = explain(vary(REJECTED, error_code=code))
    assert named in explanation.means
    assert f"Compare {compared} with" in explanation.next_step


@pytest.mark.parametrize("reason", [Reason.REJECTED_REQUEST, Reason.MALFORMED, Reason.SERVER_ERROR, Reason.FORBIDDEN])
def test_every_reason_of_a_rejection_is_explained_as_one(reason: Reason) -> None:
    """A 400, a 200 with an error object, a 500 and a 403 can reject credentials."""
    assert "rejected" in explain(vary(REJECTED, reason=reason)).means


def test_a_single_refusal_is_not_explained_as_a_rejection() -> None:
    """A refusal that does not reject the credentials is explained by the field names."""
    explanation = explain(vary(REJECTED, credentials_rejected=False))
    assert "field names" in explanation.means


def test_http_basic_is_mentioned_only_if_its_two_forms_differ() -> None:
    """The next step has the setting of the other form, if the two forms differ."""
    hint = "TIGR_ENVIRONMENTS__PROD__CLIENT_AUTH=form_encoded"
    assert hint in explain(vary(REJECTED, other_client_auth=ClientAuth.FORM_ENCODED)).next_step
    assert "CLIENT_AUTH" not in explain(REJECTED).next_step


def test_the_next_login_has_a_time_or_waits_for_an_operator() -> None:
    """The text has the time and the attempts left, or the operator's options; it is empty if nothing delays a login."""
    assert next_login(REJECTED) == ""
    paused = next_login(vary(REJECTED, suppressed_until=1200.0, attempts_left=1))
    assert "no login before 1970-01-01T00:20:00.000Z, and 1 more request with these credentials" in paused
    assert "a reload (SIGHUP, once per rejection) or SIGUSR1 allows one login" in paused
    assert "2 more requests" in next_login(vary(REJECTED, suppressed_until=1200.0, attempts_left=2))
    stopped = next_login(vary(REJECTED, suppressed_until=math.inf, attempts_left=0))
    assert "logins have stopped" in stopped
    assert "a reload (SIGHUP, once per rejection) or SIGUSR1 allows one login" in stopped


def test_a_403_that_rejects_the_token_blames_no_address() -> None:
    """RFC 6750's `invalid_token` is explained like a 401."""
    forbidden = vary(
        REJECTED, endpoint=Endpoint.PING, reason=Reason.FORBIDDEN, status=403, refused=False, credentials_rejected=False
    )
    assert "IP addresses" in explain(forbidden).means
    assert "does not accept the token" in explain(vary(forbidden, rejects_token=True)).means


def test_a_missing_token_may_have_expired() -> None:
    """A login that works with tokens of a second leaves most pings without one."""
    explanation = explain(
        vary(REJECTED, endpoint=Endpoint.PING, reason=Reason.NO_TOKEN, refused=False, credentials_rejected=False)
    )
    assert "expired" in explanation.means
