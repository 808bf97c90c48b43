"""Values that the packages exchange: endpoints, reasons, severities, tokens and the results of probes.

Metrics, log lines and reports are derived from `Result`. This module contains data and no logic beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    CONNECT = "connect"  # with a proxy: until the tunnel is established
    TLS = "tls"
    PROCESSING = "processing"  # request sent until the status line of the final response
    TRANSFER = "transfer"  # until the last byte


class Reason(StrEnum):
    """Reasons why a probe failed. If several apply, the first one in this order is reported."""

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


class Severity(StrEnum):
    """Severities of the alerts of an environment."""

    CRITICAL = "critical"
    WARNING = "warning"


class Responsibility(StrEnum):
    """The parties that can end a failure."""

    CREDENTIALS = "credentials"  # the operator: the client id, the secret, the user name or the password
    NETWORK = "network"  # the operator: their own network, or the vendor's IP allowlist
    LOGIN = "login"  # the vendor: the authorization server
    API = "api"  # the vendor: the Client API
    MONITOR = "monitor"  # the monitor itself, or the limits of its machine
    UNKNOWN = "unknown"

    @property
    def text(self) -> str:
        """The party from the operator's point of view, for messages."""
        return {
            Responsibility.CREDENTIALS: "our credentials",
            Responsibility.NETWORK: "our network or the vendor's IP allowlist",
            Responsibility.LOGIN: "the vendor's login",
            Responsibility.API: "the vendor's API",
            Responsibility.MONITOR: "the monitor itself",
            Responsibility.UNKNOWN: "unknown",
        }[self]

    @property
    def probable_text(self) -> str:
        """The party with `probably`, because it is derived from one failure; `unknown` has no degree."""
        return self.text if self is Responsibility.UNKNOWN else f"probably {self.text}"


class LoginCause(StrEnum):
    """Causes of a login. A retry keeps the cause of the login that it repeats."""

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

    @property
    def text(self) -> str:
        """The pair of names, for messages."""
        return {FieldNames.DOCUMENTED: "Username/Password", FieldNames.RFC6749: "username/password"}[self]


class ClientAuth(StrEnum):
    """Forms of the client id and secret in HTTP Basic authentication."""

    RAW = "raw"  # joined as they are: the vendor's authentication page
    FORM_ENCODED = "form_encoded"  # each percent-encoded first: RFC 6749 section 2.3.1


@dataclass(frozen=True, slots=True)
class Token:
    """A granted token. Its value is a secret, so `repr` omits it."""

    value: str = field(repr=False)
    lifetime: float  # seconds for which it was granted, capped by the lifetime in the JWT
    expires: float  # seconds on the monotonic clock, for decisions
    expires_at: float  # Unix seconds, for display

    def age(self, now: float) -> float:
        """Return the seconds from the start of the login that was granted this token to `now` (monotonic clock)."""
        return now - (self.expires - self.lifetime)


class Role(StrEnum):
    """The part that one exchange has in its run."""

    DECISIVE = "decisive"  # it decides the state of the endpoint
    RETRIED = "retried"  # another exchange of the run is decisive: this one is only counted
    UNAUTHENTICATED = "unauthenticated"  # sent without a token: it shows only the state of the API host


@dataclass(frozen=True, slots=True)
class Measurement:
    """The course of one exchange on the network. Times are in seconds."""

    started_at: float  # Unix time
    duration: float  # from the start of name resolution to the last byte
    phases: Mapping[Phase, float] = field(default_factory=lambda: MappingProxyType({}))  # only reached phases
    failed_phase: Phase | None = None  # the phase in which the exchange failed
    status: int | None = None  # HTTP status
    address: str | None = None  # the address that the connection reached
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix time, notAfter
    chain_expiry: float | None = None  # Unix time, earliest notAfter in the verified chain

    @property
    def ended_at(self) -> float:
        """End of the exchange, Unix time."""
        return self.started_at + self.duration


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one exchange. The redactor has checked every text in it."""

    reason: Reason | None = None  # None: the probe succeeded
    detail: str = ""  # description of the failure, with the server's message
    error_code: str | None = None  # the server's code: `error` (RFC 6749) or the ErrorContainer's `code`
    submission_id: str | None = None  # the vendor's support asks for it
    warnings: tuple[str, ...] = ()  # deviations of a successful response from the documentation
    retry_after: float | None = None  # seconds that the server asked the client to wait
    refused: bool = False  # the authorization server refused this login (`monitor.tigr.responses.is_login_refusal`)
    names_credentials: bool = False  # the refusal contains a code or a sentence about the credentials
    rejects_token: bool = False  # a ping was refused because of its token: 401, or RFC 6750's `invalid_token`
    other_client_auth: ClientAuth | None = None  # another value of CLIENT_AUTH that may help


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The consequences of one exchange for its run, for the token and for the next attempt."""

    role: Role = Role.DECISIVE
    cause: LoginCause | None = None  # why this login was attempted
    field_names_settled: bool = False  # this login determined which field names the server accepts
    other_refusal: str = ""  # the refusal of the same credentials with the other field names, as text
    token_rejected: bool = False  # a ping was refused although its token was current and had not expired
    token_lag: float | None = None  # seconds after the login during which the API did not accept the token
    credentials_rejected: bool = False  # the server refused all field names that may be sent
    attempts_left: int | None = None  # further requests that may contain these rejected credentials
    suppressed_until: float | None = None  # Unix seconds: no attempt before then; infinity: none until an operator acts


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one probe: its measurement, its verdict, and its outcome for the run.

    It contains neither bodies nor header fields of a response.
    """

    environment: str
    endpoint: Endpoint
    measurement: Measurement
    verdict: Verdict = Verdict()
    run: RunOutcome = RunOutcome()
    token: Token | None = None  # granted by this login
    field_names: FieldNames | None = None  # the names that this login sent
    clock_offset: float | None = None  # seconds, the server's clock minus the local clock

    @property
    def reached(self) -> bool:
        """Whether the host sent an HTTP response, whatever its status."""
        return self.measurement.status is not None

    @property
    def success(self) -> bool:
        """Whether the probe succeeded."""
        return self.verdict.reason is None

    @property
    def is_decisive(self) -> bool:
        """Whether this exchange decides the state of its endpoint."""
        return self.run.role is Role.DECISIVE

    @property
    def sent(self) -> bool:
        """Whether the request may have been sent. After an internal error without phases this is unknown: it may."""
        phases = self.measurement.phases
        is_unknown = self.verdict.reason is Reason.INTERNAL and not phases
        return self.reached or Phase.PROCESSING in phases or is_unknown

    @property
    def has_known_outcome(self) -> bool:
        """Whether a response with a known outcome arrived. An incomplete 200 may be a refusal, so it does not count."""
        incomplete = self.verdict.reason in (Reason.TIMEOUT, Reason.DISCONNECT)
        return self.reached and not (self.measurement.status == 200 and incomplete)

    def with_role(self, role: Role) -> Result:
        """Return this Result with another part in its run."""
        return replace(self, run=replace(self.run, role=role))


@dataclass(frozen=True, slots=True)
class HostCheck:
    """The outcome of one connection to the token host without a request."""

    environment: str
    reason: Reason | None = None  # None: the host accepted the connection
    detail: str = ""
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter
    chain_expiry: float | None = None  # Unix seconds, earliest notAfter in the verified chain

    @property
    def reachable(self) -> bool:
        """Whether the connection and its TLS handshake succeeded."""
        return self.reason is None


def internal_fault(
    environment: str, endpoint: Endpoint, started_at: float, duration: float, error: BaseException
) -> Result:
    """Return the Result of a probe that an exception ended. `started_at` is in Unix seconds, `duration` in seconds."""
    return Result(
        environment=environment,
        endpoint=endpoint,
        measurement=Measurement(started_at, duration),
        verdict=Verdict(reason=Reason.INTERNAL, detail=describe_exception(error)),
    )
