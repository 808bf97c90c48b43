"""Text of HTML and XML bodies. The time of each function is proportional to the length of its input."""

from __future__ import annotations

import html
import re

# An alternative whose end is missing matches to the end of the text, so no character is scanned twice.
_REMOVED = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style)(?=[\s/>]).*?(?:</\1(?=[\s/>]|\Z)[^>]*>?|\Z)"
    r"|<[a-z/!?][^>]*>?",
    re.DOTALL | re.IGNORECASE,
)
_TITLE = re.compile(r"<title\b[^<>]*>([^<]*)", re.IGNORECASE)
_DOCUMENT_START = re.compile(r"<[a-z!?]", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"</[a-z]", re.IGNORECASE)
# html.unescape() raises ValueError for a decimal reference of more than 4300 digits, the limit of int().
_TOO_LONG_REFERENCE = re.compile(r"&#[0-9]{10,};?")


def is_markup(text: str) -> bool:
    """Return whether `text` starts with a tag or contains a closing tag. The caller strips `text` first."""
    return _DOCUMENT_START.match(text) is not None or _CLOSING_TAG.search(text) is not None


def title_and_text(markup: str) -> tuple[str, str]:
    """Return the title of a page, empty if absent, and the rest of its text, each on one line."""
    title = _TITLE.search(markup)
    if title is None:
        return "", plain_text(markup)
    return plain_text(title[1]), plain_text(f"{markup[: title.start()]} {markup[title.end() :]}")


def plain_text(markup: str) -> str:
    """Return the text of `markup` on one line: entities resolved; tags, comments, scripts and styles removed."""
    text = _TOO_LONG_REFERENCE.sub("\ufffd", _REMOVED.sub(" ", markup))
    return " ".join(html.unescape(text).split())
