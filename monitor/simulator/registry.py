"""What a TIGR environment says: the token endpoint and the ping, strict about what the vendor's pages say.

Sources: the vendor's authentication page (fields, headers, the 401 and its message), its OpenAPI description (the ping,
the error container), RFC 6749 section 5.2 (the other way to refuse a login), RFC 6750 section 3 (`WWW-Authenticate`).
What the vendor has published nowhere (how a wrong content type is refused, for one) is this module's guess.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
import time
import urllib.parse
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from monitor.simulator.faults import Pong, TokenAnswer
from monitor.simulator.jwt import InvalidTokenError, SigningKey
from monitor.simulator.message import Answer, Request, json_answer

TOKEN_PATH = "/oauth/token"
API_PATH = "/ClientAPI"
_PING_PATH = f"{API_PATH}/api/system/ping"
_FORM = "application/x-www-form-urlencoded"
_SPELLINGS = {"documented": ("Username", "Password"), "rfc6749": ("username", "password")}
_LEEWAY = 1.0  # seconds: times in a token are whole seconds


# Which spelling of the form's fields the token endpoint takes. Both at once are always refused.
FieldNames = Literal["documented", "rfc6749", "either"]

# How the token endpoint refuses: 401 with the page's message for anything that is wrong with the credentials, or 400
# and 401 with `error` and `error_description`.
TokenErrors = Literal["documented", "rfc6749"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What logs in, random unless given; none of it is in the `repr`."""

    client_id: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    username: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words


class Registry:
    """One environment: its accounts, its keys, its clock. Safe among threads; attributes may be set at any time."""

    def __init__(self) -> None:
        self.credentials = Credentials()
        self.lifetime: float = 3600  # seconds a token is granted for
        self.field_names: FieldNames = "documented"
        self.token_errors: TokenErrors = "documented"
        self.clock_offset: float = 0.0  # seconds that the server's clock is ahead of this machine's
        self._lock = threading.Lock()
        self._key = SigningKey()
        self._issued = 0
        self._revoked = 0  # tokens up to this number are dead

    def change_password(self, new: str | None = None) -> Credentials:
        """Take another password from now on, a random one unless given; tokens in hand stay valid."""
        new = secrets.token_urlsafe(24) if new is None else new
        self.credentials = replace(self.credentials, password=new)
        return self.credentials

    def revoke_tokens(self) -> None:
        """Reject every token that was granted before."""
        with self._lock:
            self._revoked = self._issued

    def rotate_signing_key(self) -> None:
        """Sign with another key from now on, and know only that one."""
        with self._lock:
            self._key = SigningKey()

    def issue_token(self, lifetime: float | None = None) -> str:
        """A valid token, as the token endpoint would grant it; for so many seconds."""
        lifetime = self.lifetime if lifetime is None else lifetime
        begin = int(self._now())
        with self._lock:
            self._issued += 1
            claims = {"iss": "tigr-simulator", "sub": "simulated", "scope": "access", "iat": begin}
            return self._key.sign(claims | {"exp": begin + lifetime, "jti": self._issued})

    def token(self, request: Request, changes: TokenAnswer | None = None) -> Answer:
        """What the token endpoint answers."""
        if request.path != TOKEN_PATH:
            return error_container(404, "NotFound", "nothing is here")
        try:
            self._check_login(request)
        except _Refused as refused:
            return self._refusal(refused)
        changes = changes or TokenAnswer()
        answer: dict[str, Any] = {
            "access_token": self.issue_token(changes.jwt_lifetime),
            "token_type": "bearer",
            "expires_in": self.lifetime,
            "scope": "access",
        }
        answer |= changes.changes
        for name in changes.without:
            answer.pop(name, None)
        return json_answer(200, answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def api(self, request: Request, *, open_door: bool = False, pong: Pong | None = None) -> Answer:
        """What the Client API answers; with an open door it asks for no token."""
        if request.path != _PING_PATH:
            return error_container(404, "NotFound", "nothing is here")
        if request.method != "GET":
            return error_container(405, "MethodNotAllowed", "a ping is a GET", headers={"Allow": "GET"})
        if request.target != request.path or request.body:
            return error_container(400, "BadRequest", "a ping has neither a query nor a body")
        try:
            if not open_door:
                self._check_token(request)
        except InvalidTokenError as invalid:
            return error_container(401, "Unauthorized", str(invalid), headers={"WWW-Authenticate": "Bearer"})
        now = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        return json_answer(200, {"pong": pong.value if pong else now.replace("+00:00", "Z")})

    def _check_login(self, request: Request) -> None:
        if request.method != "POST" or request.target != request.path:
            raise _Refused(405, "invalid_request", "a token request is a POST without a query")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise _Refused(415, "invalid_request", "a token request is a form")
        credentials = self.credentials
        client = _basic(request)
        if not _same(client, f"{credentials.client_id}:{credentials.client_secret}".encode()):
            raise _Refused(401, "invalid_client", "Bad Request - Invalid Login ID or Password")
        form = _form(request)
        if form.get("grant_type") != "password":
            raise _Refused(400, "unsupported_grant_type", "Bad Request - grant_type is not password")
        login = self._login(form)
        expected = (credentials.username.encode(), credentials.password.encode())
        if not all(_same(given.encode(), wanted) for given, wanted in zip(login, expected, strict=True)):
            raise _Refused(401, "invalid_grant", "Bad Request - Invalid Login ID or Password")

    def _login(self, form: dict[str, str]) -> tuple[str, str]:
        spelled = [spelling for spelling, names in _SPELLINGS.items() if not form.keys().isdisjoint(names)]
        if len(spelled) > 1:
            raise _Refused(400, "invalid_request", "Bad Request - fields in two spellings")
        if not spelled or self.field_names not in ("either", spelled[0]):
            # A server that does not find the login's fields finds no such login.
            raise _Refused(401, "invalid_request", "Bad Request - Invalid Login ID or Password")
        username, password = (form.get(name, "") for name in _SPELLINGS[spelled[0]])
        return username, password

    def _refusal(self, refused: _Refused) -> Answer:
        if self.token_errors == "documented":
            headers = {"WWW-Authenticate": "Basic"} if refused.status == 401 else {}
            body = {"status": "ERROR", "message": refused.words}
            return json_answer(refused.status, body, reason=refused.words, headers=headers)
        status = 401 if refused.code == "invalid_client" else 400
        return json_answer(status, {"error": refused.code, "error_description": refused.words})

    def _check_token(self, request: Request) -> None:
        scheme, token = request.authorization
        if scheme != "bearer":
            raise InvalidTokenError("no bearer token")
        with self._lock:
            claims, revoked = self._key.claims(token), self._revoked
        if claims["exp"] + _LEEWAY <= self._now():
            raise InvalidTokenError("the token has expired")
        if claims["jti"] <= revoked:
            raise InvalidTokenError("the token was revoked")

    def _now(self) -> float:
        return time.time() + self.clock_offset


def error_container(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """Answer with the Client API's error, which carries the number that the vendor's support asks for."""
    error = {"code": code, "message": message, "correlationId": secrets.token_hex(8)}
    return json_answer(status, {"submissionId": submission_id(), "errors": [error]}, headers=headers)


def submission_id() -> str:
    """A number to quote to the vendor's support."""
    return f"sim-{secrets.token_hex(6)}"


def _basic(request: Request) -> bytes:
    scheme, credentials = request.authorization
    try:
        return base64.b64decode(credentials, validate=True) if scheme == "basic" else b""
    except binascii.Error:
        return b""


def _form(request: Request) -> dict[str, str]:
    """The form's fields; raises _Refused when it is none or when a field comes twice."""
    try:
        pairs = urllib.parse.parse_qsl(
            request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except ValueError:
        raise _Refused(400, "invalid_request", "Bad Request - not a form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refused(400, "invalid_request", "Bad Request - a field came twice")
    return form


def _same(given: bytes, wanted: bytes) -> bool:
    return hmac.compare_digest(given, wanted)
