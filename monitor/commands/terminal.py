"""Properties of standard output: whether it shows colours, and marks outside ASCII."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TextIO

WIDTH = 100  # columns of the text that commands print
_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"


class Mark(Enum):
    """Marks of a step: sign, sign in ASCII, colour (ECMA-48 SGR)."""

    OK = ("✓", "ok", "\x1b[32m")
    FAILED = ("✗", "!!", "\x1b[31m")
    SKIPPED = ("–", "--", "\x1b[33m")  # noqa: RUF001 - the sign of the specification


@dataclass(frozen=True, slots=True)
class Style:
    """The style of the output."""

    has_colour: bool = False
    is_ascii: bool = False

    def mark(self, mark: Mark) -> str:
        """Return a mark in its colour; all marks of a style have the same width."""
        sign, ascii_sign, colour = mark.value
        text = ascii_sign if self.is_ascii else sign
        return f"{colour}{text}{_RESET}" if self.has_colour else text

    def heading(self, text: str) -> str:
        """Return a heading."""
        return f"{_BOLD}{text}{_RESET}" if self.has_colour else text


def style_of(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Style:
    """Return the style for `stream`: colour on a terminal only, and never with NO_COLOR (https://no-color.org)."""
    is_terminal = stream.isatty() and environ.get("TERM") != "dumb"
    return Style(has_colour=is_terminal and not environ.get("NO_COLOR"), is_ascii=not _shows_marks(stream.encoding))


def output_style() -> Style:
    """Return the style for standard output."""
    return style_of(sys.stdout)


def _shows_marks(encoding: str) -> bool:
    try:
        for mark in Mark:
            codecs.encode(mark.value[0], encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
