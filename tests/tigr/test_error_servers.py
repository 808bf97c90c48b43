"""Error responses of real servers: their message is kept, and a refused login is recognized."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from monitor.tigr.responses import ErrorDetails, is_login_refusal, parse_error
from tests.tigr.test_responses import body

pytestmark = pytest.mark.once

SENTENCE = "Invalid Login ID or Password"


class Case(NamedTuple):
    """A response of a server, and the values that are expected of it."""

    status: int
    body: bytes
    code: str | None
    message: str
    refusal: bool = True
    names_credentials: bool = False
    www_authenticate: str = ""
    reason_phrase: str = ""


def oauth(status: int, code: str, description: str | None, *, names: bool, refusal: bool = True) -> Case:
    """Return a response of RFC 6749 section 5.2."""
    members = {"error": code} | ({} if description is None else {"error_description": description})
    return Case(status, body(members), code, ": ".join(members.values()), refusal, names)


FIELD_REQUIRED = [
    {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None}
    for name in ("username", "password")
]
BOILERPLATE = "The request is missing a required parameter, or is otherwise malformed. " * 5
# Login responses of the servers that the monitor was run against, each with up to three cases: a form with the wrong
# field names, a wrong password, a wrong client secret. Descriptions are shortened.
SERVERS = {
    "Spring Security OAuth, fields or password": oauth(400, "invalid_grant", "Bad credentials", names=True),
    "Spring Security OAuth, client": oauth(401, "unauthorized", "Full authentication is required", names=False),
    "Keycloak, fields": oauth(401, "invalid_request", "Missing parameter: username", names=False),
    "Keycloak, password": oauth(401, "invalid_grant", "Invalid user credentials", names=True),
    "Keycloak, disabled or locked": oauth(400, "invalid_grant", "Account disabled", names=True),
    "Keycloak, client": oauth(401, "unauthorized_client", "Invalid client or Invalid client credentials", names=True),
    "Keycloak, its other form": Case(400, body({"errorMessage": "Invalid"}), None, "Invalid"),
    "FastAPI, fields": Case(
        422, body({"detail": FIELD_REQUIRED}), None, "body.username: Field required; body.password: Field required"
    ),
    "FastAPI, password": Case(
        401, body({"detail": "Incorrect username or password"}), None, "Incorrect username or password",
        www_authenticate="Bearer",
    ),
    "node-oauth2-server, fields": oauth(400, "invalid_request", "Missing parameter: `username`", names=False),
    "node-oauth2-server, password": oauth(400, "invalid_grant", "user credentials are invalid", names=True),
    "node-oauth2-server, client": oauth(401, "invalid_client", "client is invalid", names=True)._replace(
        www_authenticate='Basic realm="Service"'
    ),
    "oidc-provider, fields": oauth(400, "invalid_request", "missing required parameter(s)", names=False),
    "oidc-provider, password": oauth(400, "invalid_grant", "grant request is invalid", names=True),
    "oidc-provider, client": oauth(401, "invalid_client", "client authentication failed", names=True),
    "Authlib, fields": oauth(400, "invalid_request", "Missing 'username' in request.", names=False),
    "Authlib, password": oauth(400, "invalid_request", "Invalid 'username' or 'password' in request.", names=False),
    "Authlib, client": oauth(401, "invalid_client", None, names=True),
    "django-oauth-toolkit, fields": oauth(400, "invalid_request", "Missing username parameter.", names=False),
    "django-oauth-toolkit, password": oauth(400, "invalid_grant", "Invalid credentials given.", names=True),
    "django-oauth-toolkit, client": oauth(401, "invalid_client", None, names=True)._replace(
        www_authenticate='Bearer error="invalid_client"'
    ),
    "go-oauth2, fields": oauth(400, "invalid_request", "The request is malformed", names=False),
    "go-oauth2, password": oauth(401, "invalid_grant", "The grant is invalid", names=True),
    "go-oauth2, client": oauth(401, "invalid_client", "Client authentication failed", names=True),
    "go-oauth2, unknown client": oauth(500, "server_error", "Unexpected condition", names=False, refusal=False),
    "fosite, fields": oauth(400, "invalid_request", f"{BOILERPLATE}username is missing", names=False),
    "fosite, password": oauth(400, "invalid_grant", f"{BOILERPLATE}Unable to authenticate", names=True),
    "fosite, client": oauth(401, "invalid_client", "Client authentication failed", names=True),
    "the vendor's page, JSON": Case(
        401, body({"status": "ERROR", "message": f"Bad Request - {SENTENCE}"}), None, f"Bad Request - {SENTENCE}",
        names_credentials=True,
    ),
    "the vendor's page, text": Case(
        401, f"Bad Request - {SENTENCE}".encode(), None, f"Bad Request - {SENTENCE}", names_credentials=True
    ),
    "the vendor's page, reason phrase": Case(
        401, b"", None, f"Bad Request - {SENTENCE}", names_credentials=True, reason_phrase=f"Bad Request - {SENTENCE}"
    ),
    "ASP.NET, password": oauth(400, "invalid_grant", "The user name or password is incorrect.", names=True),
    "ASP.NET, client": oauth(400, "invalid_client", None, names=True),
    # Forms in public reports, and servers to be expected.
    "200 with an error": oauth(200, "invalid_grant", None, names=True),
    "500 with a code": oauth(500, "invalid_grant", "wrong", names=True),
    "503 with a code": oauth(503, "invalid_grant", None, names=True),
    "403 with a code": oauth(403, "invalid_grant", None, names=True),
    "429 with a code": oauth(429, "invalid_client", None, names=True),
    "403 for an address": oauth(403, "access_denied", "your address is blocked", names=False, refusal=False),
    "400 with the sentence": Case(400, SENTENCE.encode(), None, SENTENCE, names_credentials=True),
    "500 to a missing field": Case(500, b"", None, "", refusal=False, reason_phrase="Internal Server Error"),
    "403 to other fields": Case(403, b"Forbidden", None, "Forbidden", refusal=False),
    "the same 401 for everything": Case(401, b"", None, "", reason_phrase="Unauthorized"),
    "a gateway's page": Case(
        502, b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>",
        None, "502 Bad Gateway nginx", refusal=False,
    ),
    "a container": Case(
        500, body({"submissionId": "s-1", "errors": [{"code": "E1", "message": "no"}, {"code": "E2"}]}),
        "E1", "E1: no; E2", refusal=False,
    ),
    # Resource servers.
    "Spring, token": Case(
        401, b"", "invalid_token", "invalid_token: Jwt expired at noon",
        www_authenticate='Bearer error="invalid_token", error_description="Jwt expired at noon"',
    ),
    "django-oauth-toolkit, token": Case(403, b"", None, "", refusal=False, reason_phrase="Forbidden"),
    "RFC 9457": Case(
        401, body({"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "The token is revoked"}),
        None, "Unauthorized: The token is revoked",
    ),
    "ASP.NET, token": Case(403, body({"title": "Forbidden", "status": 403}), None, "Forbidden", refusal=False),
}  # fmt: skip


def parse(case: Case) -> ErrorDetails:
    """Parse the response of a case."""
    return parse_error(case.status, case.body, case.www_authenticate, case.reason_phrase)


@pytest.mark.parametrize("name", SERVERS)
def test_the_response_of_each_server_is_understood(name: str) -> None:
    """The code and the whole message are kept, and a refused login is recognized."""
    case = SERVERS[name]
    error = parse(case)
    assert (error.code, error.message, error.names_credentials) == (case.code, case.message, case.names_credentials)
    assert is_login_refusal(case.status, error) is case.refusal


def test_the_number_for_the_support_is_kept() -> None:
    """The vendor's support asks for the container's `submissionId`."""
    assert parse(SERVERS["a container"]).submission_id == "s-1"


@pytest.mark.parametrize("name", [name for name in SERVERS if name.endswith(", token")])
def test_a_rejected_token_is_named_by_spring_alone(name: str) -> None:
    """Spring is the only one of the resource servers that sends `invalid_token`."""
    assert parse(SERVERS[name]).rejects_token is (name == "Spring, token")
