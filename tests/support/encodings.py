"""Encodings in which a server may echo a secret, and secrets that are hard to recognize in them."""

from __future__ import annotations

import base64
import html
import json
import quopri
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

Encoding = Callable[[str], str]

SECRETS = {
    "letters and digits": "Kx7vQ2mWz9Tb",
    "quotes": "pa'ss\"wo'rd`9\"x",
    "ampersands": "q&amp;7&lt&Zx&&9k",
    "angle brackets": "ab<cd>efg<h/>ij9",
    "umlauts": "Grüße-ÄÖÜ-straße",
    "Cyrillic": "ЖгучийЁжНаДубе7",  # noqa: RUF001 - not meant as Latin
    "beyond the BMP": "k🔑𝒳y😀z🚀q7🎉w",  # noqa: RUF001 - not meant as Latin
    "punctuation only": "!$%&/()=?*+~#<>|",
    "blanks": "my dog ate 3 big pies",
    "UUID": "3f2b8c1e-9d47-4a6b-8e05-c7d1f0a2b394",
    "base64-like": "dGhpcyBpcyBhIHRlc3Q+/w==",
    "percent and plus": "a%41b+c%2Bd+e%f=7",
    "backslashes": "c:\\new\\u0041\\tab\\x9",
}


def latin1(text: str) -> bytes:
    """Return Latin-1, or UTF-8 if a character is not in Latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def percent(text: str, form: str = "%{:02X}") -> str:
    """Return every byte of `text` as an escape."""
    return "".join(form.format(byte) for byte in text.encode())


def escaped(text: str, form: str) -> str:
    """Return every UTF-16 code unit of `text` as an escape."""
    data = text.encode("utf-16-be")
    return "".join(form.format(int.from_bytes(data[at : at + 2], "big")) for at in range(0, len(data), 2))


def base64_of(data: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(data).decode()


def in_json(text: str, *, ascii_only: bool = True) -> str:
    """Return `text` as it stands in a JSON string."""
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def in_url(text: str) -> str:
    """Return `text` as a component of a URL."""
    return quote(text, safe="")


def in_dotnet(text: str) -> str:
    """Return `text` as .NET's HtmlEncode returns it: Latin-1 as decimal entities."""
    return "".join(
        f"&#{ord(char)};" if 0xA0 <= ord(char) < 0x100 or char == "'" else html.escape(char) for char in text
    )


def full_width(text: str) -> str:
    """Return `text` with ASCII replaced by full-width characters."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def wrapped(text: str, size: int = 7, end: str = "\r\n") -> str:
    """Return `text` in short lines."""
    return end.join(text[at : at + size] for at in range(0, len(text), size))


ENCODINGS: dict[str, Encoding] = {
    "raw": str,
    "upper case": str.upper,
    "full-width": full_width,
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "mojibake": lambda text: text.encode().decode("latin-1"),
    "mojibake of Windows-1252": lambda text: text.encode().decode("cp1252", "replace"),
    "HTML named": html.escape,
    "HTML of .NET": in_dotnet,
    "HTML &#039;": lambda text: html.escape(text, quote=False).replace("'", "&#039;").replace('"', "&quot;"),
    "HTML all decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML all hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "URL component": in_url,
    "encodeURI": lambda text: quote(text, safe="!#$&'()*+,/:;=?@~"),
    "URL form": quote_plus,
    "URL every byte": percent,
    "URL lower-case hex": lambda text: percent(text, form="%{:02x}"),
    "URL of Latin-1": lambda text: quote(latin1(text), safe=""),
    "URL double": lambda text: in_url(in_url(text)),
    "JSON ASCII": in_json,
    "JSON not ASCII": lambda text: in_json(text, ascii_only=False),
    "JSON \\u upper": lambda text: escaped(text, "\\u{:04X}"),
    "JSON \\u lower": lambda text: escaped(text, "\\u{:04x}"),
    "JSON in JSON": lambda text: in_json(json.dumps(text)),
    "\\x": lambda text: percent(text, form="\\x{:02x}"),
    "octal": lambda text: percent(text, form="\\{:03o}"),
    "base64": lambda text: base64_of(text.encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 of a pair": lambda text: base64_of(f"user:{text}".encode()),
    "base64 of UTF-16": lambda text: base64_of(text.encode("utf-16-le")),
    "base64 of Latin-1": lambda text: base64_of(latin1(text)),
    "base64 of JSON": lambda text: base64_of(json.dumps({"password": text}).encode()),
    "base64 of a form": lambda text: base64_of(f"Password={quote_plus(text)}&grant_type=password".encode()),
    "base64 of base64": lambda text: base64_of(base64_of(text.encode()).encode()),
    "hex": lambda text: text.encode().hex(),
    "hex upper": lambda text: text.encode().hex().upper(),
    "hex with dashes": lambda text: text.encode().hex("-").upper(),
    "hex of UTF-16": lambda text: text.encode("utf-16-le").hex(),
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True).decode(),
    "HTML of URL": lambda text: html.escape(in_url(text)),
    "URL of HTML": lambda text: in_url(html.escape(text)),
    "URL of base64": lambda text: in_url(base64_of(text.encode())),
    "JSON of HTML": lambda text: in_json(html.escape(text)),
    "letters spaced": " ".join,
    "NUL between": "\0".join,
    "invisible between": "\u200b".join,
    "wrapped": wrapped,
    "markup inside": lambda text: f"{text[:5]}<b>{text[5:9]}</b>{text[9:]}",
    "the first eight": lambda text: text[:8],
    "the last eight": lambda text: text[-8:],
    "the middle": lambda text: text[3:13],
}
