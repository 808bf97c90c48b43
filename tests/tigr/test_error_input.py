"""Parsing of error responses from any input: no exception, bounded results, linear time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.tigr.responses import parse_error
from tests.tigr.test_responses import TEXTS, VALUES, body

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # it would take most of the time, and the tests of the modules execute the same lines
]

SENTENCE = "Invalid Login ID or Password"
SIZE = 256 * 1024  # characters, four times the limit for responses: a scan of quadratic time takes 5 s or more
MAX_CPU = 2.0  # seconds for an input of that size; the slowest takes 0.08
KNOWN = (
    "error",
    "error_description",
    "message",
    "Message",
    "errorMessage",
    "title",
    "detail",
    "errors",
    "submissionId",
)
ITEMS = st.lists(st.dictionaries(st.sampled_from(["code", "message", "loc", "msg"]), VALUES), max_size=5)
MEMBERS = st.fixed_dictionaries({}, optional=dict.fromkeys(KNOWN, VALUES | TEXTS | ITEMS))
BODIES = st.binary(max_size=300) | VALUES.map(body) | MEMBERS.map(body)
HEADERS = st.text(max_size=60) | TEXTS.map(lambda text: f'Bearer error="{text}", error_description={text}')


@given(st.integers(0, 999), BODIES, HEADERS, TEXTS)
@example(500, b"[1e15]", "", "")
@example(500, b'["\x01\x02"]', "", "")
def test_any_response_is_parsed(status: int, data: bytes, header: str, phrase: str) -> None:
    """The values have their types, and the message is at most as long as the input with every character escaped."""
    error = parse_error(status, data, header, phrase)
    assert {type(error.code), type(error.submission_id)} <= {str, type(None)}
    assert "" not in {error.code, error.submission_id}
    assert type(error.message) is str
    assert len(error.message) <= len("\\u0000") * len(data) + len(header) + len(phrase)
    assert {type(error.names_credentials), type(error.rejects_token)} == {bool}


@given(MEMBERS)
def test_a_member_of_a_wrong_type_loses_nothing_else(members: dict[str, Any]) -> None:
    """A usable code, message and submissionId are kept next to any values of the other members."""
    errors = [members, {"code": 7}, {"code": "invalid_grant", "message": "kept"}]
    error = parse_error(500, body(members | {"submissionId": "s-1", "error": "kept-code", "message": "kept-text"}))
    assert (error.code, error.submission_id) == ("kept-code", "s-1")
    assert "kept-code" in error.message
    assert "kept-text" in error.message
    assert parse_error(500, body(members | {"errors": errors})).names_credentials


@given(
    st.recursive(st.just(SENTENCE), lambda inner: st.tuples(VALUES, inner) | st.dictionaries(TEXTS, inner, min_size=1))
)
def test_the_sentence_is_recognized_at_any_depth(value: object) -> None:
    """Every string of a JSON body is searched."""
    assert parse_error(500, body(value)).names_credentials


@pytest.mark.parametrize("opening,closing", [(b"[", b"]"), (b'{"a":', b"}"), (b'{"error":{"code":', b"}}")])
def test_any_depth_is_parsed(opening: bytes, closing: bytes) -> None:
    """Neither reading nor showing JSON fails at a depth near the interpreter's limit."""
    for depth in range(1, 1200, 7):
        assert parse_error(500, opening * depth + b"1" + closing * depth).code is None


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        '"',
        "&",
        "&#9",
        "&amp",
        "<a",
        "</a>",
        "<!--",
        "<!-- >",
        "<title",
        "<title ",
        "<script>",
        "</script ",
        " x",
        '{"a":',
        "\\",
    ],
)
@pytest.mark.parametrize("start", ["", "<a>", "<script>", '"'])
def test_a_hostile_body_is_parsed_in_linear_time(start: str, unit: str) -> None:
    """No repeated piece of markup or JSON makes the time grow faster than the length."""
    assert cpu_time(f"{start}{unit * (SIZE // len(unit))}".encode(), "") < MAX_CPU


@pytest.mark.parametrize(
    "value",
    [["a"] * 64000, [SENTENCE[:-1] + "x"] * 8000, {"errors": [{"code": "a"}] * 20000}, {"detail": ["a b"] * 36000},
     dict.fromkeys(KNOWN, "a b " * 7200)],
)  # fmt: skip
def test_a_long_list_is_parsed_in_linear_time(value: object) -> None:
    """Neither many errors nor long members make the time grow faster than the length."""
    assert cpu_time(body(value), "") < MAX_CPU


@pytest.mark.parametrize("unit", ['"', "a", "a ", "a=", 'a="', '"" ', "a\t\t\t\t", "\\", " ", "=", "Bearer error=x,"])
@pytest.mark.parametrize("start", ["", '"', "a", "a="])
def test_a_hostile_challenge_is_parsed_in_linear_time(start: str, unit: str) -> None:
    """No repeated piece of a header makes the time grow faster than the length."""
    assert cpu_time(b"", f"{start}{unit * (SIZE // len(unit))}") < MAX_CPU


def cpu_time(data: bytes, header: str) -> float:
    """Return the seconds of CPU that parsing takes, whatever else runs on the machine."""
    started = time.process_time()
    parse_error(500, data, header, header)
    return time.process_time() - started
