"""Client of TIGR: builds the token request and the ping, evaluates the response, returns a `Result`.

The form of both requests and the meaning of their responses come from the vendor's authentication page and its OpenAPI
description (TIGRS Registry Client API 1.0.0). The client retries nothing and persists nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from monitor import __version__
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.errors import describe_exception
from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import Exchange, HttpRequest
from monitor.model import (
    ClientAuth,
    Endpoint,
    FieldNames,
    HostCheck,
    Measurement,
    Phase,
    Reason,
    Result,
    Token,
    Verdict,
    internal_fault,
)
from monitor.tigr.observation import RequestBegin, current_observer, phase_observer
from monitor.tigr.redaction import Redactor, is_short
from monitor.tigr.responses import (
    ErrorDetails,
    MalformedResponseError,
    is_login_refusal,
    parse_error,
    parse_grant,
    parse_pong,
    parse_retry_after,
)

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

USER_AGENT = f"tigr-monitor/{__version__}"
PING_PATH = "/api/system/ping"
_OK, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 200, 401, 403, 429
_FIELD_NAMES = {FieldNames.DOCUMENTED: ("Username", "Password"), FieldNames.RFC6749: ("username", "password")}
_MAX_SHOWN_CODE = 64  # characters of a server's code or submissionId


class TigrClient:
    """Sends the two requests of one environment. Safe to use from many threads at once."""

    def __init__(
        self,
        settings: EnvironmentSettings,
        http_client: HttpClient,
        clock: Clock = SYSTEM_CLOCK,
        on_start: Callable[[Endpoint], None] = lambda _: None,
    ) -> None:
        """Create a client that calls `on_start` before each login and each ping with a token."""
        credentials = settings.credentials
        basic = basic_credentials(settings, settings.client_auth)
        self._settings = settings
        self._http_client = http_client
        self._clock = clock
        self._on_start = on_start
        self._authorization = f"Basic {basic}"
        other = ClientAuth.FORM_ENCODED if settings.client_auth is ClientAuth.RAW else ClientAuth.RAW
        self._other_client_auth = other if basic_credentials(settings, other) != basic else None
        self._redactor = Redactor(
            secrets=(credentials.client_secret, credentials.password),
            names=(credentials.client_id, credentials.username),
        )

    def log_in(self, names: FieldNames) -> Result:
        """Send one token request, with one pair of field names; no request carries both pairs."""
        username, password = _FIELD_NAMES[names]
        credentials = self._settings.credentials
        form = {username: credentials.username, password: credentials.password, "grant_type": "password"}
        begin = RequestBegin(
            Endpoint.TOKEN, self._settings.token_url, names, has_proxy=self._settings.token_proxy is not None
        )
        request = HttpRequest(
            method="POST",
            url=self._settings.token_url,
            headers={
                **_common_headers(),
                "Authorization": self._authorization,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            content=urlencode(form).encode("ascii"),
            timeout=self._settings.timeout,
            proxy=self._settings.token_proxy,
            observer=phase_observer(begin),
        )
        self._on_start(Endpoint.TOKEN)
        before = self._clock.now()  # the lifetime counts from here, so that it never ends too late
        result = self._probe(Endpoint.TOKEN, request, lambda base, exchange: self._granted(base, exchange, before))
        if result.verdict.refused:
            verdict = replace(result.verdict, other_client_auth=self._other_client_auth)
            result = replace(result, verdict=verdict)
        return _observed(replace(result, field_names=names))

    def learn(self, token: Token) -> None:
        """Redact `token`, which another client was granted, from now on."""
        self._redactor.add_token(token.value)

    def ping(self, token: Token | None) -> Result:
        """Ping with `token`. With None, send the unauthenticated probe, which the Client API is expected to refuse."""
        headers = _common_headers()
        if token is not None:
            self._redactor.add_token(token.value)  # before a reload, another TigrClient was granted it
            headers["Authorization"] = f"Bearer {token.value}"
            self._on_start(Endpoint.PING)
        url, proxy = self._settings.api_url + PING_PATH, self._settings.api_proxy
        begin = RequestBegin(Endpoint.PING, url, has_token=token is not None, has_proxy=proxy is not None)
        request = HttpRequest(
            method="GET",
            url=url,
            headers=headers,
            timeout=self._settings.timeout,
            proxy=proxy,
            observer=phase_observer(begin),
        )
        return _observed(self._probe(Endpoint.PING, request, _ponged))

    def check_token_host(self) -> HostCheck:
        """Connect to the token host, with a TLS handshake if its URL is https, and send no request."""
        settings = self._settings
        timeout = min(settings.timeout, settings.ping_interval)
        try:
            check = self._http_client.check_connection(settings.token_url, settings.token_proxy, timeout)
        except Exception as error:  # noqa: BLE001 - an internal fault leaves the state of the host unknown
            return HostCheck(settings.name, Reason.INTERNAL, describe_exception(error))
        reason = Reason(check.fault.value) if check.fault else None
        return HostCheck(
            settings.name,
            reason,
            check.fault_detail,
            check.tls_version,
            check.certificate_expiry,
            check.chain_expiry,
        )

    def certificate_expiry(self, endpoint: Endpoint) -> float | None:
        """Return the expiry of a host's certificate that failed verification, in Unix seconds; None if unknown."""
        settings = self._settings
        if endpoint is Endpoint.TOKEN:
            return self._http_client.certificate_expiry(settings.token_url, settings.token_proxy, settings.timeout)
        return self._http_client.certificate_expiry(settings.api_url, settings.api_proxy, settings.timeout)

    def _probe(
        self, endpoint: Endpoint, request: HttpRequest, evaluate: Callable[[Result, Exchange], Result]
    ) -> Result:
        started_at, started = self._clock.wall(), self._clock.now()
        try:
            exchange = self._http_client.exchange(request)
            base = Result(
                environment=self._settings.name,
                endpoint=endpoint,
                measurement=_measurement(exchange),
            )
            reason = _reason(exchange)
            if reason is not None:
                return self._failed(base, exchange, reason)
            return evaluate(base, exchange)
        except MalformedResponseError as error:
            return self._malformed(base, exchange, str(error))
        except Exception as error:  # noqa: BLE001 - an internal fault is a result too, or the run would leave no record
            return internal_fault(self._settings.name, endpoint, started_at, self._clock.now() - started, error)

    def _granted(self, base: Result, exchange: Exchange, before: float) -> Result:
        grant = parse_grant(exchange.body)
        self._redactor.add_token(grant.value)
        expires = before + grant.lifetime
        expires_at = self._clock.wall() + expires - self._clock.now()
        token = Token(value=grant.value, lifetime=grant.lifetime, expires=expires, expires_at=expires_at)
        return replace(base, token=token, verdict=Verdict(warnings=grant.warnings))

    def _malformed(self, base: Result, exchange: Exchange, problem: str) -> Result:
        """Return the Result of a 200 without the documented body; the body may describe an error instead."""
        error = _error_details(exchange)
        refused = base.endpoint is Endpoint.TOKEN and is_login_refusal(exchange.status or 0, error)
        text = self._redactor.clean(error.message, markup=error.markup) if refused else ""
        verdict = Verdict(
            reason=Reason.MALFORMED,
            detail=text or problem,
            error_code=self._shortened(error.code),
            submission_id=self._shortened(error.submission_id),
            refused=refused,
            names_credentials=error.names_credentials,
        )
        return replace(base, verdict=verdict, measurement=replace(base.measurement, failed_phase=Phase.TRANSFER))

    def _failed(self, base: Result, exchange: Exchange, reason: Reason) -> Result:
        error = ErrorDetails()
        detail = exchange.fault_detail
        if exchange.status == _OK and exchange.fault is ExchangeFault.TIMEOUT:
            late = _error_details(exchange)  # a refusal is one also after the deadline
            error = late if late.names_credentials else error
        elif exchange.status is not None and exchange.status != _OK:
            error = _error_details(exchange)
            detail = self._redactor.clean(error.message, markup=error.markup)
            detail = detail or f"status {exchange.status}, no error message in the response"
        is_login = base.endpoint is Endpoint.TOKEN
        verdict = Verdict(
            reason=reason,
            detail=detail,
            error_code=self._shortened(error.code),
            submission_id=self._shortened(error.submission_id),
            retry_after=parse_retry_after(exchange.headers.get("retry-after"), self._clock.wall()),
            refused=is_login and exchange.status is not None and is_login_refusal(exchange.status, error),
            names_credentials=is_login and error.names_credentials,
            rejects_token=not is_login and _rejects_token(exchange.status, error),
        )
        return replace(base, verdict=verdict, measurement=replace(base.measurement, failed_phase=exchange.last_phase))

    def _shortened(self, text: str | None) -> str | None:
        return None if text is None else self._redactor.clean(text, shown=_MAX_SHOWN_CODE)


def short_secrets(environments: Iterable[EnvironmentSettings]) -> list[str]:
    """Return the names of the secrets that are too short to be recognized in decoded views of a text."""
    return [
        f"{environment.name}: {name}"
        for environment in environments
        for name in ("client_secret", "password")
        if is_short(getattr(environment.credentials, name))
    ]


def basic_credentials(settings: EnvironmentSettings, form: ClientAuth) -> str:
    """Return client id and secret in base64, for HTTP Basic authentication.

    The vendor's page joins them raw; RFC 6749 section 2.3.1 form-encodes each first. A blank is sent as `%20`, not as
    `+`, because every decoder accepts `%20`.
    """
    pair = [settings.credentials.client_id, settings.credentials.client_secret]
    if form is ClientAuth.FORM_ENCODED:
        pair = [quote(value, safe="") for value in pair]
    return base64.b64encode(":".join(pair).encode()).decode()


def _observed(result: Result) -> Result:
    observer = current_observer()
    if observer is not None:
        observer.request_ended(result)
    return result


def _measurement(exchange: Exchange) -> Measurement:
    return Measurement(
        started_at=exchange.started_at,
        duration=exchange.duration,
        phases=exchange.phases,
        status=exchange.status,
        address=exchange.address,
        tls_version=exchange.tls_version,
        certificate_expiry=exchange.certificate_expiry,
        chain_expiry=exchange.chain_expiry,
    )


def _error_details(exchange: Exchange) -> ErrorDetails:
    challenge = exchange.headers.get("www-authenticate", "")
    return parse_error(exchange.status or 0, exchange.body, challenge, exchange.reason_phrase)


def _rejects_token(status: int | None, error: ErrorDetails) -> bool:
    return status == _UNAUTHORIZED or (status == _FORBIDDEN and error.rejects_token)


def _common_headers() -> dict[str, str]:
    return {
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def _reason(exchange: Exchange) -> Reason | None:
    """Return the failure reason of an exchange, its body aside. A known status other than 200 takes precedence."""
    status = exchange.status
    if status is None or status == _OK:
        return Reason(exchange.fault.value) if exchange.fault else None
    if status == _UNAUTHORIZED:
        return Reason.UNAUTHORIZED
    if status == _FORBIDDEN:
        return Reason.FORBIDDEN
    if status == _TOO_MANY:
        return Reason.RATE_LIMITED
    if 400 <= status <= 499:
        return Reason.REJECTED_REQUEST
    if 500 <= status <= 599:
        return Reason.SERVER_ERROR
    return Reason.UNEXPECTED_STATUS


def _ponged(base: Result, exchange: Exchange) -> Result:
    """Return the Result of a pong, with the server's clock minus ours at the middle of its round trip.

    The round trip ends with the first byte of the body, because a server may send the header section before it reads
    its clock.
    """
    server = parse_pong(exchange.body)
    measured = base.measurement
    until_status_line = sum(seconds for phase, seconds in measured.phases.items() if phase is not Phase.TRANSFER)
    sent = until_status_line - measured.phases.get(Phase.PROCESSING, 0.0)
    middle = measured.started_at + (sent + until_status_line + exchange.body_delay) / 2
    return replace(base, clock_offset=server - middle)
