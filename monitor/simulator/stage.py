"""What the demo's incidents act on: the simulator, the real monitor as a process, and its files."""

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
from monitor.simulator.simulator import Environment, Simulator

# A whole outage in seconds: short enough to watch, long enough to see each turn.
_INTERVALS = {
    "ping_interval": "2s",
    "auth_interval": "10s",
    "confirm_interval": "1s",
    "timeout": "3s",
    "renew_margin": "5s",
}
_PATIENCE = 15.0  # seconds for the monitor to answer, or to end


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the monitor shall listen."""

    host: str  # '': every address
    port: int

    def __str__(self) -> str:
        """As a setting."""
        return f"{hosts.bracketed(self.host)}:{self.port}"

    @property
    def reached_at(self) -> str:
        """Where this machine finds it."""
        return f"{hosts.bracketed(hosts.reachable_address(self.host))}:{self.port}"


class Stage:
    """A simulator and a monitor that watches it, until `close`. Files are made in a directory that the caller owns."""

    def __init__(self, simulator: Simulator, directory: Path, listen: Listen, over: threading.Event) -> None:
        """Write the files; `over` is set when the monitor ends, and ends every wait."""
        self.simulator = simulator
        self.over = over
        self._listen = listen
        self._config = directory / "tigr-monitor.toml"
        self._secrets = directory / "secrets"
        self._state = directory / "state"
        self._secrets.mkdir(mode=0o700)
        self._state.mkdir(mode=0o700)
        self._process: subprocess.Popen[bytes] | None = None
        self.write_config()
        self.write_secrets()

    def environment(self, name: str) -> Environment:
        """The environment of that name."""
        return self.simulator.environment(name)

    @property
    def exit_status(self) -> int | None:
        """Of the monitor; None while it runs."""
        return self._process.poll() if self._process else None

    def write_config(self, **changes: str) -> None:
        """Write the TOML file, with settings added or changed."""
        common = {"listen": str(self._listen), "state_dir": str(self._state), "ca_file": str(self.simulator.ca_file)}
        lines = _toml(common | {"proxy": "none"} | _INTERVALS | changes)
        for name, environment in self.simulator.environments.items():
            lines += ["", f"[environments.{name}]"]
            lines += _toml({"token_url": environment.token_url, "api_url": environment.api_url})
        self._config.write_text("\n".join([*lines, ""]))

    def write_secrets(self) -> None:
        """Write the credentials that are good at this moment, each into a file that only this user can read."""
        for environment in self.simulator.environments.values():
            for name, value in environment.secrets().items():
                path = self._secrets / name.lower()
                path.touch(mode=0o600)
                path.write_text(value + "\n")

    def start(self) -> bool:
        """Start the monitor; True when it answers, False when it ended or does not."""
        files = {"TIGR_CONFIG_FILE": str(self._config), "TIGR_SECRETS_DIR": str(self._secrets)}
        # A session of its own: Ctrl-C at the terminal is for the demo, which then ends the monitor in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run"], env=_environment() | files, start_new_session=True
        )
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()
        for _ in range(int(_PATIENCE / 0.1)):
            if self.over.wait(0.1):
                return False
            if _answers(self._listen.reached_at):
                return True
        return False

    def reload(self) -> None:
        """Let the monitor read its settings again."""
        self._signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Stop the monitor's process, as if the machine were suspended."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the monitor in order, or else at once."""
        if self._process is None:
            return
        self.thaw()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # which does nothing when the process has ended

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.over.set()


def _toml(settings: Mapping[str, str]) -> list[str]:
    # A JSON string is a TOML string, for text like this.
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]


def _environment() -> dict[str, str]:
    """This process's own, without what would configure a monitor."""
    foreign = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in foreign and not name.startswith("TIGR_")}


def _answers(listen: str) -> bool:
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
