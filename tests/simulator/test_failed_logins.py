"""The counter of failed logins of a user, the lock that follows, and both over a month of virtual time."""

from __future__ import annotations

import base64
import json
import urllib.parse
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.simulator import SimulatedEnvironment, faults
from monitor.simulator.faults import Moment
from monitor.simulator.message import ReceivedRequest, SimulatedResponse
from monitor.simulator.personalities import PERSONALITIES
from monitor.simulator.registry import TOKEN_PATH, Registry
from tests.simulator.client import SimulatorClient

pytestmark = pytest.mark.once

DOCUMENTED, RFC6749 = ("Username", "Password"), ("username", "password")
FORM = "application/x-www-form-urlencoded"
HOUR = 3600.0


class VirtualClock:
    """A clock that only the test changes."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self.now


def request_of(registry: Registry, names: tuple[str, str], password: str | None = None) -> ReceivedRequest:
    """Return a login request without a socket, by default with the right password."""
    right = registry.credentials
    form = {names[0]: right.username, names[1]: right.password if password is None else password}
    return request_with(registry, urllib.parse.urlencode(form | {"grant_type": "password"}).encode())


def request_with(registry: Registry, body: bytes, authorization: str | None = None) -> ReceivedRequest:
    """Return a token request with this body, by default of the right client."""
    right = registry.credentials
    basic = base64.b64encode(f"{right.client_id}:{right.client_secret}".encode()).decode()
    headers = {"content-type": FORM, "authorization": authorization or f"Basic {basic}"}
    return ReceivedRequest("POST", TOKEN_PATH, headers, b"", body)


def wrong(registry: Registry, names: tuple[str, str] = RFC6749) -> SimulatedResponse:
    """Log in with a wrong password."""
    return registry.token(request_of(registry, names, "wrong"))


def right(registry: Registry, names: tuple[str, str] = RFC6749) -> SimulatedResponse:
    """Log in with the right password."""
    return registry.token(request_of(registry, names))


@pytest.fixture
def registry() -> Registry:
    """Return a registry that behaves like Keycloak."""
    registry = Registry()
    registry.personality = "keycloak"
    return registry


@pytest.fixture
def environment(plain_client: SimulatorClient) -> SimulatedEnvironment:
    """Return the environment of the client."""
    return plain_client.environment


@pytest.mark.parametrize("name", PERSONALITIES)
def test_only_the_field_names_that_are_read_count(
    plain_client: SimulatorClient, environment: SimulatedEnvironment, name: str
) -> None:
    """A wrong password in both pairs of names, one after the other, counts once, or twice where case is ignored."""
    environment.personality = name
    for field_names in (DOCUMENTED, RFC6749):
        plain_client.login(replace(environment.credentials, password="wrong"), field_names=field_names)
    assert environment.failed_logins == (2 if name == "aspnet" else 1)


@pytest.mark.parametrize("takes, count", [("documented", 1), ("rfc6749", 1), ("either", 2), ("any_case", 2)])
def test_the_counter_works_without_a_personality(registry: Registry, takes: str, count: int) -> None:
    """The field names that are set decide which forms count."""
    registry.personality = None
    registry.field_names = takes  # type: ignore[assignment]
    for names in (DOCUMENTED, RFC6749):
        assert wrong(registry, names).status == 401
    assert registry.failed_logins == count


def test_a_wrong_client_and_an_unknown_user_do_not_count(
    plain_client: SimulatorClient, environment: SimulatedEnvironment
) -> None:
    """The server does not compare the password of this user."""
    environment.personality = "keycloak"
    for name in ("client_id", "client_secret", "username"):
        other = replace(environment.credentials, password="wrong", **{name: "wrong"})
        assert plain_client.login(other, field_names=RFC6749).status == 401
    assert environment.failed_logins == 0


def test_a_grant_sets_the_count_to_zero(registry: Registry) -> None:
    """The counter holds the failures in a row."""
    wrong(registry)
    wrong(registry)
    assert registry.failed_logins == 2
    assert right(registry).status == 200
    assert registry.failed_logins == 0


def test_every_user_has_a_counter(registry: Registry) -> None:
    """The failures of one user do not count for another, and stay when the users change."""
    wrong(registry)
    first = registry.credentials
    registry.credentials = replace(first, username="another")
    assert registry.failed_logins == 0
    registry.credentials = first
    assert registry.failed_logins == 1


@pytest.mark.parametrize("name", PERSONALITIES)
def test_a_lock_refuses_the_right_password_as_a_wrong_one(registry: Registry, name: str) -> None:
    """After `lock_after` failures in a row both passwords have the same response, until `unlock`."""
    registry.personality = name
    registry.lock_after = 3
    names = DOCUMENTED if right(registry, DOCUMENTED).status == 200 else RFC6749
    refused, locked = [], []
    for attempt in (wrong, wrong, wrong, right):
        refused.append(attempt(registry, names))
        locked.append(registry.locked)
    assert locked == [False, False, True, True]
    assert len({(response.status, response.reason, response.body) for response in refused}) == 1
    registry.unlock()
    assert (registry.locked, registry.failed_logins) == (False, 0)
    assert right(registry, names).status == 200


def test_a_lock_comes_without_a_personality_too(
    plain_client: SimulatorClient, environment: SimulatedEnvironment
) -> None:
    """The response to the right password then has the sentence of the vendor's page."""
    environment.lock_after = 1
    plain_client.login(replace(environment.credentials, password="wrong"))
    assert plain_client.login().reason == "Bad Request - Invalid Login ID or Password"


def test_a_grant_between_failures_prevents_the_lock(registry: Registry) -> None:
    """Only failures in a row lock the user."""
    registry.lock_after = 2
    for _ in range(3):
        wrong(registry)
        assert right(registry).status == 200
    assert not registry.locked


def test_the_right_password_of_a_locked_user_does_not_count(registry: Registry) -> None:
    """The counter stays at the threshold after a login with the right password."""
    registry.lock_after = 1
    wrong(registry)
    right(registry)
    assert registry.failed_logins == 1


@pytest.mark.parametrize(
    "name, status, text",
    [("keycloak", 400, b"Account disabled"), ("fastapi", 401, b"Incorrect"), (None, 401, b"Invalid Login ID")],
)
def test_a_disabled_account_is_refused(registry: Registry, name: str | None, status: int, text: bytes) -> None:
    """Keycloak names the reason; another server refuses as for a wrong password; neither counts a right one."""
    registry.personality = name
    registry.disabled = True
    refused = right(registry, RFC6749 if name else DOCUMENTED)
    assert (refused.status, text in refused.body) == (status, True)
    assert registry.failed_logins == 0


def test_a_server_without_its_user_store_counts_the_right_password(registry: Registry) -> None:
    """Every login is refused as a wrong password and counts, and the lock it causes outlasts the outage."""
    registry.lock_after = 2
    refused = wrong(registry)
    registry.unlock()
    registry.refuse_everybody = True
    assert [right(registry).body, right(registry).body] == [refused.body] * 2
    assert registry.failed_logins == 2
    registry.refuse_everybody = False
    assert right(registry).body == refused.body


@pytest.mark.parametrize("status", [403, 429, 500, 503, None])
def test_a_fault_can_be_limited_to_the_second_login(
    plain_client: SimulatorClient, environment: SimulatedEnvironment, status: int | None
) -> None:
    """The first and third login have the personality's response, and the second does not count; None drops it."""
    environment.personality = "keycloak"
    environment.token_faults.queue(None, faults.Status(status) if status else faults.Reset(Moment.REQUEST))
    statuses = [status_of_a_wrong_login(plain_client) for _ in range(3)]
    assert statuses == [401, status, 401]
    assert environment.failed_logins == 2


def status_of_a_wrong_login(client: SimulatorClient) -> int | None:
    """Return the status of a login with a wrong password; None if the connection was dropped."""
    try:
        return client.login(replace(client.environment.credentials, password="wrong"), field_names=RFC6749).status
    except ConnectionError:
        return None


def test_a_month_runs_on_a_virtual_clock_without_sockets() -> None:
    """A login an hour and a ping after each: all succeed before expiry, none after, and a lock lasts to the end."""
    clock = VirtualClock()
    registry = Registry(clock)
    registry.personality = "keycloak"
    registry.lifetime = HOUR
    registry.lock_after = 5
    for _ in range(30 * 24):
        token = json.loads(right(registry).body)["access_token"]
        clock.now += HOUR - 1
        assert ping(registry, token) == 200
        clock.now += 3
        assert ping(registry, token) == 401
    for _ in range(5):
        wrong(registry)
    clock.now += 30 * 24 * HOUR
    assert right(registry).status == 401


def ping(registry: Registry, token: str) -> int:
    """Return the status of a ping without a socket."""
    target = "/ClientAPI/api/system/ping"
    return registry.api(ReceivedRequest("GET", target, {"authorization": f"Bearer {token}"}, b"", b"")).status


FIELDS = st.sampled_from(["username", "Username", "USERNAME", "password", "Password", "grant_type", "ä", "%", ""])
VALUES = st.sampled_from(["password", "user", "%ff", "%", "+", "\u20ac", ""]) | st.text()
FORMS = st.lists(st.tuples(FIELDS, VALUES)).map(lambda pairs: "&".join(f"{k}={v}" for k, v in pairs))


@given(
    st.sampled_from([None, *PERSONALITIES]),
    st.binary() | FORMS.map(lambda form: form.encode("utf-8", "surrogatepass")),
    st.none() | st.text(st.characters(max_codepoint=255)).map(lambda text: f"Basic {text}"),
)
def test_any_bytes_are_refused_and_none_raise(name: str | None, body: bytes, authorization: str | None) -> None:
    """Any form and Authorization header get an error response, and do not count as a failure of the user."""
    registry = Registry()
    registry.personality = name
    response = registry.token(request_with(registry, body, authorization))
    assert 400 <= response.status <= 500
    assert registry.failed_logins == 0
