"""First contact with every known kind of server: a lost second request, a disabled account, an outage of its users."""

from __future__ import annotations

import math

import pytest

from monitor.model import Endpoint, FieldNames
from monitor.simulator.message import Answer, json_answer
from monitor.simulator.personalities import KEYCLOAK, PERSONALITIES
from monitor.simulator.personality import VENDOR_SENTENCE, LoginRules, Personality
from tests.support.day import HOUR
from tests.support.virtual_server import MINUTE, Loss, ServerDay

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
    missing_field=json_answer(400, {"error": "invalid_request"}),
    wrong_password=json_answer(401, {"message": VENDOR_SENTENCE}),
    wrong_secret=json_answer(401, {"error": "invalid_client"}),
    rules=LoginRules(field_names="documented"),
)
FAILURES = {
    "dropped": Loss.DROPPED,
    "timeout": Loss.TIMED_OUT,
    "no-connection": Loss.NO_CONNECTION,
    "429": json_answer(429, {"message": "Too Many Requests"}),
    "403": json_answer(403, {"message": "Forbidden"}),
    "500": Answer(500),
    "503": json_answer(503, {"message": "Service Unavailable"}, headers={"Retry-After": "60"}),
}


@refuses_documented_names
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failed_second_request_delays_the_first_grant_by_minutes(server: Personality, failure: Loss | Answer) -> None:
    """Right credentials are logged in within ten minutes, and are not reported as rejected."""
    day = ServerDay(server)
    day.http_client.login_script = [None, failure]
    day.run(10 * MINUTE)
    assert not day.http_client.login_script
    assert day.environment.token is not None
    assert not any(result.credentials_rejected for result in day.results)
    assert day.names()[-1] is FieldNames.RFC6749


@pytest.mark.parametrize("loss", [Loss.DROPPED, Loss.TIMED_OUT])
def test_two_lost_requests_after_a_refusal_stop_logins_until_an_operator_acts(loss: Loss) -> None:
    """The server may have counted all three requests, so right credentials too wait for a reload, and then log in."""
    day = ServerDay(KEYCLOAK)
    day.http_client.login_script = [None, loss, loss]
    day.run(HOUR)
    assert len(day.logins()) == 3
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf
    assert day.environment.logins.request_after_reload()
    day.run(MINUTE)
    assert day.environment.token is not None


@every_server
def test_an_account_that_is_enabled_logs_in_after_a_reload(server: Personality) -> None:
    """Logins stop while the account is disabled; after a reload one run logs in, whatever names the server takes."""
    day = ServerDay(server)
    day.registry.disabled = True
    day.run_sparsely(1)
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf
    day.registry.disabled = False
    day.run_sparsely(1)
    sent = len(day.logins())
    assert not day.granted_at()
    assert day.environment.logins.request_after_reload()
    day.run(MINUTE)
    assert day.environment.token is not None
    assert not day.environment.credentials_rejected
    assert len(day.logins()) - sent <= 2


def test_a_disabled_account_is_reported_in_the_words_of_keycloak() -> None:
    """The decisive Result of the first contact has the message about the account."""
    day = ServerDay(KEYCLOAK)
    day.registry.disabled = True
    day.run(MINUTE)
    assert "Account disabled" in day.login_runs()[0].detail


@every_server
@pytest.mark.parametrize("offset", [0.0, 1.0, 150.0, 299.0])
def test_an_outage_of_all_users_ends_within_five_minutes_of_its_end(server: Personality, offset: float) -> None:
    """A server that refuses everybody for 20 minutes, from `offset` seconds after a login on, grants the next login."""
    day = ServerDay(server)
    day.run(10 * MINUTE)
    day.run(next_renewal(day) - day.now)
    day.run(offset)
    refuse_everybody(day)
    assert day.login_runs()[-1].credentials_rejected
    before = len(day.granted_at())
    day.run(WELL_AGAIN)
    assert len(day.granted_at()) > before
    assert not day.environment.credentials_rejected


@pytest.mark.parametrize("server", [*RECOVERING, UNEQUAL_REFUSALS], ids=lambda server: server.name)
def test_an_outage_at_first_contact_ends_within_five_minutes_of_its_end(server: Personality) -> None:
    """The names of the refusal that reveals more, and of two equal ones `username`, are granted after the outage."""
    day = ServerDay(server)
    refuse_everybody(day)
    assert not day.granted_at()
    day.run(WELL_AGAIN)
    assert day.environment.token is not None


@pytest.mark.parametrize("server", EQUAL_REFUSALS, ids=lambda server: server.name)
def test_an_outage_at_first_contact_needs_an_operator_if_both_names_get_the_vendors_sentence(
    server: Personality,
) -> None:
    """The third and last request has the names that this server never takes; a reload then sends both, and logs in."""
    day = ServerDay(server)
    refuse_everybody(day)
    day.run(HOUR)
    assert day.names() == [FieldNames.DOCUMENTED, FieldNames.RFC6749, FieldNames.RFC6749]
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf
    assert VENDOR_SENTENCE in day.login_runs()[-1].detail
    assert day.environment.logins.request_after_reload()
    day.run(MINUTE)
    assert day.environment.token is not None


def next_renewal(day: ServerDay) -> float:
    """Return the moment just after the next login, which is granted."""
    due = day.environment.next_login()
    assert due is not None
    return due + 0.01


def refuse_everybody(day: ServerDay) -> None:
    """Let the server refuse every user for 20 minutes."""
    day.registry.refuse_everybody = True
    day.run(OUTAGE)
    day.registry.refuse_everybody = False
