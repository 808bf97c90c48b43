"""The most recent outcome of each endpoint, and the facts about its host."""

from __future__ import annotations

import pytest

from monitor.model import Endpoint, HostCheck, Reason, Responsibility, Role, Token
from monitor.reporting.latest import Latest, LatestResults
from monitor.reporting.overview import EndpointState
from tests.support.results import make_result

pytestmark = pytest.mark.once

UP, DOWN, UNKNOWN = EndpointState.UP, EndpointState.DOWN, EndpointState.UNKNOWN


def after(*reasons: Reason | None) -> Latest:
    """Return the state of the ping after probes with these reasons, which begin at 0 s, 10 s and so on."""
    latest = LatestResults()
    for number, reason in enumerate(reasons):
        latest.record(make_result(reason=reason, started_at=number * 10.0, duration=1.0))
    return latest.of("prod")[1]


@pytest.mark.parametrize(
    "reasons, state, since",
    [
        ((), EndpointState.STARTING, None),
        ((None,), UP, 1.0),
        ((None, None), UP, 1.0),
        ((Reason.DNS,), DOWN, 0.0),
        ((None, Reason.DNS, Reason.TIMEOUT), DOWN, 10.0),
        ((Reason.DNS, None), UP, 11.0),
        ((None, Reason.INTERNAL, Reason.INTERNAL), UNKNOWN, 10.0),
        ((Reason.DNS, Reason.INTERNAL, Reason.DNS), DOWN, 0.0),  # an internal failure leaves the state as it was
        ((None, Reason.INTERNAL, None), UP, 1.0),
        ((Reason.INTERNAL, Reason.DNS), DOWN, 10.0),
    ],
)
def test_a_state_begins_with_its_first_probe(
    reasons: tuple[Reason | None, ...], state: EndpointState, since: float | None
) -> None:
    """A failure at its start, a success at its end."""
    latest = after(*reasons)
    assert (latest.state, latest.since) == (state, since)
    assert latest.was_up == (None in reasons)


def test_only_decisive_results_change_the_state() -> None:
    """An unauthenticated probe shows whether the API is open, and its certificate."""
    latest = LatestResults()
    for role in (Role.RETRIED, Role.UNAUTHENTICATED):
        latest.record(make_result(reason=Reason.DNS, role=role, certificate_expiry=5.0, clock_offset=0.25))
    _, ping, is_open = latest.of("prod")
    assert (ping.state, ping.certificate_expiry, ping.clock_offset) == (EndpointState.STARTING, 5.0, 0.25)
    assert not is_open
    latest.record(make_result(role=Role.UNAUTHENTICATED))
    assert latest.of("prod")[2]
    latest.record(make_result(role=Role.UNAUTHENTICATED, reason=Reason.INTERNAL))
    assert latest.of("prod")[2]


def test_no_token_is_kept() -> None:
    """A page that shows a Result cannot show its token."""
    latest = LatestResults()
    latest.record(make_result(Endpoint.TOKEN, token=Token("secret", 60.0, 60.0, 60.0)))
    login, _, _ = latest.of("prod")
    assert login.result is not None
    assert login.result.token is None


def test_a_missing_token_has_the_party_of_the_login() -> None:
    """Also if an earlier process has seen the rejection."""
    latest = LatestResults()
    no_token = make_result(reason=Reason.NO_TOKEN)
    latest.credentials_were_rejected("prod")
    latest.record(no_token)
    assert latest.of("prod")[1].responsibility is Responsibility.CREDENTIALS
    latest.record(make_result(Endpoint.TOKEN, reason=Reason.SERVER_ERROR))
    latest.credentials_were_rejected("prod")  # the login of this process is more recent
    latest.record(no_token)
    assert latest.of("prod")[1].responsibility is Responsibility.LOGIN
    latest.record(make_result(Endpoint.TOKEN))
    latest.record(no_token)
    assert latest.of("prod")[1].responsibility is Responsibility.UNKNOWN


def test_a_chain_that_failed_verification_has_no_expiry() -> None:
    """Another connection fetches the expiry of its certificate."""
    latest = LatestResults()
    latest.record(make_result(certificate_expiry=9.0, chain_expiry=8.0))
    latest.record(make_result(reason=Reason.CONNECT))
    assert latest.of("prod")[1].chain_expiry == 8.0
    latest.record(make_result(reason=Reason.CERTIFICATE))
    latest.certificate_seen("prod", Endpoint.PING, 3.0)
    assert (latest.of("prod")[1].certificate_expiry, latest.of("prod")[1].chain_expiry) == (3.0, None)


def test_a_check_of_the_token_host_shows_its_certificate() -> None:
    """After an internal failure it shows nothing."""
    latest = LatestResults()
    latest.token_host_checked(HostCheck("prod", certificate_expiry=9.0, chain_expiry=8.0))
    latest.token_host_checked(HostCheck("prod", Reason.INTERNAL, certificate_expiry=1.0))
    login = latest.of("prod")[0]
    assert (login.certificate_expiry, login.chain_expiry) == (9.0, 8.0)


def test_a_host_that_moved_is_unknown() -> None:
    """The other endpoint of the environment keeps its state."""
    latest = LatestResults()
    latest.record(make_result(certificate_expiry=9.0))
    latest.record(make_result(role=Role.UNAUTHENTICATED))
    latest.record(make_result(Endpoint.TOKEN))
    latest.forget("prod", Endpoint.TOKEN)
    assert (latest.of("prod")[0], latest.of("prod")[2]) == (Latest(), True)
    assert latest.of("prod")[1].state is UP
    latest.forget("prod", Endpoint.PING)
    assert latest.of("prod") == (Latest(), Latest(), False)
    latest.remove("prod")
    latest.forget("prod", Endpoint.PING)
    assert latest.of("prod") == (Latest(), Latest(), False)
