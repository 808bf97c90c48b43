"""Canonical forms of texts and bytes, in which a secret is compared with a text.

Each form is made character by character, so a part of a text has a part of its form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

CONTROL = bytes([*range(0x21), 0x7F])  # ASCII control characters and the blank
_CONTROLS = re.compile(r"[\0-\x20\x7f]+")
_PUNCTUATION = bytes(code for code in range(0x80) if not chr(code).isalnum())
LOWER = bytes(range(0x100)).lower()
LOWER_BLANKS = LOWER.replace(b"+", b" ")
_TO_BLANKS = bytes(0x20 if chr(code).isspace() or chr(code) == "+" else code for code in range(0x100))
_NON_WORD = re.compile(r"[\W_]+")
# The place of a number in a set depends on its lowest bits. With this table, those of letters are far from each other.
SPREAD = bytes(code * 157 % 0x100 for code in range(0x100))
_BLANKS = frozenset({"Zs", "Zl", "Zp"})
_INVISIBLE = frozenset({"Me", "Cf", "Cc"})  # enclosing marks, format and control characters
_ACCENTS = (
    "COMBINING ",
    "VARIATION SELECTOR",
)  # names; other nonspacing marks are vowels, in Thai and Hindi for example
_MAX_REPLACEMENTS = 16  # characters; for more of them, str.translate() is faster than str.replace() for each
_FILLERS = "\u115f\u1160\u2800\ufffd"  # letters and a symbol without a glyph, and the replacement for NUL in HTML


def folded(text: str) -> str:
    """Return `text` with compatibility characters replaced (NFKD), without accents and invisible characters.

    The case is kept. Blanks outside ASCII become ASCII blanks.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text)
    replaced: dict[int, str | None] = {}
    for char in set(text):
        category = unicodedata.category(char)
        if category in _BLANKS:
            replaced[ord(char)] = " "
        elif (category in _INVISIBLE and char > "\x7f") or char in _FILLERS or _is_accent(char, category):
            replaced[ord(char)] = None
    if len(replaced) > _MAX_REPLACEMENTS:
        return text.translate(replaced)
    for code, other in replaced.items():
        text = text.replace(chr(code), other or "")
    return text


def _is_accent(char: str, category: str) -> bool:
    return category == "Mn" and unicodedata.name(char, "").startswith(_ACCENTS)


def squeezed(text: str) -> str:
    """Return a folded text without blanks and control characters."""
    return _without(text, CONTROL) if text.isascii() else _CONTROLS.sub("", "".join(text.split()))


def _without(text: str, characters: bytes) -> str:
    """Return a text of ASCII without some characters; bytes are translated several times faster than text."""
    return text.encode().translate(None, characters).decode()


def _spaced(text: str) -> str:
    """Return a text with single blanks."""
    if not text.isascii():
        return " ".join(text.replace("+", " ").split()).replace("\0", "")
    data = text.encode().translate(_TO_BLANKS).strip(b" ")
    return (b" ".join(data.split()) if b"  " in data else data).replace(b"\0", b"").decode()


def forms(text: str, *, blanks: bool) -> Iterator[str]:
    """Yield the forms of a folded text in which runs are compared: in lower case, without blanks or punctuation.

    With `blanks`, yield it also with single blanks; a plus sign counts as a blank, because it stands for one in a form.
    """
    text = text.casefold().replace("ı", "i")  # the upper case of both is I  # noqa: RUF001
    dense = squeezed(text)
    if blanks and (spaced := _spaced(text)) != dense:
        yield spaced
    yield dense
    if not dense.isalnum():
        yield _without(dense, _PUNCTUATION) if dense.isascii() else _NON_WORD.sub("", dense)


def byte_forms(data: bytes, *, blanks: bool) -> Iterator[str]:
    """Yield the forms of bytes in which runs are compared, one character per byte.

    NUL bytes are dropped, so the UTF-16 of ASCII is the ASCII itself. `blanks` is that of `forms`.
    """
    dense = data.translate(LOWER, CONTROL)
    if blanks and (spaced := b" ".join(data.translate(LOWER_BLANKS, b"\0").split())) != dense:
        yield spaced.decode("latin-1")
    yield dense.decode("latin-1")


def as_text(data: bytes) -> str:
    """Return bytes as UTF-8; bytes that are not UTF-8 as Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "surrogateescape")
        return "".join(chr(ord(char) - 0xDC00) if "\udc80" <= char <= "\udcff" else char for char in text)
