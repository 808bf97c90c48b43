"""The faults of a simulated host: a closed set of values. The help of the simulator contains their docstrings.

`FaultSwitch.set` (see `fault_switch.py`) sets a fault of a host. In commands (see `fault_syntax.py`) `Status` is
`status` and `HangMidHeaders` is `hang_mid_headers`. Some faults change only the transport of a valid response
(`EarlyHints`, `Http10`, `Chunked`, `Gzipped`, `Slow`): a client should succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Content(StrEnum):
    """Types of the body of an error."""

    ERROR_CONTAINER = "error_container"  # the Client API's
    RFC6749 = "rfc6749"  # the authorization server's, RFC 6749 section 5.2
    HTML = "html"  # a gateway's
    EMPTY = "empty"
    ENDLESS = "endless"  # a kilobyte every 20 ms, until the client closes the connection


class Moment(StrEnum):
    """Moments of an exchange at which a fault can begin."""

    ACCEPT = "accept"  # the connection is open, nothing was read
    HANDSHAKE = "handshake"  # the client has begun TLS
    REQUEST = "request"  # the request was read
    HEADERS = "headers"  # status line and half of the headers were sent
    BODY = "body"  # headers and half of the body were sent


class ConnectionEnd(StrEnum):
    """The end of a connection."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"  # open and silent


class CertificateVariant(StrEnum):
    """Variants of a certificate: the valid one, and one for each defect."""

    GOOD = "good"
    EXPIRED = "expired"  # yesterday
    NOT_YET_VALID = "not_yet_valid"  # valid from tomorrow on
    WRONG_HOST = "wrong_host"
    SELF_SIGNED = "self_signed"
    UNKNOWN_CA = "unknown_ca"


class TlsVersion(StrEnum):
    """The newest TLS version that a host supports."""

    TLS_1_0 = "1.0"  # the only version then
    TLS_1_2 = "1.2"


@dataclass(frozen=True, slots=True)
class Status:
    """Respond to any request with this status; `headers` may have a `Retry-After` or a `Location`."""

    code: int = 500
    body: Content = Content.ERROR_CONTAINER
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = "invalid_request"  # the error code of a body of type `rfc6749`


@dataclass(frozen=True, slots=True)
class Slow:
    """Respond normally after an additional delay in seconds."""

    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Hang:
    """Accept the connection and send nothing, not even TLS."""


@dataclass(frozen=True, slots=True)
class HangAfterHandshake:
    """Read the request and send nothing."""


@dataclass(frozen=True, slots=True)
class HangMidHeaders:
    """Send the status line and half of the headers, then nothing."""


@dataclass(frozen=True, slots=True)
class HangMidBody:
    """Send the headers and half of the body, then nothing."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Send one byte per `seconds`, beginning with the handshake, the headers or the body."""

    seconds: float = 1.0
    at: Moment = Moment.HEADERS

    def __post_init__(self) -> None:
        if self.at not in (Moment.HANDSHAKE, Moment.HEADERS, Moment.BODY):
            raise ValueError("drip: `at` must be handshake, headers or body")


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection (RST) at this moment."""

    at: Moment = Moment.REQUEST


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse connections. The port stays bound and accepts connections again when the fault is cleared."""


@dataclass(frozen=True, slots=True)
class NotTls:
    """Send plain HTTP instead of TLS."""


@dataclass(frozen=True, slots=True)
class NotHttp:
    """Respond with the greeting of another protocol."""


@dataclass(frozen=True, slots=True)
class Http10:
    """Respond normally in HTTP/1.0: without a length, the end of the connection ends the body."""


@dataclass(frozen=True, slots=True)
class SwitchingProtocols:
    """Respond with 101, then send nothing."""


@dataclass(frozen=True, slots=True)
class EarlyHints:
    """Send an informational 103, then respond normally after an additional delay in seconds."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TruncatedBody:
    """Announce the whole body, send half of it, and close the connection."""


@dataclass(frozen=True, slots=True)
class WrongContentLength:
    """Announce `by` bytes more than are sent, for which the client waits, or fewer if `by` is negative."""

    by: int = 10


@dataclass(frozen=True, slots=True)
class Chunked:
    """Respond normally in chunks."""


@dataclass(frozen=True, slots=True)
class ChunkedBroken:
    """Respond in chunks and close the connection in the middle of one."""


@dataclass(frozen=True, slots=True)
class HugeBody:
    """Announce `claims` bytes and send blanks until `sends` bytes are sent or the client closes the connection."""

    claims: int = 2 * 1024**3
    sends: int = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Gzipped:
    """Respond normally with gzip compression, which no client requests."""


@dataclass(frozen=True, slots=True)
class GzipBomb:
    """Respond with JSON that gzip compresses by a factor of a thousand (40 MB in 40 kB)."""

    size: int = 40 * 1024**2  # bytes after decompression


@dataclass(frozen=True, slots=True)
class Raw:
    """Respond with these bytes only."""

    data: bytes = b""
    then: ConnectionEnd = ConnectionEnd.CLOSE


@dataclass(frozen=True, slots=True)
class Body:
    """Respond with this body and a correct length."""

    data: bytes = b""
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """Grant a token with changed or omitted fields of the response, or with another lifetime inside the token."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    jwt_lifetime: float | None = None  # seconds from `iat` to `exp`; None: equal to `expires_in`


@dataclass(frozen=True, slots=True)
class Pong:
    """Respond to the ping with this value of `pong`."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Echo:
    """Respond with an error that repeats the headers and the form of the request, which hold secrets."""

    status: int = 400


@dataclass(frozen=True, slots=True)
class Certificate:
    """Present this variant of the certificate."""

    variant: CertificateVariant = CertificateVariant.EXPIRED


@dataclass(frozen=True, slots=True)
class TlsMax:
    """Support no newer TLS than this: 1.0, which current clients refuse, or 1.2, which they accept."""

    version: TlsVersion = TlsVersion.TLS_1_0


@dataclass(frozen=True, slots=True)
class ApiOpen:
    """Respond to the ping with 200 without checking the token."""


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
