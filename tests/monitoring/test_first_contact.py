"""First contact with every known kind of server: a lost second request, a disabled account, an outage of its users."""

from __future__ import annotations

import math

import pytest

from monitor.model import Endpoint, FieldNames
from monitor.simulator.message import SimulatedResponse, json_response
from monitor.simulator.personalities import KEYCLOAK, PERSONALITIES
from monitor.simulator.personality import VENDOR_SENTENCE, LoginRules, Personality
from tests.support.virtual_server import MINUTE, Loss, VirtualServerHarness
from tests.support.virtual_time import HOUR

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # it would take most of the time, and the tests of the modules execute the same lines
]

OUTAGE = 20 * MINUTE
# The next login comes 5 minutes after the one before the outage, and the pause after its refusal is as long as the
# outage. The second allows for the duration of the requests.
WELL_AGAIN = 5 * MINUTE + 1
every_server = pytest.mark.parametrize("server", PERSONALITIES.values(), ids=PERSONALITIES)
refuses_documented_names = pytest.mark.parametrize(
    "server",
    [server for server in PERSONALITIES.values() if server.rules.field_names == "rfc6749"],
    ids=lambda server: server.name,
)
# Both pairs of names get the same refusal in an outage, and only the documented ones are taken.
EQUAL_REFUSALS = [server for server in PERSONALITIES.values() if server.name.startswith("vendor-page")]
RECOVERING = [server for server in PERSONALITIES.values() if server not in EQUAL_REFUSALS]
# Not a known server: one that takes the documented names only, and refuses the others with another response.
UNEQUAL_REFUSALS = Personality(
    name="unequal-refusals",
    missing_field=json_response(400, {"error": "invalid_request"}),
    wrong_password=json_response(401, {"message": VENDOR_SENTENCE}),
    wrong_secret=json_response(401, {"error": "invalid_client"}),
    rules=LoginRules(field_names="documented"),
)
FAILURES = {
    "dropped": Loss.DROPPED,
    "timeout": Loss.TIMED_OUT,
    "no-connection": Loss.NO_CONNECTION,
    "429": json_response(429, {"message": "Too Many Requests"}),
    "403": json_response(403, {"message": "Forbidden"}),
    "500": SimulatedResponse(500),
    "503": json_response(503, {"message": "Service Unavailable"}, headers={"Retry-After": "60"}),
}


@refuses_documented_names
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failed_second_request_delays_the_first_grant_by_minutes(
    server: Personality, failure: Loss | SimulatedResponse
) -> None:
    """Right credentials are logged in within ten minutes, and are not reported as rejected."""
    harness = VirtualServerHarness(server)
    harness.http_client.login_overrides = [None, failure]
    harness.run(10 * MINUTE)
    assert not harness.http_client.login_overrides
    assert harness.environment.token is not None
    assert not any(result.run.credentials_rejected for result in harness.results)
    assert harness.names()[-1] is FieldNames.RFC6749


@pytest.mark.parametrize("loss", [Loss.DROPPED, Loss.TIMED_OUT])
def test_two_lost_requests_after_a_refusal_stop_logins_until_an_operator_acts(loss: Loss) -> None:
    """The server may have counted all three requests, so right credentials too wait for a reload, and then log in."""
    harness = VirtualServerHarness(KEYCLOAK)
    harness.http_client.login_overrides = [None, loss, loss]
    harness.run(HOUR)
    assert len(harness.logins()) == 3
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    assert harness.environment.logins.request_after_reload()
    harness.run(MINUTE)
    assert harness.environment.token is not None


@every_server
def test_an_account_that_is_enabled_logs_in_after_a_reload(server: Personality) -> None:
    """Logins stop while the account is disabled; after a reload one run logs in, whatever names the server takes."""
    harness = VirtualServerHarness(server)
    harness.registry.disabled = True
    harness.run_sparsely(1)
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    harness.registry.disabled = False
    harness.run_sparsely(1)
    sent = len(harness.logins())
    assert not harness.granted_at()
    assert harness.environment.logins.request_after_reload()
    harness.run(MINUTE)
    assert harness.environment.token is not None
    assert not harness.environment.credentials_rejected
    assert len(harness.logins()) - sent <= 2


def test_a_disabled_account_is_reported_with_the_message_of_keycloak() -> None:
    """The decisive Result of the first contact has the message about the account."""
    harness = VirtualServerHarness(KEYCLOAK)
    harness.registry.disabled = True
    harness.run(MINUTE)
    assert "Account disabled" in harness.login_runs()[0].verdict.detail


@every_server
@pytest.mark.parametrize("offset", [0.0, 1.0, 150.0, 299.0])
def test_logins_recover_within_five_minutes_after_an_outage_of_all_users(server: Personality, offset: float) -> None:
    """A server refuses everybody for 20 minutes, from `offset` seconds after a login; it grants the next login."""
    harness = VirtualServerHarness(server)
    harness.run(10 * MINUTE)
    harness.run(next_renewal(harness) - harness.now)
    harness.run(offset)
    refuse_everybody(harness)
    assert harness.login_runs()[-1].run.credentials_rejected
    before = len(harness.granted_at())
    harness.run(WELL_AGAIN)
    assert len(harness.granted_at()) > before
    assert not harness.environment.credentials_rejected


@pytest.mark.parametrize("server", [*RECOVERING, UNEQUAL_REFUSALS], ids=lambda server: server.name)
def test_logins_recover_within_five_minutes_after_an_outage_at_first_contact(server: Personality) -> None:
    """The names of the refusal that reveals more, and of two equal ones `username`, are granted after the outage."""
    harness = VirtualServerHarness(server)
    refuse_everybody(harness)
    assert not harness.granted_at()
    harness.run(WELL_AGAIN)
    assert harness.environment.token is not None


@pytest.mark.parametrize("server", EQUAL_REFUSALS, ids=lambda server: server.name)
def test_an_outage_at_first_contact_needs_an_operator_if_both_names_get_the_vendors_sentence(
    server: Personality,
) -> None:
    """The third and last request has the names that this server never takes; a reload then sends both, and logs in."""
    harness = VirtualServerHarness(server)
    refuse_everybody(harness)
    harness.run(HOUR)
    assert harness.names() == [FieldNames.DOCUMENTED, FieldNames.RFC6749, FieldNames.RFC6749]
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    assert VENDOR_SENTENCE in harness.login_runs()[-1].verdict.detail
    assert harness.environment.logins.request_after_reload()
    harness.run(MINUTE)
    assert harness.environment.token is not None


def next_renewal(harness: VirtualServerHarness) -> float:
    """Return the moment just after the next login, which is granted."""
    due = harness.environment.next_login()
    assert due is not None
    return due + 0.01


def refuse_everybody(harness: VirtualServerHarness) -> None:
    """Let the server refuse every user for 20 minutes."""
    harness.registry.refuse_everybody = True
    harness.run(OUTAGE)
    harness.registry.refuse_everybody = False
