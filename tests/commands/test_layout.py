"""Texts of commands for people: durations, colours, and lines that fit."""

from __future__ import annotations

import io
import os
import pty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.commands.layout import Style, columns, duration, printable, printable_lines, responsible, style_for
from monitor.model import Responsibility


@pytest.mark.parametrize(
    "seconds,text",
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (400, "6 min 40 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90_061, "1 d 1 h"),
        (172_800, "2 d"),
        (40_000_000, "462 d 23 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    """Smaller units do not matter to a person."""
    assert duration(seconds) == text


@given(st.text(), st.integers(40, 100))
def test_lines_fit_and_are_printable(text: str, width: int) -> None:
    """A text of a server cannot control the terminal, and no line is wider than the style allows."""
    lines = Style(width=width).wrapped(text, "first: ", "  ")
    assert all(len(line) <= width and line.isprintable() for line in lines)
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))


def test_columns_are_aligned_and_the_last_one_is_wrapped() -> None:
    """The following lines of the last column begin below it."""
    assert columns([("a", "b", "c"), ("long", "x", "word " * 8)], Style(width=40)) == [
        "a     b  c",
        "long  x  word word word word word word",
        "         word word",
    ]


def test_every_party_has_a_name() -> None:
    """Only the unknown one is unknown."""
    assert [each for each in Responsibility if responsible(each) == "unknown"] == [Responsibility.UNKNOWN]
    assert responsible("added later") == "unknown"


def test_colours_are_for_terminals() -> None:
    """NO_COLOR and a dumb terminal have none; a pipe and a closed output have none either."""
    leading, following = pty.openpty()
    with os.fdopen(leading, "rb"), os.fdopen(following, "w") as terminal:
        assert style_for(terminal, {"TERM": "xterm"}).colour
        assert style_for(terminal, {"NO_COLOR": ""}).colour
        assert not style_for(terminal, {"NO_COLOR": "1"}).colour
        assert not style_for(terminal, {"TERM": "dumb"}).colour
    assert not style_for(io.StringIO(), {}).colour
    assert not style_for(None, {}).colour
    assert Style(colour=True).paint("up", "green") == "\x1b[32mup\x1b[0m"
    assert Style().paint("up", "green") == "up"


def test_a_narrow_terminal_gets_narrow_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width is that of the terminal, between 40 and 100 columns."""
    leading, following = pty.openpty()
    with os.fdopen(leading, "rb"), os.fdopen(following, "w") as terminal:
        for columns_of_terminal, width in ((60, 60), (200, 100), (20, 40), (0, 100)):
            size = os.terminal_size((columns_of_terminal, 24))
            monkeypatch.setattr(os, "get_terminal_size", lambda _descriptor, size=size: size)
            assert style_for(terminal, {}).width == width
