"""The table of faults, with the expected reason at each endpoint."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

from monitor.model import Endpoint, Phase, Reason
from monitor.simulator.faults import (
    Body,
    Certificate,
    CertificateVariant,
    Chunked,
    ChunkedBroken,
    Content,
    Drip,
    EarlyHints,
    Echo,
    GzipBomb,
    Gzipped,
    Hang,
    HangAfterHandshake,
    HangMidBody,
    HangMidHeaders,
    HostFault,
    Http10,
    HugeBody,
    Moment,
    NotHttp,
    NotTls,
    Pong,
    Raw,
    Refuse,
    Reset,
    Slow,
    Status,
    SwitchingProtocols,
    TlsMax,
    TlsVersion,
    TokenResponse,
    TruncatedBody,
    WrongContentLength,
)

_BOTH = tuple(Endpoint)
_TOKEN = (Endpoint.TOKEN,)
_PING = (Endpoint.PING,)
_NESTED = b"[" * 10_000 + b"]" * 10_000
# A body that both endpoints accept.
_VALID = b'{"access_token": "0paque", "token_type": "bearer", "expires_in": 60, "pong": "2024-10-31T17:58:38Z"}'
_TWO_MEMBERS = gzip.compress(b" ", mtime=0) + gzip.compress(_VALID, mtime=0)
# An unsigned JWT: {"alg":"none"} and {"iat":1000,"exp":1060}.
_JWT_OF_A_MINUTE = "eyJhbGciOiJub25lIn0.eyJpYXQiOjEwMDAsImV4cCI6MTA2MH0."


@dataclass(frozen=True, slots=True)
class Row:
    """One fault and its expected result. A reason of None means that the exchange succeeds despite the fault."""

    name: str
    fault: HostFault
    reason: Reason | None
    endpoints: tuple[Endpoint, ...] = _BOTH
    phase: Phase | None = None  # expected phase of the failure, if it is certain
    lifetime: float | None = None  # seconds; expected lifetime of the token
    or_else: Reason | None = None  # also accepted, if microseconds decide which event comes first


def _anything(*values: object) -> tuple[object, ...]:
    return values


def _response(*headers: str, body: bytes = _VALID) -> Raw:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return Raw("\r\n".join(lines).encode() + body)


def _reason(status: int) -> Reason:
    if status in (401, 403, 429):
        return {401: Reason.UNAUTHORIZED, 403: Reason.FORBIDDEN, 429: Reason.RATE_LIMITED}[status]
    return Reason.REJECTED_REQUEST if status < 500 else Reason.SERVER_ERROR


_NETWORK = (
    Row("refused", Refuse(), Reason.CONNECT, phase=Phase.CONNECT),
    Row("accepted and silent", Hang(), Reason.TIMEOUT, phase=Phase.TLS),
    Row("silent after the handshake", HangAfterHandshake(), Reason.TIMEOUT, phase=Phase.PROCESSING),
    Row("silent after half the headers", HangMidHeaders(), Reason.TIMEOUT),
    Row("silent after half the body", HangMidBody(), Reason.TIMEOUT, phase=Phase.TRANSFER),
    Row("slower than the timeout", Slow(5), Reason.TIMEOUT, phase=Phase.PROCESSING),
    Row("a byte per second in the handshake", Drip(1, Moment.HANDSHAKE), Reason.TIMEOUT, phase=Phase.TLS),
    Row("a byte per second in the headers", Drip(1, Moment.HEADERS), Reason.TIMEOUT),
    Row("a byte per second in the body", Drip(1, Moment.BODY), Reason.TIMEOUT, phase=Phase.TRANSFER),
    Row("reset when accepted", Reset(Moment.ACCEPT), Reason.TLS, or_else=Reason.CONNECT),
    Row("reset in the handshake", Reset(Moment.HANDSHAKE), Reason.TLS, phase=Phase.TLS),
    Row("reset after the request", Reset(Moment.REQUEST), Reason.DISCONNECT),
    Row("reset in the headers", Reset(Moment.HEADERS), Reason.DISCONNECT),
    Row("reset in the body", Reset(Moment.BODY), Reason.DISCONNECT, phase=Phase.TRANSFER),
)
_TLS = (
    *(
        Row(f"certificate {variant}", Certificate(variant), Reason.CERTIFICATE, phase=Phase.TLS)
        for variant in CertificateVariant
        if variant is not CertificateVariant.GOOD
    ),
    Row("TLS 1.0 only", TlsMax(TlsVersion.TLS_1_0), Reason.TLS, phase=Phase.TLS),
    Row("TLS 1.2 only", TlsMax(TlsVersion.TLS_1_2), None),
    Row("plain HTTP where TLS is expected", NotTls(), Reason.TLS, phase=Phase.TLS),
)
_HTTP = (
    Row("not HTTP at all", NotHttp(), Reason.DISCONNECT),
    Row("HTTP/1.0", Http10(), None),
    Row("101", SwitchingProtocols(), Reason.UNEXPECTED_STATUS),
    Row("103 before the response", EarlyHints(), None),
    Row("103, then slower than the timeout", EarlyHints(5), Reason.TIMEOUT, phase=Phase.PROCESSING),
    Row("truncated body", TruncatedBody(), Reason.DISCONNECT),
    Row("Content-Length too large", WrongContentLength(10), Reason.DISCONNECT),
    Row("Content-Length too small", WrongContentLength(-10), Reason.MALFORMED),
    Row("chunked", Chunked(), None),
    Row("chunked and broken off", ChunkedBroken(), Reason.DISCONNECT),
    Row("a body of 2 GB", HugeBody(), Reason.MALFORMED),
    Row("gzip that was not requested", Gzipped(), None),
    Row("a gzip bomb", GzipBomb(), Reason.MALFORMED),
    Row("Content-Encoding: UTF-8", _response("Content-Encoding: UTF-8"), None),
    Row("Content-Encoding: none", _response("Content-Encoding: none"), None),
    Row("Content-Encoding: br", _response("Content-Encoding: br"), Reason.MALFORMED),
    Row("Content-Encoding: zstd", _response("Content-Encoding: zstd"), Reason.MALFORMED),
    Row("raw deflate", _response("Content-Encoding: deflate", body=zlib.compress(_VALID)[2:-4]), None),
    Row("gzip of two members", _response("Content-Encoding: gzip", body=_TWO_MEMBERS), None),
    Row(
        "gzip of 17 members",
        _response("Content-Encoding: gzip", body=gzip.compress(b"", mtime=0) * 17),
        Reason.MALFORMED,
    ),
    Row("a header section of 18 kB", _response("X: " + "x" * 18_000), None),
    Row("a header section of 60 kB", _response(*["X: " + "x" * 1_000] * 60), None),
    Row("closed without a response", Raw(b""), Reason.DISCONNECT),
    Row("a header without an end", Raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), Reason.MALFORMED),
)
_STATUSES = tuple(
    Row(f"{status} with {content}", Status(status, content), _reason(status))
    for status in (400, 401, 403, 404, 418, 429, 500, 502, 503, 504)
    for content in Content
)
_ECHOES = tuple(Row(f"{status} that echoes", Echo(status), _reason(status)) for status in (400, 401, 403, 500))
_BODIES = tuple(
    Row(f"200 with {name}", Body(data), Reason.MALFORMED)
    for name, data in {
        "HTML": b"<html><body>Maintenance</body></html>",
        "nothing": b"",
        "[]": b"[]",
        "null": b"null",
        "{}": b"{}",
        "a number": b"7",
        "half of a JSON": b'{"access_token": "x", "pong": "2024',
        "bytes that are not UTF-8": b'{"access_token": "\xff\xfe", "pong": "\xff"}',
        "JSON nested ten thousand deep": _NESTED,
    }.items()
)
_GRANTS = (
    *(
        Row(f"expires_in {value!r}", TokenResponse({"expires_in": value}), Reason.MALFORMED, _TOKEN)
        for value in _anything(-1, 0, float("nan"), 1e30, True, "soon", "-5", [], {}, 366 * 86400 + 1)
    ),
    Row("expires_in null", TokenResponse({"expires_in": None}), None, _TOKEN),
    Row("expires_in left out", TokenResponse(without=("expires_in",)), None, _TOKEN),
    Row("expires_in a numeric string", TokenResponse({"expires_in": "60"}), None, _TOKEN, lifetime=60),
    Row(
        "expires_in left out, opaque token",
        TokenResponse({"access_token": "opaque"}, ("expires_in",)),
        Reason.MALFORMED,
        _TOKEN,
    ),
    Row("an opaque token", TokenResponse({"access_token": "0paque"}), None, _TOKEN, lifetime=3600),
    Row("a JWT that ends earlier", TokenResponse({"access_token": _JWT_OF_A_MINUTE}), None, _TOKEN, lifetime=60),
    Row("access_token left out", TokenResponse(without=("access_token",)), Reason.MALFORMED, _TOKEN),
    *(
        Row(f"access_token {value!r}", TokenResponse({"access_token": value}), Reason.MALFORMED, _TOKEN)
        for value in _anything("", None, 7, ["x"], "to ken", "to\r\nken", "töken", "t\0ken")
    ),
    Row("token_type and scope left out", TokenResponse(without=("token_type", "scope")), None, _TOKEN),
)
_PONGS = (
    *(
        Row(f"pong {value!r}", Pong(value), Reason.MALFORMED, _PING)
        for value in _anything(
            None, 7, "", "now", True, [], {}, "2024-10-31", "2024-13-31T17:58:38Z", "2024-10-31T17:58:38"
        )
    ),
    Row("pong with an offset", Pong("2024-10-31T17:58:38.066+05:30"), None, _PING),
    Row("pong without a fraction", Pong("2024-10-31T17:58:38Z"), None, _PING),
)
REDIRECTS = tuple(range(300, 309))

BY_STATUS = (*_STATUSES, *_ECHOES)  # the project's own code derives their reason from the status
TABLE: tuple[Row, ...] = (*_NETWORK, *_TLS, *_HTTP, *_STATUSES, *_ECHOES, *_BODIES, *_GRANTS, *_PONGS)
