"""The two requests and what becomes of their answers: one Result each, whatever happens, and no secret in any."""

from __future__ import annotations

import base64
import html
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import parse_qsl, quote, unquote_plus

import pytest

from monitor.clock import Clock
from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.http.client import Exchange, Fault, Request, Wire
from monitor.http.tls import unverifying_context, verifying_context
from monitor.model import ClientAuth, Endpoint, FieldNames, Phase, Reason, Result, Token
from monitor.simulator import CertificateKind, Environment, Host, Simulator
from monitor.simulator import Credentials as Accepted
from monitor.simulator.faults import Certificate, Content, Status
from monitor.tigr.client import USER_AGENT, Api
from tests.support.canaries import CANARIES, leaks, values
from tests.support.raw_server import RawServer, answer

OPAQUE = "Qw8eR2tY-opaque-canary-token~7uI0pA5sD9fG"
SECRETS = (*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}", OPAQUE)
AWKWARD = Accepted(
    client_id='id with %41 + & = "quotes" \' ümläut',
    client_secret="a:b:c %2B+&=\"' öäß €",
    username="user:name %20+&=\"' ÄÖÜ",
    password=" p:w %26+&=\"' ß ",
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One environment without TLS and latency."""
    with Simulator(["prod"], tls=False) as running:
        running.environment("prod").latency = 0.0
        yield running


@pytest.fixture
def environment(simulator: Simulator) -> Iterator[Environment]:
    """Its `prod`, which is well again afterwards."""
    environment = simulator.environment("prod")
    environment.credentials = CANARIES
    yield environment
    environment.token_faults.clear()
    environment.api_faults.clear()


@pytest.fixture
def wire() -> Wire:
    """One that never comes to speak TLS."""
    return Wire(unverifying_context())


def settings_for(token_url: str, api_url: str, accepted: Accepted = CANARIES) -> EnvironmentSettings:
    """Settings of `prod`, there."""
    return EnvironmentSettings(
        name="prod",
        token_url=token_url,
        api_url=api_url,
        credentials=EnvironmentCredentials(
            accepted.client_id, accepted.client_secret, accepted.username, accepted.password
        ),
        client_auth=ClientAuth.RAW,
        form_fields=None,
        ping_interval=30.0,
        auth_interval=300.0,
        confirm_interval=5.0,
        timeout=2.0,
        renew_margin=60.0,
        rejected_logins=3,
        token_host_check=True,
        unauthenticated_interval=3600.0,
        token_proxy=None,
        api_proxy=None,
    )


@pytest.fixture
def api(environment: Environment, wire: Wire) -> Api:
    """For the simulator's `prod`."""
    return Api(settings_for(environment.token_url, environment.api_url), wire)


def token(value: str) -> Token:
    """One that was granted at another time."""
    return Token(value=value, lifetime=60.0, expires=60.0, expires_at=60.0)


# The requests.


@pytest.mark.parametrize(
    "field_names,fields",
    [
        (FieldNames.DOCUMENTED, ("Username", "Password", "grant_type")),
        (FieldNames.RFC6749, ("username", "password", "grant_type")),
    ],
)
def test_a_login_is_sent_as_the_page_says(
    api: Api, environment: Environment, simulator: Simulator, field_names: FieldNames, fields: tuple[str, ...]
) -> None:
    """A form with Basic credentials, in one field_names, on a connection of its own, and who is asking."""
    environment.field_names = "either"
    assert api.log_in(field_names).field_names is field_names
    record = simulator.log.records("prod", Host.TOKEN)[-1]
    assert (record.method, record.path, record.fields) == ("POST", "/oauth/token", fields)
    assert record.headers["content-type"] == "application/x-www-form-urlencoded"
    assert record.headers["authorization"] == "Basic"
    assert (record.user_agent, record.headers["connection"], record.fresh) == (USER_AGENT, "close", True)


def test_a_ping_is_sent_as_the_page_says(api: Api, environment: Environment, simulator: Simulator) -> None:
    """With the token, or, as a question, with nothing."""
    assert api.ping(token(environment.issue_token())).success
    assert api.ping(None).reason is Reason.UNAUTHORIZED
    with_token, without = simulator.log.records("prod", Host.API)[-2:]
    assert (with_token.method, with_token.path) == ("GET", "/ClientAPI/api/system/ping")
    assert with_token.headers["authorization"] == "Bearer"
    assert "authorization" not in without.headers
    assert with_token.headers["accept-encoding"] == "identity"


def test_any_credentials_log_in(environment: Environment, wire: Wire) -> None:
    """Colons, percent signs, plus, ampersands, quotes, blanks and umlauts arrive as they are."""
    environment.credentials = AWKWARD
    result = Api(settings_for(environment.token_url, environment.api_url, AWKWARD), wire).log_in(FieldNames.DOCUMENTED)
    assert result.success, result.detail


# What becomes of the answers.


def test_a_granted_token_counts_from_before_it_was_asked_for(environment: Environment, wire: Wire) -> None:
    """It is never believed longer than it lasts: on the monotonic clock, and as Unix time."""
    ticks = iter(range(1000))
    clock = Clock(now=lambda: 100.0 + next(ticks), wall=lambda: 5000.0)
    result = Api(settings_for(environment.token_url, environment.api_url), wire, clock).log_in(FieldNames.DOCUMENTED)
    assert result.token is not None
    assert (result.token.lifetime, result.token.expires) == (3600.0, 3700.0)
    assert 8590.0 < result.token.expires_at < 8600.0
    assert result.token.value not in repr(result)


def test_a_pong_tells_how_far_the_clocks_are_apart(api: Api, environment: Environment) -> None:
    """Held against the middle of the request: good to half of it."""
    environment.clock_offset = 90.0
    try:
        result = api.ping(token(environment.issue_token()))
    finally:
        environment.clock_offset = 0.0
    assert result.clock_offset == pytest.approx(90.0, abs=0.5)


def test_the_middle_is_that_of_the_server_s_own_time(api: Api) -> None:
    """A slow look-up or handshake shifts nothing."""
    moment = 1_730_000_000.0
    phases = {Phase.RESOLVE: 3.0, Phase.CONNECT: 2.0, Phase.TLS: 1.0, Phase.PROCESSING: 0.5, Phase.TRANSFER: 4.0}
    written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment + 10)) + ".250Z"

    class Answered(Wire):
        def __init__(self) -> None:
            pass

        def exchange(self, request: Request) -> Exchange:  # noqa: ARG002
            return Exchange(moment, 10.5, phases, status=200, body=json.dumps({"pong": written}).encode())

    result = Api(settings_for("http://127.0.0.1:1", "http://127.0.0.1:1"), Answered()).ping(None)
    assert result.clock_offset == pytest.approx(10.25 - 6.25)


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
    api: Api, environment: Environment, status: int, body: Content, error: str, *, refused: bool, named: bool
) -> None:
    """Three statuses refuse a login, and any status does with a code that names credentials; no ping is one."""
    environment.token_faults.set(Status(status, body, error=error))
    environment.api_faults.set(Status(status, body, error=error))
    result = api.log_in(FieldNames.DOCUMENTED)
    assert (result.refused, result.names_credentials, result.credentials_rejected) == (refused, named, False)
    assert not api.ping(None).refused


def test_what_a_server_asks_for_is_passed_on(api: Api, environment: Environment) -> None:
    """How long to wait, and the number that the vendor's support asks for."""
    environment.api_faults.set(Status(429, headers={"Retry-After": "120"}))
    result = api.ping(None)
    assert (result.reason, result.retry_after, result.error_code) == (Reason.RATE_LIMITED, 120.0, "Simulated429")
    assert result.submission_id
    assert result.submission_id.startswith("sim-")
    assert result.detail == "Simulated429: a simulated fault"


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refusal_without_a_word_is_told_in_words(api: Api, environment: Environment, status: int) -> None:
    """The operator is never left with nothing."""
    environment.api_faults.set(Status(status, Content.EMPTY))
    assert str(status) in api.ping(None).detail


@pytest.mark.parametrize("fault", Fault)
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
def test_a_status_decides_before_anything_behind_it(fault: Fault, status: int | None, reason: Reason | None) -> None:
    """With 200, or none, it is the fault that has its name; with any other, the status."""

    class Broken(Wire):
        def __init__(self) -> None:
            pass

        def exchange(self, request: Request) -> Exchange:  # noqa: ARG002
            return Exchange(1.0, 2.0, {Phase.RESOLVE: 2.0}, fault=fault, fault_detail="it broke", status=status)

    api = Api(settings_for("http://127.0.0.1:1", "http://127.0.0.1:1"), Broken())
    for result in (api.log_in(FieldNames.DOCUMENTED), api.ping(None)):
        assert result.reason is (reason or Reason(fault.value))
        assert (result.failed_phase, result.reached) == (Phase.RESOLVE, status is not None)


def test_a_fault_of_ours_is_a_result_without_a_quotation() -> None:
    """An exception's message may hold a secret: where it was raised must do."""

    class Faulty(Wire):
        def __init__(self) -> None:
            pass

        def exchange(self, request: Request) -> Exchange:
            raise RuntimeError(f"cannot send {request.headers} {request.content!r}")

    api = Api(settings_for("http://127.0.0.1:1", "http://127.0.0.1:1"), Faulty())
    for result in (api.log_in(FieldNames.DOCUMENTED), api.ping(token(OPAQUE))):
        assert result.reason is Reason.INTERNAL
        assert result.detail.startswith("RuntimeError at test_api.py:")
        assert not leaks(repr(result), SECRETS)


def test_a_certificate_that_fails_is_looked_at_on_the_host_that_is_meant() -> None:
    """Each endpoint has a host of its own."""
    with Simulator(["prod"]) as simulator:
        environment = simulator.environment("prod")
        environment.token_faults.set(Certificate(CertificateKind.EXPIRED))
        api = Api(settings_for(environment.token_url, environment.api_url), Wire(verifying_context(simulator.ca_file)))
        assert api.log_in(FieldNames.DOCUMENTED).reason is Reason.CERTIFICATE
        assert api.certificate_expiry(Endpoint.TOKEN) == simulator.certificate_expiry(CertificateKind.EXPIRED)
        assert api.certificate_expiry(Endpoint.PING) == simulator.certificate_expiry()
        assert simulator.log.requests() == 0


# What a server echoes.


def _unpacked(request: bytes) -> str:
    """What was sent, taken out of its encodings."""
    head, _, body = request.decode("latin-1").partition("\r\n\r\n")
    scheme, _, value = next(line for line in head.split("\r\n") if line.startswith("Authorization")).split(" ", 2)
    del scheme
    sent = base64.b64decode(value).decode() if "Basic" in head else value
    return f"{sent} {dict(parse_qsl(body))} {unquote_plus(body)}"


ECHOES: dict[str, Callable[[bytes], str]] = {
    "as it came": lambda request: request.decode("latin-1"),
    "unpacked": _unpacked,
    "URL-encoded": lambda request: quote(_unpacked(request), safe=""),
    "URL-encoded as it came": lambda request: quote(request, safe=""),
    "in base64": lambda request: base64.b64encode(request).decode(),
    "unpacked in base64": lambda request: base64.b64encode(_unpacked(request).encode()).decode(),
    "in upper case": lambda request: _unpacked(request).upper(),
    "as HTML": lambda request: html.escape(_unpacked(request)),
    "in JSON in JSON": lambda request: json.dumps(_unpacked(request)),
    "in short lines": lambda request: _split(_unpacked(request)),
    "only its end": lambda request: request.decode("latin-1")[-60:],
}


def _split(text: str) -> str:
    """The text in lines of twenty characters."""
    return "\r\n".join(text[at : at + 20] for at in range(0, len(text), 20))


def _everywhere(words: str) -> bytes:
    """An error that has the words in each of its fields, and in its headers."""
    error = {"code": words, "message": words, "field": words}
    body = json.dumps({"submissionId": words, "errors": [error] * 3}).encode()
    line = " ".join(words.encode("ascii", "replace").decode().split())[:6000]
    return answer(body, f"X-Echo: {line}", f"Retry-After: {line}", f"Location: {line}", status=400)


def _as_page(words: str) -> bytes:
    return answer(f"<html><h1>{words}</h1></html>".encode(), "Content-Type: text/html", status=502)


def _as_oauth(words: str) -> bytes:
    return answer(json.dumps({"error": words, "error_description": words}).encode(), status=401)


def _as_token(words: str) -> bytes:
    return answer(json.dumps({"access_token": words, "token_type": words, "expires_in": words, "pong": words}).encode())


@pytest.mark.parametrize("form", [_everywhere, _as_page, _as_oauth, _as_token])
@pytest.mark.parametrize("echo", ECHOES)
def test_what_a_server_echoes_is_never_told(
    echo: str, form: Callable[[str], bytes], wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """In no field of a Result and no log line of ours or a library's, in whatever dress it comes back."""
    for name in ("httpx", "httpcore", "httpcore.http11", None):
        caplog.set_level(logging.DEBUG, logger=name)
    with RawServer(lambda request: form(ECHOES[echo](request))) as server:
        api = Api(settings_for(server.url, server.url), wire)
        results = [api.log_in(FieldNames.DOCUMENTED), api.ping(token(OPAQUE)), api.log_in(FieldNames.RFC6749)]
        assert len(server.requests) == 3
    assert all(result.reason not in (None, Reason.INTERNAL) for result in results), results
    _assert_silent(results, caplog)


def test_a_token_of_before_a_reload_is_known_to_the_redactor(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Another Api was granted it: this one sends it, and so must know what not to repeat."""
    with RawServer(lambda _: _as_oauth(f"no such token: {OPAQUE}")) as server:
        result = Api(settings_for(server.url, server.url), wire).ping(token(OPAQUE))
    assert result.detail.startswith("no such token")
    _assert_silent([result], caplog)


def _assert_silent(results: list[Result], caplog: pytest.LogCaptureFixture) -> None:
    seen = repr(results) + caplog.text + repr([vars(record) for record in caplog.records])
    for secrets in (SECRETS, [secret.upper() for secret in SECRETS], [secret.lower() for secret in SECRETS]):
        assert not leaks(seen, secrets)


def test_nothing_public_shows_a_secret(api: Api, wire: Wire) -> None:
    """Neither the settings nor what is made from them."""
    settings = settings_for("http://127.0.0.1:1", "http://127.0.0.1:1")
    seen = repr((settings, replace(settings, name="uat"), api, wire, vars(wire), token(OPAQUE)))
    assert not leaks(seen, SECRETS)
