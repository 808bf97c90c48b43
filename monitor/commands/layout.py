"""Text for people: colours, times and durations, and lines that fit a terminal."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TextIO

from monitor.durations import span
from monitor.model import Responsibility

MAX_WIDTH = 100  # columns
_MIN_WIDTH = 40
_MIN_LAST_COLUMN = 20
_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Style:
    """The form of the output."""

    colour: bool = False
    width: int = MAX_WIDTH

    def paint(self, text: str, colour: str) -> str:
        """Return `text` in a colour, or as it is."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour else text

    def wrapped(self, text: str, first: str = "", indent: str | None = None) -> list[str]:
        """Return `text` in lines of at most the width: the first begins with `first`, each other one with `indent`.

        Without an `indent`, the lines are aligned. Characters that are not printable become blanks: a text may come
        from a server, and would control the terminal.
        """
        plain = printable(text)
        following = " " * len(first) if indent is None else indent
        return textwrap.wrap(plain, self.width, initial_indent=first, subsequent_indent=following) or [first.rstrip()]


def style_for(stream: TextIO | None, environ: Mapping[str, str]) -> Style:
    """Return the style for a stream: colours on a terminal only, and not if NO_COLOR is set (no-color.org)."""
    try:
        is_terminal = stream is not None and stream.isatty()
        columns = os.get_terminal_size(stream.fileno()).columns if stream is not None and is_terminal else MAX_WIDTH
    except (OSError, ValueError):
        is_terminal, columns = False, MAX_WIDTH
    colour = is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Style(colour, max(_MIN_WIDTH, min(MAX_WIDTH, columns or MAX_WIDTH)))


def printable(text: str) -> str:
    """Return `text` with blanks instead of characters that are not printable, line feeds included."""
    return "".join(character if character.isprintable() else " " for character in text)


def printable_lines(text: str) -> str:
    """Return several lines, each of them printable."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


def moment(text: str) -> float:
    """Return the Unix seconds of a time in RFC 3339."""
    return datetime.fromisoformat(text).timestamp()


def clock(text: str) -> str:
    """Return a time in RFC 3339, which is in UTC, as `2026-10-31 22:56:40`."""
    return text[:19].replace("T", " ")


def duration(seconds: float) -> str:
    """Return seconds as text with at most two units, such as `6 min 40 s`, rounded to seconds."""
    return span(round(seconds))


def columns(rows: Sequence[Sequence[str]], style: Style) -> list[str]:
    """Return rows of texts in aligned columns. The last column is wrapped if it does not fit.

    On a narrow terminal the lines are longer than the terminal, so that the last column stays readable.
    """
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    style = replace(style, width=max(style.width, sum(widths) + 2 * len(widths) + _MIN_LAST_COLUMN))
    lines: list[str] = []
    for *cells, last in rows:
        first = "".join(f"{printable(cell):{width}}  " for cell, width in zip(cells, widths, strict=True))
        lines += style.wrapped(last, first)
    return lines


def endpoint_name(endpoint: str) -> str:
    """Return the name of an endpoint for people."""
    return "login" if endpoint == "token" else endpoint


def responsible(responsibility: str) -> str:
    """Return the party that can probably end a failure, in the words of the status page."""
    try:
        return Responsibility(responsibility).text
    except ValueError:  # a newer daemon may know further parties
        return Responsibility.UNKNOWN.text
