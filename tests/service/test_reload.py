"""Reloads of the daemon while exchanges are in progress, and after a move to another host."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import HangAfterHandshake
from tests.service.test_daemon import PROD_PING, PROD_TOKEN, files
from tests.support.harness import series
from tests.support.process import Monitor, wait_for

pytestmark = pytest.mark.once

UAT_PING = {"environment": "uat", "endpoint": "ping"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments."""
    with Simulator() as running:
        yield running


def test_a_reload_adds_an_environment_while_the_login_of_another_hangs(simulator: Simulator, tmp_path: Path) -> None:
    """Its Results are recorded at once, and later reloads and login requests are not delayed either."""
    simulator.environment("prod").token_faults.set(HangAfterHandshake())
    environ = files(simulator, tmp_path, timeout="60s")
    config = Path(environ["TIGR_CONFIG_FILE"])
    complete = config.read_text()
    config.write_text(complete.replace("[environments.uat]", "[environments.uat]\nenabled = false"))
    with Monitor(environ, tmp_path) as monitor:
        simulator.log.wait_for_requests(1, environment="prod", host="token")
        config.write_text(complete)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_up", **UAT_PING)
        monitor.wait_for_log("reloaded: new settings are in force")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: no changes")
        monitor.process.send_signal(signal.SIGUSR1)
        monitor.wait_for_log("prod: a login is in progress")
        assert simulator.log.requests("prod", "token") == 1
        assert monitor.value("tigr_up", **PROD_TOKEN) is None


def test_the_series_of_the_old_host_end_with_a_move(simulator: Simulator, tmp_path: Path) -> None:
    """The new host sends no response yet, so nothing describes it; the counters keep their values."""
    environ = files(simulator, tmp_path)
    config = Path(environ["TIGR_CONFIG_FILE"])
    of_host = "^tigr_(certificate_expiry|tls_info|clock_offset|api_reachable).*prod"
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert len(series(monitor.metrics(), of_host)) == 6
        uat = simulator.environment("uat")
        uat.api_faults.set(HangAfterHandshake())
        prod = simulator.environment("prod")
        config.write_text(
            config.read_text()
            .replace(f'"{prod.api_url}"', f'"{uat.api_url}"')
            .replace('timeout = "1s"', 'timeout = "60s"')
        )
        pings = monitor.value("tigr_requests_total", outcome="success", **PROD_PING)
        assert pings
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: new settings are in force")
        remaining = series(monitor.metrics(), of_host)
        assert not [name for name in remaining if "clock" in name or "reachable" in name or 'endpoint="ping"' in name]
        assert (monitor.value("tigr_requests_total", outcome="success", **PROD_PING) or 0) >= pings
        uat.api_faults.clear()


def test_a_removed_environment_leaves_no_series_when_its_request_ends(simulator: Simulator, tmp_path: Path) -> None:
    """It is removed and added again while the login hangs; the late Result belongs to neither."""
    simulator.environment("uat").token_faults.set(HangAfterHandshake(), times=1)
    environ = files(simulator, tmp_path, timeout="3s")
    config = Path(environ["TIGR_CONFIG_FILE"])
    complete = config.read_text()
    with Monitor(environ, tmp_path) as monitor:
        simulator.log.wait_for_requests(1, environment="uat", host="token")
        config.write_text(complete.replace("[environments.uat]", "[environments.uat]\nenabled = false"))
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: 'environment="uat"' not in monitor.metrics(), "uat has no series")
        config.write_text(complete)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_up", **UAT_PING)
        assert monitor.value("tigr_requests_total", outcome="timeout", environment="uat", endpoint="token") == 0
