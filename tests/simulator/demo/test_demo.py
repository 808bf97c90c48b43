"""The scenario of the demo is short, clears its faults, and covers the reasons of failures."""

from __future__ import annotations

import importlib.util
import re
import socket
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import settings
from monitor.model import Reason
from monitor.simulator import Simulator
from monitor.simulator.demo import run
from monitor.simulator.demo.harness import DemoHarness, ListenAddress
from monitor.simulator.demo.scenario import PAUSE, SCENARIO

pytestmark = pytest.mark.once


@pytest.fixture
def harness(simulator: Simulator, tmp_path: Path) -> Iterator[DemoHarness]:
    """Yield a harness without a running monitor."""
    harness = DemoHarness(simulator, tmp_path, ListenAddress("127.0.0.1", 9844), threading.Event())
    yield harness
    harness.close()


def files(directory: Path) -> dict[str, str]:
    """Return the content of each file in a directory."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_the_scenario_takes_less_than_three_minutes(harness: DemoHarness) -> None:
    """The sum of the pauses of all scripts, and of those before and between them, is below 180 s."""
    assert run.FIRST_PAUSE + sum(PAUSE + sum(incident.script(harness)) for incident in SCENARIO) < 180


def test_the_scenario_restores_the_initial_state(harness: DemoHarness, simulator: Simulator, tmp_path: Path) -> None:
    """Only a password is different at the end, and its secret file has the new one."""
    lifetimes = [environment.lifetime for environment in simulator.environments.values()]
    before = files(tmp_path)
    for incident in SCENARIO:
        for _ in incident.script(harness):
            pass
    after = files(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"secrets/tigr_environments__uat__password"}
    assert (tmp_path / "secrets/tigr_environments__uat__password").read_text() == (
        f"{simulator.environment('uat').credentials.password}\n"
    )
    for environment in simulator.environments.values():
        assert environment.token_faults.current is None
        assert environment.api_faults.current is None
    assert [environment.lifetime for environment in simulator.environments.values()] == lifetimes


def test_the_scenario_shows_most_reasons() -> None:
    """The others are a failed lookup, an internal failure, and the 401 that a new login hides."""
    shown = {
        reason for incident in SCENARIO for line in incident.series for reason in re.findall('reason="(.*?)"', line)
    }
    assert set(Reason) - shown == {Reason.DNS, Reason.INTERNAL, Reason.UNAUTHORIZED}


def test_the_files_configure_a_monitor_of_both_environments(
    tmp_path: Path, simulator: Simulator, harness: DemoHarness
) -> None:
    """Secrets are only in the secret files, which only the user can read."""
    loaded = settings.load(
        {"TIGR_CONFIG_FILE": str(tmp_path / "tigr-monitor.toml"), "TIGR_SECRETS_DIR": str(tmp_path / "secrets")}
    )
    for environment in loaded.settings.environments:
        simulated = simulator.environment(environment.name)
        assert (environment.token_url, environment.api_url) == (simulated.token_url, simulated.api_url)
        assert environment.credentials.password == simulated.credentials.password
        assert simulated.credentials.password not in (tmp_path / "tigr-monitor.toml").read_text()
    assert loaded.settings.ca_file == simulator.ca_file
    assert tomllib.loads((tmp_path / "tigr-monitor.toml").read_text())["listen"] == "127.0.0.1:9844"
    secrets = list((tmp_path / "secrets").iterdir())
    assert len(secrets) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


@pytest.mark.parametrize(
    "host, setting, reachable",
    [
        ("127.0.0.1", "127.0.0.1:1", "127.0.0.1:1"),
        ("", ":1", "127.0.0.1:1"),
        ("0.0.0.0", "0.0.0.0:1", "127.0.0.1:1"),  # noqa: S104 - the test opens no socket
        ("::", "[::]:1", "127.0.0.1:1"),
    ],
)
def test_a_listen_address_has_a_reachable_address_of_this_machine(host: str, setting: str, reachable: str) -> None:
    """An empty or unspecified host is reachable at the loopback address."""
    listen = ListenAddress(host, 1)
    assert (str(listen), listen.reachable) == (setting, reachable)


def test_the_error_for_a_used_port_names_the_option_to_change_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo exits with status 1 before it starts the simulator."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run.main(f"127.0.0.1:{taken.getsockname()[1]}") == 1
    text = capsys.readouterr().err
    assert "Address already in use" in text
    assert "tigr-monitor demo --listen" in text


@pytest.mark.parametrize("listen, status", [("nowhere", 2), ("127.0.0.1:99999", 2), ("127.0.0.1:0", 1)])
def test_the_error_for_an_invalid_address_contains_it(
    listen: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard error has the argument."""
    assert run.main(listen) == status
    assert listen in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["cryptography", "jwt", "trustme"])
def test_the_error_for_a_missing_package_names_the_command_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo exits with status 1 before it starts the simulator."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    assert run.main("127.0.0.1:0") == 1  # without the check, the port is an error too
    assert "In the folder of the source code, run: make demo" in capsys.readouterr().err


def test_the_command_needs_no_package_of_the_extra_before_it_reports_a_missing_one() -> None:
    """The import of the command imports none of the packages of the extra."""
    code = "import monitor.simulator.demo.run, sys; print({'cryptography', 'jwt', 'trustme'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "set()\n"
