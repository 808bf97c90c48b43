"""Content-Encoding of response bodies."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.stream import MAX_RESPONSE_SIZE

UNENCODED = ("", "identity")  # what Content-Encoding says where nothing is encoded


def content_encoding(headers: Mapping[str, str]) -> str:
    """Return the value of Content-Encoding in lower case, or an empty string."""
    return headers.get("content-encoding", "").strip().lower()  # case-insensitive: RFC 9110 section 8.4.1


def decode(encoding: str, body: bytearray) -> bytearray:
    """Undo an encoding that we did not ask for, as far as the size cap. Raises `ExchangeError`."""
    if encoding in UNENCODED or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ExchangeError(ExchangeFault.MALFORMED, "the body is in an encoding that was not asked for")
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, whichever the data says
    try:
        decoded = decompressor.decompress(body, MAX_RESPONSE_SIZE)
    except zlib.error:
        raise ExchangeError(ExchangeFault.MALFORMED, "the body cannot be decompressed") from None
    if decompressor.unconsumed_tail:
        raise ExchangeError(ExchangeFault.MALFORMED, f"the decompressed body is longer than {MAX_RESPONSE_SIZE} bytes")
    if not decompressor.eof:
        raise ExchangeError(ExchangeFault.MALFORMED, "the compressed body ends too early")
    return bytearray(decoded)
