"""Values as texts for a reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.durations import span
from monitor.web.pages.texts import days_left, duration, moment, percent, visible
from tests.support.overviews import NOW

pytestmark = pytest.mark.once

DAY = 86_400.0


@pytest.mark.parametrize(
    "seconds,expected",
    [
        (-3, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (400, "6 min 40 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (400 * DAY, "400 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    """Smaller units are dropped, not rounded up."""
    assert span(seconds) == expected


def test_a_duration_can_be_cut_to_minutes() -> None:
    """The smallest unit is also the unit of zero."""
    assert [span(seconds, smallest="min") for seconds in (0, 59, 659)] == ["0 min", "0 min", "10 min"]


@pytest.mark.parametrize(
    "seconds,expected", [(0.0004, "0.4 ms"), (0.081, "81 ms"), (0.9994, "999 ms"), (1.254, "1.25 s"), (30, "30.00 s")]
)
def test_the_duration_of_a_request_is_short(seconds: float, expected: str) -> None:
    """Milliseconds below one second, then seconds."""
    assert duration(seconds) == expected


@given(st.floats(0, 1, exclude_max=True))
def test_no_outage_reads_as_100_percent(share: float) -> None:
    """A share below one is rounded down."""
    assert percent(share) != "100 %"
    assert float(percent(share).split()[0]) <= share * 100 + 1e-9


@pytest.mark.parametrize(
    "days,expected",
    [
        (60.5, "valid for 60 days"),
        (1.2, "valid for 1 day"),
        (0.5, "valid for less than 1 day"),
        (-0.5, "expired"),
        (-2.5, "expired 2 days ago"),
    ],
)
def test_an_expiry_is_in_whole_days(days: float, expected: str) -> None:
    """The days are rounded down."""
    assert days_left(1000.0 + days * DAY, 1000.0) == expected


@pytest.mark.parametrize("seconds", [None, float("inf"), -1.0, 1e15, float("nan")])
def test_a_time_that_is_none_has_no_moment(seconds: float | None) -> None:
    """Infinity and times beyond the year 9999 cannot be shown."""
    assert moment(seconds) is None


def test_a_moment_is_in_utc() -> None:
    """The text is for people, the other two forms are for programs."""
    at = moment(NOW)
    assert at is not None
    assert (at.text, at.iso, at.seconds) == ("2026-10-31 23:06:40 UTC", "2026-10-31T23:06:40Z", int(NOW))


@given(st.text())
def test_no_control_or_format_character_that_reorders_text_remains(text: str) -> None:
    """The result can be encoded, and contains no control except tab and line feed."""
    shown = visible(text)
    shown.encode()
    assert not set(shown) & {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\x00", "\x1b", "\r"}


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=200))
def test_a_plain_text_is_unchanged(text: str) -> None:
    """Letters of every script, digits, punctuation and blanks stay."""
    assert visible(text) == text


def test_a_long_text_is_cut_and_the_reader_is_informed() -> None:
    """The length of the text is in the result."""
    assert visible("x" * 5000, 10) == "xxxxxxxxxx … (5,000 characters; the rest is left out)"


def test_controls_are_visible_as_escapes() -> None:
    """A tab and a line feed stay, and the line end of Windows becomes a line feed."""
    assert visible("a\u202eb\x00\tc\r\nd\re") == "a\\u202eb\\u0000\tc\nd\\u000de"
