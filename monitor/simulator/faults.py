"""Everything that can be wrong with a simulated host: a closed set of values, each saying what it does.

A fault is given to a host with `Faults.set` (see `switch.py`), or by its name in words (see `words.py`): `Status` is
`status`, `HangMidHeaders` is `hang_mid_headers`. Some leave the answer well and change only how it travels
(`EarlyHints`, `Http10`, `Chunked`, `Gzipped`, `Slow`): a client should succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Content(StrEnum):
    """What the body of an error consists of."""

    ERROR_CONTAINER = "error_container"  # the Client API's
    RFC6749 = "rfc6749"  # the authorization server's, RFC 6749 section 5.2
    HTML = "html"  # a gateway's
    EMPTY = "empty"
    ENDLESS = "endless"  # a kilobyte every 20 ms, until the client goes


class Moment(StrEnum):
    """How far an exchange gets."""

    ACCEPT = "accept"  # the connection stands, nothing was read
    HANDSHAKE = "handshake"  # the client has begun TLS
    REQUEST = "request"  # the request was read
    HEADERS = "headers"  # status line and half of the headers were sent
    BODY = "body"  # headers and half of the body were sent


class ConnectionEnd(StrEnum):
    """What becomes of the connection."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"  # open and silent


class CertificateVariant(StrEnum):
    """What is wrong with a certificate."""

    GOOD = "good"
    EXPIRED = "expired"  # since yesterday
    NOT_YET_VALID = "not_yet_valid"  # before tomorrow
    WRONG_HOST = "wrong_host"
    SELF_SIGNED = "self_signed"
    UNKNOWN_CA = "unknown_ca"


class TlsVersion(StrEnum):
    """The newest version that a host speaks."""

    TLS_1_0 = "1.0"  # and no older one either
    TLS_1_2 = "1.2"


@dataclass(frozen=True, slots=True)
class Status:
    """Answer any request with this status; a `Retry-After` or a `Location` goes into the headers."""

    code: int = 500
    body: Content = Content.ERROR_CONTAINER
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = "invalid_request"  # RFC 6749's code, when the body is of that kind


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer well, after so many seconds more."""

    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Hang:
    """Accept the connection and be silent, before TLS."""


@dataclass(frozen=True, slots=True)
class HangAfterHandshake:
    """Read the request and be silent."""


@dataclass(frozen=True, slots=True)
class HangMidHeaders:
    """Send the status line and half of the headers, then be silent."""


@dataclass(frozen=True, slots=True)
class HangMidBody:
    """Send the headers and half of the body, then be silent."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Send one byte per `seconds`: from the handshake on, from the status line on, or of the body."""

    seconds: float = 1.0
    at: Moment = Moment.HEADERS

    def __post_init__(self) -> None:
        if self.at not in (Moment.HANDSHAKE, Moment.HEADERS, Moment.BODY):
            raise ValueError("a drip begins at handshake, headers or body")


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) at that moment."""

    at: Moment = Moment.REQUEST


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse connections: nothing listens. The port stays ours, and serves again when the fault is gone."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """Speak plain HTTP where TLS is expected."""


@dataclass(frozen=True, slots=True)
class NotHttp:
    """Answer the request with the greeting of another protocol."""


@dataclass(frozen=True, slots=True)
class Http10:
    """Answer well, in HTTP/1.0: no length, the end of the connection ends the body."""


@dataclass(frozen=True, slots=True)
class SwitchingProtocols:
    """Answer 101, and be silent in whatever protocol that is."""


@dataclass(frozen=True, slots=True)
class EarlyHints:
    """Send an informational 103, then answer well."""


@dataclass(frozen=True, slots=True)
class TruncatedBody:
    """Announce the whole body, send half of it, close."""


@dataclass(frozen=True, slots=True)
class WrongContentLength:
    """Announce so many bytes more (the client waits for them) or, negative, fewer than are sent."""

    by: int = 10


@dataclass(frozen=True, slots=True)
class Chunked:
    """Answer well, in chunks."""


@dataclass(frozen=True, slots=True)
class ChunkedBroken:
    """Answer in chunks and close in the middle of one."""


@dataclass(frozen=True, slots=True)
class HugeBody:
    """Announce a body of `claims` bytes and stream blanks, until the client goes or `sends` bytes are out."""

    claims: int = 2 * 1024**3
    sends: int = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Gzipped:
    """Answer well, compressed although nobody asked for that."""


@dataclass(frozen=True, slots=True)
class GzipBomb:
    """Answer with JSON that is a thousand times larger than what is sent (40 MB in 40 kB)."""

    size: int = 40 * 1024**2  # bytes, unpacked


@dataclass(frozen=True, slots=True)
class Raw:
    """Answer the request with these bytes and nothing else."""

    data: bytes = b""
    then: ConnectionEnd = ConnectionEnd.CLOSE


@dataclass(frozen=True, slots=True)
class Body:
    """Answer with this body, correctly framed."""

    data: bytes = b""
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """Grant a token, with some fields of the answer changed, left out, or of a lifetime of its own inside the token."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    jwt_lifetime: float | None = None  # seconds from `iat` to `exp`; None: what `expires_in` says


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer the ping with this value as `pong`."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Echo:
    """Refuse with an error message that repeats the request's headers and form: what must never be shown."""

    status: int = 400


@dataclass(frozen=True, slots=True)
class Certificate:
    """Show a certificate with that fault."""

    kind: CertificateVariant = CertificateVariant.EXPIRED


@dataclass(frozen=True, slots=True)
class TlsMax:
    """Speak no newer TLS than this: 1.0, which clients of today refuse, or 1.2, with which all is well."""

    version: TlsVersion = TlsVersion.TLS_1_0


@dataclass(frozen=True, slots=True)
class ApiOpen:
    """Answer the ping 200 whether or not there is a token, and whatever token."""


HostFault = (
    Status
    | Slow
    | Hang
    | HangAfterHandshake
    | HangMidHeaders
    | HangMidBody
    | Drip
    | Reset
    | Refuse
    | NotTls
    | NotHttp
    | Http10
    | SwitchingProtocols
    | EarlyHints
    | TruncatedBody
    | WrongContentLength
    | Chunked
    | ChunkedBroken
    | HugeBody
    | Gzipped
    | GzipBomb
    | Raw
    | Body
    | TokenResponse
    | Pong
    | Echo
    | Certificate
    | TlsMax
    | ApiOpen
)
