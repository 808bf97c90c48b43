"""What the bodies of TIGR's answers say: the token, the pong, the refusal.

Pure functions from bytes to values. Whatever the bytes are, each returns what it promises or raises
`MalformedAnswerError`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_LIFETIME = 366 * 86400.0  # seconds; more is no short-lived token
LONGEST_RETRY_AFTER = 15 * 60.0  # seconds that a server can hold us back
_IN_A_HEADER = re.compile(r"[\x21-\x7e]+")  # RFC 9110 section 5.5, without the blank that would end a bearer token
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(?:\.(\d{1,6})\d*)?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII
)
_TAG = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<[^>]*>?", re.DOTALL | re.IGNORECASE)
_OAUTH_CODES = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})


class MalformedAnswerError(Exception):
    """The answer is not what the API promises; the message says in what, without quoting it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token as the authorization server granted it."""

    value: str = field(repr=False)
    lifetime: float  # seconds
    warnings: tuple[str, ...] = ()  # promises of the vendor's page that the answer did not keep


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server's own words about why it refused. Not redacted yet."""

    code: str | None = None
    message: str = field(default="", repr=False)
    submission_id: str | None = None

    @property
    def names_credentials(self) -> bool:
        """Whether RFC 6749 section 5.2 has a code for this that blames the client or the user, not the request."""
        return self.code in _OAUTH_CODES


def parse_grant(body: bytes) -> Grant:
    """Read the answer to a token request (the vendor's authentication page; RFC 6749 section 5.1)."""
    answer = _json_object(body)
    value = answer.get("access_token")
    if not isinstance(value, str) or not value:
        raise MalformedAnswerError("access_token is missing or not a string")
    if not _IN_A_HEADER.fullmatch(value):
        raise MalformedAnswerError("access_token has characters that no header can carry")
    own = _jwt_lifetime(value)
    warnings = [
        f"{name} is not {promised!r}"
        for name, promised in (("token_type", "bearer"), ("scope", "access"))
        if not (isinstance(answer.get(name), str) and answer[name].lower() == promised)
    ]
    if answer.get("expires_in") is None and own is not None and own <= LONGEST_LIFETIME:
        return Grant(value, own, (*warnings, "expires_in is missing, the token's own exp and iat were used"))
    lifetime = _positive_number(answer.get("expires_in"))
    if lifetime is None or lifetime > LONGEST_LIFETIME:
        raise MalformedAnswerError("expires_in is not a positive number of seconds of at most 366 days")
    return Grant(value, lifetime if own is None else min(lifetime, own), tuple(warnings))


def parse_pong(body: bytes) -> float:
    """Read the answer to a ping: the server's clock, in Unix seconds (the OpenAPI description's `pong`, RFC 3339)."""
    pong = _json_object(body).get("pong")
    match = _RFC3339.fullmatch(pong) if isinstance(pong, str) else None
    if match is None:
        raise MalformedAnswerError("pong is missing or not a date-time")
    day, minutes, seconds, fraction, zulu, offset = match.groups()
    seconds = "59" if seconds == "60" else seconds  # a leap second, which RFC 3339 allows and Python does not know
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}{seconds}.{fraction or '0':0<6}{'+00:00' if zulu else offset}")
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise MalformedAnswerError("pong is not a date-time that exists") from None


def parse_refusal(body: bytes) -> Refusal:
    """Read what a server says with an error: an ErrorContainer, RFC 6749's error object, or any text. Never raises."""
    try:
        answer = _json_object(body)
    except MalformedAnswerError:
        return Refusal(message=_TAG.sub(" ", body.decode("utf-8", "replace")))
    submission_id = _text(answer.get("submissionId"))
    errors = [error for error in _list(answer.get("errors")) if isinstance(error, dict)]
    if errors:
        told = [": ".join(filter(None, (_text(e.get("code")), _text(e.get("message"))))) for e in errors[:3]]
        return Refusal(_text(errors[0].get("code")), "; ".join(filter(None, told)), submission_id)
    code = _text(answer.get("error"))
    words = (code, *(_text(answer.get(key)) for key in ("error_description", "message", "Message")))
    return Refusal(code, ": ".join(filter(None, words)), submission_id)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header (RFC 9110 section 10.2.3): seconds from `now` (Unix seconds), 0 to 15 minutes."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value[:10]), LONGEST_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise MalformedAnswerError("the body is empty")
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise MalformedAnswerError("the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise MalformedAnswerError("the body is not JSON") from None
    if not isinstance(answer, dict):
        raise MalformedAnswerError("the body is not a JSON object")
    return answer


def _jwt_lifetime(token: str) -> float | None:
    """`exp` minus `iat` (RFC 7519 section 4.1): independent of anybody's clock. None for an opaque token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = _json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (MalformedAnswerError, binascii.Error, ValueError):
        return None
    expires, issued = _positive_number(claims.get("exp")), _positive_number(claims.get("iat"))
    return expires - issued if expires and issued and expires > issued else None


def _positive_number(value: object) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
