"""Parsing of responses: any bytes become the documented value or the documented exception."""

from __future__ import annotations

import base64
import contextlib
import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.tigr.responses import (
    MAX_LIFETIME,
    MAX_RETRY_AFTER,
    MalformedResponseError,
    parse_grant,
    parse_pong,
    parse_retry_after,
)

NOW = 1_730_000_000.0  # Unix seconds

# Any JSON, and the values that Python's parser accepts in addition: NaN, infinities, lone surrogates.
TEXTS = st.text(st.characters(codec=None), max_size=40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


def body(value: object) -> bytes:
    """Return the value as JSON."""
    return json.dumps(value).encode()


def granted(**changes: object) -> dict[str, object]:
    """Return the documented response of a login with these changes."""
    return {"access_token": "0paque", "token_type": "bearer", "expires_in": 3600, "scope": "access"} | changes


def jwt(**claims: object) -> str:
    """Return an unsigned JWT with these claims."""
    head, middle = (base64.urlsafe_b64encode(body(part)).decode().rstrip("=") for part in ({"alg": "none"}, claims))
    return f"{head}.{middle}.c2ln"


# The token.


def test_the_documented_response_is_a_token() -> None:
    """The documented response is accepted without a warning."""
    grant = parse_grant(body(granted()))
    assert (grant.value, grant.lifetime, grant.warnings) == ("0paque", 3600.0, ())


def test_the_repr_of_a_grant_shows_no_token() -> None:
    """The `repr` of a grant does not contain the token."""
    assert "0paque" not in repr(parse_grant(body(granted())))


@pytest.mark.parametrize("text,lifetime", [("60", 60.0), ("0.5", 0.5), ("31622400", MAX_LIFETIME)])
def test_a_lifetime_may_be_a_numeric_string(text: str, lifetime: float) -> None:
    """A number in quotes is accepted, because some servers send it so."""
    assert parse_grant(body(granted(expires_in=text))).lifetime == lifetime


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        1e30,
        31622401,
        math.nan,
        math.inf,
        "",
        "soon",
        "-1",
        "1e3",
        " 60",
        "60 ",
        "٣",
        [60],
        {},
    ],
)
def test_a_lifetime_is_a_positive_number_of_at_most_366_days(value: object) -> None:
    """Any other lifetime is malformed."""
    with pytest.raises(MalformedResponseError, match="expires_in"):
        parse_grant(body(granted(expires_in=value)))


@pytest.mark.parametrize("value", [None, 7, True, "", [], "to ken", "to\r\nken", "töken", "t\0ken", "t\x7f", "\ud800"])
def test_a_token_is_a_string_that_a_header_can_carry(value: object) -> None:
    """A token that is not a string, or has other characters, is malformed."""
    with pytest.raises(MalformedResponseError, match="access_token"):
        parse_grant(body(granted(access_token=value)))


def test_a_token_is_at_most_16_kib_long() -> None:
    """A longer token is malformed, because no server accepts it in a header."""
    assert parse_grant(body(granted(access_token="x" * 16 * 1024))).value
    with pytest.raises(MalformedResponseError, match="longer than 16384 characters"):
        parse_grant(body(granted(access_token="x" * (16 * 1024 + 1))))


@pytest.mark.parametrize("expires_in,lifetime", [(3600, 60.0), (30, 30.0)])
def test_the_shorter_of_two_lifetimes_counts(expires_in: int, lifetime: float) -> None:
    """The lifetime is the smaller of `expires_in` and the token's `exp` minus `iat`, on any clock."""
    assert parse_grant(body(granted(access_token=jwt(iat=1000, exp=1060), expires_in=expires_in))).lifetime == lifetime


@pytest.mark.parametrize(
    "token",
    [jwt(exp=1060), jwt(iat=1000), jwt(iat=2000, exp=1000), jwt(iat="a", exp="b"), "a.b.c", "a.!!!.c", "a.bnVsbA.c"],
)
def test_a_token_without_claims_has_the_granted_lifetime(token: str) -> None:
    """An opaque token, or one without usable claims, has the lifetime of `expires_in`."""
    assert parse_grant(body(granted(access_token=token))).lifetime == 3600.0


def test_a_missing_lifetime_is_read_from_the_token_with_a_warning() -> None:
    """Without `expires_in` the lifetime is the token's own, with a warning."""
    response = granted(access_token=jwt(iat=1000, exp=1060), expires_in=None)
    grant = parse_grant(body(response))
    assert grant.lifetime == 60.0
    assert any("expires_in" in warning for warning in grant.warnings)


def test_a_missing_lifetime_is_not_read_from_a_long_lived_token() -> None:
    """A lifetime of more than 366 days is malformed, also if it is the token's own."""
    with pytest.raises(MalformedResponseError, match="expires_in"):
        parse_grant(body(granted(access_token=jwt(iat=1, exp=MAX_LIFETIME + 2), expires_in=None)))


@pytest.mark.parametrize("name,value", [("token_type", "mac"), ("token_type", None), ("scope", 7), ("scope", None)])
def test_a_difference_from_the_documented_response_is_a_warning(name: str, value: object) -> None:
    """A token with another type or scope is accepted with a warning that names the field."""
    warnings = parse_grant(body(granted(**{name: value}))).warnings
    assert len(warnings) == 1
    assert name in warnings[0]


def test_the_type_may_be_written_in_any_case() -> None:
    """RFC 6749 section 5.1: the token type is case-insensitive."""
    assert parse_grant(body(granted(token_type="Bearer"))).warnings == ()


@pytest.mark.parametrize(
    "data,problem",
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"expires_in": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(data: bytes, problem: str) -> None:
    """The message names the defect and quotes nothing."""
    for parse in (parse_grant, parse_pong):
        with pytest.raises(MalformedResponseError, match=problem):
            parse(data)


def test_a_byte_order_mark_is_ignored() -> None:
    """A body with a byte order mark is parsed, because some servers send one."""
    assert parse_grant(b"\xef\xbb\xbf" + body(granted())).value == "0paque"


@given(st.binary(max_size=200) | VALUES.map(body))
def test_any_bytes_are_a_token_or_malformed(data: bytes) -> None:
    """Any bytes are a grant or raise `MalformedResponseError`."""
    try:
        grant = parse_grant(data)
    except MalformedResponseError:
        return
    assert grant.value.isascii()


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(granted(), VALUES) | {"access_token": TOKENS | VALUES}))
def test_any_fields_are_a_usable_token_or_malformed(response: dict[str, Any]) -> None:
    """A grant has a token that a header can carry, and a lifetime within the limit."""
    try:
        grant = parse_grant(body(response))
    except MalformedResponseError:
        return
    assert grant.value.isprintable()
    assert " " not in grant.value
    assert 0 < grant.lifetime <= MAX_LIFETIME


@given(VALUES, VALUES)
def test_any_claims_leave_a_lifetime(issued: object, expires: object) -> None:
    """The claims of a token can shorten the granted lifetime, and have no other effect."""
    token = jwt(iat=issued, exp=expires)
    assert 0 < parse_grant(body(granted(access_token=token))).lifetime <= 3600


# The pong.


@pytest.mark.parametrize(
    "text,moment",
    [
        ("2024-10-31T17:58:38.066Z", 1730397518.066),
        ("2024-10-31T17:58:38Z", 1730397518.0),
        ("2024-10-31t17:58:38z", 1730397518.0),
        ("2024-10-31 17:58:38.066123456+00:00", 1730397518.066123),
        ("2024-10-31T23:28:38+05:30", 1730397518.0),
        ("2024-10-31T17:58:38-00:00", 1730397518.0),
        ("2016-12-31T23:59:60Z", 1483228799.0),
    ],
)
def test_a_pong_is_a_time(text: str, moment: float) -> None:
    """RFC 3339 permits any offset, any number of digits and a leap second."""
    assert parse_pong(body({"pong": text})) == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize(
    "value",
    [
        None, 7, True, [], {}, "", "now", "2024-10-31", "2024-13-31T17:58:38Z", "2024-10-31T17:58:38",
        "2024-10-31T25:58:38Z", "2024-10-31T17:58:38+99:00", "2024-10-31T17:58:38Z ", "\uff12024-10-31T17:58:38Z",
        "0000-10-31T17:58:38Z",
    ],
)  # fmt: skip
def test_a_pong_that_is_no_time_is_malformed(value: object) -> None:
    """A time that does not exist, or has no offset, is malformed."""
    with pytest.raises(MalformedResponseError, match="pong"):
        parse_pong(body({"pong": value}))


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)), st.sampled_from("Tt "))
def test_any_time_is_parsed_without_loss(moment: datetime, between: str) -> None:
    """Every time in the form of RFC 3339 is parsed without loss."""
    offset = moment.utcoffset()
    if offset is None or offset % timedelta(minutes=1):
        return  # RFC 3339 has no seconds in an offset
    written = moment.isoformat(between)
    assert parse_pong(body({"pong": written})) == pytest.approx(moment.timestamp(), abs=1e-5)


@given(st.binary(max_size=200) | VALUES.map(lambda value: body({"pong": value})))
@example(body({"pong": "9999-12-31T23:59:59-23:59"}))
@example(body({"pong": "0001-01-01T00:00:00+23:59"}))
def test_any_bytes_are_a_pong_or_malformed(data: bytes) -> None:
    """Any bytes are a finite time or raise `MalformedResponseError`."""
    with contextlib.suppress(MalformedResponseError):
        assert math.isfinite(parse_pong(data))


# Retry-After.


@pytest.mark.parametrize(
    "value,seconds",
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0.0),
        (format_datetime(datetime.fromtimestamp(NOW + 86400, UTC), usegmt=True), MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3; the result is between 0 and 15 minutes."""
    assert parse_retry_after(value, NOW) == seconds


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [+-]?[0-9A-Z]{1,12}"))
@example("Fri, 31 Oct 99999 00:00:00 GMT")
@example("Fri, 31 Oct 2024 00:00:00 +999999999999")
@example("Fri, 31 Oct 0001 00:00:00 -0000")
@example("Fri, 31 Oct 9999 23:59:59 -0000")
def test_any_header_is_a_pause_or_none(value: str) -> None:
    """Any header has a pause within the limits, or none."""
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
