"""Logins of the daemon as a process: rejected passwords, signals, restarts and dead token hosts."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.simulator import CertificateVariant, Simulator
from monitor.simulator.faults import Certificate, Hang, HostFault, Moment, Refuse, Reset, Slow, Status
from tests.service.test_daemon import FAST, PROD_PING, PROD_TOKEN
from tests.support.canaries import CANARIES, simulator_with_canaries
from tests.support.process import Monitor, clean, status, wait_for

pytestmark = pytest.mark.once

ONE = {"TIGR_ENVIRONMENTS__UAT__ENABLED": "false"}
WRONG = ONE | {"TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments with canaries as secrets."""
    with simulator_with_canaries() as running:
        yield running


def wait_for_pings(monitor: Monitor, times: int) -> None:
    """Wait until `times` more pings have been recorded, with or without a token."""

    def attempts() -> float:
        lines = monitor.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('tigr_requests_total{endpoint="ping"'))

    before = attempts()
    wait_for(lambda: attempts() >= before + times, f"{times} pings were recorded")


@pytest.mark.parametrize("retry_after", ["0", "Thu, 01 Jan 1970 00:00:00 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_in_the_past_causes_no_burst_of_logins(
    status: int, retry_after: str, simulator: Simulator, tmp_path: Path
) -> None:
    """The following logins start at least a ping interval apart."""
    simulator.environment("prod").token_faults.set(Status(status, headers={"Retry-After": retry_after}))
    logging = {"TIGR_LOG_LEVEL": "debug", "TIGR_LOG_FORMAT": "json"}
    with Monitor(simulator.settings() | FAST | ONE | logging, tmp_path) as monitor:
        monitor.wait_for(0, "tigr_up", **PROD_TOKEN)
        wait_for_pings(monitor, 4)
        monitor.stop()
        records = [json.loads(line) for line in monitor.log().splitlines()]
    # The monitor's own times, because a busy machine may delay one request more than the next one.
    starts = {record["started_at"] for record in records if record.get("endpoint") == "token" and "duration" in record}
    moments = sorted(dt.datetime.fromisoformat(start).timestamp() for start in starts)
    assert len(moments) == simulator.log.requests("prod", "token")
    assert all(later - earlier > 0.99 for earlier, later in itertools.pairwise(moments))


def test_a_wrong_password_stops_logins_until_an_operator_acts(simulator: Simulator, tmp_path: Path) -> None:
    """With a limit of two, a first contact stops logins. A reload and a signal each allow one, a restart none."""
    prod = simulator.environment("prod")
    right = prod.credentials
    prod.change_password()
    state = {"TIGR_STATE_DIR": str(tmp_path), "TIGR_REJECTED_LOGINS": "2"}
    with Monitor(simulator.settings() | FAST | WRONG | state, tmp_path) as monitor:
        monitor.wait_for(float("inf"), "tigr_backoff_seconds", **PROD_TOKEN)
        monitor.wait_for_log("credentials rejected, logins have stopped")
        wait_for_pings(monitor, 3)
        assert len(simulator.log.records("prod", "token")) == 2
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("prod: the reload allows one login with the rejected credentials")
        wait_for(lambda: len(simulator.log.records("prod", "token")) == 4, "both field names were sent")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("prod: logins stay suppressed: a reload has allowed one login already")
    with Monitor(simulator.settings() | FAST | WRONG | state, tmp_path) as monitor:
        monitor.wait_for_log("prod: logins have stopped: these credentials were rejected before this start")
        monitor.wait_for(1, "tigr_credentials_rejected", environment="prod")
        assert monitor.get("/-/ready")[0] == 200
        wait_for_pings(monitor, 3)
        assert len(simulator.log.records("prod", "token")) == 4
        prod.credentials = right
        monitor.process.send_signal(signal.SIGUSR1)
        monitor.wait_for_log("prod: SIGUSR1 allows one login")
        monitor.wait_for(1, "tigr_up", **PROD_TOKEN)
        monitor.wait_for(0, "tigr_credentials_rejected", environment="prod")
        monitor.wait_for(0, "tigr_backoff_seconds", **PROD_TOKEN)
        monitor.process.send_signal(signal.SIGUSR1)
        monitor.wait_for_log("SIGUSR1: no login is delayed")


def test_a_loop_of_restarts_before_a_slow_refusal_sends_the_password_twice(
    simulator: Simulator, tmp_path: Path
) -> None:
    """The record of a login is on disk before its request is sent, so each start has the count of the earlier ones."""
    prod = simulator.environment("prod")
    prod.change_password()
    prod.token_faults.set(Slow(30))
    slow = simulator.settings() | FAST | WRONG | {"TIGR_STATE_DIR": str(tmp_path), "TIGR_TIMEOUT": "1m"}
    for start in range(1, 6):
        with Monitor(slow, tmp_path) as monitor:
            if start == 1:
                wait_for(lambda: len(simulator.log.records("prod", "token")) == 1, "the login was sent")
            elif start == 2:
                wait_for(lambda: len(simulator.log.records("prod", "token")) == 2, "the login was sent")
            else:
                monitor.wait_for_log("logins are suppressed until")
                monitor.wait_for_log("earlier logins got no response")
            monitor.process.kill()
    assert len(simulator.log.records("prod", "token")) == 2


@pytest.mark.parametrize(
    "fault,reason",
    [
        (Refuse(), "connect"),
        (Reset(Moment.HANDSHAKE), "tls"),
        (Hang(), "timeout"),
        (Certificate(CertificateVariant.EXPIRED), "certificate"),
    ],
)
def test_a_dead_token_host_fails_a_login_soon(
    fault: HostFault, reason: str, simulator: Simulator, tmp_path: Path
) -> None:
    """The connection check detects it, and a login has the reason, although the next one was due in an hour."""
    settings = simulator.settings() | FAST | ONE | {"TIGR_AUTH_INTERVAL": "1h"}
    if reason == "timeout":
        settings["TIGR_TIMEOUT"] = "1s"
    with Monitor(settings, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        monitor.wait_for(1, "tigr_token_host_reachable", environment="prod")
        logins = len(simulator.log.records("prod", "token"))
        simulator.environment("prod").token_faults.set(fault)
        monitor.wait_for(0, "tigr_token_host_reachable", environment="prod")
        monitor.wait_for(0, "tigr_up", **PROD_TOKEN)
        monitor.wait_for(1, "tigr_failure", reason=reason, **PROD_TOKEN)
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert monitor.value("tigr_token_renewals_total", environment="prod", cause="scheduled")
    assert len(simulator.log.records("prod", "token")) == logins


def test_the_check_of_the_token_host_can_be_turned_off(simulator: Simulator, tmp_path: Path) -> None:
    """Without the check the token host receives only logins."""
    settings = simulator.settings() | FAST | ONE | {"TIGR_AUTH_INTERVAL": "1h", "TIGR_TOKEN_HOST_CHECK": "off"}
    with Monitor(settings, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        wait_for_pings(monitor, 3)
    assert simulator.log.connections("prod", "token") == 1


def test_signals_during_the_start_do_not_end_the_process(simulator: Simulator) -> None:
    """SIGHUP and SIGUSR1 that come before the state has been read are kept for later."""
    script = (
        "import os, signal, sys; from monitor import cli; from monitor.service import daemon; "
        "kill = lambda number: os.kill(os.getpid(), number); "
        "daemon._state = lambda _: (kill(signal.SIGHUP), kill(signal.SIGUSR1), sys.exit(7)); cli.main(['run'])"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=clean(simulator.settings()), timeout=120, check=False)
    assert ended.returncode == 7


def test_many_signals_during_a_login_are_handled_at_once(simulator: Simulator, tmp_path: Path) -> None:
    """Any number of signals adds no thread, and a reload and a request for a login are handled during the login."""
    prod = simulator.environment("prod")
    prod.token_faults.set(Slow(3))
    with Monitor(simulator.settings() | FAST | ONE | {"TIGR_TIMEOUT": "1m"}, tmp_path) as monitor:
        wait_for(lambda: len(simulator.log.records("prod", "token")) == 1, "the login has left")
        before = int(status(monitor.process.pid)["Threads"])
        for number in (signal.SIGHUP, signal.SIGUSR1) * 40:
            monitor.process.send_signal(number)
            monitor.responds()  # the kernel joins pending signals of one kind: let the process take this one
        assert int(status(monitor.process.pid)["Threads"]) < before + 20
        monitor.wait_for_log("reloaded: ")
        monitor.wait_for_log("if the next one is delayed, SIGUSR1 allows it")
