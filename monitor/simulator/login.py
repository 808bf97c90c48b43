"""The checks of a login request: a function of the request, the account and the rules of the server."""

from __future__ import annotations

import hmac
import secrets
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from monitor.simulator import basic_auth
from monitor.simulator.message import ReceivedRequest
from monitor.simulator.personality import VENDOR_SENTENCE, Cause, Check, FieldNames, LoginRules

_FORM = "application/x-www-form-urlencoded"
_FIELD_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "documented": ("Username", "Password"),
        "rfc6749": ("username", "password"),
    }
)


@dataclass(frozen=True, slots=True)
class SimulatedCredentials:
    """Credentials that an environment accepts, by default random. The `repr` does not contain them."""

    client_id: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    username: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """The account of an environment at the moment of a login."""

    credentials: SimulatedCredentials
    disabled: bool = False
    locked: bool = False
    user_store_down: bool = False  # the server finds no user, and refuses every password as wrong


class RefusedError(Exception):
    """The login is refused. `status`, `code` and `text` make the response of a server without a specific one."""

    def __init__(
        self, status: int, code: str, text: str, cause: Cause = Cause.REQUEST, *, counts: bool = False
    ) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text
        self.cause = cause
        self.counts = counts  # the server compared the password, so the failure counts against the user


def check_login(request: ReceivedRequest, account: SimulatedAccount, rules: LoginRules) -> None:
    """Return if the login is granted. Raises RefusedError, and nothing else for any bytes of the request."""
    if request.method != "POST" or request.target != request.path:
        raise RefusedError(405, "invalid_request", "a token request must be a POST without a query")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise RefusedError(415, "invalid_request", "a token request must be a form")
    for check in rules.checks:
        _CHECKS[check](request, account, rules)


def _check_client(request: ReceivedRequest, account: SimulatedAccount, rules: LoginRules) -> None:
    wanted = account.credentials
    try:
        client = basic_auth.decode(request.authorization, rules.basic)
    except basic_auth.UndecodableError:
        raise RefusedError(401, "invalid_client", VENDOR_SENTENCE, Cause.UNDECODABLE) from None
    if client and not _same(client.client_id, wanted.client_id):
        raise RefusedError(401, "invalid_client", VENDOR_SENTENCE, Cause.UNKNOWN_CLIENT)
    if not client or not _same(client.secret, wanted.client_secret):
        raise RefusedError(401, "invalid_client", VENDOR_SENTENCE, Cause.WRONG_SECRET)


def _check_fields(request: ReceivedRequest, _account: SimulatedAccount, rules: LoginRules) -> None:
    _user_and_password(request, rules.field_names)


def _check_user(request: ReceivedRequest, account: SimulatedAccount, rules: LoginRules) -> None:
    user, password = _user_and_password(request, rules.field_names)
    wanted = account.credentials
    known = _same(user.encode(), wanted.username)
    right = _same(password.encode(), wanted.password) and not account.user_store_down
    if known and account.disabled and not account.user_store_down:
        raise _refused_user(Cause.DISABLED, counts=not right)
    if not known or not right or account.locked:
        raise _refused_user(Cause.WRONG_PASSWORD, counts=known and not right)


def _refused_user(cause: Cause, *, counts: bool) -> RefusedError:
    return RefusedError(401, "invalid_grant", VENDOR_SENTENCE, cause, counts=counts)


_CHECKS: Mapping[Check, Callable[[ReceivedRequest, SimulatedAccount, LoginRules], None]] = MappingProxyType(
    {
        Check.CLIENT: _check_client,
        Check.FIELDS: _check_fields,
        Check.USER: _check_user,
    }
)


def _user_and_password(request: ReceivedRequest, names: FieldNames) -> tuple[str, str]:
    form = _form(request)
    if form.get("grant_type") != "password":
        raise RefusedError(400, "unsupported_grant_type", "Bad Request - grant_type is not password")
    return _in_any_case(form) if names == "any_case" else _in_one_case(form, names)


def _in_one_case(form: Mapping[str, str], names: FieldNames) -> tuple[str, str]:
    present = [pair for pair, fields in _FIELD_NAMES.items() if not form.keys().isdisjoint(fields)]
    if len(present) > 1:
        raise RefusedError(400, "invalid_request", "Bad Request - both pairs of field names are present")
    if not present or names not in ("either", present[0]):
        # The server reads no login if its field names are missing.
        raise RefusedError(401, "invalid_request", VENDOR_SENTENCE, Cause.MISSING_FIELD)
    user, password = (form.get(name) for name in _FIELD_NAMES[present[0]])
    if user is None or password is None:
        raise RefusedError(401, "invalid_grant", VENDOR_SENTENCE, Cause.MISSING_FIELD)
    return user, password


def _in_any_case(form: Mapping[str, str]) -> tuple[str, str]:
    values = {name: [value for key, value in form.items() if key.lower() == name] for name in _FIELD_NAMES["rfc6749"]}
    if not all(values.values()):
        raise RefusedError(401, "invalid_request", VENDOR_SENTENCE, Cause.MISSING_FIELD)
    if any(len(given) > 1 for given in values.values()):
        # Such a server joins the values with a comma. No user has the joined name, so no failure is counted.
        raise RefusedError(401, "invalid_grant", VENDOR_SENTENCE, Cause.WRONG_PASSWORD)
    return values["username"][0], values["password"][0]


def _form(request: ReceivedRequest) -> dict[str, str]:
    try:
        pairs = urllib.parse.parse_qsl(
            request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except ValueError:
        raise RefusedError(400, "invalid_request", "Bad Request - not a form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise RefusedError(400, "invalid_request", "Bad Request - a field is repeated")
    return form


def _same(given: bytes, wanted: str) -> bool:
    return hmac.compare_digest(given, wanted.encode())
