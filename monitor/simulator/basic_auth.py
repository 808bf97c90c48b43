"""HTTP Basic client authentication: the decodings of different authorization servers.

Sources: RFC 7617 section 2, and RFC 6749 section 2.3.1, which form-encodes the id and the secret before base64.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from dataclasses import dataclass, field
from enum import StrEnum

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Escapes(StrEnum):
    """Decoding of the client id and the secret after base64."""

    NONE = "none"  # unchanged: the vendor's page and Spring do that
    PERCENT = "percent"  # %XX; a plus sign stays a plus sign
    FORM = "form"  # %XX, and a plus sign becomes a blank: RFC 6749 section 2.3.1


@dataclass(frozen=True, slots=True)
class BasicDecoding:
    """One server's decoding of an Authorization header."""

    escapes: Escapes = Escapes.NONE
    ascii_only: bool = False  # before the escapes are decoded


@dataclass(frozen=True, slots=True)
class BasicClient:
    """The client id and the secret of one request, decoded."""

    client_id: bytes = field(repr=False)
    secret: bytes = field(repr=False)


class UndecodableError(Exception):
    """The header is base64, but its content cannot be decoded. The text holds no part of it."""


RAW = BasicDecoding()
RAW_ASCII = BasicDecoding(ascii_only=True)
PERCENT_ASCII = BasicDecoding(Escapes.PERCENT, ascii_only=True)
FORM = BasicDecoding(Escapes.FORM)
FORM_ASCII = BasicDecoding(Escapes.FORM, ascii_only=True)


def decode(authorization: tuple[str, str], decoding: BasicDecoding) -> BasicClient | None:
    """Return the client of a scheme (in lower case) and its credentials; None if they are not HTTP Basic.

    Raises UndecodableError for a character that this server does not decode: a byte above 127, or a `%` that does not
    begin an escape.
    """
    scheme, credentials = authorization
    try:
        joined = base64.b64decode(credentials, validate=True) if scheme == "basic" else b""
    except ValueError:  # raised for text that is not ASCII, too
        return None
    client_id, colon, secret = joined.partition(b":")
    if not colon:
        return None
    if decoding.ascii_only and not joined.isascii():
        raise UndecodableError("not ASCII")
    return BasicClient(_unescaped(client_id, decoding.escapes), _unescaped(secret, decoding.escapes))


def _unescaped(data: bytes, escapes: Escapes) -> bytes:
    if escapes is Escapes.NONE:
        return data
    if _BROKEN_ESCAPE.search(data):
        raise UndecodableError("a percent sign that does not begin an escape")
    return urllib.parse.unquote_to_bytes(data.replace(b"+", b" ") if escapes is Escapes.FORM else data)
