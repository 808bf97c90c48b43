"""The demo's programme is short, comes full circle, and looks for what there is."""

from __future__ import annotations

import re
import socket
import stat
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
from monitor.simulator.demo.scenario import CALM, PROGRAMME


@pytest.fixture
def stage(simulator: Simulator, tmp_path: Path) -> Iterator[DemoHarness]:
    """A stage on which no monitor was started."""
    stage = DemoHarness(simulator, tmp_path, ListenAddress("127.0.0.1", 9844), threading.Event())
    yield stage
    stage.close()


def files(directory: Path) -> dict[str, str]:
    """Everything in a directory."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_every_incident_is_seen_within_three_minutes(stage: DemoHarness) -> None:
    """What the scripts wait, and the calm before and between them."""
    assert run.CALM_AT_FIRST + sum(CALM + sum(incident.script(stage)) for incident in PROGRAMME) < 180


def test_the_programme_leaves_everything_as_it_was(stage: DemoHarness, simulator: Simulator, tmp_path: Path) -> None:
    """But for a password, which the monitor has been told."""
    lifetimes = [environment.lifetime for environment in simulator.environments.values()]
    before = files(tmp_path)
    for incident in PROGRAMME:
        for _ in incident.script(stage):
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


def test_most_reasons_are_seen() -> None:
    """All but a name that does not resolve, a fault of the monitor's own, and the 401 that a new login hides."""
    told = {
        reason for incident in PROGRAMME for line in incident.shows for reason in re.findall('reason="(.*?)"', line)
    }
    assert set(Reason) - told == {Reason.DNS, Reason.INTERNAL, Reason.UNAUTHORIZED}


def test_the_files_configure_a_monitor_of_both_environments(
    tmp_path: Path, simulator: Simulator, stage: DemoHarness
) -> None:
    """With nothing secret but in the secret files, which nobody else can read."""
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
    "host, setting, reached_at",
    [
        ("127.0.0.1", "127.0.0.1:1", "127.0.0.1:1"),
        ("", ":1", "127.0.0.1:1"),
        ("0.0.0.0", "0.0.0.0:1", "127.0.0.1:1"),  # noqa: S104 - listened on by nobody
        ("::", "[::]:1", "[::1]:1"),
    ],
)
def test_the_pages_are_reached_on_this_machine(host: str, setting: str, reached_at: str) -> None:
    """Wherever the monitor listens."""
    listen = ListenAddress(host, 1)
    assert (str(listen), listen.reached_at) == (setting, reached_at)


def test_a_port_that_is_taken_is_told_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run.main(f"127.0.0.1:{taken.getsockname()[1]}") == 1
    said = capsys.readouterr().err
    assert "Address already in use" in said
    assert "tigr-monitor demo --listen" in said


@pytest.mark.parametrize("listen, status", [("nowhere", 2), ("127.0.0.1:99999", 2), ("127.0.0.1:0", 1)])
def test_an_address_that_is_none_is_told(listen: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """With what was typed."""
    assert run.main(listen) == status
    assert listen in capsys.readouterr().err
