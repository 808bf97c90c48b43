"""The processes of the two programs: their reported exchanges and their cost."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.target import Port, Target
from tests.support.blackbox import PROGRAM, running
from tests.support.harness import value
from tests.support.process import Monitor, get, status

_OFF = {"TIGR_ENVIRONMENTS__PROD__ENABLED": "false", "TIGR_ENVIRONMENTS__UAT__ENABLED": "false"}
QUICK = {"TIGR_PING_INTERVAL": "1s", "TIGR_AUTH_INTERVAL": "1s", "TIGR_RENEW_MARGIN": "1s"}


@dataclass(frozen=True, slots=True)
class Reported:
    """One exchange as the program reports it."""

    began: float  # Unix seconds
    duration: float  # seconds
    processing: float  # seconds


class Cost:
    """The processor time and memory of a process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def cpu(self) -> float:
        """Return the processor time in seconds, user plus system."""
        user, system = Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Return the resident memory in bytes."""
        return int(status(self._pid)["VmRSS"].split()[0]) * 1024


def name_of(number: int) -> str:
    """Return the name of an environment."""
    return f"e{number:03}"


def environments(ports: Sequence[tuple[Port, Port]]) -> dict[str, str]:
    """Return the settings of one environment per pair of ports, for the token and for the ping."""
    settings = dict(_OFF)
    for number, (token, ping) in enumerate(ports):
        name = f"TIGR_ENVIRONMENTS__{name_of(number).upper()}__"
        settings |= {f"{name}{part}": f"benchmark-{part.lower()}" for part in ("CLIENT_ID", "CLIENT_SECRET")}
        settings |= {f"{name}{part}": f"benchmark-{part.lower()}" for part in ("USERNAME", "PASSWORD")}
        settings |= {f"{name}TOKEN_URL": token.token_url, f"{name}API_URL": ping.api_url}
    return settings


def monitor(
    target: Target, ports: Sequence[tuple[Port, Port]], directory: Path, settings: Mapping[str, str] = QUICK
) -> Monitor:
    """Return a daemon that logs in to and pings each pair of ports.

    The check of the token host is off: the capture would contain connections that are no exchanges.
    """
    common = {"TIGR_CA_FILE": str(target.ca_file), "TIGR_PROXY": "none", "TIGR_LOG_FORMAT": "json"}
    common |= {"TIGR_TOKEN_HOST_CHECK": "off"}
    return Monitor(environments(ports) | common | dict(settings), directory)


def reported(log: Path, endpoint: str, environments: Collection[str] = ()) -> list[Reported]:
    """Return the successful exchanges that a daemon logged at level debug, oldest first.

    Raises RuntimeError if an exchange failed.
    """
    exchanges = []
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "duration" not in record or record["endpoint"] != endpoint:
            continue
        if environments and record["environment"] not in environments:
            continue
        if record["msg"].endswith(": no_token"):
            continue  # not an exchange: the first ping of many environments can be due before their first login
        if not record["msg"].endswith(": success"):
            raise RuntimeError(f"an exchange failed: {line}")
        began = datetime.fromisoformat(record["started_at"]).timestamp()
        exchanges.append(Reported(began, record["duration"], record["processing"]))
    return sorted(exchanges, key=lambda each: each.began)


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running blackbox_exporter."""

    port: int
    pid: int
    version: str

    def probe(self, module: str, url: str) -> tuple[Reported, float]:
        """Probe once; return the exchange by its phases, and `probe_duration_seconds`.

        Raises RuntimeError if the probe failed.
        """
        began = time.time()
        _, text = get(self.port, f"/probe?{urllib.parse.urlencode({'module': module, 'target': url})}")
        if value(text, "probe_success") != 1:
            raise RuntimeError(f"a probe failed: {text}")
        phases = {
            phase: value(text, "probe_http_duration_seconds", phase=phase) or 0.0
            for phase in ("resolve", "connect", "tls", "processing", "transfer")
        }
        return Reported(began, sum(phases.values()), phases["processing"]), value(text, "probe_duration_seconds") or 0.0


@contextmanager
def exporter(target: Target, token: Port, directory: Path) -> Iterator[Exporter]:
    """Start the exporter with two modules: `ping` has a fixed token, `login` requests one from the port `token`."""
    tls = {"ca_file": str(target.ca_file)}
    login = {
        "client_id": "benchmark-id",
        "client_secret": "benchmark-secret",
        "token_url": token.token_url,
        "endpoint_params": {"grant_type": "password", "username": "benchmark-user", "password": "benchmark-password"},
        "tls_config": tls,
    }
    modules = {
        "ping": {"prober": "http", "http": {"tls_config": tls, "bearer_token": "benchmark"}},
        "login": {"prober": "http", "http": {"tls_config": tls, "oauth2": login}},
    }
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    with running(modules, directory) as (port, pid):
        yield Exporter(port, pid, (version.stdout + version.stderr).split("version ")[1].split()[0])
