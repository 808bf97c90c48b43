"""Bytes that a text holds as base64 or as hexadecimal digits.

Characters of no digit are dropped first, because they may separate lines or digits. Then it is unknown at which
character an encoded part begins, so every start is tried: four for base64, two for hexadecimal digits.
"""

from __future__ import annotations

import re
import string
from binascii import a2b_base64
from collections.abc import Iterator

from monitor.tigr.folding import as_text

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")  # from the alphabet for URLs
_NOT_BASE64 = bytes(set(range(0x100)) - set(_ALPHABET.encode()) - set(b"-_"))
_MIN_BASE64 = 11  # characters; fewer hold less than eight bytes
_MAX_CUT = 4  # bytes: the end of a truncated text may be a part of a character of UTF-8
_MIN_TEXT = 8  # bytes of text
_MIN_WORD, _MIN_HEX = 12, 16  # characters
_WORD = re.compile(rb"[A-Za-z0-9+/][A-Za-z0-9+/]{11,}")
_HEX = re.compile(rb"[0-9a-f][0-9a-f]{15,}")
_HEX_SEPARATORS = bytes(set(range(0x100)) - set(string.digits.encode()) - set(string.ascii_lowercase.encode()))
_CONTROL = bytes([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20)])  # control characters except blanks
# Bytes in which every second one is the upper half of a UTF-16 code unit in common scripts: 0x00 is that of ASCII.
# A pattern that begins with a set of characters is searched several times faster than one that begins with a group.
_HIGH = rb"[\x00-\x11\x1e\x20\x30\xd8-\xdf\xff]."
_MIN_UTF16 = 6  # characters
_UTF16 = re.compile(rb"%b(?:%b){5,}" % (_HIGH, _HIGH), re.DOTALL)
_PRINTABLE = bytes([*b"\t\n\r", *range(0x20, 0x7F)])


def _digits(of: range) -> str:
    return "[" + "".join(re.escape(_ALPHABET[value]) for value in of) + "]"


# Four characters that encode three bytes of printable ASCII: the first two bytes are at least 0x20 and below 0x80.
_SECOND = "[" + "".join(re.escape(char) for value, char in enumerate(_ALPHABET) if 2 <= value % 16 < 8) + "]"
_THIRD = "[" + "".join(re.escape(char) for value, char in enumerate(_ALPHABET) if value % 4 < 2) + "]"
_QUAD = f"{_digits(range(8, 32))}{_SECOND}{_THIRD}."
_MIN_ASCII = 6  # bytes
_ASCII = re.compile(f"{_QUAD}{_QUAD}(?:(?:....)?{_QUAD})*.{{0,3}}".encode())


def _marks(of: bytes) -> bytes:
    """Return a table that makes 1 of some bytes and 0 of the others. A run of 1 is found faster than with a pattern."""
    return bytes(code in of for code in range(0x100))


_ASCII_MARKS = _marks(bytes(range(0x80)))
_WORD_MARKS, _HEX_MARKS = _marks(_ALPHABET.encode()), _marks(b"0123456789abcdef")
_HIGH_MARKS = _marks(bytes(code for code in range(0x100) if re.match(_HIGH, bytes((code, 0)), re.DOTALL)))


class Packed:
    """The encoded bytes in a folded text."""

    def __init__(self, text: str) -> None:
        raw = text.encode("ascii", "ignore")
        self._standard = raw.translate(_TO_STANDARD)
        self._base64 = self._standard.translate(None, _NOT_BASE64)
        digits = _hex_digits(raw)
        self._from_hex = [
            bytes.fromhex(run[start : len(run) - (len(run) - start) % 2].decode()) for run in digits for start in (0, 1)
        ]

        self.decoded = [b"\n".join(self._from_hex)] if digits else []  # anything may be between the encoded parts
        if len(self._base64) >= _MIN_BASE64:
            self.decoded.append(b"\n".join(_unpacked(self._base64[start:]) for start in range(4)))

    def texts(self) -> Iterator[str]:
        """Yield the parts of the bytes that are text, so that they may hold further encodings."""
        parts = _WORD.findall(self._standard) if _has_run(self._standard, _WORD_MARKS, _MIN_WORD) else ()
        for data in (*self._from_hex, *map(_unpacked, parts)):
            yield from _printable(data)
        for data in filter(_may_be_utf16, self.decoded):
            for match in _UTF16.finditer(data):
                yield data[max(0, match.start() - 1) : match.end() + 1].decode("utf-16-le", "ignore")
                yield match[0].decode("utf-16-be", "ignore")
        if self._may_have_ascii() and (ascii_parts := [_unpacked(part) for part in _ASCII.findall(self._base64)]):
            yield as_text(b"\n".join(ascii_parts))

    def _may_have_ascii(self) -> bool:
        """Return whether the base64 may hold a part that `_ASCII` matches."""
        return len(self._base64) < _MIN_BASE64 or _has_run(self.decoded[-1], _ASCII_MARKS, _MIN_ASCII)


def _has_run(data: bytes, marks: bytes, size: int) -> bool:
    """Return whether `size` bytes next to each other are marked."""
    return b"\1" * size in data.translate(marks)


def _hex_digits(raw: bytes) -> list[bytes]:
    """Return the runs of hexadecimal digits, across separators."""
    dense = raw.lower().replace(b"0x", b"").translate(None, _HEX_SEPARATORS)
    return _HEX.findall(dense) if _has_run(dense, _HEX_MARKS, _MIN_HEX) else []


def _may_be_utf16(data: bytes) -> bool:
    """Return whether every second byte of a part is the upper half of a code unit."""
    marked = data.translate(_HIGH_MARKS)
    run = b"\1" * _MIN_UTF16
    return run in marked[::2] or run in marked[1::2]


def _unpacked(encoded: bytes) -> bytes:
    """Return the bytes of base64 of any length; a last single character encodes none."""
    return a2b_base64(encoded + b"===" if len(encoded) % 4 != 1 else encoded[:-1])


def _printable(data: bytes) -> Iterator[str]:
    """Yield bytes as text if they are text: ASCII for the most part, or UTF-8."""
    data = data.translate(None, _CONTROL)
    if len(data) < _MIN_TEXT:
        return
    if len(data.translate(None, _PRINTABLE)) * 4 <= len(data):
        yield as_text(data)
        return
    text = data.decode("utf-8", "ignore")
    if len(data) - len(text.encode()) < _MAX_CUT:
        yield text
