"""Durations: what Prometheus' own settings accept is accepted, and nothing else does any harm."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import durations


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
    """Whole numbers with units, or a number of seconds, give seconds."""
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
def test_refuses_what_is_no_duration(written: object) -> None:
    """Blanks, signs, fractions of units, units out of order and other types are refused."""
    with pytest.raises(ValueError, match="must be a duration such as 90s"):
        durations.parse(written)


@pytest.mark.parametrize("written", ["2d", "1w", "1y", 86401, 10**400, math.inf, math.nan, -1, "0.9", 0.999, "999ms"])
def test_refuses_what_is_out_of_bounds(written: object) -> None:
    """Less than the least, more than a day, and what is not finite are refused with the bounds."""
    with pytest.raises(ValueError, match="must be between 1s and 1d"):
        durations.parse(written, least=1.0)


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
def test_writes_what_prometheus_would(seconds: float, written: str) -> None:
    """A number of seconds is written with the largest units that fit."""
    assert durations.text(seconds) == written


@given(st.integers(0, 86_400_000))
def test_reads_what_it_writes(milliseconds: int) -> None:
    """What is written for a duration is read as the same duration."""
    assert durations.parse(durations.text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


_ALPHABET = st.text(alphabet="0123456789ywdhms. -", max_size=20)


@given(st.one_of(_ALPHABET, st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_gives_seconds_or_a_complaint(written: object) -> None:
    """Whatever is written, the outcome is seconds within the bounds, or a ValueError in our words."""
    try:
        seconds = durations.parse(written, least=1.0)
    except ValueError as error:
        assert str(error).startswith("must be ")  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(seconds, float)
        assert 1.0 <= seconds <= durations.MOST
