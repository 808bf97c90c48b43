"""The documented comparison with blackbox_exporter, on the real one, and the monitor with a wrong password."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from tests.support.blackbox import PROGRAM, running
from tests.support.harness import series
from tests.support.process import Monitor, get, wait_for

pytestmark = pytest.mark.system
PROBES = 3


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield one environment that accepts both field names, because the exporter sends only `username`."""
    with Simulator(("prod",)) as running:
        prod = running.environment("prod")
        prod.latency = 0.0
        prod.field_names = "either"
        yield running


@contextmanager
def exporter(simulator: Simulator, directory: Path, password: str) -> Iterator[int]:
    """Run the exporter with a login with this password; yield its port."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")
    prod = simulator.environment("prod")
    tls = {"ca_file": str(simulator.ca_file)}
    form = {"grant_type": "password", "username": prod.credentials.username, "password": password}
    login = {
        "client_id": prod.credentials.client_id,
        "client_secret": prod.credentials.client_secret,
        "token_url": prod.token_url,
        "endpoint_params": form,
        "tls_config": tls,
    }
    with running({"tigr": {"prober": "http", "http": {"oauth2": login, "tls_config": tls}}}, directory) as (port, _):
        yield port


def probe(port: int, simulator: Simulator) -> str:
    """Probe once and return the metrics."""
    return get(port, f"/probe?module=tigr&target={simulator.environment('prod').api_url}/api/system/ping")[1]


def test_the_exporter_requests_a_token_at_every_probe(simulator: Simulator, tmp_path: Path) -> None:
    """The exporter logs in at every probe, although the token is valid for an hour."""
    with exporter(simulator, tmp_path, simulator.environment("prod").credentials.password) as port:
        assert all("probe_success 1" in probe(port, simulator) for _ in range(PROBES))
    assert simulator.log.requests("prod", "token") == PROBES


def test_the_exporter_sends_a_wrong_password_twice_per_probe(simulator: Simulator, tmp_path: Path) -> None:
    """The exporter sends two logins per probe, and its metrics do not show that the password is wrong."""
    with exporter(simulator, tmp_path, "wrong") as port:
        metrics = [probe(port, simulator) for _ in range(PROBES)]
    assert simulator.log.requests("prod", "token") == 2 * PROBES
    assert series(metrics[-1], "^probe_(success|http_status_code)$") == {
        "probe_success": 0,
        "probe_http_status_code": 0,
    }


def test_the_monitor_sends_a_wrong_password_twice_at_first_contact(simulator: Simulator, tmp_path: Path) -> None:
    """The monitor sends no further login before its pause ends, and a metric shows the cause."""
    settings = {"TIGR_PING_INTERVAL": "1s", "TIGR_ENVIRONMENTS__PROD__PASSWORD": "certainly wrong"}
    with Monitor(simulator.settings() | settings, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_credentials_rejected", environment="prod")
        no_token = {"environment": "prod", "endpoint": "ping", "outcome": "no_token"}
        wait_for(lambda: (monitor.value("tigr_requests_total", **no_token) or 0) >= PROBES, "three pings")
    assert simulator.log.requests("prod", "token") == 2


def test_the_exporter_shows_the_password_on_a_page(simulator: Simulator, tmp_path: Path) -> None:
    """The configuration page of the exporter contains the password."""
    password = simulator.environment("prod").credentials.password
    with exporter(simulator, tmp_path, password) as port:
        assert password in get(port, "/config")[1]
