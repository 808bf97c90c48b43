"""Parsing of error responses: the message, the code, the recognition of a refused login."""

from __future__ import annotations

import pytest

from monitor.tigr.responses import ErrorDetails, is_login_refusal, parse_error
from tests.tigr.test_responses import body

pytestmark = pytest.mark.once

SENTENCE = "Invalid Login ID or Password"
CODES = ("invalid_grant", "invalid_client", "unauthorized_client", "access_denied")


# Message.


@pytest.mark.parametrize(
    "value,message",
    [
        ({"error": "e", "error_description": "d", "error_uri": "u"}, "e: d"),
        ({"error": {"code": "e", "message": "d"}}, "e: d"),
        ({"error": {"code": 401, "message": "d"}}, "d"),
        ({"error": 7, "error_description": None, "message": "kept"}, "kept"),
        ({"Message": "m", "error": "e"}, "e; m"),
        ({"errors": [None, {"code": 7, "message": "m"}, {"code": "c", "message": []}]}, "m; c"),
        ({"errors": [{"code": f"c{number}"} for number in range(1, 6)]}, "c1; c2; c3"),
        ({"error": "e", "errors": [{"code": "c"}], "message": "m", "title": "t", "detail": "d"}, "e; c; m; t: d"),
        ({"detail": [{"loc": ["a", 0, None, "b"], "msg": "m"}, "text", {"loc": 7, "msg": "n"}]}, "a.0.b: m; text; n"),
        ({"title": "t", "detail": [{"loc": ["a"]}]}, "t; a"),
        ({"detail": ["d1", "d2", "d3", "d4"]}, "d1; d2; d3"),
        ({"status": 500, "path": "/ü"}, '{"status":500,"path":"/ü"}'),
        ({"error": ["a"]}, '{"error":["a"]}'),
        ([{"a": 1}, 2.5], '[{"a":1},2.5]'),
        ("plain", "plain"),
        ("<p>a &amp; b</p>", "a & b"),
        (404, "404"),
        ({}, ""),
        ([], ""),
        (None, ""),
        ({"error": "Bad Request", "message": "bad request"}, "Bad Request"),
        ({"error": "invalid_grant", "error_description": "invalid_grant: wrong"}, "invalid_grant: wrong"),
        ({"error": "E1", "message": "E10 failed"}, "E1; E10 failed"),
        ({"error": "?", "message": "!"}, "?; !"),
        ({"error": " \n", "message": " m "}, "m"),
    ],
)  # fmt: skip
def test_the_message_of_a_json_body(value: object, message: str) -> None:
    """Known members are joined in a fixed order, without repetition; any other JSON is shown compactly."""
    assert parse_error(500, body(value)).message == message


@pytest.mark.parametrize(
    "data,message",
    [
        (b"", ""),
        (b" \r\n", ""),
        (b" denied, field <username> is missing ", "denied, field <username> is missing"),
        (b"\xef\xbb\xbfdenied", "denied"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error": "cut o', '{"error": "cut o'),
        (b'{"error": "a\nb", "message": "\xfcber"}', "a\nb; \ufffdber"),
        (b"[" * 50_000, "[" * 50_000),
        (b'{"a": ' + b"9" * 5000 + b"}", '{"a": ' + "9" * 5000 + "}"),
        (b"<style>a{}</style><script>x</script><h1>503</h1> Bad <b>luck</b> <script>y", "503 Bad luck"),
        (b"\r\n <p>down", "down"),
        (b"<title>Error</title><p>Try later", "Error: Try later"),
    ],
)
def test_the_message_of_any_other_body(data: bytes, message: str) -> None:
    """Text is kept as it is, HTML is reduced to its text, and bytes that are not UTF-8 hide nothing else."""
    assert parse_error(500, data).message == message


@pytest.mark.parametrize(
    "header,message",
    [
        ('Bearer error="e", error_description="wrong"', "e: wrong"),
        ('Bearer error="invalid_token", error_description="late"', "e: wrong; invalid_token: late"),
        ('Bearer error_description="late"', "e: wrong; late"),
        ('Basic realm="x", bearer ERROR=f, DPoP error="g"', "e: wrong; f; g"),
        ('Basic realm="x"', "e: wrong"),
        ("A error=f, B error=g, C error=h, D error=i", "e: wrong; f; g; h"),
    ],
)
def test_a_challenge_adds_what_the_body_lacks(header: str, message: str) -> None:
    """`error` and `error_description` of a challenge follow the body's message unless they are in it."""
    assert parse_error(401, body({"error": "e", "error_description": "wrong"}), header).message == message


@pytest.mark.parametrize(
    "status,phrase,message",
    [
        (401, "Unauthorized", ""),
        (401, "UNAUTHORIZED ", ""),
        (401, "Password expired", "Password expired"),
        (401, "Forbidden", "Forbidden"),
        (422, "Unprocessable Entity", ""),
        (422, "Unprocessable Content", ""),
        (599, "Odd", "Odd"),
        (-1, "", ""),
    ],
)
def test_a_reason_phrase_counts_if_nothing_else_explains(status: int, phrase: str, message: str) -> None:
    """The standard phrase of a status is no message, and any body comes before any phrase."""
    assert parse_error(status, b"", "", phrase).message == message
    assert parse_error(status, b"body", "", phrase).message == "body"


def test_the_code_of_the_body_comes_first() -> None:
    """RFC 6749's `error` precedes the container's first code, and that precedes the challenge's."""
    errors = {"errors": [{"message": "m"}, {"code": "c"}]}
    assert parse_error(400, body({"error": "e"} | errors), "Bearer error=f").code == "e"
    assert parse_error(400, body({"error": {"code": "e"}} | errors)).code == "e"
    assert parse_error(400, body(errors), "Bearer error=f").code == "c"
    assert parse_error(400, b"", "Basic, Bearer error=f").code == "f"
    assert parse_error(400, b"").code is None


def test_a_repr_shows_no_message() -> None:
    """A message may hold a secret until it is redacted."""
    assert "hidden" not in repr(parse_error(400, body({"message": "hidden"})))


# Recognition.


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_recognized_wherever_a_server_puts_it(code: str) -> None:
    """`error`, any error of a container, and a challenge count; `access_denied` with 403 does not."""
    container = {"errors": [{"code": "x"}] * 5 + [{"code": code}]}
    for value, header in (
        ({"error": code}, ""),
        ({"error": {"code": code}}, ""),
        (container, ""),
        ({"error": "x"}, f'Basic realm="a", Bearer error="{code}"'),
    ):
        for status in (200, 400, 403, 500):
            error = parse_error(status, body(value), header)
            assert error.names_credentials is ((code, status) != ("access_denied", 403))


def test_another_code_with_access_denied_counts() -> None:
    """Only `access_denied` itself is ignored with status 403."""
    errors = [{"code": "access_denied"}, {"code": "invalid_grant"}]
    assert parse_error(403, body({"errors": errors})).names_credentials


@pytest.mark.parametrize(
    "value",
    [
        {"error": "invalid_request"},
        {"message": "invalid_grant"},
        {"error_description": "invalid_client"},
        "access_denied",
    ],
)
def test_a_code_in_another_place_is_not_recognized(value: object) -> None:
    """Only the members that carry a code are compared with the codes."""
    assert not parse_error(400, body(value)).names_credentials


@pytest.mark.parametrize(
    "data",
    [
        b"bad request - INVALID LOGIN ID OR PASSWORD.",
        b"Invalid\r\n  Login\tID or Password",
        b"<p>Invalid <b>Login&nbsp;ID</b><br>or&#32;Password</p>",
        body("invalid login id or password"),
        body({"a": [{"b": ["x", "Invalid <i>Login</i> ID\nor Password"]}]}),
        b'{"m": "Invalid\\u0020Login ID or Password"}',
        b'\xef\xbb\xbf{"m": "\xff Invalid Login ID or Password"}',
    ],
)
def test_the_sentence_is_recognized_in_any_body(data: bytes) -> None:
    """The vendor's sentence is recognized despite case, blanks, markup, entities and JSON escapes."""
    assert parse_error(503, data).names_credentials


@pytest.mark.parametrize(
    "data",
    [
        b"Invalid Login ID",
        b"Invalid Login ID or Passphrase, sorry",
        body(["Invalid Login ID", "or Password"]),
        b"<script>show('Invalid Login ID or Password')</script>",
        b"<p title='Invalid Login ID or Password'>down</p>",
    ],
)
def test_half_a_sentence_is_not_recognized(data: bytes) -> None:
    """Parts of the sentence, and text that a page does not show, do not count."""
    assert not parse_error(503, data).names_credentials


def test_the_sentence_is_recognized_in_a_reason_phrase() -> None:
    """The phrase counts although the body has a message."""
    assert parse_error(503, b"down", "", f"Bad Request -  {SENTENCE.upper()}").names_credentials
    assert not parse_error(503, b"down", "", "Service Unavailable").names_credentials


@pytest.mark.parametrize("header", ['Bearer error="invalid_token"', 'Basic realm="x", bearer Error=invalid_token'])
def test_a_challenge_rejects_a_token(header: str) -> None:
    """RFC 6750 section 3.1: `invalid_token` is the value of `error` in any challenge."""
    assert parse_error(401, b"", header).rejects_token


@pytest.mark.parametrize(
    "header",
    [
        'Bearer realm="error=\\"invalid_token\\""',
        'Bearer error="insufficient_scope"',
        'Bearer error_description="invalid_token"',
        "",
    ],
)
def test_nothing_else_rejects_a_token(header: str) -> None:
    """Neither other parameters nor the body count."""
    assert not parse_error(401, body({"error": "invalid_token"}), header).rejects_token


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 422, 429, 500])
def test_three_statuses_refuse_a_login(status: int) -> None:
    """400, 401 and 422 refuse a login without a message, and every status does if it names the credentials."""
    assert is_login_refusal(status, parse_error(status, b"")) is (status in {400, 401, 422})
    assert is_login_refusal(status, ErrorDetails(names_credentials=True))
