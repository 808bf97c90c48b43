"""Reloads that are refused: the old settings stay in force, it shows, and a later reload works."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.config.settings import Settings, load
from monitor.errors import ConfigError
from monitor.service.trust import load_trust
from monitor.simulator import Simulator
from tests.machine.test_files import FILE_TYPES, replaced
from tests.service.test_daemon import FAST, PROD_PING, files
from tests.support.process import Monitor, wait_for
from tests.support.web import settle

pytestmark = pytest.mark.once

SUCCESSFUL = "tigr_config_last_reload_successful"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments."""
    with Simulator() as running:
        yield running


def pinged(monitor: Monitor) -> float:
    """Return the number of successful pings."""
    return monitor.value("tigr_requests_total", outcome="success", **PROD_PING) or 0


def reload(monitor: Monitor, success: int) -> None:
    """Send SIGHUP and wait for the outcome."""
    monitor.process.send_signal(signal.SIGHUP)
    monitor.wait_for(success, SUCCESSFUL)


def refusals_are(monitor: Monitor, number: int) -> bool:
    """Return whether this number of reloads was refused."""
    return monitor.log().count("the old settings stay in force") == number


def test_a_configuration_that_is_no_regular_file_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    """Each reload is refused with one clear message, and the next one with a regular file works."""
    environ = files(simulator, tmp_path)
    config = Path(environ["TIGR_CONFIG_FILE"])
    content = config.read_bytes()
    with Monitor(environ, tmp_path) as monitor:
        for number, file_type in enumerate(FILE_TYPES, 1):
            with replaced(config, file_type) as reason:
                monitor.process.send_signal(signal.SIGHUP)
                refused = functools.partial(refusals_are, monitor, number)
                wait_for(refused, f"the refusal of a {file_type}")
            assert monitor.value(SUCCESSFUL) == 0
            monitor.wait_for_log(f"TIGR_CONFIG_FILE: cannot read {config}: {reason}")
            if config.is_dir():
                config.rmdir()
            else:
                config.unlink()
        config.write_bytes(content)
        reload(monitor, 1)
        assert monitor.log().count("level=error") == 2 * len(FILE_TYPES)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_is_gone_leaves_the_old_one_in_force(
    content: bytes | None, simulator: Simulator, tmp_path: Path
) -> None:
    """Pings go on, and a reload with the CA file works."""
    ca_file = Path(shutil.copy(simulator.ca_file, tmp_path / "ca.pem"))
    with Monitor(simulator.settings() | FAST | {"TIGR_CA_FILE": str(ca_file)}, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        ca_file.unlink()
        if content is not None:
            ca_file.write_bytes(content)
        reload(monitor, 0)
        before = pinged(monitor)
        wait_for(lambda: pinged(monitor) >= before + 2, "two pings")
        assert monitor.value("tigr_up", **PROD_PING) == 1
        shutil.copy(simulator.ca_file, ca_file)
        reload(monitor, 1)


@pytest.mark.parametrize("emptied", [False, True])
def test_missing_trust_anchors_of_the_system_leave_the_old_ones_in_force(
    emptied: bool,  # noqa: FBT001 - a parameter of the test
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """The file of SSL_CERT_FILE is missing or empty, as while a package is replaced."""
    anchors = Path(shutil.copy(simulator.ca_file, tmp_path / "anchors.pem"))
    environ = simulator.settings() | FAST | {"SSL_CERT_FILE": str(anchors), "SSL_CERT_DIR": str(tmp_path / "none")}
    del environ["TIGR_CA_FILE"]
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        anchors.unlink()
        if emptied:
            anchors.touch()
        reload(monitor, 0)
        monitor.wait_for_log("the CA certificates of the system are gone")
        before = pinged(monitor)
        wait_for(lambda: pinged(monitor) >= before + 2, "two pings")
        assert monitor.value("tigr_up", **PROD_PING) == 1
        shutil.copy(simulator.ca_file, anchors)
        reload(monitor, 1)


def test_trust_anchors_are_never_exchanged_for_none(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any before, none are demanded. Each source of anchors counts."""
    anchors = Path(shutil.copy(simulator.ca_file, tmp_path / "anchors.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(anchors))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with_file, without_file = settings(simulator, ca_file=True), settings(simulator, ca_file=False)
    complete, system = load_trust(with_file), load_trust(without_file)
    anchors.unlink()
    for before in (complete, system):
        for new in (with_file, without_file):
            with pytest.raises(ConfigError, match="the CA certificates of the system are gone"):
                load_trust(new, before)
    only_file = load_trust(with_file)
    assert load_trust(with_file, only_file).has_anchors
    with pytest.raises(ConfigError, match="TIGR_CA_FILE: is not set, and the system has no CA certificates"):
        load_trust(without_file, only_file)
    none = load_trust(without_file)
    assert not none.has_anchors
    assert load_trust(with_file, none).has_anchors


def settings(simulator: Simulator, *, ca_file: bool) -> Settings:
    """Return settings with or without the CA file of the simulator."""
    environ = simulator.settings()
    if not ca_file:
        del environ["TIGR_CA_FILE"]
    return load(environ, run_secrets=Path("/nonexistent")).settings


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Yield the socket of systemd."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


def wait_for_status(manager: socket.socket, start: str) -> str:
    """Receive messages until one has a status line with this start; return the rest of the line."""
    messages: list[str] = []

    def arrived() -> bool:
        messages.append(manager.recv(4096).decode())
        return messages[-1].startswith(f"STATUS={start}")

    wait_for(arrived, f"the status line begins with {start}")
    return messages[-1].removeprefix(f"STATUS={start}")


def test_the_status_line_shows_a_refused_reload(simulator: Simulator, tmp_path: Path, manager: socket.socket) -> None:
    """The text stays until a reload succeeds; the state of the environments follows it."""
    environ = files(simulator, tmp_path) | {"NOTIFY_SOCKET": manager.getsockname()}
    config = Path(environ["TIGR_CONFIG_FILE"])
    content = config.read_bytes()
    with Monitor(environ, tmp_path) as monitor:
        wait_for_status(manager, "prod up")
        config.unlink()
        monitor.process.send_signal(signal.SIGHUP)
        assert "; prod up" in wait_for_status(manager, "RELOAD FAILED, the old settings are in force")
        config.write_bytes(content)
        monitor.process.send_signal(signal.SIGHUP)
        wait_for_status(manager, "prod up")


def test_a_refused_web_configuration_shows_in_metric_and_status_line(
    simulator: Simulator, tmp_path: Path, manager: socket.socket
) -> None:
    """The daemon reads the file again by itself; a successful reload of the settings does not hide its failure."""
    web = tmp_path / "web.yml"
    web.write_text("http_server_config: {headers: {X-XSS-Protection: '0'}}")
    settle(web)
    environ = files(simulator, tmp_path, web_config_file=str(web)) | {"NOTIFY_SOCKET": manager.getsockname()}
    with Monitor(environ, tmp_path) as monitor:
        wait_for_status(manager, "prod up")
        web.write_text("basic_auth_user: {}")
        settle(web)
        assert "; prod up" in wait_for_status(manager, "WEB CONFIGURATION NOT RELOADED, the previous one is in force")
        assert monitor.value(SUCCESSFUL) == 0
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: ")
        assert monitor.value(SUCCESSFUL) == 0
        web.unlink()
        os.mkfifo(web)  # the settings name it, so they are refused too
        monitor.process.send_signal(signal.SIGHUP)
        wait_for_status(manager, "RELOAD FAILED, the old settings are in force; WEB CONFIGURATION NOT RELOADED")
        web.unlink()
        web.write_text("http_server_config: {}")
        settle(web)
        monitor.process.send_signal(signal.SIGHUP)
        wait_for_status(manager, "prod up")
        assert monitor.value(SUCCESSFUL) == 1
