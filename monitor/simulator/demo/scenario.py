"""The scenario of the demo: a sequence of incidents, each with a text and the series on /metrics that show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.model import Reason
from monitor.simulator.demo.harness import DemoHarness
from monitor.simulator.faults import (
    ApiOpen,
    Body,
    Certificate,
    Content,
    HangAfterHandshake,
    HostFault,
    NotTls,
    Pong,
    Refuse,
    Reset,
    Slow,
    Status,
    TlsMax,
    TlsVersion,
)

PAUSE = 1.0  # seconds between two incidents

# Makes an incident happen, and yields the seconds to wait at each step.
Script = Callable[[DemoHarness], Iterator[float]]


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident: its text, the series that show it, and its script."""

    text: str
    series: tuple[str, ...]
    script: Script


def _api(  # noqa: PLR0913 - the parts of an incident
    environment: str, fault: HostFault, reason: Reason, text: str, *, series: tuple[str, ...] = (), duration: float = 4
) -> Incident:
    """Return an incident in which the Client API has a fault for `duration` seconds."""

    def script(harness: DemoHarness) -> Iterator[float]:
        faults = harness.environment(environment).api_faults
        faults.set(fault)
        yield duration
        faults.clear()

    labels = f'environment="{environment}",endpoint="ping"'
    usual = (f"tigr_up{{{labels}}} 0", f'tigr_failure{{{labels},reason="{reason}"}} 1')
    return Incident(f"{environment}: {text}", usual + series, script)


def _slow(harness: DemoHarness) -> Iterator[float]:
    for environment in harness.simulator.environments.values():
        environment.api_faults.set(Slow(0.6))
        environment.token_faults.set(Slow(1.2))
    yield 8
    for environment in harness.simulator.environments.values():
        environment.api_faults.clear()
        environment.token_faults.clear()


def _clock_and_tls(harness: DemoHarness) -> Iterator[float]:
    then = datetime.fromtimestamp(time.time() - 45, UTC)
    harness.environment("prod").api_faults.set(Pong(then.isoformat(timespec="milliseconds")))
    harness.environment("uat").api_faults.set(TlsMax(TlsVersion.TLS_1_2))
    yield 5
    harness.environment("prod").api_faults.clear()
    harness.environment("uat").api_faults.clear()


def _tokens_revoked(harness: DemoHarness) -> Iterator[float]:
    harness.environment("prod").revoke_tokens()
    yield 4


def _login_down(harness: DemoHarness) -> Iterator[float]:
    harness.environment("prod").token_faults.set(Status(503, Content.HTML))
    yield 14
    harness.environment("prod").token_faults.clear()
    yield 2


def _short_lifetime(harness: DemoHarness) -> Iterator[float]:
    uat = harness.environment("uat")
    usual, uat.lifetime = uat.lifetime, 4
    uat.revoke_tokens()  # the current token has the longer lifetime
    yield 12
    uat.lifetime = usual


def _dead_proxy(harness: DemoHarness) -> Iterator[float]:
    harness.write_config(proxy="http://127.0.0.1:1")  # this port is closed
    harness.reload()
    yield 5
    harness.write_config(ping_interval="often")
    harness.reload()
    yield 3
    harness.write_config()
    harness.reload()
    yield 2


def _suspended(harness: DemoHarness) -> Iterator[float]:
    harness.suspend()
    yield 6
    harness.resume()
    yield 2


def _password_changed(harness: DemoHarness) -> Iterator[float]:
    harness.environment("uat").change_password()
    yield 20  # until the next login is refused and the current token has expired


def _api_open(harness: DemoHarness) -> Iterator[float]:
    harness.environment("uat").api_faults.set(ApiOpen())
    yield 5
    harness.environment("uat").api_faults.clear()
    yield 2


def _new_password(harness: DemoHarness) -> Iterator[float]:
    harness.write_secrets()
    harness.reload()
    yield 5


SCENARIO: tuple[Incident, ...] = (
    _api("prod", Status(500), Reason.SERVER_ERROR, "the ping gets status 500."),
    _api("uat", HangAfterHandshake(), Reason.TIMEOUT, "the ping gets no response.", duration=7),
    _api(
        "prod",
        Refuse(),
        Reason.CONNECT,
        "the Client API refuses connections.",
        series=('tigr_api_reachable{environment="prod"} 0',),
    ),
    _api("uat", Reset(), Reason.DISCONNECT, "the Client API resets connections."),
    _api(
        "prod",
        Body(b"<html>Hello!</html>", "text/html"),
        Reason.MALFORMED,
        "the ping gets a page that is not the pong.",
    ),
    _api(
        "uat", Status(403), Reason.FORBIDDEN, "the IP allowlist does not have this machine: the ping gets status 403."
    ),
    _api(
        "prod",
        Status(429, headers={"Retry-After": "5"}),
        Reason.RATE_LIMITED,
        "too many requests: the ping gets status 429 with Retry-After 5 s.",
        series=('tigr_backoff_seconds{environment="prod",endpoint="ping"} counts down from 5',),
        duration=6,
    ),
    _api(
        "uat",
        Certificate(),
        Reason.CERTIFICATE,
        "the Client API presents an expired certificate.",
        series=('tigr_certificate_expiry_timestamp_seconds{environment="uat",endpoint="ping"} is yesterday',),
    ),
    _api("prod", NotTls(), Reason.TLS, "the Client API responds without TLS.", duration=4),
    _api("uat", Status(404), Reason.REJECTED_REQUEST, "the ping gets status 404.", duration=4),
    _api(
        "prod",
        Status(302, headers={"Location": "https://elsewhere.test/"}),
        Reason.UNEXPECTED_STATUS,
        "the ping gets a redirect, which the monitor does not follow.",
        duration=4,
    ),
    Incident(
        "both: all responses are slow.",
        (
            'tigr_request_phase_seconds{phase="processing"} grows',
            "tigr_request_duration_seconds counts in higher buckets",
        ),
        _slow,
    ),
    Incident(
        "prod: the server's clock is 45 s behind. uat: the Client API supports TLS 1.2 only.",
        (
            'tigr_clock_offset_seconds{environment="prod"} about -45',
            'tigr_tls_info{environment="uat",endpoint="ping",version="TLSv1.2"} 1',
        ),
        _clock_and_tls,
    ),
    Incident(
        "prod: every token is revoked; the monitor logs in once, and pings again at once.",
        (
            'tigr_unauthorized_total{environment="prod",endpoint="ping"} grows by 1',
            'tigr_token_rejected_total{environment="prod"} grows by 1',
            'tigr_token_renewals_total{environment="prod",cause="rejected"} grows by 1',
        ),
        _tokens_revoked,
    ),
    Incident(
        "prod: the login gets status 503; pings continue with the current token.",
        (
            'tigr_up{environment="prod",endpoint="token"} 0',
            'tigr_token_expiry_headroom_seconds{environment="prod"} counts down and is not renewed',
        ),
        _login_down,
    ),
    Incident(
        "uat: the lifetime of a token is 4 s.",
        (
            'tigr_token_lifetime_seconds{environment="uat"} 4',
            'tigr_token_renewals_total{environment="uat",cause="expiry"} grows',
        ),
        _short_lifetime,
    ),
    Incident(
        "both: the configured proxy is down; then the settings are invalid; then they are valid again.",
        (
            'tigr_failure{reason="proxy"} 1',
            "tigr_config_last_reload_successful 0, then 1",
            "tigr_config_last_reload_success_timestamp_seconds changes",
        ),
        _dead_proxy,
    ),
    Incident(
        "both: the process of the monitor is stopped for 6 s, like on a suspended machine.",
        ("tigr_schedule_missed_total grows", "tigr_schedule_delay_seconds"),
        _suspended,
    ),
    Incident(
        "uat: the vendor has changed the password. One login is refused, and the next one follows after 5 minutes;\n"
        "     pings continue until the current token expires.",
        (
            'tigr_unauthorized_total{environment="uat",endpoint="token"} grows by 1',
            'tigr_credentials_rejected{environment="uat"} 1',
            'tigr_backoff_seconds{environment="uat",endpoint="token"} counts down from 300',
            'tigr_failure{environment="uat",endpoint="ping",reason="no_token"} 1, after the expiry',
            'tigr_api_reachable{environment="uat"} 1, all the time',
        ),
        _password_changed,
    ),
    Incident(
        "uat: there is still no token, and the Client API accepts unauthenticated requests.",
        ('tigr_api_open{environment="uat"} 1',),
        _api_open,
    ),
    Incident(
        "uat: the new password is in the secrets directory, and the monitor reloads it (SIGHUP).",
        (
            'tigr_token_renewals_total{environment="uat",cause="credentials"} grows by 1',
            'tigr_credentials_rejected{environment="uat"} 0',
        ),
        _new_password,
    ),
)
