"""Search for values as whole words, raw and in URL, HTML and JSON form."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal
from urllib.parse import quote, quote_plus

from monitor.tigr.documented import TERMS

_NORMAL_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
# A word begins after a character of no word, or after the escape of one.
_WORD_START = r"(?:(?<!\w)|(?<=%[0-7][0-9a-f])|(?<=\\[nrt])|(?<=\\u00[0-7][0-9a-f]))"


class WholeTerms:
    """Some values, in any case; documented words are left out."""

    def __init__(self, values: Iterable[str]) -> None:
        """Take the values. Empty ones are left out."""
        written = {form for value in values if value.casefold() not in TERMS for form in _written(value) if form}
        longest_first = "|".join(sorted(map(re.escape, written), key=len, reverse=True))
        self._pattern = re.compile(rf"{_WORD_START}(?:{longest_first})(?!\w)", re.IGNORECASE) if written else None
        self._ascii = all(map(str.isascii, written))
        self._lower = {form.lower() for form in written}

    def __bool__(self) -> bool:
        """Return whether there is a value to search for."""
        return self._pattern is not None

    def occur_in(self, text: str) -> bool:
        """Return whether a text contains a value."""
        return self._pattern is not None and self._may_occur_in(text) and self._pattern.search(text) is not None

    def masked(self, text: str, mask: str) -> str:
        """Return `text` with each value replaced by `mask`."""
        return self._pattern.sub(mask, text) if self._pattern is not None and self._may_occur_in(text) else text

    def _may_occur_in(self, text: str) -> bool:
        """Return whether to search with the pattern, which takes many times longer than this."""
        if not (self._ascii and text.isascii()):
            return True
        lower = text.lower()
        return any(form in lower for form in self._lower)


def _written(value: str) -> Iterator[str]:
    """Yield the forms of a value."""
    for term in (value, " ".join(value.split()), *(unicodedata.normalize(form, value) for form in _NORMAL_FORMS)):
        yield from (
            term,
            quote(term, safe=""),
            quote_plus(term),
            html.escape(term),
            html.escape(term, quote=False),
            json.dumps(term)[1:-1],
            json.dumps(term, ensure_ascii=False)[1:-1],
        )
