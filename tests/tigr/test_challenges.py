"""Parsing of `WWW-Authenticate`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.tigr.challenges import parse_challenges

pytestmark = pytest.mark.once

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def quoted(value: str) -> str:
    """Return a quoted string of RFC 9110 section 5.6.4."""
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


@pytest.mark.parametrize(
    "header,challenges",
    [
        ("", []),
        ("Basic", [{}]),
        ("Negotiate oYG2MIGzoAMK==", [{"oyg2migzoamk": "="}]),
        ('Bearer realm="a, b", error="invalid_token"', [{"realm": "a, b", "error": "invalid_token"}]),
        (
            "bearer ERROR=invalid_token,Error_Description=late",
            [{"error": "invalid_token", "error_description": "late"}],
        ),
        ('Bearer error = "x" , realm\t=\ty', [{"error": "x", "realm": "y"}]),
        ('Basic realm="a", Bearer error="x"', [{"realm": "a"}, {"error": "x"}]),
        ('Bearer error="x", Basic', [{"error": "x"}, {}]),
        ('Basic realm="a\\", error=\\"invalid_token"', [{"realm": 'a", error="invalid_token'}]),
        ('Basic "error=invalid_token", realm=a', [{"realm": "a"}]),
        ('Bearer error="x", error="y"', [{"error": "x"}]),
        ('Bearer error=""', [{"error": ""}]),
        ('Bearer error="cut off', [{"error": "cut off"}]),
        ('Bearer error="cut off\\', [{"error": "cut off"}]),
        ('error="x"', [{"error": "x"}]),
    ],
)
def test_the_parameters_belong_to_their_challenge(header: str, challenges: list[dict[str, str]]) -> None:
    """Names are in lower case, quoted strings are resolved, and a scheme starts the next challenge."""
    assert parse_challenges(header) == challenges


@given(st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), max_size=3))
def test_any_challenges_come_back(challenges: list[dict[str, str]]) -> None:
    """Challenges that are written as RFC 9110 defines them are read without loss."""
    written = [f"Bearer {', '.join(f'{name}={quoted(value)}' for name, value in one.items())}" for one in challenges]
    assert parse_challenges(", ".join(written)) == challenges


@given(st.text(st.sampled_from('ab="\\, \t(\x00é'), max_size=60) | st.text(max_size=60))
def test_any_header_is_parsed(header: str) -> None:
    """Each name and each value of the result is a part of the header, except for case and backslashes."""
    parts = [part for challenge in parse_challenges(header) for item in challenge.items() for part in item]
    bare = header.replace("\\", "").lower()
    assert all(part.replace("\\", "").lower() in bare for part in parts)
