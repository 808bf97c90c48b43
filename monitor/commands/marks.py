"""Marks of steps: signs for success and failure, also for a locale that cannot show them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TextIO

from monitor.commands.layout import Style


class Mark(Enum):
    """Marks: the sign, the text in its place in ASCII, and the colour."""

    OK = ("✓", "ok", "green")
    FAILED = ("✗", "!!", "red")
    SKIPPED = ("–", "--", "yellow")  # noqa: RUF001 - an en dash


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of an output."""

    is_ascii: bool = False

    @property
    def width(self) -> int:
        """The number of columns of each mark."""
        return 2 if self.is_ascii else 1

    def text(self, mark: Mark, style: Style) -> str:
        """Return a mark in its colour."""
        sign, in_ascii, colour = mark.value
        return style.paint(in_ascii if self.is_ascii else sign, colour)


def marks_for(stream: TextIO) -> Marks:
    """Return the marks that the encoding of `stream` can show."""
    try:
        for mark in Mark:
            mark.value[0].encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return Marks(is_ascii=True)
    return Marks()
