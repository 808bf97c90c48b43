"""The control socket of the real daemon, and the commands that use it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.service.test_daemon import FAST, PROD_PING, files
from tests.support.call import call
from tests.support.canaries import leaks, simulator_with_canaries, values
from tests.support.process import PATIENCE, Monitor, clean, command, run, wait_for

pytestmark = pytest.mark.once


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments with canaries as secrets."""
    with simulator_with_canaries() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the socket."""
    return tmp_path / "control.sock"


def called(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that uses the socket, without any setting."""
    return call([*arguments, "--socket", str(path)], {})


def test_a_reload_waits_for_its_outcome(simulator: Simulator, tmp_path: Path, path: Path) -> None:
    """New settings are in force when the command ends; wrong ones change nothing, and it prints every problem."""
    environ = files(simulator, tmp_path) | {"TIGR_CONTROL_SOCKET": str(path)}
    config = Path(environ["TIGR_CONFIG_FILE"])
    content = config.read_text()
    with Monitor(environ, tmp_path) as monitor:
        assert called(path, "reload").stdout.startswith("no changes; the configuration file and the secret files")
        config.write_text(content.replace('ping_interval = "1s"', 'ping_interval = "2s"'))
        changed = called(path, "reload")
        assert (changed.returncode, changed.stdout) == (0, "new settings are in force\n")
        assert monitor.value("tigr_interval_seconds", **PROD_PING) == 2
        config.write_text(content.replace('ping_interval = "1s"', 'ping_interval = "often"\nproxyy = "none"'))
        refused = called(path, "reload")
        assert (refused.returncode, refused.stdout) == (1, "")
        first, *problems = refused.stderr.splitlines()
        assert first == "tigr-monitor: the reload is refused, the old settings stay in force:"
        assert sorted(problem.split(" in ")[0] for problem in problems) == ["  ping_interval", "  proxyy"]
        assert monitor.value("tigr_interval_seconds", **PROD_PING) == 2
        assert monitor.value("tigr_config_last_reload_successful") == 0
        config.write_text(f'log_format = "json"\n{content}')
        assert "TIGR_LOG_FORMAT changed; restart the monitor to apply it\n" in called(path, "reload").stdout
        assert monitor.value("tigr_config_last_reload_successful") == 1


def test_reloads_at_once_share_one(simulator: Simulator, tmp_path: Path, path: Path) -> None:
    """Each command gets an outcome, and health is not delayed."""
    environ = files(simulator, tmp_path) | {"TIGR_CONTROL_SOCKET": str(path)}
    with Monitor(environ, tmp_path) as monitor:
        arguments = command("reload", "--socket", str(path))
        running = [
            subprocess.Popen(arguments, env=clean({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)
        ]
        assert called(path, "health").returncode == 0
        outputs = [each.communicate(timeout=PATIENCE)[0] for each in running]
        assert [each.returncode for each in running] == [0] * 6
        assert all(output.startswith(b"no changes") for output in outputs)
        assert 1 <= monitor.log().count("reloaded: ") <= 6


def test_status_follows_the_state(simulator: Simulator, tmp_path: Path, path: Path) -> None:
    """It is status 0 while all is well and 1 after a failed ping, without a secret."""
    with Monitor(simulator.settings() | FAST | {"TIGR_CONTROL_SOCKET": str(path)}, tmp_path):
        wait_for(lambda: called(path, "status").returncode == 0, "all is well")
        simulator.environment("prod").api_faults.set(Status(503))
        wait_for(lambda: called(path, "status").returncode == 1, "a failed ping")
        status = json.loads(called(path, "status", "--json").stdout)
        assert [each["well"] for each in status["environments"]] == [False, True]
        ping = status["environments"][0]["ping"]
        assert (ping["state"], ping["failure"]["reason"]) == ("down", "server_error")
        wait_for(lambda: called(path, "incidents").stdout.startswith("id"), "an incident")
        texts = [
            called(path, *each.split()).stdout
            for each in ("status", "incidents", "evidence", "report", "status --json")
        ]
        assert all(texts)
        assert not leaks("".join(texts), values(simulator.environment("prod").credentials))


def test_the_socket_is_in_the_state_directory_by_default(simulator: Simulator, tmp_path: Path) -> None:
    """Commands with the same variable find it there, and it is removed at the exit."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    environ = {"TIGR_STATE_DIR": str(state)}
    with Monitor(simulator.settings() | FAST | environ, tmp_path) as monitor:
        wait_for(lambda: run(["health"], environ).returncode == 0, "it is healthy")
        assert (state / "control.sock").is_socket()
        assert monitor.stop() == 0
    assert not (state / "control.sock").exists()
    assert run(["status"], environ).returncode == 3


def test_a_killed_monitor_does_not_prevent_the_next_start(simulator: Simulator, tmp_path: Path, path: Path) -> None:
    """Its socket is replaced."""
    environ = simulator.settings() | FAST | {"TIGR_CONTROL_SOCKET": str(path)}
    with Monitor(environ, tmp_path) as monitor:
        wait_for(path.is_socket, "a control socket")  # it opens after the web server, for which `Monitor` waits
        monitor.process.kill()
        monitor.process.wait(PATIENCE)
        assert path.is_socket()
    with Monitor(environ, tmp_path):
        wait_for(lambda: called(path, "health").returncode == 0, "it is healthy")


def test_a_socket_in_use_prevents_the_start(simulator: Simulator, tmp_path: Path, path: Path) -> None:
    """The message says what to do, and the first monitor is not disturbed."""
    environ = simulator.settings() | FAST | {"TIGR_CONTROL_SOCKET": str(path)}
    with Monitor(environ, tmp_path):
        second = run(["run"], environ | {"TIGR_LISTEN": "127.0.0.1:0"})
        assert second.returncode == 1
        assert (
            f"another tigr-monitor uses the control socket {path}: set TIGR_CONTROL_SOCKET to a different"
            in second.stderr
        )
        wait_for(lambda: called(path, "health").returncode == 0, "it is healthy")


def test_a_socket_that_cannot_be_made_is_a_warning(simulator: Simulator, tmp_path: Path) -> None:
    """The monitor runs on."""
    environ = {"TIGR_CONTROL_SOCKET": str(tmp_path / "missing" / "directory" / "control.sock")}
    with Monitor(simulator.settings() | FAST | environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert monitor.log().count("cannot make the control socket") == 1
        assert "No such file or directory; the commands status, reload and health need it" in monitor.log()


def test_a_missing_state_directory_is_not_created(simulator: Simulator, tmp_path: Path) -> None:
    """It would have no lock, so another monitor could use it."""
    state = tmp_path / "missing"
    with Monitor(simulator.settings() | FAST | {"TIGR_STATE_DIR": str(state)}, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert f"cannot make the control socket {state}/control.sock: No such file or directory" in monitor.log()
        assert not state.exists()


def test_clients_that_hang_do_not_delay_the_stop(simulator: Simulator, tmp_path: Path, path: Path) -> None:
    """The exit waits for no request."""
    environ = simulator.settings() | FAST | {"TIGR_CONTROL_SOCKET": str(path)}
    with Monitor(environ, tmp_path) as monitor, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HT")
        assert monitor.stop() == 0
    assert not path.exists()
