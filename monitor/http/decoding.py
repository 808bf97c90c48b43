"""Content-Encoding of response bodies. The client asks for none, but some servers compress all the same."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.stream import MAX_RESPONSE_SIZE

UNENCODED = ("", "identity")  # values of Content-Encoding for a body that is not encoded


def content_encoding(headers: Mapping[str, str]) -> str:
    """Return the value of Content-Encoding in lower case (RFC 9110 section 8.4.1), empty if absent."""
    return headers.get("content-encoding", "").strip().lower()


def decode(encoding: str, body: bytearray) -> bytearray:
    """Return `body` without its gzip or deflate encoding, at most MAX_RESPONSE_SIZE bytes. Raises `ExchangeError`."""
    if encoding in UNENCODED or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ExchangeError(ExchangeFault.MALFORMED, "the response body has an encoding that was not requested")
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: detects gzip and zlib headers
    try:
        decoded = decompressor.decompress(body, MAX_RESPONSE_SIZE)
    except zlib.error:
        raise ExchangeError(ExchangeFault.MALFORMED, "the response body cannot be decompressed") from None
    if decompressor.unconsumed_tail:
        detail = f"the decompressed response body is longer than {MAX_RESPONSE_SIZE} bytes"
        raise ExchangeError(ExchangeFault.MALFORMED, detail)
    if not decompressor.eof:
        raise ExchangeError(ExchangeFault.MALFORMED, "the compressed response body is incomplete")
    return bytearray(decoded)
