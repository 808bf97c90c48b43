"""Messages of commands that find no monitor, on machines with and without the systemd service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.commands.service_state import ServiceState, has_settings, no_monitor, service_state
from monitor.installation import programs, systemd

pytestmark = pytest.mark.once

SOCKET = Path("/run/tigr-monitor/control.sock")
REASON = "  its log has the reason: journalctl -u tigr-monitor -o cat -n 20\n"
START = "  to start it: systemctl start tigr-monitor\n"
CHECK = (
    "  to check with the settings and the secrets of the service: systemctl start tigr-monitor-check\n"
    "  the result: journalctl -u tigr-monitor-check -o cat --since -1min\n"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file with the output of systemctl on a machine with systemd; this shell has no settings."""
    output, systemctl = tmp_path / "output", tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\ncat {output}\n")
    systemctl.chmod(0o755)
    monkeypatch.setattr(systemd, "_BOOTED", tmp_path)
    monkeypatch.setitem(programs._VARIABLES, "PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("TIGR_CONTROL_SOCKET", "TIGR_STATE_DIR", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return output


def shown(active: str, sub: str = "dead", status: str = "", load: str = "loaded") -> str:
    """Return the output of systemctl."""
    return f"LoadState={load}\nActiveState={active}\nSubState={sub}\nStatusText={status}\n"


def test_status_shows_why_the_service_does_not_run(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the last status of the service, where to find the reason and how to start it."""
    machine.write_text(shown("failed", "failed", "a setting is wrong: \x1bx: must be a duration"))
    assert main(["status"]) == 3
    assert capsys.readouterr().err == (
        "tigr-monitor: no monitor runs on this machine: the service tigr-monitor has failed: a setting is wrong:  x:"
        f" must be a duration\n{REASON}{START}"
    )


def test_a_check_without_settings_names_the_unit_that_has_them(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No setting is reported as missing: the secrets of the service are where this shell cannot look."""
    machine.write_text(shown("inactive", status="stopped"))
    assert main(["check"]) == 3
    assert capsys.readouterr().err == (
        f"tigr-monitor: no monitor runs on this machine: the service tigr-monitor is stopped\n{REASON}{START}{CHECK}"
    )


def test_config_names_the_settings_of_the_service(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list of missing settings is that of the shell, and the first line says so."""
    machine.write_text(shown("active", "running"))
    assert main(["config"]) == 2
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("tigr-monitor: this shell has no settings; the service tigr-monitor has its own")
    assert second == "tigr-monitor: 8 settings are wrong:"


@pytest.mark.parametrize(
    "state,first,last",
    [
        (
            ServiceState("activating", "auto-restart", "stopped"),
            "no monitor runs on this machine: the service tigr-monitor is activating (auto-restart)",
            "to start it: systemctl start tigr-monitor",
        ),
        (
            ServiceState("active", "running", "prod up"),
            f"no control socket: the service tigr-monitor is active (running), but no process listens on {SOCKET}",
            "then restart it: systemctl restart tigr-monitor",
        ),
    ],
    ids=lambda value: value.sub if isinstance(value, ServiceState) else "",
)
def test_each_state_of_the_service_has_its_message(state: ServiceState, first: str, last: str) -> None:
    """A service that restarts does not run; one that runs without a socket does."""
    lines = no_monitor([SOCKET], state).splitlines()
    assert (lines[0], lines[-1]) == (first, last)


@pytest.mark.parametrize("output", [shown("inactive", load="not-found"), ""])
def test_without_the_unit_the_message_names_the_socket(
    output: str, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine with systemd need not have the service."""
    machine.write_text(output)
    assert main(["status"]) == 3
    assert f"no process listens on {SOCKET}; start it, or name its socket" in capsys.readouterr().err


def test_without_systemctl_the_message_names_the_socket(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failing or missing systemctl is like a machine without the service."""
    assert main(["status"]) == 3  # cat fails
    assert f"no process listens on {SOCKET}; start it" in capsys.readouterr().err


def test_a_systemctl_that_hangs_is_like_a_missing_one(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command about the monitor never waits for systemd."""
    tmp_path.joinpath("systemctl").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    monkeypatch.setattr(systemd, "_TIMEOUT", 0.1)
    assert service_state() is None


def test_an_address_is_no_setting() -> None:
    """Only a variable with a setting, or with a place of settings, makes a check possible."""
    assert not has_settings({"TIGR_STATE_DIR": "/x", "TIGR_CONTROL_SOCKET": "/y", "HOME": "/root"})
    assert has_settings({"tigr_environments__prod__password": "x"})
    assert has_settings({"TIGR_CONFIG_FILE": "/etc/x"})
    assert has_settings({"CREDENTIALS_DIRECTORY": "/run/credentials/x"})
