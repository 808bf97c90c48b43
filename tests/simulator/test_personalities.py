"""Each personality responds like the server of its name: every cell of the measured table, on real sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from monitor.simulator import SimulatedCredentials
from monitor.simulator.personalities import KEYCLOAK, PERSONALITIES
from tests.simulator.client import ClientResponse, SimulatorClient

pytestmark = pytest.mark.once

DOCUMENTED, RFC6749, OTHER_CASE = ("Username", "Password"), ("username", "password"), ("USERNAME", "passWord")
SENTENCE = "Bad Request - Invalid Login ID or Password"
AUTHLIB_TEXT = "Invalid 'username' or 'password' in request."

# Per server: the response to a form with `Username`, to a wrong password, to a wrong client secret and to an unknown
# client. A response is its status and a text of its status line, headers or body.
TABLE: Mapping[str, tuple[tuple[int, str], ...]] = {
    "spring-legacy": (
        (400, '"error": "invalid_grant", "error_description": "Bad credentials"'),
        (400, '"error": "invalid_grant", "error_description": "Bad credentials"'),
        (401, '"error": "unauthorized"'),
        (401, '"error": "unauthorized"'),
    ),
    "keycloak": (
        (401, '"error": "invalid_request", "error_description": "Missing parameter: username"'),
        (401, '"error": "invalid_grant", "error_description": "Invalid user credentials"'),
        (401, '"error": "unauthorized_client"'),
        (401, '"error": "unauthorized_client"'),
    ),
    "fastapi": (
        (422, '"loc": ["body", "username"], "msg": "Field required"'),
        (401, '{"detail": "Incorrect username or password"}'),
        (200, "access_token"),
        (200, "access_token"),
    ),
    "node-oauth2-server": (
        (400, '"error": "invalid_request", "error_description": "Missing parameter: `username`"'),
        (400, '"error": "invalid_grant"'),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
    "oidc-provider": (
        (400, '"error": "invalid_request"'),
        (400, '"error": "invalid_grant"'),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
    "authlib": (
        (400, '"error": "invalid_request"'),
        (400, f'"error": "invalid_request", "error_description": "{AUTHLIB_TEXT}"'),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
    "django-oauth-toolkit": (
        (400, '"error": "invalid_request"'),
        (400, '"error": "invalid_grant"'),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
    "go-oauth2": (
        (400, '"error": "invalid_request"'),
        (401, '"error": "invalid_grant"'),
        (401, '"error": "invalid_client"'),
        (500, '"error": "server_error"'),
    ),
    "fosite": (
        (400, '"error": "invalid_request"'),
        (400, '"error": "invalid_grant"'),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
    "vendor-page": ((200, "access_token"), *((401, f"\n{SENTENCE}"),) * 3),
    "vendor-page-json": ((200, "access_token"), *((401, f'{{"message": "{SENTENCE}"}}'),) * 3),
    "vendor-page-reason": ((200, "access_token"), *((401, f"401 {SENTENCE}\n"),) * 3),
    "aspnet": (
        (200, "access_token"),
        (400, '"error": "invalid_grant"'),
        (400, '"error": "invalid_client"'),
        (400, '"error": "invalid_client"'),
    ),
    "missing-field-500": (
        (500, "Internal Server Error"),
        (400, '"error": "invalid_grant"'),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
    "same-401": ((401, '{"message": "Unauthorized"}'),) * 4,
    "documented-or-403": (
        (200, "access_token"),
        (401, SENTENCE),
        (401, '"error": "invalid_client"'),
        (401, '"error": "invalid_client"'),
    ),
}
DOCUMENTED_ONLY = ("vendor-page", "vendor-page-json", "vendor-page-reason", "documented-or-403")
FIELDS_FIRST = ("go-oauth2", "django-oauth-toolkit", "fastapi")

each_server = pytest.mark.parametrize("name", TABLE)


def accepted_by(name: str) -> tuple[str, str]:
    """Return field names that the server accepts."""
    return DOCUMENTED if name in DOCUMENTED_ONLY else RFC6749


def is_the_cell(reply: ClientResponse, cell: tuple[int, str]) -> bool:
    """Return True if the response has the status and the text of a cell."""
    status, text = cell
    return reply.status == status and text in f"{reply.status} {reply.reason}\n{reply.body.decode()}"


def login(
    client: SimulatorClient, name: str, *wrong: str, field_names: tuple[str, str] | None = None
) -> ClientResponse:
    """Log in to the server of this name, with the named credentials wrong."""
    client.environment.personality = name
    credentials = replace(client.environment.credentials, **dict.fromkeys(wrong, "wrong"))
    return client.login(credentials, field_names=field_names or accepted_by(name))


def test_every_personality_is_in_the_table() -> None:
    """A new personality needs a row."""
    assert set(TABLE) == set(PERSONALITIES)


@each_server
def test_the_right_login_is_granted_with_accepted_field_names(plain_client: SimulatorClient, name: str) -> None:
    """Every server grants a token that its ping accepts."""
    granted = login(plain_client, name)
    assert granted.status == 200
    assert plain_client.ping(granted.json["access_token"]).status == 200


@each_server
def test_a_form_with_the_documented_names_has_the_measured_response(plain_client: SimulatorClient, name: str) -> None:
    """The first column of the table holds."""
    assert is_the_cell(login(plain_client, name, field_names=DOCUMENTED), TABLE[name][0])


@each_server
def test_a_wrong_password_and_an_unknown_user_have_the_same_response(plain_client: SimulatorClient, name: str) -> None:
    """The second column of the table holds, for both."""
    for wrong in ("password", "username"):
        assert is_the_cell(login(plain_client, name, wrong), TABLE[name][1])


@each_server
def test_a_wrong_client_secret_has_the_measured_response(plain_client: SimulatorClient, name: str) -> None:
    """The third column of the table holds."""
    assert is_the_cell(login(plain_client, name, "client_secret"), TABLE[name][2])


@each_server
def test_an_unknown_client_has_the_measured_response(plain_client: SimulatorClient, name: str) -> None:
    """The fourth column of the table holds."""
    assert is_the_cell(login(plain_client, name, "client_id"), TABLE[name][3])


@pytest.mark.parametrize(
    "name, status",
    [("vendor-page", 401), ("vendor-page-json", 401), ("vendor-page-reason", 401), ("documented-or-403", 403)],
)
def test_a_server_of_the_documented_names_refuses_the_others(
    plain_client: SimulatorClient, name: str, status: int
) -> None:
    """The server of the vendor's page refuses the login; the strict server responds with 403."""
    assert login(plain_client, name, field_names=RFC6749).status == status


def test_the_sentence_is_in_one_part_of_the_response_only(plain_client: SimulatorClient) -> None:
    """Each variant of the vendor's page has other parts without the sentence."""
    body, message, reason = (
        login(plain_client, name, "password") for name in ("vendor-page", "vendor-page-json", "vendor-page-reason")
    )
    assert (body.reason, message.reason, reason.reason) == ("Unauthorized", "Unauthorized", SENTENCE)
    assert (body.body.decode(), message.json, reason.body) == (SENTENCE, {"message": SENTENCE}, b"")


def test_a_server_that_ignores_case_accepts_any_case(plain_client: SimulatorClient) -> None:
    """ASP.NET grants a login with each of the three pairs and with a mixed pair."""
    for field_names in (DOCUMENTED, RFC6749, OTHER_CASE, ("Username", "password")):
        assert login(plain_client, "aspnet", field_names=field_names).status == 200


@each_server
def test_both_pairs_of_field_names_in_one_form_are_refused(plain_client: SimulatorClient, name: str) -> None:
    """A client that sends its password twice is never granted a token, and never counts as a failed login."""
    plain_client.environment.personality = name
    plain_client.environment.credentials = SimulatedCredentials(username="user", password="word")
    form = "Username=user&Password=word&username=user&password=word&grant_type=password"
    refused = plain_client.login(form=form)
    assert refused.status == {"same-401": 401, "documented-or-403": 403}.get(name, 400)
    assert plain_client.environment.failed_logins == 0


@pytest.mark.parametrize("name", [*FIELDS_FIRST, "keycloak", "fosite", "authlib", "spring-legacy"])
def test_the_first_failed_check_decides_the_response(plain_client: SimulatorClient, name: str) -> None:
    """A server that checks the fields first names the field; the others name the client."""
    refused = login(plain_client, name, "client_secret", field_names=DOCUMENTED)
    assert is_the_cell(refused, TABLE[name][0 if name in FIELDS_FIRST else 2])


def test_one_server_checks_the_user_before_the_client(plain_client: SimulatorClient) -> None:
    """A wrong password from a wrong client counts on go-oauth2, and does not on django-oauth-toolkit."""
    wrong = ("client_secret", "password")
    assert login(plain_client, "go-oauth2", *wrong).json["error"] == "invalid_grant"
    assert plain_client.environment.failed_logins == 1
    assert login(plain_client, "django-oauth-toolkit", *wrong).json["error"] == "invalid_client"
    assert plain_client.environment.failed_logins == 1


def test_the_useful_sentence_of_fosite_begins_after_300_characters(plain_client: SimulatorClient) -> None:
    """A client that keeps 300 characters of a description does not have the sentence."""
    description = login(plain_client, "fosite", field_names=DOCUMENTED).json["error_description"]
    assert description.index("Username or password") > 300


@pytest.mark.parametrize("form", ["username=user&grant_type=password", "password=word&grant_type=password"])
def test_half_a_login_is_a_missing_field(plain_client: SimulatorClient, form: str) -> None:
    """A form without the user or without the password is not a wrong password, and does not count."""
    plain_client.environment.personality = "keycloak"
    assert plain_client.login(form=form).json["error"] == "invalid_request"
    assert plain_client.environment.failed_logins == 0


@pytest.mark.parametrize("name, status", [("keycloak", 400), ("same-401", 401), ("documented-or-403", 403)])
def test_a_malformed_request_is_refused_by_every_server(plain_client: SimulatorClient, name: str, status: int) -> None:
    """A server with one error response uses it for a wrong content type; the others follow RFC 6749."""
    plain_client.environment.personality = name
    refused = plain_client.login(headers={"Content-Type": "application/json"})
    assert refused.status == status


def test_a_personality_is_set_by_name_or_value_and_cleared_by_none(plain_client: SimulatorClient) -> None:
    """An unknown name raises an error that lists the names, and changes nothing."""
    environment = plain_client.environment
    environment.personality = KEYCLOAK
    with pytest.raises(ValueError, match="unknown personality 'nginx'; the names are spring-legacy, keycloak"):
        environment.personality = "nginx"
    assert environment.personality is KEYCLOAK
    environment.personality = None
    assert plain_client.login(replace(environment.credentials, password="wrong")).reason == SENTENCE


# Per server: the response of its ping to a missing, an expired and a revoked token: status, WWW-Authenticate, body.
CHALLENGE = 'Bearer error="invalid_token", error_description="The token'
PINGS = {
    "spring-legacy": ((401, "Bearer", ""), (401, f'{CHALLENGE} has expired"', ""), (401, f"{CHALLENGE} was", "")),
    "django-oauth-toolkit": ((403, "", ""),) * 3,
    "fastapi": (
        (401, "Bearer", '{"detail": "Not authenticated"}'),
        *((401, "Bearer", '{"detail": "Could not validate credentials"}'),) * 2,
    ),
    "aspnet": ((401, "Bearer", '{"title": "Unauthorized", "status": 401, "detail": "The access token is not valid."}'),)
    * 3,
}


@pytest.mark.parametrize("name", PINGS)
def test_the_ping_refuses_a_token_as_the_servers_api_does(plain_client: SimulatorClient, name: str) -> None:
    """A missing, an expired and a revoked token have the status, the challenge and the body of the server."""
    token = login(plain_client, name).json["access_token"]
    missing = plain_client.ping()
    plain_client.environment.clock_offset = 3602
    expired = plain_client.ping(token)
    plain_client.environment.clock_offset = 0
    plain_client.environment.revoke_tokens()
    revoked = plain_client.ping(token)
    for reply, (status, challenge, body) in zip((missing, expired, revoked), PINGS[name], strict=True):
        assert (reply.status, reply.body.decode()) == (status, body)
        assert reply.headers.get("WWW-Authenticate", "").startswith(challenge)
        assert bool(challenge) == ("WWW-Authenticate" in reply.headers)


@pytest.mark.parametrize("name", sorted(PERSONALITIES.keys() - PINGS.keys()))
def test_the_other_pings_refuse_with_the_vendors_error(plain_client: SimulatorClient, name: str) -> None:
    """The ErrorContainer is the response to a missing and a revoked token."""
    token = login(plain_client, name).json["access_token"]
    plain_client.environment.revoke_tokens()
    for refused in (plain_client.ping(), plain_client.ping(token)):
        assert (refused.status, refused.json["errors"][0]["code"]) == (401, "Unauthorized")


def test_a_token_is_accepted_after_the_delay_of_the_server(plain_client: SimulatorClient) -> None:
    """A new token is refused until the delay has passed on the server's clock."""
    plain_client.environment.personality = replace(KEYCLOAK, token_delay=600)
    token = plain_client.login(field_names=RFC6749).json["access_token"]
    assert plain_client.ping(token).status == 401
    plain_client.environment.clock_offset = 601
    assert plain_client.ping(token).status == 200


def test_every_response_matches_its_content_type() -> None:
    """The body of a JSON response is JSON, and no response is a success."""
    for personality in PERSONALITIES.values():
        responses = [personality.missing_field, personality.wrong_password, personality.wrong_secret]
        for response in [*responses, *(personality.ping or {}).values()]:
            assert response.status >= 400
            if response.body and "json" in response.content_type:
                assert isinstance(json.loads(response.body), dict)
