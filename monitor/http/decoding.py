"""Content-Encoding of response bodies. The client asks for none, but some servers compress all the same."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.stream import MAX_RESPONSE_SIZE

MAX_CODINGS = 5  # codings of one body, each applied to the result of the one before
MAX_GZIP_MEMBERS = 16  # members of one gzip body (RFC 1952 section 2.2)
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_MAGIC = b"\x1f\x8b"
# The other codings of IANA's registry but `identity`: without them, the body is not readable.
_UNSUPPORTED = frozenset({"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"})
_DETECTED = zlib.MAX_WBITS | 32  # window bits for a zlib or gzip header, whichever the data has
_RAW = -zlib.MAX_WBITS  # window bits for deflate without a header


def content_codings(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the codings of a body, in lower case, in the order in which the server applied them.

    Values of Content-Encoding (RFC 9110 section 8.4) that are no registered coding, such as `utf-8` and `none`, are
    left out, as in browsers: servers send them with bodies that are not encoded.
    """
    values = (value.strip().lower() for value in headers.get("content-encoding", "").split(","))
    return tuple(value for value in values if value in _GZIP or value == "deflate" or value in _UNSUPPORTED)


def decode(codings: tuple[str, ...], body: bytearray) -> bytearray:
    """Return `body` without its `codings`, at most MAX_RESPONSE_SIZE bytes. Raises `ExchangeError`."""
    if not body:
        return body
    if len(codings) > MAX_CODINGS or not _UNSUPPORTED.isdisjoint(codings):
        raise ExchangeError(ExchangeFault.MALFORMED, "the response body has an encoding that was not requested")
    for coding in reversed(codings):
        try:
            body = _gunzip(body) if coding in _GZIP else _inflate(body)
        except zlib.error:
            raise ExchangeError(ExchangeFault.MALFORMED, "the response body cannot be decompressed") from None
    return body


def _gunzip(body: bytearray) -> bytearray:
    """Return the joined content of all members. Bytes after the last member that begin no other are ignored."""
    decoded, rest = bytearray(), bytes(body)
    for _ in range(MAX_GZIP_MEMBERS):
        rest = _decompress(rest, _DETECTED, decoded)
        if not rest.startswith(_GZIP_MAGIC):
            return decoded
    detail = f"the compressed response body has more than {MAX_GZIP_MEMBERS} gzip members"
    raise ExchangeError(ExchangeFault.MALFORMED, detail)


def _inflate(body: bytearray) -> bytearray:
    """Return the content of `deflate`: with a zlib header (RFC 9110 section 8.4.1.2), or without one."""
    decoded, data = bytearray(), bytes(body)
    try:
        _decompress(data, _DETECTED, decoded)
    except zlib.error:
        decoded.clear()
        _decompress(data, _RAW, decoded)
    return decoded


def _decompress(data: bytes, window_bits: int, decoded: bytearray) -> bytes:
    """Append the content of the first compressed stream in `data` to `decoded`, and return the bytes after it."""
    decompressor = zlib.decompressobj(window_bits)
    decoded += decompressor.decompress(data, MAX_RESPONSE_SIZE - len(decoded) + 1)  # 1: shows that there is more
    if len(decoded) > MAX_RESPONSE_SIZE:
        detail = f"the decompressed response body is longer than {MAX_RESPONSE_SIZE} bytes"
        raise ExchangeError(ExchangeFault.MALFORMED, detail)
    if not decompressor.eof:
        raise ExchangeError(ExchangeFault.MALFORMED, "the compressed response body is incomplete")
    return decompressor.unused_data
