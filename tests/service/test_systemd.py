"""Notification of systemd on a real socket."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.service.systemd import SystemdNotifier
from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support.process import PATIENCE, Monitor, run, wait_for


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Yield the socket of systemd."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def environ(manager: socket.socket, **more: str) -> dict[str, str]:
    """Return the variables that systemd sets for the service."""
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def receive(manager: socket.socket) -> str:
    """Return the next message."""
    return manager.recv(4096).decode()


def wait_for_message(manager: socket.socket, text: str) -> None:
    """Receive messages until one contains `text`."""
    wait_for(lambda: text in receive(manager), f"systemd receives {text}")


def is_empty(manager: socket.socket) -> bool:
    """Return whether no message is waiting."""
    manager.setblocking(False)
    try:
        receive(manager)
    except BlockingIOError:
        return True
    return False


def test_messages_follow_the_protocol(manager: socket.socket) -> None:
    """The messages are ready, reloading with the monotonic time, and stopping."""
    notifier = SystemdNotifier(environ(manager))
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    assert receive(manager) == "READY=1"
    first, second = receive(manager).split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()
    assert receive(manager) == "STOPPING=1"


def test_an_abstract_address_is_supported() -> None:
    """A leading `@` stands for a zero byte."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        name = f"tigr-monitor-test-{os.getpid()}"
        sock.bind(f"\0{name}")
        sock.settimeout(PATIENCE)
        SystemdNotifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert receive(sock) == "READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/socket"])
def test_a_missing_socket_is_ignored(address: str) -> None:
    """Without systemd, or if its socket does not exist, no exception is raised."""
    SystemdNotifier({"NOTIFY_SOCKET": address} if address else {}).ready()


def test_the_watchdog_is_fed_until_a_job_stalls(manager: socket.socket) -> None:
    """No watchdog message is sent after a job stalled."""
    stalled: list[str] = []
    checks = 0

    def check() -> list[str]:
        nonlocal checks
        checks += bool(stalled)
        return stalled

    notifier = SystemdNotifier(environ(manager, WATCHDOG_USEC="100000"))
    notifier.report(lambda: "fine", check)
    for _ in range(3):
        wait_for_message(manager, "WATCHDOG=1")
    stalled.append("the ping job of prod")
    wait_for(lambda: checks >= 1, "the jobs were checked")
    while not is_empty(manager):
        pass
    before = checks
    wait_for(lambda: checks >= before + 3, "the jobs were checked again")
    assert is_empty(manager)
    notifier.stopping()


@pytest.mark.parametrize(
    "variables", [{"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {}]
)
def test_a_watchdog_of_another_process_is_not_fed(manager: socket.socket, variables: dict[str, str]) -> None:
    """WATCHDOG_PID is another process, or there is no valid limit."""
    checks: list[int] = []

    def check() -> list[str]:
        checks.append(1)
        return []

    notifier = SystemdNotifier(environ(manager, **variables))
    notifier.report(lambda: "fine", check)
    assert receive(manager) == "STATUS=fine"
    notifier.stopping()
    assert receive(manager) == "STOPPING=1"
    assert not checks


def test_a_long_status_is_cut_and_stays_one_line(manager: socket.socket) -> None:
    """A second line would be another message, and a datagram that is too long would be lost."""
    SystemdNotifier(environ(manager)).start_failed("a setting is wrong:\nREADY=1 " + "x" * 100_000)
    text = receive(manager)
    assert text.startswith("STATUS=a setting is wrong: READY=1 xxx")
    assert len(text) < 2000


def test_wrong_settings_are_reported(manager: socket.socket) -> None:
    """`systemctl status` shows them."""
    assert run(["run"], environ(manager)).returncode == 2
    assert "TIGR_ENVIRONMENTS__PROD__PASSWORD: is missing" in receive(manager)


def test_the_daemon_reports_from_its_start_to_its_end(manager: socket.socket, tmp_path: Path) -> None:
    """READY follows when the web server responds; then come the status, a reload and the end."""
    with Simulator() as simulator:
        settings = simulator.settings() | {"TIGR_PING_INTERVAL": "1s", "TIGR_STATE_DIR": str(tmp_path)}
        with Monitor(settings | environ(manager, WATCHDOG_USEC="2000000"), tmp_path) as monitor:
            assert receive(manager) == "READY=1"
            assert monitor.responds()
            wait_for_message(manager, "STATUS=prod up, token ")
            wait_for_message(manager, "WATCHDOG=1")
            simulator.environment("prod").api_faults.set(Status(500))
            wait_for_message(manager, "prod PING FAILING (server_error), token ")
            monitor.process.send_signal(signal.SIGHUP)
            wait_for_message(manager, "RELOADING=1\nMONOTONIC_USEC=")
            wait_for_message(manager, "READY=1")
            assert monitor.stop() == 0
            wait_for_message(manager, "STOPPING=1")


def test_the_daemon_reports_rejected_credentials(manager: socket.socket, tmp_path: Path) -> None:
    """The status has the time of the next attempt in UTC."""
    with Simulator() as simulator:
        settings = simulator.settings() | {"TIGR_ENVIRONMENTS__UAT__PASSWORD": "wrong"}
        with Monitor(settings | environ(manager), tmp_path):
            wait_for_message(manager, "uat LOGIN REJECTED, next try ")
