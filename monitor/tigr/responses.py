"""Parsers of TIGR's responses: token, pong, error.

Pure functions from bytes to values. For any bytes, each returns its documented value or raises
`MalformedResponseError`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from monitor.tigr.challenges import parse_challenges
from monitor.tigr.error_body import MAX_SHOWN_ERRORS, Section, join_sections, parse_error_body
from monitor.tigr.markup import plain_text

MAX_LIFETIME = 366 * 86400.0  # seconds; a longer lifetime is not that of a short-lived token
MAX_TOKEN_LENGTH = 16 * 1024  # characters; servers accept no longer header
MAX_RETRY_AFTER = 15 * 60.0  # seconds that a server can delay the next request
_IN_A_HEADER = re.compile(r"[\x21-\x7e]+")  # RFC 9110 section 5.5, without the blank, which would end a bearer token
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(?:\.(\d{1,6})\d*)?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII
)
# RFC 6749 sections 4.1.2.1 and 5.2: codes that concern the client or the user, not the form of the request.
_CREDENTIAL_CODES = frozenset({"invalid_grant", "invalid_client", "unauthorized_client", "access_denied"})
_REFUSAL_SENTENCE = "invalid login id or password"  # the vendor's authentication page, in lower case
_REFUSAL_STATUSES = frozenset({400, 401, 422})
_STANDARD_PHRASES = {status.value: status.phrase.lower() for status in HTTPStatus}
# Since 3.13 Python has the phrases of RFC 9110 for 413 and 422; servers still send those of RFC 7231 and RFC 4918.
_RENAMED_PHRASES = frozenset(
    {"request entity too large", "content too large", "unprocessable entity", "unprocessable content"}
)


class MalformedResponseError(Exception):
    """The response does not have the documented form. The message names the defect and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token as the authorization server granted it."""

    value: str = field(repr=False)
    lifetime: float  # seconds
    warnings: tuple[str, ...] = ()  # differences from the documented response


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """A server's description of an error, not redacted yet."""

    # RFC 6749's `error`, else the ErrorContainer's first `code`, else WWW-Authenticate's `error`
    code: str | None = None
    message: str = field(default="", repr=False)
    markup: str = field(default="", repr=False)  # the HTML or XML that the message was made from; empty if none
    submission_id: str | None = None
    names_credentials: bool = False  # a code or the vendor's sentence rejects the credentials
    rejects_token: bool = False  # WWW-Authenticate has error="invalid_token" (RFC 6750 section 3.1)


def parse_grant(body: bytes) -> Grant:
    """Parse the response to a token request (the vendor's authentication page; RFC 6749 section 5.1).

    Raises `MalformedResponseError`.
    """
    response = _json_object(body)
    value = response.get("access_token")
    if not isinstance(value, str) or not value:
        raise MalformedResponseError("access_token is missing or not a string")
    if len(value) > MAX_TOKEN_LENGTH:
        raise MalformedResponseError(
            f"access_token is longer than {MAX_TOKEN_LENGTH} characters, too long for a header"
        )
    if not _IN_A_HEADER.fullmatch(value):
        raise MalformedResponseError("access_token contains characters that are not permitted in a header")
    jwt_lifetime = _jwt_lifetime(value)
    warnings = [
        f"{name} is not {promised!r}"
        for name, promised in (("token_type", "bearer"), ("scope", "access"))
        if not (isinstance(response.get(name), str) and response[name].lower() == promised)
    ]
    if response.get("expires_in") is None and jwt_lifetime is not None and jwt_lifetime <= MAX_LIFETIME:
        return Grant(value, jwt_lifetime, (*warnings, "expires_in is missing: used exp and iat of the token"))
    lifetime = _positive_number(response.get("expires_in"))
    if lifetime is None or lifetime > MAX_LIFETIME:
        raise MalformedResponseError("expires_in is not a positive number of seconds of at most 366 days")
    return Grant(value, lifetime if jwt_lifetime is None else min(lifetime, jwt_lifetime), tuple(warnings))


def parse_pong(body: bytes) -> float:
    """Parse the response to a ping. Return the server's time in Unix seconds.

    The value is the OpenAPI description's `pong` (RFC 3339). Raises `MalformedResponseError`.
    """
    pong = _json_object(body).get("pong")
    match = _RFC3339.fullmatch(pong) if isinstance(pong, str) else None
    if match is None:
        raise MalformedResponseError("pong is missing or not a date-time")
    day, minutes, seconds, fraction, zulu, offset = match.groups()
    seconds = "59" if seconds == "60" else seconds  # a leap second: RFC 3339 permits it, Python rejects it
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes}{seconds}.{fraction or '0':0<6}{'+00:00' if zulu else offset}")
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise MalformedResponseError("pong is a date-time that does not exist") from None


def parse_error(status: int, body: bytes, www_authenticate: str = "", reason_phrase: str = "") -> ErrorDetails:
    """Return the description of an error from its body, WWW-Authenticate and reason phrase. Never raises.

    Known forms: RFC 6749's error object, the vendor's ErrorContainer, FastAPI's validation errors, RFC 9457, any other
    JSON, HTML, plain text, and the challenges of RFC 6750.
    """
    parts = parse_error_body(body)
    challenges = parse_challenges(www_authenticate)
    challenge_codes = [challenge["error"] for challenge in challenges if challenge.get("error")]
    codes = (*parts.codes, *challenge_codes)
    message = join_sections((*parts.sections, *_challenge_sections(challenges)))
    return ErrorDetails(
        code=next(iter(codes), None),
        message=message or _unusual_phrase(status, reason_phrase),
        markup=parts.markup,
        submission_id=parts.submission_id,
        names_credentials=_names_credentials(status, codes, (*parts.texts, reason_phrase)),
        rejects_token="invalid_token" in challenge_codes,
    )


def is_login_refusal(status: int, error: ErrorDetails) -> bool:
    """Return whether the response to a token request is a refusal, by its status or by the error that it names."""
    return status in _REFUSAL_STATUSES or error.names_credentials


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds from `now` (Unix seconds) that a Retry-After header asks for, 0 to 900; None if unreadable.

    RFC 9110 section 10.2.3: a number of seconds or a date.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value[:10]), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _challenge_sections(challenges: list[dict[str, str]]) -> list[Section]:
    """Return RFC 6750's code and description of each challenge that has one of them."""
    sections: list[Section] = [(challenge.get("error"), challenge.get("error_description")) for challenge in challenges]
    return [section for section in sections if any(section)][:MAX_SHOWN_ERRORS]


def _names_credentials(status: int, codes: Iterable[str], texts: Iterable[str]) -> bool:
    """Return whether a code or the vendor's sentence names the credentials; 403 access_denied concerns the address."""
    named = _CREDENTIAL_CODES.intersection(codes) - ({"access_denied"} if status == HTTPStatus.FORBIDDEN else set())
    return bool(named) or any(map(_has_refusal_sentence, texts))


def _has_refusal_sentence(text: str) -> bool:
    """Return whether `text`, with its markup resolved, contains the vendor's sentence.

    Resolving markup never makes a text longer, so a shorter text is not searched.
    """
    return len(text) >= len(_REFUSAL_SENTENCE) and _REFUSAL_SENTENCE in plain_text(text).casefold()


def _unusual_phrase(status: int, phrase: str) -> str:
    """Return `phrase`, or an empty string if it is the standard phrase of the status."""
    phrase = phrase.strip()
    return "" if phrase.lower() in {_STANDARD_PHRASES.get(status), *_RENAMED_PHRASES} else phrase


def _json_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise MalformedResponseError("the body is empty")
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise MalformedResponseError("the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise MalformedResponseError("the body is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedResponseError("the body is not a JSON object")
    return value


def _jwt_lifetime(token: str) -> float | None:
    """Return `exp` minus `iat` (RFC 7519 section 4.1) in seconds, independent of any clock. None: an opaque token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = _json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (MalformedResponseError, binascii.Error, ValueError):
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
