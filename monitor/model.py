"""The values that flow through the monitor: what a probe found, and the names for it.

Everything a user sees is derived from `Result`; nothing in this module does anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from monitor.errors import describe_exception


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


class LoginCause(StrEnum):
    """Why a login was attempted; a retry keeps the cause of what it repeats."""

    INITIAL = "initial"
    SCHEDULED = "scheduled"
    EXPIRY = "expiry"
    REJECTED = "rejected"
    CREDENTIALS = "credentials"
    OPERATOR = "operator"


class FieldNames(StrEnum):
    """Names of the form fields of the token request; one request never carries both."""

    DOCUMENTED = "documented"  # Username, Password: the vendor's authentication page
    RFC6749 = "rfc6749"  # username, password: RFC 6749 section 4.3.2


class ClientAuth(StrEnum):
    """Forms of the client id and secret in HTTP Basic authentication."""

    RAW = "raw"  # joined as they are: the vendor's authentication page
    FORM_ENCODED = "form_encoded"  # each percent-encoded first: RFC 6749 section 2.3.1


@dataclass(frozen=True, slots=True)
class Token:
    """A granted token. Its value is a secret and is in no `repr`."""

    value: str = field(repr=False)
    lifetime: float  # seconds it was granted for, after capping by the JWT's own
    expires: float  # seconds on the monotonic clock: for decisions
    expires_at: float  # Unix seconds: for display

    def age(self, now: float) -> float:
        """Return the seconds from the start of the login that was granted this token to `now` (monotonic clock)."""
        return now - (self.expires - self.lifetime)


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
    refused: bool = False  # the authorization server refused this login (`monitor.tigr.responses.is_login_refusal`)
    names_credentials: bool = False  # the refusal carries a code or a sentence that blames the credentials
    rejects_token: bool = False  # a ping was refused because of its token: 401, or RFC 6750's `invalid_token`
    other_client_auth: ClientAuth | None = None  # the setting that may help: the two forms differ for these credentials
    field_names: FieldNames | None = None  # the names that this login sent

    # Set by the run that the exchange belongs to:
    retried: bool = False  # another exchange of the same run was decisive: count this one, no more
    unauthenticated: bool = False  # sent to the Client API without a token, to see the state of the host alone
    cause: LoginCause | None = None  # why this login was attempted
    field_names_settled: bool = False  # this login found out which field names the server takes
    other_refusal: str = ""  # the refusal of the same credentials with the other field names, as text
    token_rejected: bool = False  # a ping was refused although its token was current and had not expired
    token_lag: float | None = None  # seconds after its login in which the API did not accept this token yet
    credentials_rejected: bool = False  # every field name open to the monitor was refused
    attempts_left: int | None = None  # further requests that may carry these rejected credentials
    suppressed_until: float | None = None  # Unix seconds: no further attempt before; infinity: until an operator acts

    @property
    def reached(self) -> bool:
        """Whether the host answered HTTP, whatever it said."""
        return self.status is not None

    @property
    def success(self) -> bool:
        """Whether the probe did its job."""
        return self.reason is None

    @property
    def sent(self) -> bool:
        """Whether the request may have left: it did, or an internal fault hides whether it did."""
        return self.status is not None or Phase.PROCESSING in self.phases or self.reason is Reason.INTERNAL

    @property
    def has_known_outcome(self) -> bool:
        """Whether a response came whose outcome is known: a 200 that breaks off may still be a refusal."""
        return self.status is not None and not (
            self.status == 200 and self.reason in (Reason.TIMEOUT, Reason.DISCONNECT)
        )


@dataclass(frozen=True, slots=True)
class HostCheck:
    """Outcome of one connection to the token host that carried no request."""

    environment: str
    reason: Reason | None = None  # None: the host accepted the connection
    detail: str = ""
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter

    @property
    def reachable(self) -> bool:
        """Whether the connection, with its TLS handshake, succeeded."""
        return self.reason is None


def internal_fault(
    environment: str, endpoint: Endpoint, started_at: float, duration: float, error: BaseException
) -> Result:
    """Return the Result of a probe that an exception has ended; times in Unix seconds and seconds."""
    return Result(
        environment=environment,
        endpoint=endpoint,
        started_at=started_at,
        duration=duration,
        reason=Reason.INTERNAL,
        detail=describe_exception(error),
    )
