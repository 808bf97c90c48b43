"""The values that flow through the monitor: what a probe found, and the names for it.

Everything a user sees is derived from `Result`; nothing in this module does anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Endpoint(StrEnum):
    """The two hosts of an environment."""

    TOKEN = "token"  # the authorization server
    PING = "ping"  # the Client API


class Phase(StrEnum):
    """The parts of one exchange, in their order."""

    RESOLVE = "resolve"
    CONNECT = "connect"  # with a proxy: until its tunnel stands
    TLS = "tls"
    PROCESSING = "processing"  # request sent until the first byte of the answer
    TRANSFER = "transfer"  # until the last byte


class Reason(StrEnum):
    """Why a probe did not do its job; the first that applies, in this order."""

    NO_TOKEN = "no_token"
    TIMEOUT = "timeout"
    PROXY = "proxy"
    DNS = "dns"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    TLS = "tls"
    DISCONNECT = "disconnect"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    REJECTED_REQUEST = "rejected_request"
    SERVER_ERROR = "server_error"
    UNEXPECTED_STATUS = "unexpected_status"
    MALFORMED = "malformed"
    INTERNAL = "internal"


class Cause(StrEnum):
    """Why a login was attempted; a retry keeps the cause of what it repeats."""

    INITIAL = "initial"
    SCHEDULED = "scheduled"
    EXPIRY = "expiry"
    REJECTED = "rejected"
    CREDENTIALS = "credentials"
    OPERATOR = "operator"


class Spelling(StrEnum):
    """How the form fields of the token request are written."""

    DOCUMENTED = "documented"  # Username, Password: the vendor's authentication page
    RFC6749 = "rfc6749"  # username, password: RFC 6749 section 4.3.2


@dataclass(frozen=True, slots=True)
class Token:
    """A granted token. Its value is a secret and is in no `repr`."""

    value: str = field(repr=False)
    lifetime: float  # seconds it was granted for, after capping by the JWT's own
    expires: float  # seconds on the monotonic clock: for decisions
    expires_at: float  # Unix seconds: for display


@dataclass(frozen=True, slots=True)
class Result:
    """What one probe found. Every text in it has passed the redactor."""

    environment: str
    endpoint: Endpoint
    started_at: float  # Unix seconds
    duration: float  # seconds, from the start of name resolution to the last byte
    phases: Mapping[Phase, float] = field(default_factory=lambda: MappingProxyType({}))  # seconds; only those reached
    reason: Reason | None = None  # None: it did its job
    failed_phase: Phase | None = None  # where the exchange was when it failed, if it failed in one
    status: int | None = None  # HTTP status
    detail: str = ""  # in words: what failed, with the server's own message
    error_code: str | None = None  # the server's own code: RFC 6749's `error`, or the ErrorContainer's `code`
    submission_id: str | None = None  # what the vendor's support asks for
    address: str | None = None  # the address that answered
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter
    token: Token | None = None  # granted by this login
    warnings: tuple[str, ...] = ()  # promises the answer did not keep, though it did its job
    clock_offset: float | None = None  # seconds, the server's clock minus ours
    retry_after: float | None = None  # seconds the server asked us to wait
    credentials_rejected: bool = False  # the login was refused for its credentials
    names_credentials: bool = False  # ... and the server said so with RFC 6749's own code
    spelling: Spelling | None = None  # which spelling this login used

    # What the environment's turn makes of it:
    superseded: bool = False  # another exchange of the same turn decided: count it, no more
    question: bool = False  # asked of the Client API without a token, for the state of the host alone
    cause: Cause | None = None  # why this login was attempted
    spelling_settled: bool = False  # this login found out which spelling the server takes
    token_rejected: bool = False  # a ping answered 401 with the newest token, which had not expired
    held_until: float | None = None  # Unix seconds: no further attempt before

    @property
    def reached(self) -> bool:
        """Whether the host answered HTTP, whatever it said."""
        return self.status is not None

    @property
    def success(self) -> bool:
        """Whether the probe did its job."""
        return self.reason is None
