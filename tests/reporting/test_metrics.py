"""Changes of the metrics by Results, and the format of the exposition."""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow
from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.model import ClientAuth, Endpoint, HostCheck, LoginCause, Phase, Reason, Role, Severity, Token
from monitor.output import failure_period
from monitor.reporting.metric_families import BUCKETS, OUTCOMES
from monitor.reporting.metrics import Metrics
from tests.support.harness import series, value
from tests.support.results import make_result, vary

SETTINGS = EnvironmentSettings(
    name="prod",
    token_url="https://login.example/oauth/token",
    api_url="https://api.example:8443/ClientAPI",
    credentials=EnvironmentCredentials("", "", "", ""),
    client_auth=ClientAuth.RAW,
    form_fields=None,
    ping_interval=30.0,
    auth_interval=300.0,
    confirm_interval=5.0,
    timeout=10.0,
    renew_margin=60.0,
    rejected_logins=3,
    token_host_check=True,
    unauthenticated_interval=3600.0,
    token_proxy=None,
    api_proxy=None,
)
PING = make_result(Endpoint.PING, started_at=1000.0, duration=0.5, status=200)
PROD_PING = {"environment": "prod", "endpoint": "ping"}


class FakeReadings:
    """State of an environment that a test sets."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self.credentials_rejected = False

    def headroom(self) -> float | None:
        """Return 30 s if there is a token."""
        return 30.0 if self.token else None

    def backoff(self, endpoint: Endpoint) -> float:
        """Return a backoff of 7 s for pings."""
        return 7.0 if endpoint is Endpoint.PING else 0.0


@pytest.fixture
def readings() -> FakeReadings:
    """Return the state of the environment `prod`."""
    return FakeReadings()


@pytest.fixture
def metrics(readings: FakeReadings) -> Metrics:
    """Return the metrics of `prod` before its first run."""
    metrics = Metrics()
    metrics.add(SETTINGS, readings)
    return metrics


def text(metrics: Metrics) -> str:
    """Return the text of a scrape."""
    return metrics.render("")[1].decode()


def test_counters_exist_before_their_first_increase(metrics: Metrics) -> None:
    """Every outcome and cause is exported as 0, so that the first one is an increase."""
    for endpoint in Endpoint:
        labels = {"environment": "prod", "endpoint": endpoint.value}
        for outcome in OUTCOMES:
            assert value(text(metrics), "tigr_requests_total", outcome=outcome, **labels) == 0
        assert value(text(metrics), "tigr_unauthorized_total", **labels) == 0
        assert value(text(metrics), "tigr_schedule_missed_total", **labels) == 0
        assert value(text(metrics), "tigr_request_duration_seconds_count", **labels) == 0
        for reason in Reason:
            assert value(text(metrics), "tigr_failure", reason=reason, **labels) == 0
            assert value(text(metrics), "tigr_incidents_total", reason=reason, **labels) == 0
    for cause in LoginCause:
        assert value(text(metrics), "tigr_token_renewals_total", environment="prod", cause=cause) == 0
    assert value(text(metrics), "tigr_token_rejected_total", environment="prod") == 0


@pytest.mark.parametrize(
    "name",
    ["tigr_up", "tigr_consecutive_failures", "tigr_last_attempt", "tigr_last_success", "tigr_token_expiry",
     "tigr_token_lifetime", "tigr_request_phase", "tigr_certificate", "tigr_tls_info", "tigr_api_reachable"],
)  # fmt: skip
def test_an_unknown_value_has_no_series(name: str, metrics: Metrics) -> None:
    """A value of 0 would be wrong."""
    assert not series(text(metrics), f"^{name}")


def test_a_success_is_counted_and_observed(metrics: Metrics) -> None:
    """It sets the state, the duration and the timestamps."""
    metrics.record(vary(PING, phases={Phase.CONNECT: 0.2}, clock_offset=-3.0, tls_version="TLSv1.3"))
    seen = text(metrics)
    assert value(seen, "tigr_up", **PROD_PING) == 1
    assert value(seen, "tigr_requests_total", outcome="success", **PROD_PING) == 1
    assert value(seen, "tigr_request_duration_seconds_sum", **PROD_PING) == 0.5
    assert value(seen, "tigr_last_attempt_timestamp_seconds", **PROD_PING) == 1000
    assert value(seen, "tigr_last_success_timestamp_seconds", **PROD_PING) == 1000.5
    assert value(seen, "tigr_consecutive_failures", **PROD_PING) == 0
    assert value(seen, "tigr_clock_offset_seconds", environment="prod") == -3
    assert value(seen, "tigr_api_reachable", environment="prod") == 1
    assert value(seen, "tigr_tls_info", version="TLSv1.3", **PROD_PING) == 1
    assert series(seen, "^tigr_request_phase") == {
        'tigr_request_phase_seconds{endpoint="ping",environment="prod",phase="connect"}': 0.2
    }


def test_consecutive_failures_are_counted(metrics: Metrics) -> None:
    """Each failure counts under its reason; `tigr_failure` shows the last one; none is observed as a duration."""
    metrics.record(vary(PING, reason=Reason.TIMEOUT, status=None))
    metrics.record(vary(PING, reason=Reason.UNAUTHORIZED, status=401, token_rejected=True))
    seen = text(metrics)
    assert value(seen, "tigr_up", **PROD_PING) == 0
    assert value(seen, "tigr_consecutive_failures", **PROD_PING) == 2
    assert value(seen, "tigr_failure", reason="timeout", **PROD_PING) == 0
    assert value(seen, "tigr_failure", reason="unauthorized", **PROD_PING) == 1
    assert value(seen, "tigr_unauthorized_total", **PROD_PING) == 1
    assert value(seen, "tigr_token_rejected_total", environment="prod") == 1
    assert value(seen, "tigr_request_duration_seconds_count", **PROD_PING) == 0
    metrics.record(PING)
    assert value(text(metrics), "tigr_failure", reason="unauthorized", **PROD_PING) == 0


def test_an_internal_failure_leaves_the_state_unknown(metrics: Metrics) -> None:
    """It is neither up nor down, neither counts nor ends consecutive failures, and the host keeps its state."""
    down, unknown = vary(PING, reason=Reason.CONNECT, status=None), vary(PING, reason=Reason.INTERNAL, status=None)

    def state() -> tuple[float | None, ...]:
        page = text(metrics)
        return (
            value(page, "tigr_up", **PROD_PING),
            value(page, "tigr_consecutive_failures", **PROD_PING),
            value(page, "tigr_api_reachable", environment="prod"),
            value(page, "tigr_failure", **PROD_PING, reason="internal"),
            value(page, "tigr_failure", **PROD_PING, reason="connect"),
        )

    metrics.record(unknown)
    assert state() == (None, None, None, 1, 0)
    metrics.record(PING)
    metrics.record(unknown)
    assert state() == (None, 0, 1, 1, 0)
    for result in (down, unknown, down):
        metrics.record(result)
    assert state() == (0, 2, 0, 0, 1)
    assert value(text(metrics), "tigr_requests_total", **PROD_PING, outcome="internal") == 3


def test_an_internal_failure_of_the_unauthenticated_probe_closes_no_api(metrics: Metrics) -> None:
    """The API is still open, as far as known."""
    metrics.record(vary(PING, role=Role.UNAUTHENTICATED))
    metrics.record(vary(PING, role=Role.UNAUTHENTICATED, reason=Reason.INTERNAL, status=None))
    assert value(text(metrics), "tigr_api_open", environment="prod") == 1


def test_phases_are_those_of_the_most_recent_request(metrics: Metrics) -> None:
    """A phase that was not reached has no sample."""
    metrics.record(vary(PING, phases={Phase.RESOLVE: 0.1, Phase.CONNECT: 0.2}))
    metrics.record(vary(PING, reason=Reason.DNS, status=None, phases={Phase.RESOLVE: 0.3}))
    assert list(series(text(metrics), "^tigr_request_phase").values()) == [0.3]


def test_a_retried_request_is_counted_and_decides_nothing(metrics: Metrics) -> None:
    """The start of the run is the start of its first request."""
    metrics.record(vary(PING, reason=Reason.UNAUTHORIZED, status=401, role=Role.RETRIED))
    assert not series(text(metrics), "^tigr_up")
    metrics.record(vary(PING, started_at=1002.0))
    seen = text(metrics)
    assert value(seen, "tigr_requests_total", outcome="unauthorized", **PROD_PING) == 1
    assert value(seen, "tigr_last_attempt_timestamp_seconds", **PROD_PING) == 1000
    assert value(seen, "tigr_last_success_timestamp_seconds", **PROD_PING) == 1002.5
    metrics.record(vary(PING, started_at=1030.0))
    assert value(text(metrics), "tigr_last_attempt_timestamp_seconds", **PROD_PING) == 1030


@pytest.mark.parametrize("status,is_open,reachable", [(200, 1, 1), (401, 0, 1), (None, 0, 0)])
def test_an_unauthenticated_probe_changes_only_the_state_of_the_host(
    status: int | None, is_open: int, reachable: int, metrics: Metrics
) -> None:
    """It sets reachability, certificate and TLS version, and counts nothing."""
    reason = None if status == 200 else Reason.UNAUTHORIZED
    metrics.record(
        vary(
            PING, role=Role.UNAUTHENTICATED, status=status, reason=reason, certificate_expiry=5.0, phases={Phase.TLS: 1}
        )
    )
    seen = text(metrics)
    assert value(seen, "tigr_api_open", environment="prod") == is_open
    assert value(seen, "tigr_api_reachable", environment="prod") == reachable
    assert value(seen, "tigr_certificate_expiry_timestamp_seconds", **PROD_PING) == 5
    assert not any(series(seen, "^tigr_(requests|unauthorized)_total").values())
    assert not series(seen, "^tigr_(up|request_phase|last_attempt)")


CHAIN = "tigr_certificate_chain_expiry_timestamp_seconds"


def test_the_expiry_of_the_chain_is_exported_until_a_verification_fails(metrics: Metrics) -> None:
    """A failure before the handshake says nothing about the chain; a failed verification ends the series."""
    metrics.record(vary(PING, certificate_expiry=9.0, chain_expiry=5.0))
    metrics.record(vary(PING, status=None, reason=Reason.DNS))
    assert value(text(metrics), CHAIN, **PROD_PING) == 5
    metrics.record(vary(PING, status=None, reason=Reason.CERTIFICATE))
    assert not series(text(metrics), CHAIN)
    metrics.certificate_seen("prod", Endpoint.PING, 3.0)
    assert not series(text(metrics), CHAIN)
    metrics.record(vary(PING, certificate_expiry=9.0, chain_expiry=8.0))
    assert value(text(metrics), CHAIN, **PROD_PING) == 8


def test_a_python_without_the_chain_exports_none(metrics: Metrics) -> None:
    """The expiry of the host's certificate is exported, and the alerts use it."""
    metrics.record(vary(PING, certificate_expiry=9.0, chain_expiry=None))
    seen = text(metrics)
    assert not series(seen, CHAIN)
    assert value(seen, "tigr_certificate_expiry_timestamp_seconds", **PROD_PING) == 9


def test_a_check_of_the_token_host_updates_the_expiry_of_the_chain(metrics: Metrics) -> None:
    """It is the connection that is made most often to that host."""
    token = {"environment": "prod", "endpoint": "token"}
    metrics.token_host_checked(HostCheck("prod", certificate_expiry=9.0, chain_expiry=4.0))
    assert value(text(metrics), CHAIN, **token) == 4
    metrics.token_host_checked(HostCheck("prod", Reason.TIMEOUT))
    assert value(text(metrics), CHAIN, **token) == 4
    metrics.token_host_checked(HostCheck("prod", Reason.CERTIFICATE))
    assert not series(text(metrics), CHAIN)
    metrics.token_host_checked(HostCheck("prod", certificate_expiry=9.0, chain_expiry=4.0))
    metrics.remove("prod")
    assert not series(text(metrics), CHAIN)


def test_a_run_without_a_token_does_not_change_the_state_of_the_host(metrics: Metrics) -> None:
    """It sent no ping, and the unauthenticated probe before it shows the state."""
    metrics.record(vary(PING, role=Role.UNAUTHENTICATED, status=401, reason=Reason.UNAUTHORIZED))
    metrics.record(vary(PING, status=None, reason=Reason.NO_TOKEN))
    assert value(text(metrics), "tigr_api_reachable", environment="prod") == 1
    assert value(text(metrics), "tigr_failure", reason="no_token", **PROD_PING) == 1


def test_the_incidents_of_the_journal_are_counted(metrics: Metrics, readings: FakeReadings) -> None:
    """The journal decides; failures alone count none, and new settings keep the count."""
    for _ in range(5):
        metrics.record(vary(PING, reason=Reason.TIMEOUT))
    assert set(series(text(metrics), "^tigr_incidents_total").values()) == {0}
    metrics.incident_opened("prod", Endpoint.PING, Reason.TIMEOUT)
    metrics.incident_opened("removed", Endpoint.PING, Reason.TIMEOUT)
    metrics.add(SETTINGS, readings)
    counts = {name: count for name, count in series(text(metrics), "^tigr_incidents_total").items() if count}
    assert counts == {'tigr_incidents_total{endpoint="ping",environment="prod",reason="timeout"}': 1}


def test_maintenance_is_computed_at_a_scrape_on_the_wall_clock(readings: FakeReadings) -> None:
    """It is 1 in the window and 0 outside; without a window it is 0; the other metrics change in it."""
    now = 0.0
    metrics = Metrics(Clock(now=lambda: now, wall=lambda: 1000.0 + now))
    metrics.add(replace(SETTINGS, maintenance=(MaintenanceWindow(1010.0, 1020.0),)), readings)
    metrics.add(replace(SETTINGS, name="uat"), readings)
    metrics.record(PING)
    for moment, planned, observed in (
        (9.9, 0, 9.9),
        (10.0, 1, 10.0),
        (19.9, 1, 10.0),
        (20.0, 0, 10.0),
        (25.0, 0, 15.0),
    ):
        now = moment
        assert value(text(metrics), "tigr_maintenance", environment="prod") == planned
        assert value(text(metrics), "tigr_maintenance", environment="uat") == 0
        seen = value(text(metrics), "tigr_observed_seconds_total", **PROD_PING)
        assert seen == pytest.approx(observed)
    now = 15.0
    metrics.record(vary(PING, reason=Reason.TIMEOUT))
    assert value(text(metrics), "tigr_up", **PROD_PING) == 0
    metrics.remove("prod")
    assert value(text(metrics), "tigr_maintenance", environment="prod") is None


def test_a_reload_in_maintenance_counts_from_then_on(readings: FakeReadings) -> None:
    """Neither the time before a removed window ends nor the time before an added one begins is counted again."""
    now = 0.0
    metrics = Metrics(Clock(now=lambda: now, wall=lambda: 1000.0 + now))
    planned = replace(SETTINGS, maintenance=(MaintenanceWindow(900.0, 2000.0),))
    metrics.add(SETTINGS, readings)
    metrics.record(PING)
    for moment, settings in ((10.0, planned), (20.0, SETTINGS)):
        now = moment
        metrics.add(settings, readings)
    now = 25.0
    assert value(text(metrics), "tigr_observed_seconds_total", **PROD_PING) == pytest.approx(15.0)


def test_a_login_is_counted_by_its_cause(metrics: Metrics) -> None:
    """A failed login counts too."""
    metrics.record(vary(PING, endpoint=Endpoint.TOKEN, cause=LoginCause.EXPIRY, reason=Reason.TIMEOUT))
    assert value(text(metrics), "tigr_token_renewals_total", environment="prod", cause="expiry") == 1


def test_there_is_one_tls_version_at_a_time(metrics: Metrics) -> None:
    """The series is that of the most recent handshake."""
    metrics.record(vary(PING, tls_version="TLSv1.2"))
    metrics.record(vary(PING, tls_version="TLSv1.3"))
    assert len(series(text(metrics), "^tigr_tls_info")) == 1


def test_values_that_depend_on_time_are_computed_at_a_scrape(readings: FakeReadings, metrics: Metrics) -> None:
    """These are the headroom and the backoff."""
    readings.token = Token(value="x", lifetime=60.0, expires=0.0, expires_at=1060.0)
    readings.credentials_rejected = True
    seen = text(metrics)
    assert value(seen, "tigr_token_expiry_headroom_seconds", environment="prod") == 30
    assert value(seen, "tigr_token_expiry_timestamp_seconds", environment="prod") == 1060
    assert value(seen, "tigr_token_lifetime_seconds", environment="prod") == 60
    assert value(seen, "tigr_credentials_rejected", environment="prod") == 1
    assert value(seen, "tigr_backoff_seconds", **PROD_PING) == 7


def test_a_gauge_that_cannot_be_computed_is_missing(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """The other series are exported, and one line is logged without the text of the exception."""

    class Broken(FakeReadings):
        def headroom(self) -> float | None:
            raise RuntimeError("secret words")

    metrics.add(replace(SETTINGS, name="uat"), Broken())
    with caplog.at_level(logging.ERROR):
        text(metrics)
        seen = text(metrics)
    assert value(seen, "tigr_credentials_rejected", environment="uat") == 0
    assert value(seen, "tigr_backoff_seconds", environment="prod", endpoint="ping") == 7
    assert len(caplog.records) == 1
    assert "secret words" not in caplog.text


def test_a_gauge_that_can_be_computed_again_is_logged_once(
    readings: FakeReadings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later failure begins a new period."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(failure_period, "MIN_QUIET", 0.0)
    metrics = Metrics()
    metrics.add(SETTINGS, readings)

    def fail() -> float | None:
        raise RuntimeError("secret words")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(readings, "headroom", fail)
            text(metrics)
            text(metrics)
        text(metrics)
        text(metrics)
    assert caplog.messages == ["cannot compute a metric", "the metric can be computed again"] * 2


def test_a_removed_environment_has_no_series(metrics: Metrics, readings: FakeReadings) -> None:
    """A late Result does not add it again."""
    metrics.record(PING)
    metrics.remove("prod")
    metrics.record(PING)
    metrics.certificate_seen("prod", Endpoint.PING, 5.0)
    metrics.run_started("prod", Endpoint.PING, 0.1)
    metrics.runs_missed("prod", Endpoint.PING, 1)
    assert "prod" not in text(metrics)
    metrics.add(SETTINGS, readings)
    assert value(text(metrics), "tigr_requests_total", outcome="success", **PROD_PING) == 0


def test_new_settings_keep_the_counters(metrics: Metrics, readings: FakeReadings) -> None:
    """Hosts, intervals and the severity change; the series of the old hosts and severity ends."""
    metrics.record(PING)
    changes = {"api_url": "https://other.example/ClientAPI", "ping_interval": 10.0, "severity": Severity.CRITICAL}
    metrics.add(replace(SETTINGS, **changes), readings)  # type: ignore[arg-type]
    seen = text(metrics)
    assert value(seen, "tigr_requests_total", outcome="success", **PROD_PING) == 1
    assert value(seen, "tigr_interval_seconds", **PROD_PING) == 10
    assert list(series(seen, "^tigr_environment_info")) == [
        'tigr_environment_info{api_host="other.example",environment="prod",severity="critical",token_host="login.example"}'
    ]


def test_the_delay_of_a_run_and_missed_runs_are_exported(metrics: Metrics) -> None:
    """The delay is in seconds."""
    metrics.run_started("prod", Endpoint.PING, 0.25)
    metrics.runs_missed("prod", Endpoint.PING, 3)
    assert value(text(metrics), "tigr_schedule_delay_seconds", **PROD_PING) == 0.25
    assert value(text(metrics), "tigr_schedule_missed_total", **PROD_PING) == 3


def test_only_a_successful_reload_changes_its_timestamp(metrics: Metrics) -> None:
    """A failed reload sets the gauge to 0."""
    metrics.reloaded(1000.0)
    metrics.reloaded(None)
    assert value(text(metrics), "tigr_config_last_reload_successful") == 0
    assert value(text(metrics), "tigr_config_last_reload_success_timestamp_seconds") == 1000


@pytest.mark.parametrize("settings,web_config", [(True, True), (True, False), (False, True), (False, False)])
def test_the_reload_gauge_is_1_if_settings_and_web_configuration_are_in_force(
    metrics: Metrics,
    settings: bool,  # noqa: FBT001
    web_config: bool,  # noqa: FBT001
) -> None:
    """Neither success hides the failure of the other."""
    for _ in range(2):
        metrics.reloaded(1000.0 if settings else None)
        assert value(text(metrics), "tigr_config_last_reload_successful") in (settings, settings and web_config)
        metrics.web_configuration_read(success=web_config)
        assert value(text(metrics), "tigr_config_last_reload_successful") == (settings and web_config)


def test_the_buckets_are_fixed(metrics: Metrics) -> None:
    """The buckets of all versions are the same."""
    assert BUCKETS == (.005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 1.5, 2, 3, 5, 10, 30)  # fmt: skip
    assert len(series(text(metrics), '^tigr_request_duration_seconds_bucket.*"ping"')) == len(BUCKETS) + 1


def test_openmetrics_is_sent_to_clients_that_accept_it(metrics: Metrics) -> None:
    """The library's parser reads it, and neither format has `_created` series."""
    content_type, body = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert "tigr_requests" in [family.name for family in text_string_to_metric_families(body.decode())]  # type: ignore[no-untyped-call]
    assert "_created" not in body.decode() + text(metrics)


@pytest.mark.system
def test_promtool_reports_no_problem(metrics: Metrics, readings: FakeReadings) -> None:
    """It checks names, types and HELP texts of all metrics."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    readings.token = Token(value="x", lifetime=60.0, expires=0.0, expires_at=1060.0)
    metrics.record(vary(PING, phases={Phase.TLS: 0.1}, tls_version="TLSv1.3", clock_offset=0.0, certificate_expiry=1.0))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.render("")[1], capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_an_outage_has_the_start_of_its_first_failed_run(metrics: Metrics) -> None:
    """A retried exchange belongs to its run; an internal error starts no outage, and a success ends it."""
    name = "tigr_down_since_timestamp_seconds"
    metrics.record(vary(PING, started_at=900.0, reason=Reason.INTERNAL))
    assert value(text(metrics), name, **PROD_PING) is None
    metrics.record(vary(PING, started_at=1000.0, reason=Reason.UNAUTHORIZED, role=Role.RETRIED))
    metrics.record(vary(PING, started_at=1001.0, reason=Reason.UNAUTHORIZED))
    metrics.record(vary(PING, started_at=1030.0, reason=Reason.TIMEOUT))
    metrics.record(vary(PING, started_at=1060.0, reason=Reason.INTERNAL))
    assert value(text(metrics), name, **PROD_PING) == 1000.0
    metrics.record(vary(PING, started_at=1090.0))
    assert value(text(metrics), name, **PROD_PING) is None
    metrics.record(vary(PING, started_at=1120.0, reason=Reason.TIMEOUT))
    assert value(text(metrics), name, **PROD_PING) == 1120.0


def test_observed_and_down_time_are_computed_at_the_scrape(readings: FakeReadings) -> None:
    """They are exported as 0 from the start, and a new environment of the same name starts at 0 again."""
    now = 1000.0
    metrics = Metrics(Clock(now=lambda: now, wall=lambda: now))
    metrics.add(SETTINGS, readings)

    def observed() -> tuple[float | None, float | None]:
        seen = text(metrics)
        down = value(seen, "tigr_down_seconds_total", **PROD_PING)
        return value(seen, "tigr_observed_seconds_total", **PROD_PING), down

    assert observed() == (0, 0)
    metrics.probe_started("prod", Endpoint.PING)
    metrics.record(vary(PING, reason=Reason.TIMEOUT))
    now += 20.0
    assert observed() == (20, 20)
    metrics.probe_started("prod", Endpoint.PING)
    now += 2.0
    assert observed() == (20, 20)
    metrics.record(PING)
    assert observed() == (22, 20)
    metrics.remove("prod")
    metrics.add(SETTINGS, readings)
    assert observed() == (0, 0)


def test_a_move_removes_the_series_of_the_old_host(metrics: Metrics, readings: FakeReadings) -> None:
    """A change of anything else keeps them, and the other endpoint keeps its own."""
    for seen in (PING, make_result(Endpoint.TOKEN)):
        metrics.record(
            vary(
                seen,
                status=200,
                phases={Phase.TLS: 0.1},
                tls_version="TLSv1.3",
                clock_offset=1.0 if seen is PING else None,
                certificate_expiry=5.0,
                chain_expiry=4.0,
            )
        )
    metrics.add(replace(SETTINGS, ping_interval=7.0, api_url="https://api.example:8443/other"), readings)
    of_host = "^tigr_(certificate|tls_info|clock_offset|api_reachable|token_host_reachable|request_phase)"
    before = series(text(metrics), of_host)
    assert len(before) == 11
    metrics.add(replace(SETTINGS, api_url="https://elsewhere.example/ClientAPI"), readings)
    of_login = {name: value for name, value in before.items() if 'endpoint="token"' in name or "token_host" in name}
    assert len(of_login) == 5
    assert series(text(metrics), of_host) == of_login
    metrics.add(replace(SETTINGS, token_url="http://login.example/oauth/token"), readings)
    assert series(text(metrics), of_host) == {}


def test_the_state_of_the_old_host_is_not_observed_after_a_move(readings: FakeReadings) -> None:
    """The time before the move counts; nothing after it does until the first Result of the new host."""
    now = 1000.0
    metrics = Metrics(Clock(now=lambda: now, wall=lambda: now))
    metrics.add(SETTINGS, readings)
    metrics.record(PING)
    now += 10.0
    metrics.add(replace(SETTINGS, api_url="https://elsewhere.example/ClientAPI"), readings)
    now += 10.0
    assert value(text(metrics), "tigr_observed_seconds_total", **PROD_PING) == 10
    metrics.record(PING)
    now += 5.0
    assert value(text(metrics), "tigr_observed_seconds_total", **PROD_PING) == 15
