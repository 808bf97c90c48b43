"""Planned maintenance of the daemon: a window that begins and ends, and reloads that add and remove one."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.service.test_daemon import PROD_PING, PROD_TOKEN, files
from tests.support.harness import value
from tests.support.process import PATIENCE, Monitor, wait_for

pytestmark = pytest.mark.once

LENGTH = 10.0  # seconds of a window that ends during the test
SLACK = 2.0  # seconds of a probe that is in flight at a scrape, and is added later
BEGUN, ENDED = "prod: planned maintenance until ", "prod: planned maintenance has ended"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments."""
    with Simulator() as running:
        yield running


def plan(config: Path, begin: float, end: float) -> None:
    """Add a window of prod (Unix seconds) to the configuration file."""
    times = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (begin, end))
    with config.open("a") as file:
        file.write('\n[[maintenance]]\nenvironment = "prod"\nbegin = {}\nend = {}\n'.format(*times))


def test_a_window_begins_and_ends_while_the_daemon_runs(simulator: Simulator, tmp_path: Path) -> None:
    """The metric changes, the begin and the end have one log line each, and both counters leave the window out."""
    simulator.environment("prod").api_faults.set(Status(503))
    environ = files(simulator, tmp_path)
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(0, "tigr_up", **PROD_PING)
        monitor.wait_for(1, "tigr_up", **PROD_TOKEN)
        begin = time.time() + 3.0
        plan(Path(environ["TIGR_CONFIG_FILE"]), begin, begin + LENGTH)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: new settings are in force")
        started, before = time.time(), monitor.metrics()
        monitor.wait_for(1, "tigr_maintenance", environment="prod")
        assert monitor.value("tigr_maintenance", environment="uat") == 0
        monitor.wait_for_log(BEGUN)
        wait_for(lambda: time.time() > begin + LENGTH + 1.0, "the window is over")
        monitor.wait_for(0, "tigr_maintenance", environment="prod")
        monitor.wait_for_log(ENDED)
        after, elapsed = monitor.metrics(), time.time() - started
        assert (monitor.log().count(BEGUN), monitor.log().count(ENDED)) == (1, 1)
        assert "uat: planned maintenance" not in monitor.log()
    planned = begin + LENGTH - max(begin, started)  # the part of the window between the two scrapes
    for endpoint in (PROD_PING, PROD_TOKEN):
        for name in ("tigr_observed_seconds_total", "tigr_down_seconds_total"):
            advanced = number(after, name, **endpoint) - number(before, name, **endpoint)
            assert 0 <= advanced <= elapsed - planned + SLACK


def number(text: str, name: str, **labels: str) -> float:
    """Return the value of a series that exists."""
    seen = value(text, name, **labels)
    assert seen is not None
    return seen


def test_a_reload_adds_and_removes_a_window(simulator: Simulator, tmp_path: Path) -> None:
    """Both take effect at once, and probes go on in the window; a wrong window leaves the previous ones in force."""
    environ = files(simulator, tmp_path)
    config = Path(environ["TIGR_CONFIG_FILE"])
    plain, now = config.read_text(), time.time()
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert monitor.value("tigr_maintenance", environment="prod") == 0
        pings = simulator.log.requests("prod", "api")
        plan(config, now - 60.0, now + 7200.0)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_maintenance", environment="prod")
        monitor.wait_for_log(BEGUN)
        plan(config, now, now + 60.0)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("maintenance 2 in")
        monitor.wait_for(0, "tigr_config_last_reload_successful")
        assert monitor.value("tigr_maintenance", environment="prod") == 1
        simulator.log.wait_for_requests(pings + 2, environment="prod", host="api")
        config.write_text(plain)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(0, "tigr_maintenance", environment="prod")
        monitor.wait_for_log(ENDED)
        assert (monitor.log().count(BEGUN), monitor.log().count(ENDED)) == (1, 1)


def test_a_daemon_that_starts_in_a_window_logs_and_shows_it(simulator: Simulator, tmp_path: Path) -> None:
    """The status line of systemd has its end."""
    environ = files(simulator, tmp_path)
    now = time.time()
    plan(Path(environ["TIGR_CONFIG_FILE"]), now - 60.0, now + 7200.0)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        notify = {"NOTIFY_SOCKET": manager.getsockname()}
        with Monitor(environ | notify, tmp_path) as monitor:
            monitor.wait_for_log(BEGUN)
            assert monitor.value("tigr_maintenance", environment="prod") == 1
            wait_for(
                lambda: "prod up, " in (text := manager.recv(4096).decode()) and ", planned maintenance until " in text,
                "the status line shows the maintenance",
            )
