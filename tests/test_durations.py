"""Durations: the format of Prometheus and plain seconds are accepted, everything else is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import durations

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "written, seconds",
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86400),
        ("500ms", 0.5),
        ("1m1s1ms", 61.001),
        ("0", 0),
        ("0s", 0),
        ("90", 90),
        ("1.5", 1.5),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_accepts_units_and_plain_seconds(written: object, seconds: float) -> None:
    """Whole numbers with units, and plain numbers, are parsed to seconds."""
    assert durations.parse(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " 5s",
        "5 s",
        "5s ",
        "-5s",
        "+5",
        "5x",
        "s",
        "1s1m",
        "1s1s",
        "1.5h",
        "1e3",
        "nan",
        "1_000",
        "5S",
        True,
        None,
        [],
    ],
)
def test_refuses_an_invalid_duration(written: object) -> None:
    """Blanks, signs, fractions of units, units out of order and other types are refused."""
    with pytest.raises(ValueError, match="must be a duration such as 90s"):
        durations.parse(written)


@pytest.mark.parametrize("written", ["2d", "1w", "1y", 86401, 10**400, math.inf, math.nan, -1, "0.9", 0.999, "999ms"])
def test_refuses_a_duration_out_of_bounds(written: object) -> None:
    """A duration below the minimum, above a day or not finite is refused, and the message has the bounds."""
    with pytest.raises(ValueError, match="must be between 1s and 1d"):
        durations.parse(written, minimum=1.0)


@pytest.mark.parametrize(
    "seconds, written",
    [
        (0, "0s"),
        (30, "30s"),
        (60, "1m"),
        (90, "1m30s"),
        (5400, "1h30m"),
        (86400, "1d"),
        (0.5, "500ms"),
        (1.25, "1s250ms"),
    ],
)
def test_writes_the_format_of_prometheus(seconds: float, written: str) -> None:
    """A number of seconds is written with the largest units that fit."""
    assert durations.text(seconds) == written


@given(st.integers(0, 86_400_000))
def test_reads_what_it_writes(milliseconds: int) -> None:
    """The text of a duration is parsed to the same duration."""
    assert durations.parse(durations.text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


_ALPHABET = st.text(alphabet="0123456789ywdhms. -", max_size=20)


@given(st.one_of(_ALPHABET, st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_any_value_gives_seconds_or_a_value_error(written: object) -> None:
    """Any value is either parsed to seconds within the bounds, or refused with a message of this module."""
    try:
        seconds = durations.parse(written, minimum=1.0)
    except ValueError as error:
        assert str(error).startswith("must be ")  # noqa: PT017 - both outcomes are correct
    else:
        assert isinstance(seconds, float)
        assert 1.0 <= seconds <= durations.MAX_DURATION
