"""The harness of the demo: the simulator, the real monitor as a process, and the files of the monitor."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor import hosts
from monitor.simulator.simulator import SimulatedEnvironment, Simulator

# Short intervals, so that an outage takes seconds and a viewer still sees each probe.
_INTERVALS = {
    "ping_interval": "2s",
    "auth_interval": "10s",
    "confirm_interval": "1s",
    "timeout": "3s",
    "renew_margin": "5s",
}
_START_STOP_TIMEOUT = 60.0  # seconds for the monitor to respond, or to exit: a busy machine may need many


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The listen address of the monitor."""

    host: str  # empty: every address
    port: int

    def __str__(self) -> str:
        """Return the value of the setting TIGR_LISTEN."""
        return f"{hosts.bracketed(self.host)}:{self.port}"

    @property
    def reachable(self) -> str:
        """Return the address at which this machine reaches the monitor."""
        return f"{hosts.bracketed(hosts.reachable_address(self.host))}:{self.port}"


class DemoHarness:
    """A simulator and a monitor of it, until `close`. The caller owns the directory of the files."""

    def __init__(self, simulator: Simulator, directory: Path, listen: ListenAddress, stopped: threading.Event) -> None:
        """Write the files. `stopped` ends every wait; the harness sets it when the monitor exits."""
        self.simulator = simulator
        self.stopped = stopped
        self._listen = listen
        self._config = directory / "tigr-monitor.toml"
        self._secrets = directory / "secrets"
        self._state = directory / "state"
        self._secrets.mkdir(mode=0o700)
        self._state.mkdir(mode=0o700)
        self._process: subprocess.Popen[bytes] | None = None
        self.write_config()
        self.write_secrets()

    def environment(self, name: str) -> SimulatedEnvironment:
        """Return the simulated environment of this name."""
        return self.simulator.environment(name)

    @property
    def exit_status(self) -> int | None:
        """Return the exit status of the monitor; None while it runs."""
        return self._process.poll() if self._process else None

    def write_config(self, **changes: str) -> None:
        """Write the TOML file; `changes` add or replace settings."""
        common = {"listen": str(self._listen), "state_dir": str(self._state), "ca_file": str(self.simulator.ca_file)}
        lines = _toml(common | {"proxy": "none"} | _INTERVALS | changes)
        for name, environment in self.simulator.environments.items():
            lines += ["", f"[environments.{name}]"]
            lines += _toml({"token_url": environment.token_url, "api_url": environment.api_url})
        self._config.write_text("\n".join([*lines, ""]))

    def write_secrets(self) -> None:
        """Write the current credentials, each into a file that only this user can read."""
        for environment in self.simulator.environments.values():
            for name, value in environment.secrets().items():
                path = self._secrets / name.lower()
                path.touch(mode=0o600)
                path.write_text(value + "\n")

    def start(self) -> bool:
        """Start the monitor; return True when it responds, False if it exits or does not respond in time."""
        files = {"TIGR_CONFIG_FILE": str(self._config), "TIGR_SECRETS_DIR": str(self._secrets)}
        # A separate session: Ctrl-C at the terminal stops the demo, which then stops the monitor in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run"], env=_environment() | files, start_new_session=True
        )
        threading.Thread(target=self._wait_for_exit, args=(self._process,), daemon=True).start()
        for _ in range(int(_START_STOP_TIMEOUT / 0.1)):
            if self.stopped.wait(0.1):
                return False
            if _responds(self._listen.reachable):
                return True
        return False

    def reload(self) -> None:
        """Make the monitor reload its settings."""
        self._signal(signal.SIGHUP)

    def suspend(self) -> None:
        """Suspend the process of the monitor."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the process of the monitor."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the monitor with SIGTERM, or with SIGKILL after a timeout."""
        if self._process is None:
            return
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_START_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # has no effect after the process has exited

    def _wait_for_exit(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.stopped.set()


def _toml(settings: Mapping[str, str]) -> list[str]:
    # JSON strings of these values are valid TOML strings.
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]


def _environment() -> dict[str, str]:
    """Return the environment variables of this process without those that configure a monitor."""
    excluded = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in excluded and not name.startswith("TIGR_")}


def _responds(listen: str) -> bool:
    connection = http.client.HTTPConnection(listen, timeout=1)
    try:
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()
