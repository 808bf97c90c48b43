"""Personalities: the responses of known authorization servers to a login, and of their APIs to a ping, as data.

Statuses, error codes and the order of the checks were measured with the password grant on each server with its
defaults, except `aspnet` (from its documentation) and the last three (behaviour that servers may have). Descriptions
resemble the server's if a client could read them. A login that a personality has no response for (another method,
another content type) is refused with the error of RFC 6749 section 5.2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from monitor.simulator.basic_auth import FORM, FORM_ASCII, PERCENT_ASCII, RAW_ASCII
from monitor.simulator.message import SimulatedResponse, json_response
from monitor.simulator.personality import VENDOR_SENTENCE, Check, LoginRules, Personality
from monitor.simulator.tokens import TokenDefect


def _error(
    status: int, code: str, description: str = "", headers: Mapping[str, str] | None = None
) -> SimulatedResponse:
    """Return an error of RFC 6749 section 5.2."""
    body = {"error": code} | ({"error_description": description} if description else {})
    return json_response(status, body, headers=headers)


def _every_defect(response: SimulatedResponse, **others: SimulatedResponse) -> Mapping[TokenDefect, SimulatedResponse]:
    """Return the same response to every defect of a token, except to the named ones."""
    return MappingProxyType({defect: others.get(defect.value, response) for defect in TokenDefect})


def _bearer(error: str = "", description: str = "") -> Mapping[str, str]:
    parameters = f' error="{error}", error_description="{description}"' if error else ""
    return {"WWW-Authenticate": f"Bearer{parameters}"}


_BASIC_CHALLENGE = {"WWW-Authenticate": 'Basic realm="simulator"'}

SPRING_LEGACY = Personality(
    name="spring-legacy",
    missing_field=_error(400, "invalid_grant", "Bad credentials"),
    wrong_password=_error(400, "invalid_grant", "Bad credentials"),
    wrong_secret=_error(401, "unauthorized", "Bad credentials", _BASIC_CHALLENGE),
    ping=_every_defect(
        SimulatedResponse(401, headers=_bearer("invalid_token", "The token was revoked")),
        missing=SimulatedResponse(401, headers=_bearer()),
        expired=SimulatedResponse(401, headers=_bearer("invalid_token", "The token has expired")),
    ),
)

KEYCLOAK = Personality(
    name="keycloak",
    missing_field=_error(401, "invalid_request", "Missing parameter: username"),
    wrong_password=_error(401, "invalid_grant", "Invalid user credentials"),
    wrong_secret=_error(401, "unauthorized_client", "Invalid client or Invalid client credentials"),
    disabled=_error(400, "invalid_grant", "Account disabled"),
    rules=LoginRules(basic=FORM),
)

_FASTAPI_FIELDS = [{"type": "missing", "loc": ["body", n], "msg": "Field required"} for n in ("username", "password")]
_FASTAPI_LOGIN = json_response(401, {"detail": "Incorrect username or password"}, headers=_bearer())

FASTAPI = Personality(
    name="fastapi",
    missing_field=json_response(422, {"detail": _FASTAPI_FIELDS}),
    wrong_password=_FASTAPI_LOGIN,
    wrong_secret=_FASTAPI_LOGIN,  # never sent: the server does not check the client
    rules=LoginRules(checks=(Check.FIELDS, Check.USER)),
    ping=_every_defect(
        json_response(401, {"detail": "Could not validate credentials"}, headers=_bearer()),
        missing=json_response(401, {"detail": "Not authenticated"}, headers=_bearer()),
    ),
)

NODE_OAUTH2_SERVER = Personality(
    name="node-oauth2-server",
    missing_field=_error(400, "invalid_request", "Missing parameter: `username`"),
    wrong_password=_error(400, "invalid_grant", "Invalid grant: user credentials are invalid"),
    wrong_secret=_error(401, "invalid_client", "Invalid client: client is invalid", _BASIC_CHALLENGE),
    undecodable=_error(400, "invalid_request", "Invalid parameter: `client_secret`"),
    rules=LoginRules(basic=RAW_ASCII),
)

OIDC_PROVIDER = Personality(
    name="oidc-provider",
    missing_field=_error(400, "invalid_request", "missing required parameter(s) 'username' and 'password'"),
    wrong_password=_error(400, "invalid_grant", "grant request is invalid"),
    wrong_secret=_error(401, "invalid_client", "client authentication failed", _BASIC_CHALLENGE),
    undecodable=_error(400, "invalid_request", "the authorization header is not properly encoded"),
    rules=LoginRules(basic=FORM_ASCII),
)

AUTHLIB = Personality(
    name="authlib",
    missing_field=_error(400, "invalid_request", "Missing 'username' in request."),
    wrong_password=_error(400, "invalid_request", "Invalid 'username' or 'password' in request."),
    wrong_secret=_error(401, "invalid_client", "", _BASIC_CHALLENGE),
    undecodable=SimulatedResponse(500, b"<!doctype html>\n<title>500 Internal Server Error</title>\n", "text/html"),
    rules=LoginRules(basic=PERCENT_ASCII),
)

DJANGO_OAUTH_TOOLKIT = Personality(
    name="django-oauth-toolkit",
    missing_field=_error(400, "invalid_request", "Request is missing username parameter."),
    wrong_password=_error(400, "invalid_grant", "Invalid credentials given."),
    wrong_secret=_error(401, "invalid_client", "", {"WWW-Authenticate": 'Bearer error="invalid_client"'}),
    rules=LoginRules(checks=(Check.FIELDS, Check.CLIENT, Check.USER), basic=FORM),
    ping=_every_defect(SimulatedResponse(403)),
)

GO_OAUTH2 = Personality(
    name="go-oauth2",
    missing_field=_error(400, "invalid_request", "The request lacks a required parameter or is malformed"),
    wrong_password=_error(401, "invalid_grant", "The authorization grant is invalid or expired"),
    wrong_secret=_error(401, "invalid_client", "Client authentication failed"),
    unknown_client=_error(500, "server_error", "The authorization server met an unexpected condition"),
    # The user is checked before the client, so a wrong password counts even from an unknown client.
    rules=LoginRules(checks=(Check.FIELDS, Check.USER, Check.CLIENT)),
)

# The useful sentence begins after character 300 of the description.
_FOSITE_PREAMBLE = (
    "The request lacks a parameter that is required, has a parameter with a value that is not allowed, repeats a "
    "parameter, or cannot be read for another reason. Check every parameter, note that upper and lower case differ, "
    "and remove blanks around the values. Check also that the redirect URI is exactly one of those that were "
    "registered for this client."
)

FOSITE = Personality(
    name="fosite",
    missing_field=_error(400, "invalid_request", f"{_FOSITE_PREAMBLE} Username or password are missing in the body."),
    wrong_password=_error(400, "invalid_grant", "The username or the password is wrong."),
    wrong_secret=_error(401, "invalid_client", "Client authentication failed."),
    rules=LoginRules(basic=FORM),
)


def _vendor_page(name: str, refusal: SimulatedResponse) -> Personality:
    """Return the vendor's page, taken literally, with this one response to every wrong credential."""
    rules = LoginRules(field_names="documented")
    return Personality(name, missing_field=refusal, wrong_password=refusal, wrong_secret=refusal, rules=rules)


# The page does not state which part of the response has its sentence, so each part has a variant.
VENDOR_PAGE = _vendor_page("vendor-page", SimulatedResponse(401, VENDOR_SENTENCE.encode(), "text/plain"))
VENDOR_PAGE_JSON = _vendor_page("vendor-page-json", json_response(401, {"message": VENDOR_SENTENCE}))
VENDOR_PAGE_REASON = _vendor_page("vendor-page-reason", SimulatedResponse(401, reason=VENDOR_SENTENCE))

_ASPNET_GRANT = _error(400, "invalid_grant", "The user name or password is incorrect.")
_ASPNET_PROBLEM = json.dumps({"title": "Unauthorized", "status": 401, "detail": "The access token is not valid."})

ASPNET = Personality(
    name="aspnet",
    missing_field=_ASPNET_GRANT,  # the server reads a missing field as an empty one
    wrong_password=_ASPNET_GRANT,
    wrong_secret=_error(400, "invalid_client"),
    rules=LoginRules(field_names="any_case"),
    ping=_every_defect(
        SimulatedResponse(401, _ASPNET_PROBLEM.encode(), "application/problem+json", _bearer())
    ),  # RFC 9457
)

MISSING_FIELD_500 = Personality(
    name="missing-field-500",
    missing_field=SimulatedResponse(500, b"Internal Server Error", "text/plain"),
    wrong_password=_error(400, "invalid_grant"),
    wrong_secret=_error(401, "invalid_client"),
)

_UNAUTHORIZED = json_response(401, {"message": "Unauthorized"}, headers=_BASIC_CHALLENGE)

SAME_401 = Personality(
    name="same-401",
    missing_field=_UNAUTHORIZED,
    wrong_password=_UNAUTHORIZED,
    wrong_secret=_UNAUTHORIZED,
    other=_UNAUTHORIZED,
)

DOCUMENTED_OR_403 = Personality(
    name="documented-or-403",
    missing_field=json_response(403, {"message": "Forbidden"}),
    wrong_password=json_response(401, {"message": VENDOR_SENTENCE}),
    wrong_secret=_error(401, "invalid_client"),
    other=json_response(403, {"message": "Forbidden"}),
    rules=LoginRules(field_names="documented"),
)

PERSONALITIES: Mapping[str, Personality] = MappingProxyType({
    personality.name: personality
    for personality in (
        SPRING_LEGACY, KEYCLOAK, FASTAPI, NODE_OAUTH2_SERVER, OIDC_PROVIDER, AUTHLIB, DJANGO_OAUTH_TOOLKIT, GO_OAUTH2,
        FOSITE, VENDOR_PAGE, VENDOR_PAGE_JSON, VENDOR_PAGE_REASON, ASPNET, MISSING_FIELD_500, SAME_401,
        DOCUMENTED_OR_403,
    )
})  # fmt: skip


def personality_named(name: str) -> Personality:
    """Return the personality of this name. Raises ValueError with a list of the names."""
    if name not in PERSONALITIES:
        raise ValueError(f"unknown personality {name!r}; the names are {', '.join(PERSONALITIES)}")
    return PERSONALITIES[name]
