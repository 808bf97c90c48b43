"""What systemd is told, on a real socket."""

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
from tests.support.process import Monitor, run, wait_for

LIMIT = 10.0  # seconds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The end that systemd holds."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(LIMIT)
        yield sock


def environ(manager: socket.socket, **more: str) -> dict[str, str]:
    """What systemd gives to the service."""
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def heard(manager: socket.socket) -> str:
    """The next message."""
    return manager.recv(4096).decode()


def wait_to_hear(manager: socket.socket, text: str) -> None:
    """Read on until a message has that."""
    wait_for(lambda: text in heard(manager), f"systemd hears {text}")


def silent(manager: socket.socket) -> bool:
    """Whether nothing lies there."""
    manager.setblocking(False)
    try:
        heard(manager)
    except BlockingIOError:
        return True
    return False


def test_says_what_happens_in_the_words_of_the_protocol(manager: socket.socket) -> None:
    """Ready, reloading with the time of the monotonic clock, stopping."""
    notifier = SystemdNotifier(environ(manager))
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    assert heard(manager) == "READY=1"
    first, second = heard(manager).split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()
    assert heard(manager) == "STOPPING=1"


def test_knows_abstract_addresses() -> None:
    """An @ at the beginning stands for a zero byte."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        name = f"tigr-monitor-test-{os.getpid()}"
        sock.bind(f"\0{name}")
        sock.settimeout(LIMIT)
        SystemdNotifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(sock) == "READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/socket"])
def test_goes_on_where_nobody_listens(address: str) -> None:
    """Outside of systemd, or when its socket is gone, nothing is raised."""
    SystemdNotifier({"NOTIFY_SOCKET": address} if address else {}).ready()


def test_answers_the_watchdog_while_nothing_stalls(manager: socket.socket) -> None:
    """It is answered again and again, and not once more after a job stalled."""
    stalled: list[str] = []
    asked_since = 0

    def question() -> list[str]:
        nonlocal asked_since
        asked_since += bool(stalled)
        return stalled

    notifier = SystemdNotifier(environ(manager, WATCHDOG_USEC="100000"))
    notifier.report(lambda: "fine", question)
    for _ in range(3):
        wait_to_hear(manager, "WATCHDOG=1")
    stalled.append("the ping job of prod")
    wait_for(lambda: asked_since >= 1, "it was asked")
    while not silent(manager):
        pass
    before = asked_since
    wait_for(lambda: asked_since >= before + 3, "it was asked again")
    assert silent(manager)
    notifier.stopping()


@pytest.mark.parametrize(
    "asked", [{"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {}]
)
def test_leaves_a_watchdog_alone_that_asks_another(manager: socket.socket, asked: dict[str, str]) -> None:
    """The process that WATCHDOG_PID names is not this one, or nothing was asked."""
    questions: list[int] = []

    def question() -> list[str]:
        questions.append(1)
        return []

    notifier = SystemdNotifier(environ(manager, **asked))
    notifier.report(lambda: "fine", question)
    assert heard(manager) == "STATUS=fine"
    notifier.stopping()
    assert heard(manager) == "STOPPING=1"
    assert not questions


def test_a_long_status_is_cut_and_stays_one_line(manager: socket.socket) -> None:
    """A second line would be an order of its own, and a datagram that is too long would be lost."""
    SystemdNotifier(environ(manager)).start_failed("a setting is wrong:\nREADY=1 " + "x" * 100_000)
    text = heard(manager)
    assert text.startswith("STATUS=a setting is wrong: READY=1 xxx")
    assert len(text) < 2000


def test_wrong_settings_are_told(manager: socket.socket) -> None:
    """`systemctl status` has them, with what to do, even when the log is long."""
    assert run(["run"], environ(manager)).returncode == 2
    assert "TIGR_ENVIRONMENTS__PROD__PASSWORD: is missing" in heard(manager)


def test_the_daemon_tells_from_its_start_to_its_end(manager: socket.socket, tmp_path: Path) -> None:
    """READY comes once the pages answer; then the status in words, a reload, and the end."""
    with Simulator() as simulator:
        settings = simulator.settings() | {"TIGR_PING_INTERVAL": "1s", "TIGR_STATE_DIR": str(tmp_path)}
        with Monitor(settings | environ(manager, WATCHDOG_USEC="2000000"), tmp_path) as monitor:
            assert heard(manager) == "READY=1"
            assert monitor.responds()
            wait_to_hear(manager, "STATUS=prod up, token ")
            wait_to_hear(manager, "WATCHDOG=1")
            simulator.environment("prod").api_faults.set(Status(500))
            wait_to_hear(manager, "prod PING FAILING (server_error), token ")
            monitor.process.send_signal(signal.SIGHUP)
            wait_to_hear(manager, "RELOADING=1\nMONOTONIC_USEC=")
            wait_to_hear(manager, "READY=1")
            assert monitor.stop() == 0
            wait_to_hear(manager, "STOPPING=1")


def test_the_daemon_says_when_credentials_are_rejected(manager: socket.socket, tmp_path: Path) -> None:
    """With the time of the next try, in UTC."""
    with Simulator() as simulator:
        settings = simulator.settings() | {"TIGR_ENVIRONMENTS__UAT__PASSWORD": "wrong"}
        with Monitor(settings | environ(manager), tmp_path):
            wait_to_hear(manager, "uat LOGIN REJECTED, next try ")
