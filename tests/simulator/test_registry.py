"""The simulator responds as the vendor's pages document, and requires the documented requests."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from dataclasses import replace

import pytest

from monitor.simulator import SimulatedCredentials, Simulator
from monitor.simulator.registry import FieldNames, TokenErrors
from tests.simulator.client import SimulatorClient

pytestmark = pytest.mark.once

LOGIN_REFUSED = "Bad Request - Invalid Login ID or Password"


def claims_of(token: str) -> dict[str, float]:
    """Return the claims of a token without verification."""
    payload = token.split(".")[1]
    claims: dict[str, float] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims


def test_a_login_is_granted_a_token_that_the_ping_accepts(client: SimulatorClient) -> None:
    """The response to the documented login has the documented fields, and the ping accepts its token."""
    login = client.login()
    assert login.status == 200
    assert set(login.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert (login.json["token_type"], login.json["scope"], login.json["expires_in"]) == ("bearer", "access", 3600)
    before = time.time()
    ping = client.ping(login.json["access_token"])
    assert ping.status == 200
    assert before - 0.001 <= dt.datetime.fromisoformat(ping.json["pong"]).timestamp() <= time.time()  # milliseconds


def test_a_token_contains_its_lifetime(client: SimulatorClient) -> None:
    """The lifetime of the environment is `exp` minus `iat`."""
    client.environment.lifetime = 90
    login = client.login()
    claims = claims_of(login.json["access_token"])
    assert claims["exp"] - claims["iat"] == login.json["expires_in"] == 90


def test_an_expired_token_is_refused(client: SimulatorClient) -> None:
    """The API compares the expiry with its own clock."""
    token = client.token()
    client.environment.clock_offset = 3602
    assert client.ping(token).status == 401


def test_revoked_tokens_are_refused_and_later_tokens_are_accepted(client: SimulatorClient) -> None:
    """Revocation applies to every token that was granted before it, and to no other."""
    token = client.token()
    client.environment.revoke_tokens()
    refused = client.ping(token)
    assert (refused.status, refused.json["errors"][0]["code"]) == (401, "Unauthorized")
    assert refused.json["submissionId"]
    assert client.ping(client.token()).status == 200


def test_a_rotated_key_invalidates_every_token(client: SimulatorClient) -> None:
    """The ping rejects a token of the old key, and accepts a token of the new one."""
    token = client.token()
    client.environment.rotate_signing_key()
    assert client.ping(token).status == 401
    assert client.ping(client.token()).status == 200


def test_tokens_of_another_environment_are_refused(client: SimulatorClient, simulator: Simulator) -> None:
    """Each environment has a separate key."""
    assert SimulatorClient(simulator.environment("uat"), simulator.ca_file).ping(client.token()).status == 401


@pytest.mark.parametrize("token", [None, "nonsense", "a.b.c", "ä.ö.ü"])
def test_a_ping_without_a_valid_token_is_refused(client: SimulatorClient, token: str | None) -> None:
    """A missing or malformed token gets status 401 with an error container."""
    refused = client.ping(token)
    assert refused.status == 401
    assert refused.json["submissionId"]


@pytest.mark.parametrize("part", ["client_id", "client_secret", "username", "password"])
@pytest.mark.parametrize("errors", ["documented", "rfc6749"])
def test_a_wrong_credential_gets_the_configured_error(client: SimulatorClient, part: str, errors: TokenErrors) -> None:
    """The documented 401 has the vendor's message; errors of RFC 6749 distinguish a wrong client from a wrong user."""
    client.environment.token_errors = errors
    refused = client.login(replace(client.environment.credentials, **{part: "wrong"}))
    if errors == "documented":
        assert (refused.status, refused.reason, refused.json["message"]) == (401, LOGIN_REFUSED, LOGIN_REFUSED)
    elif part.startswith("client"):
        assert (refused.status, refused.json["error"]) == (401, "invalid_client")
    else:
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant")


def test_credentials_with_punctuation_log_in(client: SimulatorClient) -> None:
    """Any character except a colon in the client id works, raw in Basic and escaped in the form."""
    client.environment.credentials = SimulatedCredentials("äp&p", 's:e%c+r=e"t ß', "us er+&=", "p:ä%s+s&w=o'rd")
    assert client.login().status == 200


def test_only_the_changed_password_logs_in(client: SimulatorClient) -> None:
    """The old password is refused, the new one is granted, and granted tokens stay valid."""
    token, old = client.token(), client.environment.credentials
    new = client.environment.change_password()
    assert new.password != old.password
    assert client.login(old).status == 401
    assert client.login(new).status == 200
    assert client.ping(token).status == 200


@pytest.mark.parametrize(
    "takes, field_names, status",
    [
        ("documented", ("Username", "Password"), 200),
        ("documented", ("username", "password"), 401),
        ("rfc6749", ("username", "password"), 200),
        ("rfc6749", ("Username", "Password"), 401),
        ("either", ("Username", "Password"), 200),
        ("either", ("username", "password"), 200),
    ],
)
def test_a_login_is_granted_only_with_accepted_field_names(
    client: SimulatorClient, takes: FieldNames, field_names: tuple[str, str], status: int
) -> None:
    """The server does not read other field names, so it refuses the login."""
    client.environment.field_names = takes
    assert client.login(field_names=field_names).status == status


@pytest.mark.parametrize("takes", ["documented", "rfc6749", "either"])
def test_both_pairs_of_field_names_at_once_are_refused(client: SimulatorClient, takes: FieldNames) -> None:
    """The server refuses such a form, whichever names it accepts."""
    client.environment.field_names = takes
    form = "Username=a&Password=b&username=a&password=b&grant_type=password"
    assert client.login(form=form).status == 400


@pytest.mark.parametrize(
    "change, status",
    [
        ({"headers": {"Authorization": ""}}, 401),
        ({"headers": {"Authorization": "Basic !!!"}}, 401),
        ({"headers": {"Content-Type": "application/json"}}, 415),
        ({"form": "Username=a&Password=b"}, 400),
        ({"form": "Username=a&Password=b&grant_type=client_credentials"}, 400),
        ({"form": "Username=a&Username=a&Password=b&grant_type=password"}, 400),
        ({"form": "{}"}, 400),
        ({"method": "PUT"}, 405),
        ({"path": "/oauth/token?grant_type=password"}, 405),
        ({"path": "/"}, 404),
    ],
)
def test_a_token_request_that_the_page_does_not_describe_is_refused(
    client: SimulatorClient, change: dict[str, str], status: int
) -> None:
    """Only the documented headers, content type, grant type, method and path get a token."""
    assert client.login(**change).status == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("POST", None, 405),
        ("GET", "/ClientAPI/api/system/ping?verbose=1", 400),
        ("GET", "/clientapi/api/system/ping", 404),
        ("GET", "/ClientAPI/api/accounts", 404),
    ],
)
def test_any_request_except_the_ping_is_refused(
    client: SimulatorClient, method: str, path: str | None, status: int
) -> None:
    """The API has one method on one path."""
    refused = client.ping(client.token(), method=method, path=path)
    assert refused.status == status
    assert refused.json["errors"]


def test_no_secret_is_in_a_repr(client: SimulatorClient) -> None:
    """The representation of credentials contains no value."""
    assert repr(client.environment.credentials) == "SimulatedCredentials()"
