"""The client of TIGR: each request ends in one Result, whatever the response is, and no Result holds a secret."""

from __future__ import annotations

import base64
import html
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote_plus

import pytest

from monitor.clock import Clock
from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import Exchange, HttpRequest
from monitor.http.tls import unverifying_context, verifying_context
from monitor.model import Endpoint, FieldNames, Phase, Reason, Result, Token
from monitor.simulator import CertificateVariant, Host, SimulatedCredentials, SimulatedEnvironment, Simulator
from monitor.simulator.faults import Certificate, Content, Status
from monitor.tigr.client import USER_AGENT, TigrClient
from tests.reporting.test_metrics import SETTINGS
from tests.support.canaries import CANARIES, leaks, values
from tests.support.packets import server_of
from tests.support.raw_server import RawServer, http_response

OPAQUE = "Qw8eR2tY-opaque-canary-token~7uI0pA5sD9fG"
SECRETS = (*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}", OPAQUE)
AWKWARD = SimulatedCredentials(
    client_id='id with %41 + & = "quotes" \' ümläut',
    client_secret="a:b:c %2B+&=\"' öäß €",
    username="user:name %20+&=\"' ÄÖÜ",
    password=" p:w %26+&=\"' ß ",
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Provide one environment without TLS and latency."""
    with Simulator(["prod"], tls=False) as running:
        running.environment("prod").latency = 0.0
        yield running


@pytest.fixture
def environment(simulator: Simulator) -> Iterator[SimulatedEnvironment]:
    """Provide `prod` of the simulator, and clear its faults afterwards."""
    environment = simulator.environment("prod")
    environment.credentials = CANARIES
    yield environment
    environment.token_faults.clear()
    environment.api_faults.clear()


@pytest.fixture
def http_client() -> HttpClient:
    """Provide an HTTP client for plain HTTP."""
    return HttpClient(unverifying_context())


def settings_for(
    token_url: str, api_url: str, accepted: SimulatedCredentials = CANARIES, timeout: float = 30.0
) -> EnvironmentSettings:
    """Return settings of `prod` for these URLs."""
    credentials = EnvironmentCredentials(
        accepted.client_id, accepted.client_secret, accepted.username, accepted.password
    )
    return replace(SETTINGS, token_url=token_url, api_url=api_url, credentials=credentials, timeout=timeout)


@pytest.fixture
def api(environment: SimulatedEnvironment, http_client: HttpClient) -> TigrClient:
    """Provide a client of the simulator's `prod`."""
    return TigrClient(settings_for(environment.token_url, environment.api_url), http_client)


def token(value: str) -> Token:
    """Return a token with this value."""
    return Token(value=value, lifetime=60.0, expires=60.0, expires_at=60.0)


# The requests.


@pytest.mark.parametrize(
    "field_names,fields",
    [
        (FieldNames.DOCUMENTED, ("Username", "Password", "grant_type")),
        (FieldNames.RFC6749, ("username", "password", "grant_type")),
    ],
)
def test_a_login_has_the_documented_form(
    api: TigrClient,
    environment: SimulatedEnvironment,
    simulator: Simulator,
    field_names: FieldNames,
    fields: tuple[str, ...],
) -> None:
    """The form has one pair of field names; the headers have Basic credentials and the user agent."""
    environment.field_names = "either"
    assert api.log_in(field_names).field_names is field_names
    record = simulator.log.records("prod", Host.TOKEN)[-1]
    assert (record.method, record.path, record.fields) == ("POST", "/oauth/token", fields)
    assert record.headers["content-type"] == "application/x-www-form-urlencoded"
    assert record.headers["authorization"] == "Basic"
    assert (record.user_agent, record.headers["connection"], record.fresh) == (USER_AGENT, "close", True)


def test_a_ping_has_the_documented_form(
    api: TigrClient, environment: SimulatedEnvironment, simulator: Simulator
) -> None:
    """A ping carries the token; the unauthenticated probe carries none."""
    assert api.ping(token(environment.issue_token())).success
    assert api.ping(None).verdict.reason is Reason.UNAUTHORIZED
    with_token, without = simulator.log.records("prod", Host.API)[-2:]
    assert (with_token.method, with_token.path) == ("GET", "/ClientAPI/api/system/ping")
    assert with_token.headers["authorization"] == "Bearer"
    assert "authorization" not in without.headers
    assert with_token.headers["accept-encoding"] == "identity"


def test_any_credentials_log_in(environment: SimulatedEnvironment, http_client: HttpClient) -> None:
    """Colons, percent signs, plus signs, ampersands, quotes, blanks and umlauts arrive unchanged."""
    environment.credentials = AWKWARD
    result = TigrClient(settings_for(environment.token_url, environment.api_url, AWKWARD), http_client).log_in(
        FieldNames.DOCUMENTED
    )
    assert result.success, result.verdict.detail


# The responses.


def test_a_lifetime_counts_from_the_start_of_the_login(
    environment: SimulatedEnvironment, http_client: HttpClient
) -> None:
    """The lifetime counts from before the request, on the monotonic clock and as Unix time."""
    ticks = iter(range(1000))
    clock = Clock(now=lambda: 100.0 + next(ticks), wall=lambda: 5000.0)
    result = TigrClient(settings_for(environment.token_url, environment.api_url), http_client, clock).log_in(
        FieldNames.DOCUMENTED
    )
    assert result.token is not None
    assert (result.token.lifetime, result.token.expires) == (3600.0, 3700.0)
    assert 8590.0 < result.token.expires_at < 8600.0
    assert result.token.value not in repr(result)


def test_a_pong_shows_the_clock_offset(api: TigrClient, environment: SimulatedEnvironment) -> None:
    """The offset is that of the server; a busy machine may pause between the readings of two clocks."""
    environment.clock_offset = 90.0
    try:
        result = api.ping(token(environment.issue_token()))
    finally:
        environment.clock_offset = 0.0
    assert result.clock_offset == pytest.approx(90.0, abs=result.measurement.phases[Phase.PROCESSING] / 2 + 1.0)


@pytest.mark.parametrize("body_delay,middle", [(0.0, 6.25), (1.5, 7.0)])
def test_the_clock_offset_refers_to_the_middle_of_the_round_trip(body_delay: float, middle: float) -> None:
    """A round trip ends with the body's first byte; a slow lookup, handshake or transfer does not change the offset."""
    moment = 1_730_000_000.0
    phases = {Phase.RESOLVE: 3.0, Phase.CONNECT: 2.0, Phase.TLS: 1.0, Phase.PROCESSING: 0.5, Phase.TRANSFER: 4.0}
    written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment + 10)) + ".250Z"

    class SlowClient(HttpClient):
        def __init__(self) -> None:
            pass

        def exchange(self, request: HttpRequest) -> Exchange:  # noqa: ARG002
            body = json.dumps({"pong": written}).encode()
            return Exchange(moment, 10.5, phases, status=200, body=body, body_delay=body_delay)

    result = TigrClient(settings_for("http://127.0.0.1:1", "http://127.0.0.1:1"), SlowClient()).ping(None)
    assert result.clock_offset == pytest.approx(10.25 - middle)


@pytest.mark.parametrize(
    "early,late",
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n", b"Connection: close\r\n\r\n"),
    ],
    ids=["103", "header section", "status line"],
)
def test_a_response_that_begins_early_leaves_the_clock_offset_accurate(
    http_client: HttpClient, early: bytes, late: bytes
) -> None:
    """A server that reads its clock after it has sent the first bytes has an offset of at most half the round trip."""
    read_at: list[float] = []

    def packets() -> Iterator[bytes]:
        yield early
        threading.Event().wait(1.5)
        read_at.append(time.time())
        moment = datetime.fromtimestamp(read_at[0], UTC).isoformat()
        yield late + json.dumps({"pong": moment}).encode()

    with server_of(packets()):
        result = TigrClient(settings_for("http://host.test", "http://host.test", timeout=30.0), http_client).ping(None)
    assert result.success, result
    assert result.clock_offset is not None
    assert result.clock_offset < 0.75 * (read_at[0] - result.measurement.started_at)


@pytest.mark.parametrize(
    "status,body,error,refused,named",
    [
        (401, Content.HTML, "", True, False),
        (401, Content.RFC6749, "invalid_client", True, True),
        (400, Content.RFC6749, "invalid_grant", True, True),
        (400, Content.RFC6749, "unauthorized_client", True, True),
        (400, Content.RFC6749, "invalid_request", True, False),
        (400, Content.EMPTY, "", True, False),
        (422, Content.EMPTY, "", True, False),
        (403, Content.RFC6749, "invalid_grant", True, True),
        (403, Content.RFC6749, "access_denied", False, False),
        (403, Content.EMPTY, "", False, False),
        (500, Content.RFC6749, "invalid_grant", True, True),
        (200, Content.RFC6749, "invalid_grant", True, True),
        (200, Content.RFC6749, "temporarily_unavailable", False, False),
        (429, Content.EMPTY, "", False, False),
        (503, Content.HTML, "", False, False),
    ],
)
def test_a_refused_login_is_recognised(
    api: TigrClient,
    environment: SimulatedEnvironment,
    status: int,
    body: Content,
    error: str,
    *,
    refused: bool,
    named: bool,
) -> None:
    """Three statuses refuse a login, and so does any status with a code that names credentials; no ping is a login."""
    environment.token_faults.set(Status(status, body, error=error))
    environment.api_faults.set(Status(status, body, error=error))
    result = api.log_in(FieldNames.DOCUMENTED)
    assert (result.verdict.refused, result.verdict.names_credentials, result.run.credentials_rejected) == (
        refused,
        named,
        False,
    )
    assert not api.ping(None).verdict.refused


def test_a_result_holds_retry_after_and_the_submission_id(api: TigrClient, environment: SimulatedEnvironment) -> None:
    """Retry-After, the code and the submissionId are in the Result."""
    environment.api_faults.set(Status(429, headers={"Retry-After": "120"}))
    result = api.ping(None)
    assert (result.verdict.reason, result.verdict.retry_after, result.verdict.error_code) == (
        Reason.RATE_LIMITED,
        120.0,
        "Simulated429",
    )
    assert result.verdict.submission_id
    assert result.verdict.submission_id.startswith("sim-")
    assert result.verdict.detail == "Simulated429: a simulated fault"


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_response_without_a_message_has_a_detail(
    api: TigrClient, environment: SimulatedEnvironment, status: int
) -> None:
    """The detail has the status if the response has no message."""
    environment.api_faults.set(Status(status, Content.EMPTY))
    assert str(status) in api.ping(None).verdict.detail


@pytest.mark.parametrize("fault", ExchangeFault)
@pytest.mark.parametrize(
    "status,reason",
    [
        (401, Reason.UNAUTHORIZED),
        (403, Reason.FORBIDDEN),
        (429, Reason.RATE_LIMITED),
        (451, Reason.REJECTED_REQUEST),
        (599, Reason.SERVER_ERROR),
        (101, Reason.UNEXPECTED_STATUS),
        (204, Reason.UNEXPECTED_STATUS),
        (302, Reason.UNEXPECTED_STATUS),
        (600, Reason.UNEXPECTED_STATUS),
        (200, None),
        (None, None),
    ],
)
def test_a_status_takes_precedence_over_a_fault(
    fault: ExchangeFault, status: int | None, reason: Reason | None
) -> None:
    """The fault is the reason with status 200 or without a status; any other status decides alone."""

    class FaultyClient(HttpClient):
        def __init__(self) -> None:
            pass

        def exchange(self, request: HttpRequest) -> Exchange:  # noqa: ARG002
            return Exchange(1.0, 2.0, {Phase.RESOLVE: 2.0}, fault=fault, fault_detail="it broke", status=status)

    api = TigrClient(settings_for("http://127.0.0.1:1", "http://127.0.0.1:1"), FaultyClient())
    for result in (api.log_in(FieldNames.DOCUMENTED), api.ping(None)):
        assert result.verdict.reason is (reason or Reason(fault.value))
        assert (result.measurement.failed_phase, result.reached) == (Phase.RESOLVE, status is not None)


def test_an_internal_fault_is_a_result_without_the_exception_s_message() -> None:
    """The detail is the exception's type and origin, because its message may contain a secret."""

    class RaisingClient(HttpClient):
        def __init__(self) -> None:
            pass

        def exchange(self, request: HttpRequest) -> Exchange:
            raise RuntimeError(f"cannot send {request.headers} {request.content!r}")

    api = TigrClient(settings_for("http://127.0.0.1:1", "http://127.0.0.1:1"), RaisingClient())
    for result in (api.log_in(FieldNames.DOCUMENTED), api.ping(token(OPAQUE))):
        assert result.verdict.reason is Reason.INTERNAL
        assert result.verdict.detail.startswith("RuntimeError at test_client.py:")
        assert not leaks(repr(result), SECRETS)


def test_a_certificate_expiry_is_read_from_the_endpoint_s_host() -> None:
    """The expiry is that of the endpoint's own host, and no request is sent."""
    with Simulator(["prod"]) as simulator:
        environment = simulator.environment("prod")
        environment.token_faults.set(Certificate(CertificateVariant.EXPIRED))
        api = TigrClient(
            settings_for(environment.token_url, environment.api_url), HttpClient(verifying_context(simulator.ca_file))
        )
        assert api.log_in(FieldNames.DOCUMENTED).verdict.reason is Reason.CERTIFICATE
        assert api.certificate_expiry(Endpoint.TOKEN) == simulator.certificate_expiry(CertificateVariant.EXPIRED)
        assert api.certificate_expiry(Endpoint.PING) == simulator.certificate_expiry()
        assert simulator.log.requests() == 0


# Echoes of secrets.


def _decoded(request: bytes) -> str:
    """Return the credentials or the token, and the form, decoded."""
    head, _, body = request.decode("latin-1").partition("\r\n\r\n")
    scheme, _, value = next(line for line in head.split("\r\n") if line.startswith("Authorization")).split(" ", 2)
    del scheme
    sent = base64.b64decode(value).decode() if "Basic" in head else value
    return f"{sent} {dict(parse_qsl(body))} {unquote_plus(body)}"


ECHOES: dict[str, Callable[[bytes], str]] = {
    "raw": lambda request: request.decode("latin-1"),
    "decoded": _decoded,
    "URL-encoded": lambda request: quote(_decoded(request), safe=""),
    "URL-encoded, raw": lambda request: quote(request, safe=""),
    "in base64": lambda request: base64.b64encode(request).decode(),
    "decoded, in base64": lambda request: base64.b64encode(_decoded(request).encode()).decode(),
    "in upper case": lambda request: _decoded(request).upper(),
    "as HTML": lambda request: html.escape(_decoded(request)),
    "in JSON in JSON": lambda request: json.dumps(_decoded(request)),
    "in short lines": lambda request: _split(_decoded(request)),
    "only its end": lambda request: request.decode("latin-1")[-60:],
}


def _split(text: str) -> str:
    """Return the text in lines of twenty characters."""
    return "\r\n".join(text[at : at + 20] for at in range(0, len(text), 20))


def _everywhere(text: str) -> bytes:
    """Return an error response that has `text` in each field and in headers."""
    error = {"code": text, "message": text, "field": text}
    body = json.dumps({"submissionId": text, "errors": [error] * 3}).encode()
    line = " ".join(text.encode("ascii", "replace").decode().split())[:6000]
    return http_response(body, f"X-Echo: {line}", f"Retry-After: {line}", f"Location: {line}", status=400)


def _as_page(text: str) -> bytes:
    return http_response(f"<html><h1>{text}</h1></html>".encode(), "Content-Type: text/html", status=502)


def _as_oauth(text: str) -> bytes:
    return http_response(json.dumps({"error": text, "error_description": text}).encode(), status=401)


def _as_token(text: str) -> bytes:
    return http_response(
        json.dumps({"access_token": text, "token_type": text, "expires_in": text, "pong": text}).encode()
    )


@pytest.mark.parametrize("form", [_everywhere, _as_page, _as_oauth, _as_token])
@pytest.mark.parametrize("echo", ECHOES)
def test_an_echoed_secret_is_never_shown(
    echo: str, form: Callable[[str], bytes], http_client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    """No field of a Result and no log line, of the monitor or of a library, contains a secret in any encoding."""
    for name in ("httpx", "httpcore", "httpcore.http11", None):
        caplog.set_level(logging.DEBUG, logger=name)
    with RawServer(lambda request: form(ECHOES[echo](request))) as server:
        api = TigrClient(settings_for(server.url, server.url), http_client)
        results = [api.log_in(FieldNames.DOCUMENTED), api.ping(token(OPAQUE)), api.log_in(FieldNames.RFC6749)]
        assert len(server.requests) == 3
    assert all(result.verdict.reason not in (None, Reason.INTERNAL) for result in results), results
    _assert_no_leak(results, caplog)


@pytest.mark.parametrize("echo", ECHOES)
def test_a_secret_in_the_header_section_is_never_shown(
    echo: str, http_client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret in WWW-Authenticate or in the reason phrase is in no field of a Result."""

    def respond(request: bytes) -> bytes:
        text = " ".join(ECHOES[echo](request).encode("ascii", "backslashreplace").decode().split())[:900]
        challenge = text.replace("\\", "\\\\").replace('"', '\\"')
        head = f'WWW-Authenticate: Bearer error="{challenge}", error_description="{challenge}"'
        if request.startswith(b"GET"):
            return f"HTTP/1.1 403 {text}\r\n{head}\r\nContent-Length: 0\r\n\r\n".encode()
        return f"HTTP/1.1 400 {text}\r\nContent-Length: 0\r\n\r\n".encode()

    with RawServer(respond) as server:
        api = TigrClient(settings_for(server.url, server.url), http_client)
        results = [api.log_in(FieldNames.DOCUMENTED), api.ping(token(OPAQUE))]
    assert [result.verdict.reason for result in results] == [Reason.REJECTED_REQUEST, Reason.FORBIDDEN]
    _assert_no_leak(results, caplog)


def test_a_secret_with_markup_in_a_page_is_never_shown(http_client: HttpClient) -> None:
    """A password that looks like a tag is recognized before tags are removed, anywhere in a page."""
    secret = "Zq4<b>7!x</b>Kw9"
    credentials = replace(CANARIES, password=secret)
    for page in (f"<p>no {secret} here", f"<p>{'y ' * 2000}</p>no {secret}", f"{'<p></p>' * 600}{secret} <b>later"):
        with RawServer(lambda _, page=page: http_response(page.encode(), status=502)) as server:  # type: ignore[misc]
            result = TigrClient(settings_for(server.url, server.url, credentials), http_client).ping(None)
        assert not any(part in result.verdict.detail for part in ("Zq4", "7!x", "Kw9"))


def test_a_token_from_before_a_reload_is_masked(http_client: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    """A token that another TigrClient was granted is masked once this one has sent it."""
    with RawServer(lambda _: _as_oauth(f"no such token: {OPAQUE}")) as server:
        result = TigrClient(settings_for(server.url, server.url), http_client).ping(token(OPAQUE))
    assert result.verdict.detail.startswith("no such token")
    _assert_no_leak([result], caplog)


def _assert_no_leak(results: list[Result], caplog: pytest.LogCaptureFixture) -> None:
    seen = repr(results) + caplog.text + repr([vars(record) for record in caplog.records])
    for secrets in (SECRETS, [secret.upper() for secret in SECRETS], [secret.lower() for secret in SECRETS]):
        assert not leaks(seen, secrets)


def test_no_repr_shows_a_secret(api: TigrClient, http_client: HttpClient) -> None:
    """No `repr` of the settings, the clients or a token contains a secret."""
    settings = settings_for("http://127.0.0.1:1", "http://127.0.0.1:1")
    seen = repr((settings, replace(settings, name="uat"), api, http_client, vars(http_client), token(OPAQUE)))
    assert not leaks(seen, SECRETS)


def test_a_token_of_another_client_is_redacted_once_it_is_learnt(http_client: HttpClient) -> None:
    """A server may quote the token of a login that ended after a reload."""
    body = json.dumps({"error": "server_error", "error_description": f"old token {OPAQUE}"}).encode()
    quoted = http_response(body, status=500)
    with RawServer(quoted) as server:
        client = TigrClient(settings_for(f"{server.url}/oauth/token", server.url), http_client)
        client.learn(Token(OPAQUE, lifetime=60.0, expires=60.0, expires_at=60.0))
        result = client.log_in(FieldNames.DOCUMENTED)
    assert result.verdict.reason is Reason.SERVER_ERROR
    assert not leaks(repr(result), (OPAQUE,))
