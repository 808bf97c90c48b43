"""The demo's programme: small incidents, one after the other, each told in words with what to look for on /metrics."""

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

CALM = 1.0  # seconds between two incidents

# What an incident does to the stage; it yields how many seconds to wait at that point.
Script = Callable[[DemoHarness], Iterator[float]]


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident: what happens, what shows it, and how it is made."""

    tells: str
    shows: tuple[str, ...]  # series to look for
    script: Script


def _api(  # noqa: PLR0913 - what a simple incident consists of
    environment: str, fault: HostFault, reason: Reason, tells: str, *, shows: tuple[str, ...] = (), lasts: float = 4
) -> Incident:
    """The Client API has a fault for a while."""

    def script(stage: DemoHarness) -> Iterator[float]:
        faults = stage.environment(environment).api_faults
        faults.set(fault)
        yield lasts
        faults.clear()

    labels = f'environment="{environment}",endpoint="ping"'
    usual = (f"tigr_up{{{labels}}} 0", f'tigr_failure{{{labels},reason="{reason}"}} 1')
    return Incident(f"{environment}: {tells}", usual + shows, script)


def _slow(stage: DemoHarness) -> Iterator[float]:
    for environment in stage.simulator.environments.values():
        environment.api_faults.set(Slow(0.6))
        environment.token_faults.set(Slow(1.2))
    yield 8
    for environment in stage.simulator.environments.values():
        environment.api_faults.clear()
        environment.token_faults.clear()


def _behind(stage: DemoHarness) -> Iterator[float]:
    then = datetime.fromtimestamp(time.time() - 45, UTC)
    stage.environment("prod").api_faults.set(Pong(then.isoformat(timespec="milliseconds")))
    stage.environment("uat").api_faults.set(TlsMax(TlsVersion.TLS_1_2))
    yield 5
    stage.environment("prod").api_faults.clear()
    stage.environment("uat").api_faults.clear()


def _revoked(stage: DemoHarness) -> Iterator[float]:
    stage.environment("prod").revoke_tokens()
    yield 4


def _login_down(stage: DemoHarness) -> Iterator[float]:
    stage.environment("prod").token_faults.set(Status(503, Content.HTML))
    yield 14
    stage.environment("prod").token_faults.clear()
    yield 2


def _short_lives(stage: DemoHarness) -> Iterator[float]:
    uat = stage.environment("uat")
    usual, uat.lifetime = uat.lifetime, 4
    uat.revoke_tokens()  # or the longer token in hand would hide it
    yield 12
    uat.lifetime = usual


def _dead_proxy(stage: DemoHarness) -> Iterator[float]:
    stage.write_config(proxy="http://127.0.0.1:1")  # where nobody listens
    stage.reload()
    yield 5
    stage.write_config(ping_interval="often")
    stage.reload()
    yield 3
    stage.write_config()
    stage.reload()
    yield 2


def _asleep(stage: DemoHarness) -> Iterator[float]:
    stage.freeze()
    yield 6
    stage.thaw()
    yield 2


def _locked_out(stage: DemoHarness) -> Iterator[float]:
    stage.environment("uat").change_password()
    yield 20  # until the next login has been refused, and then the token in hand has expired


def _open_door(stage: DemoHarness) -> Iterator[float]:
    stage.environment("uat").api_faults.set(ApiOpen())
    yield 5
    stage.environment("uat").api_faults.clear()
    yield 2


def _let_in(stage: DemoHarness) -> Iterator[float]:
    stage.write_secrets()
    stage.reload()
    yield 5


PROGRAMME: tuple[Incident, ...] = (
    _api("prod", Status(500), Reason.SERVER_ERROR, "the ping is answered 500."),
    _api("uat", HangAfterHandshake(), Reason.TIMEOUT, "the ping is never answered.", lasts=7),
    _api(
        "prod",
        Refuse(),
        Reason.CONNECT,
        "the Client API refuses connections.",
        shows=('tigr_api_reachable{environment="prod"} 0',),
    ),
    _api("uat", Reset(), Reason.DISCONNECT, "the Client API resets connections."),
    _api("prod", Body(b"<html>Hello!</html>", "text/html"), Reason.MALFORMED, "the ping is answered nonsense."),
    _api("uat", Status(403), Reason.FORBIDDEN, "this machine's address is not admitted: 403."),
    _api(
        "prod",
        Status(429, headers={"Retry-After": "5"}),
        Reason.RATE_LIMITED,
        "too many requests: 429, and Retry-After 5 s.",
        shows=('tigr_backoff_seconds{environment="prod",endpoint="ping"} counts down from 5',),
        lasts=6,
    ),
    _api(
        "uat",
        Certificate(),
        Reason.CERTIFICATE,
        "the Client API shows a certificate that has expired.",
        shows=('tigr_certificate_expiry_timestamp_seconds{environment="uat",endpoint="ping"} is yesterday',),
    ),
    _api("prod", NotTls(), Reason.TLS, "the Client API does not speak TLS.", lasts=4),
    _api("uat", Status(404), Reason.REJECTED_REQUEST, "the ping is not found: 404.", lasts=4),
    _api(
        "prod",
        Status(302, headers={"Location": "https://elsewhere.test/"}),
        Reason.UNEXPECTED_STATUS,
        "the ping is redirected, and nobody follows.",
        lasts=4,
    ),
    Incident(
        "both: everything is slow.",
        (
            'tigr_request_phase_seconds{phase="processing"} grows',
            "tigr_request_duration_seconds fills further up",
        ),
        _slow,
    ),
    Incident(
        "prod: the server's clock is 45 s behind. uat: the Client API speaks TLS 1.2 only.",
        (
            'tigr_clock_offset_seconds{environment="prod"} about -45',
            'tigr_tls_info{environment="uat",endpoint="ping",version="TLSv1.2"} 1',
        ),
        _behind,
    ),
    Incident(
        "prod: every token is revoked; one login and one more ping at once make it good.",
        (
            'tigr_unauthorized_total{environment="prod",endpoint="ping"} grows by 1',
            'tigr_token_rejected_total{environment="prod"} grows by 1',
            'tigr_token_renewals_total{environment="prod",cause="rejected"} grows by 1',
        ),
        _revoked,
    ),
    Incident(
        "prod: the login is answered 503; pings go on with the token in hand.",
        (
            'tigr_up{environment="prod",endpoint="token"} 0',
            'tigr_token_expiry_headroom_seconds{environment="prod"} counts down and is not renewed',
        ),
        _login_down,
    ),
    Incident(
        "uat: tokens live for 4 s only.",
        (
            'tigr_token_lifetime_seconds{environment="uat"} 4',
            'tigr_token_renewals_total{environment="uat",cause="expiry"} grows',
        ),
        _short_lives,
    ),
    Incident(
        "both: a proxy is configured that is down; then the settings are wrong; then right again.",
        (
            'tigr_failure{reason="proxy"} 1',
            "tigr_config_last_reload_successful 0, then 1",
            "tigr_config_last_reload_success_timestamp_seconds moves",
        ),
        _dead_proxy,
    ),
    Incident(
        "both: the monitor itself is stopped for 6 s, as on a machine that is suspended.",
        ("tigr_schedule_missed_total grows", "tigr_schedule_delay_seconds"),
        _asleep,
    ),
    Incident(
        "uat: the password was changed at the vendor. One login is refused, and no second one is tried for 5 minutes;\n"
        "     pings go on until the token in hand has expired.",
        (
            'tigr_unauthorized_total{environment="uat",endpoint="token"} grows by 1',
            'tigr_credentials_rejected{environment="uat"} 1',
            'tigr_backoff_seconds{environment="uat",endpoint="token"} counts down from 300',
            'tigr_failure{environment="uat",endpoint="ping",reason="no_token"} 1, in the end',
            'tigr_api_reachable{environment="uat"} 1, all the while',
        ),
        _locked_out,
    ),
    Incident(
        "uat: still without a token, and the Client API answers 200 all the same: the door is open.",
        ('tigr_api_open{environment="uat"} 1',),
        _open_door,
    ),
    Incident(
        "uat: the new password is in the secrets directory, and the monitor reads it (SIGHUP).",
        (
            'tigr_token_renewals_total{environment="uat",cause="credentials"} grows by 1',
            'tigr_credentials_rejected{environment="uat"} 0',
        ),
        _let_in,
    ),
)
