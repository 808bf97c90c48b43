"""The responses of a TIGR environment: its token endpoint and its ping, strict about the vendor's documentation.

Sources: the vendor's authentication page (fields, headers, the 401 and its message), its OpenAPI description (the ping,
the error container), RFC 6749 section 5.2 (the other form of a refused login), RFC 6750 section 3 (`WWW-Authenticate`).
Responses that the vendor does not document, such as the one to a wrong content type, are assumptions of this module.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from monitor.simulator.faults import Pong, TokenResponse
from monitor.simulator.login import RefusedError, SimulatedAccount, SimulatedCredentials, check_login
from monitor.simulator.message import ReceivedRequest, SimulatedResponse, json_response
from monitor.simulator.personalities import personality_named
from monitor.simulator.personality import FieldNames, LoginRules, Personality
from monitor.simulator.tokens import InvalidTokenError, SigningKey, TokenDefect

__all__ = [
    "API_PATH",
    "TOKEN_PATH",
    "FieldNames",
    "Registry",
    "SimulatedCredentials",
    "TokenErrors",
    "error_container",
    "submission_id",
]

TOKEN_PATH = "/oauth/token"
API_PATH = "/ClientAPI"
_PING_PATH = f"{API_PATH}/api/system/ping"
_LEEWAY = 1.0  # seconds: times in a token are whole seconds

# Responses to refused logins. `documented`: 401 with the page's message for any wrong credential; `rfc6749`: 400 or 401
# with `error` and `error_description`.
TokenErrors = Literal["documented", "rfc6749"]


class Registry:
    """The state of one environment: its account, keys and clock. Thread-safe; attributes may be set at any time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Create an account with random credentials. `clock` returns Unix seconds; a test may pass a virtual one."""
        self.credentials = SimulatedCredentials()
        self.lifetime: float = 3600  # seconds from the grant of a token to its expiry
        self.field_names: FieldNames = "documented"
        self.token_errors: TokenErrors = "documented"
        self.clock_offset: float = 0.0  # seconds that the server's clock is ahead of this machine's
        self.lock_after: int | None = None  # failed logins in a row that lock the user until `unlock`; None: never
        self.disabled = False  # the account
        self.refuse_everybody = False  # the user store is down: every password is refused as wrong
        self._personality: Personality | None = None
        self._failures: Counter[str] = Counter()  # failed logins in a row, by user
        self._clock = clock
        self._lock = threading.Lock()
        self._key = SigningKey()
        self._issued = 0
        self._revoked = 0  # tokens up to this number are revoked

    @property
    def personality(self) -> Personality | None:
        """Return the simulated server, which replaces `field_names` and `token_errors`; None: the vendor's page.

        It may be set by its name; ValueError lists the names.
        """
        return self._personality

    @personality.setter
    def personality(self, value: Personality | str | None) -> None:
        self._personality = personality_named(value) if isinstance(value, str) else value

    @property
    def failed_logins(self) -> int:
        """Return the number of wrong passwords that the server read for this user since the last grant."""
        with self._lock:
            return self._failures[self.credentials.username]

    @property
    def locked(self) -> bool:
        """Return True if the user is refused with the right password too."""
        return self.lock_after is not None and self.failed_logins >= self.lock_after

    def unlock(self) -> None:
        """Set the user's count of failed logins to zero."""
        with self._lock:
            self._failures.pop(self.credentials.username, None)

    def change_password(self, new: str | None = None) -> SimulatedCredentials:
        """Accept only this password from now on, by default a random one; granted tokens stay valid."""
        new = secrets.token_urlsafe(24) if new is None else new
        self.credentials = replace(self.credentials, password=new)
        return self.credentials

    def revoke_tokens(self) -> None:
        """Reject every token that was granted until now."""
        with self._lock:
            self._revoked = self._issued

    def rotate_signing_key(self) -> None:
        """Sign and verify tokens with another key from now on."""
        with self._lock:
            self._key = SigningKey()

    def issue_token(self, lifetime: float | None = None) -> str:
        """Return a valid token without a login. `lifetime` is in seconds; None: the lifetime of the environment."""
        lifetime = self.lifetime if lifetime is None else lifetime
        begin = int(self._now())
        personality = self.personality
        with self._lock:
            self._issued += 1
            claims = {"iss": "tigr-simulator", "sub": "simulated", "scope": "access", "iat": begin}
            claims |= {"exp": begin + lifetime, "jti": str(self._issued)}
            if personality and personality.token_delay:
                # Not `nbf`: a token does not contain the lag of a replica.
                claims["accepted_from"] = self._now() + personality.token_delay
            return self._key.sign(claims)

    def token(self, request: ReceivedRequest, changes: TokenResponse | None = None) -> SimulatedResponse:
        """Return the response of the token endpoint; `changes` alter the response to a granted login."""
        if request.path != TOKEN_PATH:
            return error_container(404, "NotFound", "no such path")
        try:
            self._log_in(request)
        except RefusedError as refused:
            return self._refusal(refused)
        changes = changes or TokenResponse()
        granted: dict[str, Any] = {
            "access_token": self.issue_token(changes.jwt_lifetime),
            "token_type": "bearer",
            "expires_in": self.lifetime,
            "scope": "access",
        }
        granted |= changes.changes
        for name in changes.without:
            granted.pop(name, None)
        return json_response(200, granted, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def api(
        self, request: ReceivedRequest, *, accept_unauthenticated: bool = False, pong: Pong | None = None
    ) -> SimulatedResponse:
        """Return the response of the Client API; it checks the token unless it accepts unauthenticated requests."""
        if request.path != _PING_PATH:
            return error_container(404, "NotFound", "no such path")
        if request.method != "GET":
            return error_container(405, "MethodNotAllowed", "a ping is a GET", headers={"Allow": "GET"})
        if request.target != request.path or request.body:
            return error_container(400, "BadRequest", "a ping has neither a query nor a body")
        try:
            if not accept_unauthenticated:
                self._check_token(request)
        except InvalidTokenError as invalid:
            return self._ping_refusal(invalid)
        now = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        return json_response(200, {"pong": pong.value if pong else now.replace("+00:00", "Z")})

    def _log_in(self, request: ReceivedRequest) -> None:
        account = SimulatedAccount(self.credentials, self.disabled, self.locked, self.refuse_everybody)
        personality = self.personality
        rules = personality.rules if personality else LoginRules(self.field_names)
        user = account.credentials.username
        try:
            check_login(request, account, rules)
        except RefusedError as refused:
            if refused.counts:
                with self._lock:
                    self._failures[user] += 1
            raise
        with self._lock:
            self._failures.pop(user, None)

    def _refusal(self, refused: RefusedError) -> SimulatedResponse:
        personality = self.personality
        if personality and (response := personality.response(refused.cause)):
            return response
        if self.token_errors == "documented" and not personality:
            headers = {"WWW-Authenticate": "Basic"} if refused.status == 401 else {}
            body = {"status": "ERROR", "message": refused.text}
            return json_response(refused.status, body, reason=refused.text, headers=headers)
        status = 401 if refused.code == "invalid_client" else 400
        return json_response(status, {"error": refused.code, "error_description": refused.text})

    def _ping_refusal(self, invalid: InvalidTokenError) -> SimulatedResponse:
        personality = self.personality
        if personality and personality.ping:
            return personality.ping[invalid.defect]
        return error_container(401, "Unauthorized", str(invalid), headers={"WWW-Authenticate": "Bearer"})

    def _check_token(self, request: ReceivedRequest) -> None:
        scheme, token = request.authorization
        if scheme != "bearer":
            raise InvalidTokenError("no bearer token", TokenDefect.MISSING)
        with self._lock:
            claims, revoked = self._key.claims(token), self._revoked
        if claims["exp"] + _LEEWAY <= self._now():
            raise InvalidTokenError("the token has expired", TokenDefect.EXPIRED)
        if int(claims["jti"]) <= revoked:
            raise InvalidTokenError("the token was revoked")
        if claims.get("accepted_from", 0.0) > self._now():
            raise InvalidTokenError("the token is not accepted yet")

    def _now(self) -> float:
        return self._clock() + self.clock_offset


def error_container(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> SimulatedResponse:
    """Return the Client API's error response. It has the submission id that the vendor's support asks for."""
    error = {"code": code, "message": message, "correlationId": secrets.token_hex(8)}
    return json_response(status, {"submissionId": submission_id(), "errors": [error]}, headers=headers)


def submission_id() -> str:
    """Return a random submission id."""
    return f"sim-{secrets.token_hex(6)}"
